"""File names that are not valid UTF-8, and texts that UTF-8 cannot express.

A file's name is bytes. Python keeps a byte that is not valid UTF-8 as a lone surrogate (os.fsdecode()),
which SQLite cannot store. In the columns of file names such a byte is stored as U+F000 plus the byte, a
character for private use (as Cygwin does): U+F080 to U+F0FF. So that the stored form is unambiguous, a
name that has one of these characters itself has each byte of its UTF-8 stored in the same way.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

# The types of a column of file names, and of a column of messages; to a type checker they are str.
FileName = Annotated[str, "file name"]
Message = Annotated[str, "message"]

_TO_ESCAPE = re.compile("[\udc80-\udcff\uf080-\uf0ff]")
# A private-use character of the name itself, as the bytes of its UTF-8; or a byte that was not UTF-8.
_ESCAPED = re.compile("\uf0ef[\uf082\uf083][\uf080-\uf0bf]|[\uf080-\uf0ff]")
_UNSTORABLE = re.compile("[\ud800-\udfff]")


def escaped(name: str) -> str:
    """The name as it is stored. Lone surrogates that os.fsdecode() does not make stay as they are."""
    return name if name.isascii() else _TO_ESCAPE.sub(_escape, name)


def may_be_escaped(stored: str) -> bool:
    """False when unescaped() changes nothing."""
    return not stored.isascii() and _ESCAPED.search(stored) is not None


def unescaped(stored: str) -> str:
    """The name that was stored."""
    return stored if stored.isascii() else _ESCAPED.sub(_unescape, stored)


def _escape(match: re.Match[str]) -> str:
    return "".join(chr(0xF000 + byte) for byte in match[0].encode("utf-8", "surrogateescape"))


def _unescape(match: re.Match[str]) -> str:
    raw = bytes(ord(character) - 0xF000 for character in match[0])
    return raw.decode("utf-8", "surrogateescape")


def printable(value: Any) -> Any:
    r"""Replaces every lone surrogate in a text by its escape: \xff for a byte that is not UTF-8, else \ud800.

    Texts in dicts, lists and tuples are replaced, too. Values of all further types stay as they are, and
    so does a value that is nested too deeply.
    """
    try:
        return _printable(value)
    except RecursionError:
        return value


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return value if value.isascii() else _UNSTORABLE.sub(_show, value)
    if isinstance(value, dict):
        return {_printable(key): _printable(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_printable(item) for item in value)
    return value


def _show(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"
