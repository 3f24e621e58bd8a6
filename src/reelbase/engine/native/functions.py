"""The SQL functions that the package's statements call, but never its schema: plain SQLite lacks them."""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec

from reelbase.engine.statements.search import excerpt, folded, marked, spaced, unbroken


def create_functions(native: sqlite3.Connection) -> None:
    """Creates them on a connection, replacing functions of the same names."""
    native.create_function("folded", 1, _folded, deterministic=True)
    native.create_function("stripped", 1, _stripped, deterministic=True)
    native.create_function("spaced", 1, spaced, deterministic=True)
    native.create_function("unbroken", 1, unbroken, deterministic=True)
    native.create_function("excerpt", 2, excerpt, deterministic=True)
    native.create_function("marked", 2, _marked, deterministic=True)
    native.create_function("merged", 2, _merged, deterministic=True)


def _folded(text: str | None) -> str | None:
    """folded(text): SQLite's LIKE and lower() fold ASCII only."""
    return None if text is None else folded(text)


def _stripped(text: str | None) -> str | None:
    """stripped(text): SQLite's trim() removes ASCII spaces only."""
    return None if text is None else text.strip()


def _marked(text: str, expression: str) -> str:
    """marked(text, expression): a JSON array of the pieces."""
    return msgspec.json.encode(marked(text, expression)).decode()


def _merged(old: str, new: str) -> str:
    """merged(old, new): two JSON objects as one. json_patch() merges nested objects, and deletes on null."""
    merged: dict[str, Any] = msgspec.json.decode(old) | msgspec.json.decode(new)
    return msgspec.json.encode(merged).decode()
