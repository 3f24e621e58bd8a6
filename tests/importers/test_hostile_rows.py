"""Rows of an old database that hold anything: an import ends with a sound database and accounts for each."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from old_databases import NAMES, imported, old_database, read_back, rejects
from samples import quoted

from reelbase.importers.dump import load_dump

# Tables each of whose rows becomes one row of one table, or is rejected.
ONE_TO_ONE = {
    "mirumoji-3": {
        "profiles": "profiles",
        "files": "files",
        "transcripts": "transcripts",
        "clips": "clips",
        "llm_templates": "llm_templates",
        "jobs": "jobs",
    },
    "mirumoji-2025": {"profiles": "profiles", "gpt_templates": "llm_templates"},
    "media-rip": {
        "jobs": "downloads",
        "config": "config",
        "unsupported_urls": "unsupported_urls",
        "error_log": "error_log",
    },
    "dgx-music": {"generations": "generations"},
    "stoat-and-ferret": {"audit_log": "audit_log", "project_markers": "time_markers"},
    "opentranscribe": {
        "media_file": "files",
        "speaker": "speakers",
        "transcript_segment": "transcript_segments",
        "collection": "file_collections",
        "collection_member": "collection_files",
        "comment": "file_comments",
        "user_llm_settings": "llm_configs",
        "system_settings": "config",
        "task": "jobs",
    },
}


class Malformed(bytes):
    """Bytes that are stored as text."""


TEXTS = [
    "",
    " ",
    "null",
    "true",
    "NaN",
    "[1, 2]",
    '{"a": 1e999}',
    '{"a": NaN}',
    '"\\ud800"',
    '{"file_id": "6513270e-269e-4d37-b2a7-4de452e6b438", "file_ids": [1, null, "x"]}',
    "[" * 600 + "]" * 600,
    "123456789012345678901234567890",
    "-1",
    "1e5",
    "0x10",
    "a\0b",
    "é\u2028\U0001f3ac\uf0e9",
    "QUEUED",
    "completed",
    "running",
    "2026-02-30 00:00:00",
    "2026-01-31 12:00:00+05:30",
    "2026-01-31t12:00:00.9999999z",
    "0001-01-01 00:00:00+14:00",
    "9999-12-31 23:59:59.999999-14:00",
    "infinity",
    "6513270E-269E-4D37-B2A7-4DE452E6B438",
    "x" * 5000,
]
VALUES = st.one_of(
    st.none(),
    st.sampled_from(TEXTS),
    st.sampled_from([0, -1, 1, 2, 2**63 - 1, -(2**63)]),
    st.sampled_from([0.0, -0.5, 1.5, 1e300, float("inf"), float("-inf"), 5e-324]),
    st.sampled_from([b"", b"\xff\x00", Malformed(b"caf\xe9"), Malformed(b"{\xff}")]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
)


def unconstrained(name: str, folder: Path) -> Path:
    """The old database with tables that refuse no value."""
    made, path = old_database(name, folder), folder / "loose.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as native:
        if name == "opentranscribe":
            load_dump(made, native, lambda rows: None)
            return path
        native.execute("ATTACH ? AS old", (str(made),))
        tables = native.execute(
            "SELECT name FROM pragma_table_list WHERE schema = 'old' AND type = 'table'"
            " AND name NOT LIKE 'sqlite!_%' ESCAPE '!'"
        ).fetchall()
        for (table,) in tables:
            columns = native.execute(
                "SELECT name FROM pragma_table_info(?, 'old')", (table,)
            ).fetchall()
            names = ", ".join(quoted(column) for (column,) in columns)
            native.execute(f"CREATE TABLE {quoted(table)} ({names})")
            native.execute(f"INSERT INTO {quoted(table)} SELECT * FROM old.{quoted(table)}")
    return path


def disturb(path: Path, draw: Callable[[st.SearchStrategy[Any]], Any]) -> dict[str, int]:
    """Puts hostile values into rows, and rows in twice; the numbers of rows."""
    numbers = {}
    with closing(sqlite3.connect(path, isolation_level=None)) as native:
        tables = native.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        for (table,) in tables:
            own = quoted(table)
            columns = [name for _, name, *_ in native.execute(f"PRAGMA table_info({own})")]
            rowids = [rowid for (rowid,) in native.execute(f"SELECT rowid FROM {own}")]
            for rowid in rowids:
                if draw(st.integers(0, 3)) == 0:
                    column, value = draw(st.sampled_from(columns)), draw(VALUES)
                    place = "CAST(? AS TEXT)" if isinstance(value, Malformed) else "?"
                    sql = f"UPDATE {own} SET {quoted(column)} = {place} WHERE rowid = ?"
                    native.execute(sql, (value, rowid))
            if rowids and draw(st.integers(0, 3)) == 0:
                twice = draw(st.sampled_from(rowids))
                native.execute(f"INSERT INTO {own} SELECT * FROM {own} WHERE rowid = ?", (twice,))
            (numbers[table],) = native.execute(f"SELECT count(*) FROM {own}").fetchone()
    return numbers


def assert_all_accounted_for(name: str, old: Path, new: Path, numbers: dict[str, int]) -> None:
    report = imported(old, new)
    assert report.read == {table: numbers[table] for table in report.read}
    found = read_back(new)
    for table, number in report.imported.items():
        assert number == found.get(table, number)
    rejected: dict[str, int] = {}
    for line in rejects(new):
        if not line["reason"].startswith("no home"):
            rejected[line["table"]] = rejected.get(line["table"], 0) + 1
    assert sum(rejected.values()) == sum(report.rejected.values())
    for table, target in ONE_TO_ONE[name].items():
        kept = report.imported.get(target, 0)
        assert kept + rejected.get(table, 0) >= numbers[table], (table, report.rejected)
        assert kept <= numbers[table]


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_hostile_rows_are_imported_adjusted_or_rejected(name: str) -> None:
    with tempfile.TemporaryDirectory() as place:
        loose = unconstrained(name, Path(place)).read_bytes()

    @settings(
        max_examples=5,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(st.data())
    def tried(data: st.DataObject) -> None:
        with tempfile.TemporaryDirectory() as place:
            old = Path(place) / "old.db"
            old.write_bytes(loose)

            def draw(strategy: st.SearchStrategy[Any]) -> Any:
                return data.draw(strategy)

            numbers = disturb(old, draw)
            assert_all_accounted_for(name, old, Path(place) / "new.db", numbers)

    tried()
