"""An application's own set-up of a connection: functions, collations and extensions, connect(setup=…).

While it runs, an authorizer lets it read, and change nothing that the library relies on. Settings that
SQLite asks no authorizer about are compared before and after.
"""

from __future__ import annotations

import contextlib
import inspect
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any, Final

from reelbase.errors import DatabaseError

Setup = Callable[[sqlite3.Connection], object]

_READING: Final = frozenset({
    sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE,
})  # fmt: skip
# These affect the connection alone, and no guarantee of the library.
_FREE_PRAGMAS: Final = frozenset({
    "cache_size", "cache_spill", "secure_delete", "threads", "trusted_schema",
    "foreign_key_list", "index_info", "index_list", "index_xinfo", "table_info", "table_list",
    "table_xinfo",
})  # fmt: skip
# Refused even without a value: they act.
_DOING_PRAGMAS: Final = frozenset({"incremental_vacuum", "optimize", "wal_checkpoint"})

_ATTRIBUTES: Final = (
    "in_transaction", "isolation_level", "autocommit", "row_factory", "text_factory",
)  # fmt: skip
_LIMITS: Final = tuple(name for name in vars(sqlite3) if name.startswith("SQLITE_LIMIT_"))
_SWITCHES: Final = tuple(
    f"SQLITE_DBCONFIG_{name}"
    for name in (
        "ENABLE_FKEY", "ENABLE_TRIGGER", "ENABLE_VIEW", "LEGACY_ALTER_TABLE", "NO_CKPT_ON_CLOSE",
        "RESET_DATABASE", "WRITABLE_SCHEMA",
    )
)  # fmt: skip

# Tests SQLite's collations, which order the keys of the schema.
_ORDER: Final = (
    "SELECT 'b' = 'B' COLLATE NOCASE, 'a' < 'B' COLLATE NOCASE, 'ä' = 'Ä' COLLATE NOCASE,"
    " 'B' < 'a' COLLATE BINARY, 'a' = 'a ' COLLATE RTRIM, 'a' = 'a ' COLLATE BINARY"
)
_FUNCTIONS: Final = "SELECT name, narg, builtin FROM pragma_function_list"


class Guarded(sqlite3.Connection):
    """A connection that refuses new handlers while the application sets it up: the library uses them."""

    is_being_set_up = False

    def set_authorizer(self, *arguments: Any, **named: Any) -> None:
        """As of sqlite3; refused during the set-up."""
        self._refuse_handler("an authorizer")
        super().set_authorizer(*arguments, **named)

    def set_progress_handler(self, *arguments: Any, **named: Any) -> None:
        """As of sqlite3; refused during the set-up."""
        self._refuse_handler("a progress handler")
        super().set_progress_handler(*arguments, **named)

    def _refuse_handler(self, what: str) -> None:
        if self.is_being_set_up:
            raise sqlite3.ProgrammingError(f"{what} is the library's, which sets and removes one")


def checked_setup(setup: Setup | None) -> Setup | None:
    """The setup itself. TypeError for one that is async or cannot be called."""
    if setup is not None and (not callable(setup) or _is_async(setup)):
        raise TypeError(f"setup must be a function of a sqlite3.Connection, not async: {setup!r}")
    return setup


def _is_async(setup: Setup) -> bool:
    return any(
        inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
        for function in (setup, vars(type(setup)).get("__call__"))  # a callable object's
    )


def set_up(native: Guarded, setup: Setup, path: str) -> None:
    """Calls setup with the connection, on its thread.

    Args:
        native: the connection.
        setup: the application's function.
        path: the database's, for errors.

    Raises:
        DatabaseError: code setup, when setup raises, acts against the library's rules, or has changed a
            setting that the library relies on. The caller must then close the connection.
    """
    before = _facts(native)
    built_in = _functions(native)[0]
    refused: list[str] = []
    try:
        with _guarded(native, refused):
            result = setup(native)
    except Exception as error:
        if refused and getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_AUTH:
            raise _error(path, f"may not {refused[-1]}: {_ADVICE}") from error
        raise _error(path, f"raised {type(error).__name__}: {error}") from error
    if inspect.isawaitable(result) or inspect.isasyncgen(result):
        if inspect.iscoroutine(result):
            result.close()
        raise _error(path, "is async; it is called on the connection's own thread")
    try:
        after = _facts(native)
        replaced = [name for name, count in _functions(native)[1] if _is_in(built_in, name, count)]
    except sqlite3.ProgrammingError as error:
        raise _error(path, "closed the connection") from error
    for name, was in before.items():
        if after[name] != was:
            raise _error(path, f"changed {name} from {was!r} to {after[name]!r}: {_ADVICE}")
    if replaced:
        raise _error(
            path,
            f"replaced functions of SQLite, which the schema uses: {', '.join(sorted(set(replaced)))};"
            " give it another name",
        )
    with contextlib.suppress(AttributeError):  # a Python without extensions
        native.enable_load_extension(False)  # else any SQL could load one


_ADVICE = "the library relies on that; setup loads functions, collations and extensions"


@contextlib.contextmanager
def _guarded(native: Guarded, refused: list[str]) -> Iterator[None]:
    def allow(action: int, first: str | None, second: str | None, *_: str | None) -> int:
        if action in _READING:
            return sqlite3.SQLITE_OK
        what = _NAMES.get(action, "write to the database")
        if action == sqlite3.SQLITE_PRAGMA:
            name = str(first).lower()
            if name in _FREE_PRAGMAS or (second is None and name not in _DOING_PRAGMAS):
                return sqlite3.SQLITE_OK
            what = f"set PRAGMA {name}" if second is not None else f"run PRAGMA {name}"
        refused.append(what)
        return sqlite3.SQLITE_DENY

    native.set_authorizer(allow)
    native.is_being_set_up = True
    try:
        yield
    finally:
        native.is_being_set_up = False
        with contextlib.suppress(sqlite3.ProgrammingError):  # closed
            native.set_authorizer(None)


_NAMES: Final = {
    sqlite3.SQLITE_TRANSACTION: "begin or end a transaction",
    sqlite3.SQLITE_SAVEPOINT: "begin or end a transaction",
    sqlite3.SQLITE_ATTACH: "attach a database",
    sqlite3.SQLITE_DETACH: "detach a database",
}


def _facts(native: sqlite3.Connection) -> dict[str, object]:
    facts: dict[str, object] = {
        name: getattr(native, name) for name in _ATTRIBUTES if hasattr(native, name)
    }
    facts |= {name: native.getlimit(getattr(sqlite3, name)) for name in _LIMITS}
    getconfig = getattr(native, "getconfig", None)  # Python 3.12
    if getconfig is not None:
        facts |= {name: getconfig(getattr(sqlite3, name)) for name in _SWITCHES}
    with _plain_rows(native):
        facts["what a collation of SQLite means"] = native.execute(_ORDER).fetchone()
    return facts


def _functions(native: sqlite3.Connection) -> tuple[set[tuple[str, int]], set[tuple[str, int]]]:
    """Names and numbers of arguments of SQLite's own functions, and of the added ones."""
    added: tuple[set[tuple[str, int]], set[tuple[str, int]]] = (set(), set())
    with (
        contextlib.suppress(sqlite3.OperationalError),
        _plain_rows(native),
    ):  # built without the list
        for name, count, is_built_in in native.execute(_FUNCTIONS):
            added[not is_built_in].add((name, count))
    return added


def _is_in(built_in: set[tuple[str, int]], name: str, count: int) -> bool:
    """Whether a function replaces one of SQLite's. count: of its arguments; -1: any number."""
    return any((name, other) in built_in for other in (count, -1)) or (
        count == -1 and any(name == other for other, _ in built_in)
    )


@contextlib.contextmanager
def _plain_rows(native: sqlite3.Connection) -> Iterator[None]:
    """Gives plain rows and texts inside the block, without the application's factories."""
    row_factory, text_factory = native.row_factory, native.text_factory
    native.row_factory, native.text_factory = None, str
    try:
        yield
    finally:
        native.row_factory, native.text_factory = row_factory, text_factory


def _error(path: str, what: str) -> DatabaseError:
    return DatabaseError(f"setup {what} ({path})", code="setup", details={"path": path})
