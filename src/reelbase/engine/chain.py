"""The package's migrations, as they lie in their folder."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources

import msgspec


class Migration(msgspec.Struct, frozen=True):
    """A file ``NNNN_what_changes.sql``. checksum: SHA-256 of its text."""

    version: int
    name: str
    sql: str
    checksum: str


@cache
def migrations() -> tuple[Migration, ...]:
    """Every migration of the package, in order; the first makes version 1 of an empty file."""
    found = []
    for entry in resources.files("reelbase").joinpath("migrations").iterdir():
        number, _, rest = entry.name.partition("_")
        if rest.endswith(".sql"):
            text = entry.read_bytes()
            found.append(
                Migration(
                    version=int(number),
                    name=rest.removesuffix(".sql"),
                    sql=text.decode(),
                    checksum=hashlib.sha256(text).hexdigest(),
                )
            )
    return tuple(sorted(found, key=lambda migration: migration.version))
