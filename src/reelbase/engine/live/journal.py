"""The journal of followed tables, read from a place on: which rows have changed since."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, Literal, NamedTuple

import msgspec

from reelbase.engine.live.recorder import Names
from reelbase.engine.record import Record
from reelbase.engine.schema.followed import SHAPES, Shape, follow
from reelbase.engine.statements.arguments import invalid_argument, wrong_type
from reelbase.errors import ChangesExpiredError

_WHERE: Final = "Database.changes"

# As RawReads.fetch_all().
Fetch = Callable[[Any, str, dict[str, Any]], Awaitable[list[Any]]]
Value = int | float | str | None

# Rows that are read, and given, at once.
_ROWS: Final = 1000
# A commit's number is that of its last row and, behind it, so many bits of chance: after a power cut or in a
# restored copy the same number may be given again, to another row.
_MARKS: Final = 65536
_LAST_NUMBER: Final = 2**63 - 1

# The row at the place itself comes first, if it is still there.
_READ: Final = """
SELECT number, mark, table_name, kind, row_key, profile_id
FROM followed_changes
WHERE number >= :number
ORDER BY number
LIMIT :rows
"""

_HAS_GAP: Final = """
SELECT EXISTS (
  SELECT 1
  FROM followed_changes
  WHERE number > :number
    AND kind = 'gap'
    AND table_name IN (SELECT value FROM json_each(:names))
)
"""

_LAST: Final = """
SELECT number, mark
FROM followed_changes
ORDER BY number DESC
LIMIT 1
"""


class RowChange(Record, frozen=True):
    """A row that was changed.

    table: its table.  key: its primary key, as it is stored: an id of the library as str or int; a tuple, in
    the order of the columns, where there are several; the rowid of a table without a primary key; a BLOB in
    hexadecimal digits.  kind: an update that changes the key or the profile is a delete and an insert.
    """

    table: str
    key: Value | tuple[Value, ...]
    kind: Literal["insert", "update", "delete"]


class Place(NamedTuple):
    """A row of the journal, up to which everything was read."""

    number: int
    mark: int

    @property
    def commit(self) -> int:
        """As Changes.commit."""
        return self.number * _MARKS + self.mark


class _Row(msgspec.Struct, frozen=True):
    number: int
    mark: int
    table_name: str
    kind: str
    row_key: str
    profile_id: str | None


class Batch(NamedTuple):
    """The rows that were read. is_last: there were no more."""

    commit: int
    names: Names
    rows: list[RowChange]
    is_last: bool


class Journal:
    """The rows of some tables, of one profile or all, that have changed."""

    def __init__(
        self,
        fetch: Fetch,
        write: Callable[[Callable[[sqlite3.Connection], Any]], Awaitable[Any]],
        profile_id: str | None,
        since: int | None,
    ) -> None:
        """write: runs a function in a transaction.  since: a Changes.commit; None: from begin() on."""
        self._fetch = fetch
        self._write = write
        self._profile_id = profile_id
        self._since = since
        self._names: Names = frozenset()
        self._place: Place | None = None

    @property
    def commit(self) -> int | None:
        """The number of the last commit that was read, or that came before begin(); before begin() since."""
        return self._since if self._place is None else self._place.commit

    async def begin(self, names: Names) -> None:
        """Sees that the tables are followed, and finds the place from which it reads.

        Raises InvalidArgumentError for a table that cannot be followed, or has no profiles, and
        ChangesExpiredError where since is not known any more.
        """
        wanted = {"names": json.dumps(sorted(names))}
        shapes: list[Shape] = await self._fetch(Shape, SHAPES, wanted)
        for shape in shapes:
            if not shape.may_be_followed:
                raise invalid_argument(
                    "names", f"{shape.name!r} has no rows that can be followed", where=_WHERE
                )
            if self._profile_id is not None and not shape.has_owner:
                raise invalid_argument(
                    "profile_id", f"{shape.name!r} has no column profile_id", where=_WHERE
                )
        last = await self._fetch(Place, _LAST, {})
        if not last or not all(shape.is_followed for shape in shapes):
            await self._write(partial(follow, names=names))
            last = await self._fetch(Place, _LAST, {})
        self._names = names
        place = last[0] if self._since is None else Place(*divmod(self._since, _MARKS))
        if place.number > _LAST_NUMBER:
            raise _expired(place.commit)
        await self._rows_after(place, 1)
        after = {"number": place.number, "names": json.dumps(sorted(names))}
        if (await self._fetch(bool, _HAS_GAP, after))[0]:
            raise _expired(place.commit)
        self._place = place

    async def read(self) -> Batch:
        """The rows that have changed since the last call. A call that is cancelled or fails changes nothing.

        Raises ChangesExpiredError when the journal does not go back so far any more.
        """
        assert self._place is not None
        found = await self._rows_after(self._place, _ROWS + 1)
        rows = [
            RowChange(row.table_name, _key(row.row_key), row.kind)  # type: ignore[arg-type]
            for row in found
            if row.table_name in self._names
            and (self._profile_id is None or row.profile_id == self._profile_id)
        ]
        if found:
            self._place = Place(found[-1].number, found[-1].mark)
        names = frozenset(row.table for row in rows)
        return Batch(self._place.commit, names, rows, is_last=len(found) < _ROWS)

    async def _rows_after(self, place: Place, most: int) -> list[_Row]:
        found: list[_Row] = await self._fetch(_Row, _READ, {"number": place.number, "rows": most})
        if not found or (found[0].number, found[0].mark) != place:
            raise _expired(place.commit)
        gaps = {row.table_name for row in found[1:] if row.kind == "gap"}
        if gaps & self._names:
            raise _expired(place.commit)
        return found[1:]


def checked_since(since: int | str | None) -> int | None:
    """The number that an application passes as since. InvalidArgumentError when it is none."""
    if since is None:
        return None
    if isinstance(since, bool) or not isinstance(since, int | str):
        raise wrong_type("since", f"must be int, str or None, not {type(since).__name__}")
    if isinstance(since, str) and not (since.isascii() and since.isdigit() and len(since) < 20):
        raise invalid_argument("since", "must be the number of a commit")
    if int(since) < 0:
        raise invalid_argument("since", "must be 0 or more")
    return int(since)


def _key(text: str) -> Value | tuple[Value, ...]:
    values = json.loads(text)
    return values[0] if len(values) == 1 else tuple(values)


def _expired(commit: int) -> ChangesExpiredError:
    return ChangesExpiredError(
        f"the changes since commit {commit} are not known any more: read everything again, and go on with "
        "changes() without since",
        details={"since": commit},
    )
