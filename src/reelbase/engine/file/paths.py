"""Paths of files: the one check of a path that an application or a command passes in."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePath
from urllib.parse import quote, unquote

from reelbase.engine.statements.arguments import invalid_argument, wrong_type
from reelbase.errors import DatabaseIOError

MEMORY = ":memory:"

# Two letters or more before the colon: C:\media.db is a path.
_URL = re.compile(r"([a-z][a-z0-9.+-]+):(/*)([^?#]*)(.*)", re.IGNORECASE | re.DOTALL)
# The schemes that are URLs without a slash, too. Path("sqlite:///x") has one slash only.
_OF_SQLITE = re.compile(r"(file|sqlite\w*)(\+.*)?", re.IGNORECASE)
# Names that only a shell expands: ~, ~name, $NAME, ${NAME}.
_OF_A_SHELL = re.compile(r"~$|(~[^/\\]*|\$\w+|\$\{\w+\})[/\\]")


def file_path(path: str | os.PathLike[str], name: str = "path") -> Path:
    """The absolute path of a file, which need not exist. name: the parameter, for the errors.

    Raises TypeError unless path is a str or a path. InvalidArgumentError for a path that names no file (a
    URL, a path that only a shell expands, a folder, ":memory:"); its text gives the right form.
    """
    text = _text_of(path, name)
    if os.path.basename(text) in ("", ".", ".."):
        raise invalid_argument(
            name,
            f"{text!r} names a folder; name the file in it, such as "
            f"{os.path.join(text, 'media.db')!r}",
            is_public=False,
        )
    return Path(text).absolute()


def folder_path(path: str | os.PathLike[str], name: str) -> Path:
    """The absolute path of a folder, which need not exist. It is checked as by file_path()."""
    return Path(_text_of(path, name)).absolute()


def _text_of(path: str | os.PathLike[str], name: str) -> str:
    if isinstance(path, bytes) or not isinstance(path, str | os.PathLike):
        raise wrong_type(name, f"must be str or a path, not {type(path).__name__}")
    text = os.fspath(path)
    if "\0" in text or text in ("", MEMORY):
        raise invalid_argument(name, f"not the path of a file: {text!r}", is_public=False)
    url = _URL.fullmatch(text)
    if url is not None and (url[2] or _OF_SQLITE.fullmatch(url[1])):
        raise invalid_argument(name, _instead_of_url(*url.groups()), is_public=False)
    if _OF_A_SHELL.match(text):
        how = "os.path.expanduser" if text.startswith("~") else "os.path.expandvars"
        raise invalid_argument(
            name,
            f"{text!r} is what a shell would expand; pass {how}({text!r}), or an absolute path "
            "if a folder has just that name",
            is_public=False,
        )
    return text


def real_path(path: str | os.PathLike[str]) -> Path:
    """The absolute path behind every symbolic link; of a missing file, as far as the links go.

    Raises DatabaseIOError when the filesystem does not tell.
    """
    try:
        return Path(os.path.realpath(path))
    except OSError as error:
        raise DatabaseIOError(
            f"cannot follow the symbolic links of {os.fspath(path)}: {error.strerror} ({error.filename})",
            details={"path": os.fspath(path)},
        ) from error


def uri_of(path: PurePath, options: str) -> str:
    """An absolute path as the URI by which SQLite opens it, with the options of its query."""
    if path.drive.startswith(("\\\\?", "\\\\.")):  # paths that Windows takes to the letter
        return f"file:{quote(str(path), safe=':')}?{options}"
    uri = path.as_uri()  # escapes the special characters of a URI: ? # %
    if not uri.startswith("file:///"):  # file://nas/share: SQLite refuses a host
        uri = f"file:////{uri.removeprefix('file://')}"
    return f"{uri}?{options}"


def _instead_of_url(scheme: str, slashes: str, rest: str, query: str) -> str:
    """The advice for a URL. It shows no part that may hold a password."""
    if not _OF_SQLITE.fullmatch(scheme):
        return (
            f"a URL ({scheme}:) is not the path of a file; reelbase keeps its data in an SQLite file: "
            "write the path of one, such as 'media.db'"
        )
    place = _path_in_url(scheme, slashes, rest)
    if place == MEMORY or (place is not None and "mode=memory" in query):
        place = MEMORY
    instead = "the path alone" if place is None else repr(place)
    options = ", and what follows the ? as arguments of connect()" if query else ""
    return f"a URL ({scheme}:) is not the path of a file; write {instead}{options}"


def _path_in_url(scheme: str, slashes: str, rest: str) -> str | None:
    """The path in a URL, as SQLite (sqlite.org/uri.html) and SQLAlchemy read it; None if it is unclear."""
    if scheme.lower() == "file":
        if len(slashes) == 2:  # a host
            return None
        return unquote(f"/{rest}" if slashes else rest) or None
    if len(slashes) == 2 and not rest:
        return MEMORY
    return {0: rest, 3: rest or MEMORY, 4: f"/{rest}"}.get(len(slashes))
