"""The migrations in their folders: the package's, and an application's own."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

import msgspec

_FILE_NAME = re.compile(r"(\d{4})_(\w+)\.sql", re.ASCII)
_APPLICATION = re.compile(r"[a-z][a-z0-9_-]*", re.ASCII)


class Migration(msgspec.Struct, frozen=True):
    """A file ``NNNN_what_changes.sql``.

    checksum: SHA-256 of its text, with Unix line ends.  application: its owner; None: the package.
    """

    version: int
    name: str
    sql: str
    checksum: str
    application: str | None = None

    def __str__(self) -> str:
        whose = f" of {self.application}" if self.application else ""
        return f"version {self.version} ({self.name}){whose}"


class Migrations:
    """An application's own migrations, for its tables beside the library's: connect(migrations=…).

    The files are read when this object is made.

    application: the name under which the ledger keeps them: lower-case letters, digits, - and _.
    folder: the folder of the files ``0001_name_of_change.sql``, ``0002_….sql`` and so on, numbered without
        a gap; a path, or ``importlib.resources.files("myapp.migrations")``.

    Raises ValueError for a name, a number or a text that cannot be used, and for an empty folder.
    """

    def __init__(self, application: str, folder: str | os.PathLike[str] | Traversable) -> None:
        if not isinstance(application, str):
            raise TypeError(f"application must be str, not {type(application).__name__}")
        if not _APPLICATION.fullmatch(application):
            raise ValueError(
                f"application: {application!r} is not made of lower-case letters, digits, - and _"
            )
        place = Path(folder) if isinstance(folder, str | os.PathLike) else folder
        if not place.is_dir():
            raise ValueError(f"folder: {folder} is no folder")
        self.application = application
        self.steps = tuple(_read(place, application))
        if not self.steps:
            raise ValueError(f"folder: {folder} holds no migration")

    def __repr__(self) -> str:
        return f"<Migrations of {self.application}: {len(self.steps)}>"


@cache
def migrations() -> tuple[Migration, ...]:
    """Every migration of the package, in order; the first one makes version 1 from an empty file."""
    return tuple(_read(resources.files("reelbase").joinpath("migrations"), None))


def _read(folder: Traversable, application: str | None) -> Iterator[Migration]:
    """The migrations of a folder, in order. ValueError unless they are numbered from 1 without a gap."""
    # A name that begins with a dot is a tool's: ._0001_x.sql of macOS, .#0001_x.sql of Emacs.
    names = sorted(
        entry.name
        for entry in folder.iterdir()
        if entry.name.endswith(".sql") and not entry.name.startswith(".")
    )
    for expected, name in enumerate(names, start=1):
        match = _FILE_NAME.fullmatch(name)
        if match is None:
            raise ValueError(f"folder: {name} is not named like 0001_what_changes.sql")
        if int(match[1]) != expected:
            raise ValueError(
                f"folder: {name} should have number {expected:04}: no gap, no number twice"
            )
        try:
            sql = folder.joinpath(name).read_bytes().decode().replace("\r\n", "\n")
        except UnicodeDecodeError as error:
            raise ValueError(f"folder: {name} is no UTF-8 text: {error}") from error
        yield Migration(
            version=expected,
            name=match[2],
            sql=sql,
            checksum=hashlib.sha256(sql.encode()).hexdigest(),
            application=application,
        )
