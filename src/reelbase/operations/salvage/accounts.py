"""The account of each table of a damaged file: its rows that were read, and its lost rows."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from reelbase.operations.quantities import counted
from reelbase.operations.salvage.evidence import Evidence, Index, LostRow
from reelbase.operations.salvage.losses import Losses
from reelbase.operations.salvage.pages import TABLE_LEAF, Gap, Page, Record, Value
from reelbase.operations.salvage.tables import Key, Table

# Tables that completion fills from other rows, a table that is empty between two writes, and the journal of
# followed tables, which must be complete or empty.
DERIVED = frozenset(
    {
        "schema_migrations",
        "database_identity",
        "audit_context",
        "followed_changes",
        "job_references",
        "file_numbers",
    }
)


class TableState(msgspec.Struct):
    """The account of a table while its rows are read.

    gaps: where pages cannot be reached or used.  partial: rows with unreadable last values.
    refused: rows that break a rule of the schema, with their name and the reason.  lost_cells: how many
    rows with unreadable keys lie on readable pages.  highest: the highest rowid.  lengths: how many values
    its records have; a record that is older than a column lacks it.
    """

    table: Table
    root: int
    indexes: list[Index]
    entries: int = 0
    rows: int = 0
    highest: int = 0
    gaps: list[Gap] = []
    partial: dict[Key, Record] = {}
    refused: dict[Key, tuple[object, str]] = {}
    lost_cells: int = 0
    lengths: set[int] = set()

    @property
    def is_damaged(self) -> bool:
        """Whether any part of the table could not be read or stored."""
        return bool(self.gaps or self.partial or self.refused or self.lost_cells)

    def may_lack(self, page: Page) -> bool:
        """Whether the page may belong to this table, at one of its gaps."""
        if self.table.has_rowid != (page.kind == TABLE_LEAF):
            return False
        if not self.table.has_rowid:
            # If an older, valid page lies in the place of the parent, the missing child leaves no gap.
            return bool(self.gaps) or self.table.is_strict
        return any(gap.holds(cell.rowid) for gap in self.gaps for cell in page.cells)

    def fits(self, record: Record) -> bool:
        """Whether a record of a page that no tree leads to may be a row of this table."""
        length = len(record.values) + record.missing
        is_known = length == len(self.table.columns) or length in self.lengths
        return is_known and self.table.fits(record)

    def key_of(self, rowid: int, values: Sequence[Value]) -> Key:
        """The key of a row: its rowid, or its primary key."""
        return rowid if self.table.has_rowid else tuple(values[: len(self.table.key)])


def account_for(state: TableState, evidence: Evidence, losses: Losses) -> None:
    """Rebuilds rows of a table from the evidence, and reports the lost rows.

    Args:
        state: the account of the table, after its pages were read.
        evidence: the gathered index entries of the table.
        losses: gets the rebuilt and the lost rows.
    """
    table = state.table
    losses.touch(table.name)
    if table.name in DERIVED:
        return
    rebuilt = 0
    for row in evidence.lost_rows(table):
        rebuilt += _rebuild(state, row, evidence.witnesses(table), losses)
    for key in list(state.partial):
        rebuilt += _rebuild(state, LostRow(key, {}), 0, losses)
    for key, (name, why) in state.refused.items():
        if not table.holds(
            key
        ):  # else this was an older or second copy of a row that the table holds
            losses.lose_row(table.name, name, f"it cannot be kept: {why}")
    if rebuilt:
        losses.mend(f"{table.name}: {counted(rebuilt, 'row')} read from its indexes")
    if stale := evidence.stale_entries(table):
        losses.mend(
            f"{table.name}: {counted(stale, 'row')} left out that only some of its indexes name"
        )
    if not evidence.witnesses(table):
        _tell_unknown(state, losses)


def _rebuild(state: TableState, row: LostRow, witnesses: int, losses: Losses) -> bool:
    """Rebuilds a row from its known values; True when all of its values are known."""
    table, key, known = state.table, row.key, dict(row.known)
    state.highest = max(state.highest, key if isinstance(key, int) else 0)
    record, cut = state.partial.pop(key, None), None
    if record is not None:
        names = [column.name for column in table.columns]
        whole = len(record.values) - record.is_cut
        known |= dict(zip(names[:whole], record.values, strict=False))
        if record.is_cut and names[whole] not in known:
            cut = names[whole]
            known[cut] = record.values[whole]
    refused = state.refused.pop(key, None)
    unknown: list[str] | None = None
    # One index alone may have kept an entry of a row that was deleted.
    if refused is None and (witnesses > 1 or record is not None or _was_lost(state, key)):
        unknown = table.insert_known(key, known)
    name = table.name_of(key, known)
    if unknown is None:
        is_certain = True
        if refused is not None:
            why = f"it cannot be kept: {refused[1]}"
        elif record is not None or _was_lost(state, key):
            why = "it was on a damaged page"
        elif witnesses > 1:
            why = "its indexes name it, but the table lacks it"
        else:
            why, is_certain = "perhaps lost, perhaps deleted: only one index names it", False
        losses.lose_row(table.name, name, why, is_certain=is_certain)
        return False
    if not unknown and cut is None:
        return True
    lacks = [f"without {', '.join(unknown)}"] if unknown else []
    if cut is not None:
        lacks.append(f"with the first {len(str(known[cut])):,} characters of {cut}")
    losses.lose(f"{table.name} {name}: kept {' and '.join(lacks)}; the rest was on a damaged page")
    return False


def _was_lost(state: TableState, key: Key) -> bool:
    return state.lost_cells > 0 or any(
        not isinstance(key, int) or gap.holds(key) for gap in state.gaps
    )


def _tell_unknown(state: TableState, losses: Losses) -> None:
    """No index says which rows were there."""
    name = state.table.name
    if state.lost_cells:
        losses.lose_rows(
            name,
            state.lost_cells,
            f"{name}: {counted(state.lost_cells, 'row')} whose keys cannot be read",
        )
    if not state.root:
        losses.lose(
            f"{name}: the place of its rows is unknown; {counted(state.rows, 'row')} were found,"
            " and no index tells whether there were more"
        )
    for gap in state.gaps if state.root else ():
        first = "the first" if gap.above is None else str(gap.above + 1)
        last = "the last" if gap.up_to is None else str(gap.up_to)
        between = f" from {first} to {last}" if state.table.has_rowid else ""
        losses.lose(
            f"{name}: rows{between} that are missing now, if there were any: page {gap.page} is damaged,"
            " and no index names them"
        )
