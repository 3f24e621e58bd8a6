"""The outcome of every row: the counts, the report, and the file of the rows that did not come along."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from pathlib import Path
from typing import IO

import msgspec

from reelbase.engine.record import Record
from reelbase.operations.transfer.format import Value, json_value


class ImportReport(Record, frozen=True):
    """The result of an import from another application.

    read: rows of the old database, by its tables.  imported: rows of the new one, by its tables.
    adjusted: how often each rule has changed a value.  rejected: rows that do not come along, by table and
    reason.  no_home: rows and values that the schema has no place for, by table or column.
    application: which one it is, and which vintage.  ids: for each new table with new ids, the new id by the
    old one.  notes: facts to know and things to do afterwards, in sentences.
    rejects: the file with the rows of rejected and no_home; None: there are none, or it was a dry run.
    """

    read: dict[str, int]
    imported: dict[str, int]
    adjusted: dict[str, int]
    rejected: dict[str, int]
    no_home: dict[str, int]
    application: str
    ids: dict[str, dict[str, str]]
    notes: list[str]
    rejects: Path | None


class _Line(msgspec.Struct, frozen=True):
    table: str
    reason: str
    row: dict[str, object]


class Outcome:
    """Counts the outcomes of rows, and writes the rows that stay behind to a stream, if there is one."""

    def __init__(self, stream: IO[bytes] | None) -> None:
        self._stream = stream
        self.read: Counter[str] = Counter()
        self.adjusted: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.no_home: Counter[str] = Counter()
        self.ids: dict[str, dict[str, str]] = {}
        self.notes: list[str] = []

    def adjust(self, rule: str) -> None:
        """Counts a value that the rule has changed."""
        self.adjusted[rule] += 1

    def new_id(self, table: str, old: object, new: object) -> None:
        """Remembers the new id of a row."""
        self.ids.setdefault(table, {})[str(old)] = str(new)

    def reject(self, table: str, row: dict[str, Value], reason: str) -> None:
        """Counts a row that does not come along, and writes it."""
        self.rejected[f"{table}: {reason}"] += 1
        self._write(table, reason, row)

    def lose(self, table: str, row: dict[str, Value], *what: str) -> None:
        """Counts a row, or values of a row, that the schema has no place for; and writes the row."""
        self.no_home.update(what)
        self._write(table, f"no home: {', '.join(what)}", row)

    def _write(self, table: str, reason: str, row: dict[str, Value]) -> None:
        if self._stream is not None:
            values: dict[str, object] = {name: json_value(value) for name, value in row.items()}
            self._stream.write(msgspec.json.encode(_Line(table, reason, values)) + b"\n")


class RejectsFile:
    """The file of the rows that do not come along. It gets its name by keep(), before the database gets its
    own; if the block raises, no such file stays.

    stream: where the lines go.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_kept = False

    def __enter__(self) -> RejectsFile:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, self._partial = tempfile.mkstemp(
            prefix=f"{self._path.name}.", suffix=".partial", dir=self._path.parent
        )
        self.stream: IO[bytes] = open(descriptor, "wb")
        return self

    def keep(self) -> Path | None:
        """Gives the file its name; one of an earlier import that has the name goes. Returns None, and keeps
        none, when there is no line."""
        self.stream.flush()
        os.fsync(self.stream.fileno())
        if self.stream.tell() == 0:
            self._path.unlink(missing_ok=True)
            return None
        os.replace(self._partial, self._path)
        self._is_kept = True
        return self._path

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self.stream.close()
        if not self._is_kept:
            os.unlink(self._partial)
        elif error is not None:
            self._path.unlink(missing_ok=True)
