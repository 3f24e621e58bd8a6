"""A statement reaches its rows in the same way with any statistics, and on newer SQLite."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from plans import (
    SQL,
    Make,
    Newest,
    every_sqlite,
    fill,
    gathered,
    generated,
    joins,
    load_statistics,
    migrated,
    of_apsw,
    of_python,
    orders,
    plans,
    plans_of,
    plans_without_statistics,
    programs,
    read_schema,
    write_statistics,
)

import reelbase
from reelbase.engine.file.connections import ConnectionSettings
from reelbase.engine.maintenance.opening import open_writer
from reelbase.engine.schema.statistics import remove_statistics

# Of each kind of generated statistics one, and in the slow lane seventy-five.
FEW, GENERATED, CHUNKS = 7, 525, 15

AMOUNTS = [(rows, owners) for rows in (0, 1, 3, 30, 3_000) for owners in (1, 1_000)]
MANY = [(300_000, owners) for owners in (1, 1_000)]
busy_and_idle = pytest.mark.parametrize("is_busy", [False, True], ids=["idle", "busy"])


# What could change a plan


@pytest.mark.long
@every_sqlite
def test_statistics_that_are_not_removed_move_plans(make: Make) -> None:
    """Else the tests below could not fail."""
    moved, plain = set(), plans_without_statistics(make)
    with closing(make()) as native:
        for statistics in (gathered(150, 1, is_busy=False), *map(generated, range(FEW))):
            load_statistics(native, statistics)
            found = plans(native)
            assert found != plain
            moved |= {name for name in found if found[name] != plain[name]}
    assert "JobClaims._claim" in moved
    assert len(moved) > 100


@pytest.mark.long
@every_sqlite
def test_rows_that_are_counted_wrongly_turn_no_join_round_but_one_that_is_not_a_cross_join(
    make: Make,
) -> None:
    """Even between another program's ANALYZE and the removal of its statistics."""
    plain_joins = {name: sql.replace("CROSS JOIN", "JOIN") for name, sql in joins().items()}
    turned = set()
    with closing(make()) as native:
        expected = orders(native, joins())
        for seed in range(FEW):
            load_statistics(native, generated(seed))
            assert orders(native, joins()) == expected, seed
            found = orders(native, plain_joins)
            turned |= {name for name in found if found[name] != expected[name]}
    assert len(turned) > len(expected) / 2


def test_every_inner_join_is_a_cross_join() -> None:
    """Its tables are read in the order in which they are written; that of any other SQLite may turn round."""
    assert [name for name, (sql, _) in SQL.items() if PLAIN_JOIN.search(sql)] == []
    assert PLAIN_JOIN.search("FROM a\nJOIN b ON b.a = a.id")


PLAIN_JOIN = re.compile(r"(?<!CROSS |.LEFT )\bJOIN\b")


# Amounts of data


@pytest.mark.long
@pytest.mark.parametrize(("rows", "owners"), AMOUNTS)
def test_no_amount_of_data_changes_a_plan(rows: int, owners: int, path: Path, journal: Any) -> None:
    """As an ANALYZE tells it; the amount as such is unknown to SQLite when it plans."""
    write_statistics(path, gathered(rows, owners, is_busy=False))
    with closing(open_writer(ConnectionSettings(str(path), journal, 5.0), migrate=False)) as writer:
        assert plans(writer) == plans_without_statistics()


@pytest.mark.slow
@busy_and_idle
@pytest.mark.parametrize(("rows", "owners"), AMOUNTS + MANY)
async def test_no_amount_of_data_changes_what_a_statement_is_compiled_to(
    rows: int, owners: int, is_busy: bool, path: Path, journal: Any
) -> None:
    """With its triggers, and what foreign keys look up and delete."""
    async with reelbase.connect(path, journal=journal) as database:
        writer = database._writer.connection
        expected = await writer.call(lambda: programs(writer.native))
    write_statistics(path, gathered(rows, owners, is_busy=is_busy))
    async with reelbase.connect(path, journal=journal) as database:
        for found in await plans_of(database):
            assert found == plans_without_statistics()
        writer = database._writer.connection
        assert await writer.call(lambda: programs(writer.native)) == expected


@every_sqlite
@busy_and_idle
@pytest.mark.parametrize(
    ("rows", "owners"),
    [(30, 1_000)] + [pytest.param(*amount, marks=pytest.mark.slow) for amount in AMOUNTS],
)
def test_rows_that_are_there_and_analyzed_change_no_plan(
    rows: int, owners: int, is_busy: bool, make: Make
) -> None:
    """The newest SQLite gathers samples as well (STAT4), and looks into them for what is bound."""
    with closing(make()) as native:
        fill(native, rows, owners, is_busy=is_busy)
        native.execute("ANALYZE")
        assert not rows or plans(native) != plans_without_statistics(make)
        assert remove_statistics(native)
        assert plans(native) == plans_without_statistics(make)


# Generated statistics


@pytest.mark.long
@pytest.mark.parametrize(
    "seeds",
    [range(FEW)]
    + [
        pytest.param(range(chunk, GENERATED, CHUNKS), marks=pytest.mark.slow)
        for chunk in range(CHUNKS)
    ],
    ids=str,
)
def test_no_statistics_change_a_plan(seeds: range, path: Path, journal: Any) -> None:
    settings = ConnectionSettings(str(path), journal, 5.0)
    for seed in seeds:
        write_statistics(path, generated(seed))
        with closing(open_writer(settings, migrate=False)) as writer:
            assert plans(writer) == plans_without_statistics(), seed
        with closing(sqlite3.connect(path)) as look:
            assert look.execute("SELECT * FROM sqlite_stat1").fetchall() == [], seed


@pytest.mark.parametrize(
    "seeds",
    [range(FEW)]
    + [
        pytest.param(range(chunk, GENERATED, CHUNKS), marks=pytest.mark.slow)
        for chunk in range(CHUNKS)
    ],
    ids=str,
)
def test_no_statistics_change_a_plan_of_the_newest_sqlite(seeds: range) -> None:
    with closing(of_apsw()) as native:
        for seed in seeds:
            load_statistics(native, generated(seed))
            assert remove_statistics(native), seed
            assert plans(native) == plans_without_statistics(of_apsw), seed


@pytest.mark.long
def test_what_one_sqlite_removes_the_other_does_not_have(path: Path, journal: Any) -> None:
    with closing(Newest(path)) as newest:
        fill(newest, 30, 1, is_busy=False)
        newest.execute("ANALYZE")
        assert newest.execute("SELECT count(*) FROM sqlite_stat4").fetchone()[0] > 100
        assert plans(newest) != plans_without_statistics(of_apsw)
    with closing(sqlite3.connect(path, isolation_level=None)) as native:
        assert remove_statistics(native)
    with closing(Newest(path)) as newest:
        assert plans(newest) == plans_without_statistics(of_apsw)


# Where a database comes from


@every_sqlite
def test_a_migrated_database_reaches_its_rows_like_a_new_one(make: Make) -> None:
    """Its indexes were created in another order, and of two that cost the same SQLite takes the newer."""
    expected = plans_without_statistics(make)
    with closing(migrated(make)) as native:
        found = plans(native)
    for name, steps in expected.items():
        # In which order references are looked up is the order in which the tables were created.
        assert sorted(found[name]) == sorted(steps), name


# Versions of SQLite


def test_the_newest_sqlite_is_another_one() -> None:
    with closing(of_apsw()) as native:
        assert native.execute("SELECT sqlite_version()").fetchone() != (sqlite3.sqlite_version,)


def test_the_newest_sqlite_reaches_all_rows_in_the_same_way() -> None:
    newest = plans_without_statistics(of_apsw)
    for name, steps in plans_without_statistics(of_python).items():
        assert reached(newest[name]) == reached(steps), name
        assert sorts(newest[name]) <= sorts(steps), name


# Common tables of one row: to scan it, or to build an index on it first, are the same.
OF_ONE_ROW = {"rarest"}


def reached(steps: list[str]) -> list[str]:
    """Which tables are read by which indexes. Whether an index is called covering, some say more often."""
    return [
        step.replace("COVERING ", "")
        for step in steps
        if step.startswith(("SCAN ", "SEARCH ")) and step.split()[1] not in OF_ONE_ROW
    ]


def sorts(steps: list[str]) -> int:
    return sum("TEMP B-TREE" in step for step in steps)


def test_a_version_that_would_choose_another_index_is_noticed() -> None:
    with closing(of_apsw()) as native:
        native.execute("DROP INDEX jobs_queue_by_type")
        read_schema(native)
        name = "JobClaims._claim"
        assert reached(plans(native, [name])[name]) != reached(plans_without_statistics()[name])
