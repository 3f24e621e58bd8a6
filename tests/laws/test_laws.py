"""The laws: what holds for every repository, once."""

from __future__ import annotations

import asyncio
import inspect
import sqlite3
import threading
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args, get_type_hints
from uuid import UUID, uuid4

import msgspec
import pytest
from samples import (
    CASES,
    CLIPS,
    FILES,
    JOBS,
    PROFILES,
    PROJECTS,
    SESSIONS,
    SUMMARY_PROMPTS,
    TAGS,
    TEMPLATES,
    TRANSCRIPTS,
    VIDEOS,
    Case,
    Contents,
    Listing,
    Look,
    Owner,
    contents,
    make_owner,
    name_of,
)

import reelbase
from reelbase import (
    ConstraintError,
    Database,
    DatabaseReadOnlyError,
    JobStatus,
    RecordNotFoundError,
)
from reelbase.engine.ids import _Sequence, new_id
from reelbase.testing.clock import FrozenClock

every_repository = pytest.mark.parametrize("case", CASES, ids=name_of)
every_uuid_key = pytest.mark.parametrize(
    "case", [case for case in CASES if case.is_keyed_by_uuid], ids=name_of
)
every_list = pytest.mark.parametrize(
    ("case", "listing"),
    [(case, listing) for case in CASES for listing in case.listings],
    ids=name_of,
)
every_offset_list = pytest.mark.parametrize(
    ("case", "listing"),
    [(case, listing) for case in CASES for listing in case.listings if listing.has_limit],
    ids=name_of,
)
every_update = pytest.mark.parametrize(
    "case", [case for case in CASES if case.changes], ids=name_of
)


@pytest.fixture
async def owner(database: Database) -> Owner:
    return await make_owner(database)


def ordered(records: list[Any], listing: Listing) -> list[Any]:
    def key(record: Any) -> tuple[Any, ...]:
        return tuple(
            str(getattr(record, name))
            if isinstance(getattr(record, name), UUID)
            else getattr(record, name)
            for name in listing.order
        )

    return sorted(records, key=key, reverse=listing.newest_first)


# Adding and finding


@every_repository
async def test_what_is_added_is_what_one_gets(case: Case, database: Database, owner: Owner) -> None:
    added = await case.add(database, owner)
    assert type(added) is case.record
    assert await case.find_it(database, case.key_of(added)) == added
    if case.get:
        assert await case.on(database).get(case.key_of(added)) == added


@every_repository
async def test_the_record_holds_what_was_passed(
    case: Case, database: Database, owner: Owner
) -> None:
    arguments = case.arguments(owner, 7)
    added = await getattr(case.on(database), case.adder)(**arguments)
    held = msgspec.structs.asdict(added)
    for name, value in arguments.items():
        assert held["id" if case in (PROFILES, SESSIONS) else name] == value, name


@every_repository
async def test_the_key_is_taken_by_place_and_by_the_name_of_its_entity(
    case: Case, database: Database, owner: Owner
) -> None:
    added = await case.add(database, owner)
    find = getattr(case.on(database), case.find)
    assert await find(case.key_of(added)) == await find(**{case.key: case.key_of(added)}) == added
    assert await case.on(database).delete(**{case.key: case.key_of(added)}) is True


@every_uuid_key
async def test_an_id_is_taken_as_uuid_and_as_text_in_either_case(
    case: Case, database: Database, owner: Owner
) -> None:
    added = await case.add(database, owner)
    for key in (added.id, str(added.id), str(added.id).upper()):
        assert await case.on(database).get(key) == added
        assert await case.on(database).find(key) == added
    assert await case.on(database).delete(str(added.id).upper()) is True


@pytest.mark.parametrize("case", [case for case in CASES if case.takes_id], ids=name_of)
async def test_the_caller_may_choose_the_id(case: Case, database: Database, owner: Owner) -> None:
    chosen = [uuid4(), str(uuid4()), str(uuid4()).upper()]
    for id in chosen:
        added = await case.add(database, owner, id=id)
        assert added.id == UUID(str(id))
        assert await case.on(database).get(id) == added


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.is_keyed_by_uuid and case.foreign_keys], ids=name_of
)
@pytest.mark.parametrize("form", ["uuid", "text", "upper"])
async def test_a_reference_is_stored_as_lower_case_text_whatever_its_form(
    case: Case, form: str, database: Database, owner: Owner, look: Look
) -> None:
    name = case.foreign_keys[1]
    referred = (await case.add(database, owner)).id if case is JOBS else owner.file_id
    forms = {"uuid": referred, "text": str(referred), "upper": str(referred).upper()}
    added = await case.add(database, owner, **{name: forms[form]})
    assert getattr(added, name) == referred
    stored = look(f"SELECT id, {name} FROM {case.table} WHERE id = '{added.id}'")
    assert stored == [(str(added.id), str(referred))]


@every_repository
async def test_a_missing_key_raises_and_names_the_entity(
    case: Case, database: Database, owner: Owner
) -> None:
    missing = case.missing_key()
    for method in filter(None, ("delete", case.get)):
        with pytest.raises(RecordNotFoundError) as caught:
            await getattr(case.on(database), method)(missing)
        assert caught.value.details == {"entity": case.entity, "key": str(missing)}
        assert case.entity in str(caught.value)
        assert str(missing) in str(caught.value)
    assert await case.find_it(database, missing) is None


@every_uuid_key
@pytest.mark.parametrize("malformed", ["", "42", "no-id", "é" * 36, "g" * 32, 42, b"x", None])
async def test_a_malformed_id_is_a_value_error(
    case: Case, malformed: Any, database: Database
) -> None:
    for method in ("get", "find", "delete"):
        with pytest.raises(ValueError, match="id"):
            await getattr(case.on(database), method)(malformed)


async def test_whether_a_profile_exists(database: Database) -> None:
    assert await database.profiles.exists("ann") is False
    await database.profiles.ensure("ann")
    assert await database.profiles.exists("ann") is True


async def test_ensure_gives_what_is_there(database: Database, clock: FrozenClock) -> None:
    first = await database.profiles.ensure("ann")
    clock.advance(10)
    assert await database.profiles.ensure("ann") == first
    assert await database.profiles.count() == 1


async def test_ensure_is_race_free(database: Database) -> None:
    profiles = await asyncio.gather(*(database.profiles.ensure("ann") for _ in range(50)))
    assert set(profiles) == {await database.profiles.get("ann")}


async def test_upsert_replaces_everything_but_id_and_creation(
    database: Database, owner: Owner, clock: FrozenClock
) -> None:
    first = await database.templates.upsert(owner.profile_id, "s", "p", "m", "srt", "srt model")
    clock.advance(10)
    second = await database.templates.upsert(owner.profile_id, "S", "P", "M")
    assert second == msgspec.structs.replace(
        first,
        sys_msg="S",
        prompt="P",
        model="M",
        srt_sys_msg="",
        srt_model="",
        updated_at=clock.now,
    )
    assert await database.templates.get_for_profile(owner.profile_id) == second


# Constraints


@pytest.mark.parametrize("case", [case for case in CASES if case.takes_id], ids=name_of)
async def test_a_taken_id_is_refused(case: Case, database: Database, owner: Owner) -> None:
    taken = (await case.add(database, owner)).id
    before = contents(database.path)
    with pytest.raises(ConstraintError) as caught:
        await case.add(database, owner, id=taken)
    assert (caught.value.kind, caught.value.constraint) == ("unique", f"{case.table}.id")
    assert contents(database.path) == before


@pytest.mark.parametrize(
    ("case", "column"),
    [(case, column) for case in CASES for column in case.foreign_keys],
    ids=lambda value: name_of(value) or value,
)
async def test_a_reference_to_nothing_is_refused(
    case: Case, column: str, database: Database, owner: Owner
) -> None:
    before = contents(database.path)
    hints = get_type_hints(case.record)
    members = (hints[column], *get_args(hints[column]))
    nothing = "nobody" if str in members else 999_999 if int in members else uuid4()
    with pytest.raises(ConstraintError) as caught:
        await case.add(database, owner, **{column: nothing})
    assert (caught.value.kind, caught.value.constraint) == ("foreign_key", "")
    assert contents(database.path) == before


@pytest.mark.parametrize("case", [TRANSCRIPTS, CLIPS], ids=name_of)
async def test_another_profiles_file_is_refused(
    case: Case, database: Database, owner: Owner
) -> None:
    bob = await make_owner(database, "bob")
    with pytest.raises(ConstraintError) as caught:
        await case.add(database, owner, file_id=bob.file_id)
    assert caught.value.kind == "foreign_key"


@every_repository
async def test_none_is_refused_where_a_value_is_needed(
    case: Case, database: Database, owner: Owner, look: Look
) -> None:
    columns = look(f"SELECT name, type, \"notnull\" FROM pragma_table_info('{case.table}')")
    signature = inspect.signature(getattr(case.on(database), case.adder))
    may_be_none = {name for name, given in signature.parameters.items() if given.default is None}
    required = {str(name) for name, _, notnull in columns if notnull} - may_be_none
    before = contents(database.path)
    for name in case.arguments(owner, 1):
        place = case.kept_as.get(name, f"{case.table}.{name}")
        if (name not in required and name not in case.kept_as) or name == "file_id":
            continue  # an id is a UUID or a ValueError
        if (case, name) == (TAGS, "name"):
            continue  # no text, so nothing to compare: a TypeError
        if (case.table, name) == ("jobs", "params"):
            continue  # an InvalidArgumentError, before anything runs
        with pytest.raises(ConstraintError) as caught:
            await case.add(database, owner, **{name: None})
        assert caught.value.kind == "not_null"
        assert caught.value.constraint == place
    assert contents(database.path) == before


@pytest.mark.parametrize(
    ("case", "replaced", "constraint"),
    [
        (FILES, {"size_bytes": -1}, "files_size_bytes"),
        (CLIPS, {"start_time": -0.5}, "clips_times"),
        (CLIPS, {"start_time": 2.0, "end_time": 1.0}, "clips_times"),
        (JOBS, {"total": -1}, "jobs_total"),
        (JOBS, {"max_attempts": 0}, "jobs_max_attempts"),
    ],
    ids=lambda value: name_of(value) or str(value),
)
async def test_a_broken_check_is_named(
    case: Case,
    replaced: dict[str, Any],
    constraint: str,
    database: Database,
    owner: Owner,
) -> None:
    before = contents(database.path)
    with pytest.raises(ConstraintError) as caught:
        await case.add(database, owner, **replaced)
    assert (caught.value.kind, caught.value.constraint) == ("check", constraint)
    assert caught.value.details == {"kind": "check", "constraint": constraint}
    assert isinstance(caught.value.__cause__, sqlite3.IntegrityError)
    assert contents(database.path) == before


async def test_one_bad_row_of_many_leaves_none(database: Database, owner: Owner) -> None:
    before = contents(database.path)
    good = reelbase.NewFile("a", "a")
    for bad, kind in (
        (reelbase.NewFile("b", "b", size_bytes=-1), "check"),
        (reelbase.NewFile("b", "b", id=owner.file_id), "unique"),
        (reelbase.NewFile("b", "b", source_file_id=uuid4()), "foreign_key"),
    ):
        with pytest.raises(ConstraintError) as caught:
            await database.files.add_many(owner.profile_id, [good, bad, good])
        assert caught.value.kind == kind
    assert contents(database.path) == before


async def test_many_are_added_in_the_order_given(database: Database, owner: Owner) -> None:
    chosen = uuid4()
    names = [f"{number:03}" for number in range(50)]
    new = (reelbase.NewFile(name, name, id=chosen if name == "007" else None) for name in names)
    added = await database.files.add_many(owner.profile_id, new)
    assert [file.name for file in added] == names
    assert added[7].id == chosen
    assert [await database.files.get(file.id) for file in added] == added
    assert await database.files.add_many(owner.profile_id, []) == []


# Lists and pages


@every_list
@pytest.mark.parametrize("step", [0, 1, -1], ids=["ties", "forwards", "backwards"])
async def test_lists_have_a_total_order(
    case: Case,
    listing: Listing,
    step: int,
    database: Database,
    owner: Owner,
    clock: FrozenClock,
) -> None:
    added = []
    for _ in range(9):
        clock.advance(step)
        added.append(await case.add(database, owner))
    listed = await case.listed(database, listing, owner)
    assert listed == ordered(listed, listing)
    ids = [record.id for record in listed]
    assert len(set(ids)) == len(ids)
    assert {record.id for record in added} <= set(ids)
    if step == 0 and listing.order == ("created_at", "id") and case is not PROFILES:
        ours = [record.id for record in added]
        assert ids[:9] == (ours[::-1] if listing.newest_first else ours)


@every_list
async def test_a_list_holds_only_its_owners_records(
    case: Case, listing: Listing, database: Database, owner: Owner
) -> None:
    bob = await make_owner(database, "bob")
    await case.add(database, bob)
    added = await case.add(database, owner)
    listed = await case.listed(database, listing, owner)
    assert added.id in [record.id for record in listed]
    for name, value in listing.arguments(owner).items():
        if name.endswith("_id") and name in case.record.__struct_fields__:
            assert {getattr(record, name) for record in listed} == {value}


@every_list
async def test_a_list_of_nothing_is_empty(case: Case, listing: Listing, database: Database) -> None:
    nobody = Owner("nobody", uuid4())
    assert await case.listed(database, listing, nobody) == []


@every_offset_list
async def test_offset_paging_visits_everything_once(
    case: Case, listing: Listing, database: Database, owner: Owner
) -> None:
    for _ in range(7):
        await case.add(database, owner)
    everything = await case.listed(database, listing, owner)
    assert len(everything) >= 7
    for limit in range(1, len(everything) + 2):
        visited = []
        for offset in range(0, len(everything) + limit, limit):
            page = await case.listed(database, listing, owner, limit=limit, offset=offset)
            assert len(page) <= limit
            visited += page
        assert visited == everything
    assert await case.listed(database, listing, owner, limit=None) == everything
    assert await case.listed(database, listing, owner, limit=None, offset=3) == everything[3:]


@every_offset_list
@pytest.mark.parametrize("name", ["limit", "offset"])
async def test_a_negative_limit_or_offset_is_a_value_error(
    case: Case, listing: Listing, name: str, database: Database, owner: Owner
) -> None:
    with pytest.raises(ValueError, match=name):
        await case.listed(database, listing, owner, **{name: -1})


@every_offset_list
async def test_a_limit_of_0_gives_nothing(
    case: Case, listing: Listing, database: Database, owner: Owner
) -> None:
    await case.add(database, owner)
    assert await case.listed(database, listing, owner, limit=0) == []
    assert await case.listed(database, listing, owner, limit=2**63 - 1, offset=2**63 - 1) == []


async def test_the_children_of_a_batch_are_listed_in_their_order(
    database: Database, owner: Owner
) -> None:
    params = [{"n": number} for number in range(30)]
    parent, children = await database.jobs.add_batch(owner.profile_id, "t", {"all": 1}, params)
    assert [child.params for child in children] == params
    assert await database.jobs.list_children(parent.id) == children
    assert await database.jobs.list_for_profile(owner.profile_id) == [parent]
    assert await database.jobs.list_unfinished() == [parent, *children]
    assert {(child.parent_id, child.type, child.total) for child in children} == {
        (parent.id, "t", 1)
    }
    assert (parent.params, parent.total, parent.completed) == ({"all": 1}, 30, 0)


@pytest.mark.parametrize("case", [TRANSCRIPTS, CLIPS], ids=name_of)
async def test_a_list_loads_files_when_asked(case: Case, database: Database, owner: Owner) -> None:
    added = await case.add(database, owner)
    file = await database.files.get(owner.file_id)
    repository = case.on(database)
    assert await repository.list_for_profile(owner.profile_id) == [added]
    assert added.file is None
    with_file = msgspec.structs.replace(added, file=file)
    assert await repository.list_for_profile(owner.profile_id, load_file=True) == [with_file]
    assert await repository.list_for_profile(owner.profile_id, True) == [with_file]


# Units of work, snapshots


@every_repository
async def test_a_unit_sees_its_own_writes_and_others_do_not(
    case: Case, database: Database, owner: Owner
) -> None:
    async with database.transaction() as unit:
        added = await case.add(unit, owner)
        key = case.key_of(added)
        assert await case.find_it(unit, key) == added
        assert await case.find_it(database, key) is None
    assert await case.find_it(database, key) == added


@every_repository
async def test_a_unit_that_fails_leaves_nothing(
    case: Case, database: Database, owner: Owner
) -> None:
    kept = await case.add(database, owner)
    before = contents(database.path)
    units = []

    async def work() -> None:
        async with database.transaction() as unit:
            units.append(unit)
            await case.on(unit).delete(case.key_of(kept))
            await case.add(unit, owner)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await work()
    assert units[0].state == "rolled_back"
    assert contents(database.path) == before
    assert await case.find_it(database, case.key_of(kept)) == kept


@every_repository
async def test_a_failed_call_leaves_the_unit_as_it_was(
    case: Case, database: Database, owner: Owner
) -> None:
    async with database.transaction() as unit:
        added = await case.add(unit, owner)
        with pytest.raises(RecordNotFoundError):
            await case.on(unit).delete(case.missing_key())
        # The first argument is what every row needs; but a prompt of nobody is the system's.
        first, second, *_ = (*case.arguments(owner, 1), None)
        needed = second if case is SUMMARY_PROMPTS else first
        with pytest.raises((ConstraintError, ValueError)):
            await case.add(unit, owner, **{str(needed): None})
    assert unit.state == "committed"
    assert await case.find_it(database, case.key_of(added)) == added


@every_repository
async def test_one_time_holds_for_a_whole_unit(
    case: Case, database: Database, owner: Owner, clock: FrozenClock
) -> None:
    async with database.transaction() as unit:
        start = clock.now
        clock.advance(5)
        assert unit.now == start
        assert (await case.add(unit, owner)).created_at == start
    assert (await case.add(database, await make_owner(database, "bob"))).created_at == clock.now


@every_repository
async def test_a_snapshot_stays_at_its_moment_and_refuses_writes(
    case: Case, database: Database, owner: Owner, journal: str
) -> None:
    old = await case.add(database, owner)
    async with database.snapshot() as view:
        assert await case.find_it(view, case.key_of(old)) == old
        if journal == "wal":  # on a rollback journal a snapshot makes writers wait
            await case.on(database).delete(case.key_of(old))
        assert await case.find_it(view, case.key_of(old)) == old
        with pytest.raises(DatabaseReadOnlyError):
            await case.add(view, owner)
        with pytest.raises(DatabaseReadOnlyError):
            await case.on(view).delete(case.key_of(old))


@every_repository
@pytest.mark.parametrize("turns", [0, 1, 2, 5, None], ids=lambda turns: f"after-{turns}")
async def test_a_cancelled_unit_leaves_the_connection_clean(
    case: Case, turns: int | None, database: Database, owner: Owner
) -> None:
    """turns: of the event loop until the cancel; None: once the unit has written."""
    before = contents(database.path)
    written = asyncio.Event()

    async def work() -> None:
        async with database.transaction() as unit:
            await case.add(unit, owner)
            written.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    if turns is None:
        await written.wait()
    else:
        for _ in range(turns):
            await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    # Queued behind whatever the unit left to be done.
    await database.execute("UPDATE profiles SET id = id WHERE 0")
    assert database._writer.connection.in_transaction is False
    with closing(sqlite3.connect(str(database.path), timeout=0, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("ROLLBACK")
    assert contents(database.path) == before
    added = await case.add(database, owner)
    assert await case.find_it(database, case.key_of(added)) == added


@every_repository
@pytest.mark.parametrize("turns", range(4))
async def test_a_cancelled_call_happened_or_did_not(
    case: Case, turns: int, database: Database, owner: Owner, look: Look
) -> None:
    before = look(f"SELECT count(*) FROM {case.table}")[0][0]
    task = asyncio.ensure_future(case.add(database, owner))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await case.add(database, await make_owner(database, "bob"))
    after = look(f"SELECT count(*) FROM {case.table}")[0][0]
    assert isinstance(before, int)
    assert isinstance(after, int)
    # One by the last call, and what make_owner adds.
    others = 1 + (case in (PROFILES, FILES, PROJECTS, VIDEOS, SESSIONS))
    assert after - before - others in (0, 1)
    assert database._writer.connection.in_transaction is False


# Deleting


@every_repository
async def test_what_is_deleted_is_gone(case: Case, database: Database, owner: Owner) -> None:
    added = await case.add(database, owner)
    key = case.key_of(added)
    assert await case.on(database).delete(key) is True
    assert await case.find_it(database, key) is None
    assert await case.on(database).delete(key, missing_ok=True) is False
    with pytest.raises(RecordNotFoundError):
        await case.on(database).delete(key)


async def fill(database: Database, profile_id: str) -> dict[str, Any]:
    """A row of everything, and what refers to it; the keys of the parents among them."""
    owner = await make_owner(database, profile_id, with_project=False)
    derived = await FILES.add(database, owner)
    await FILES.add(database, owner, source_file_id=derived.id)
    for file_id in (owner.file_id, derived.id):
        for _ in range(2):
            await TRANSCRIPTS.add(database, owner, file_id=file_id)
            await CLIPS.add(database, owner, file_id=file_id)
    await TEMPLATES.add(database, owner)
    await JOBS.add(database, owner)
    params = {"file_id": str(derived.id)}
    parent, (child, *_) = await database.jobs.add_batch(
        profile_id, "t", {"file_ids": [str(owner.file_id), str(derived.id)]}, [params, params, {}]
    )
    await database.jobs.succeed(child.id, {"transcript_id": str(uuid4())})
    return {"profiles": profile_id, "files": owner.file_id, "jobs": parent.id}


def deleted_by_hand(look: Look, before: Contents, table: str, key: str) -> Contents:
    """What the foreign keys of the schema say must remain when this row is deleted."""
    columns: dict[str, list[str]] = {}
    keys: dict[str, dict[int, list[tuple[str, str, str, str]]]] = {}
    for name in before:
        columns[name] = [
            str(row[1]) for row in look(f"PRAGMA table_xinfo({name})") if row[6] != 1
        ]  # 1: hidden, of a search index
        for id, _, target, source, referred, _, on_delete, _ in look(
            f"PRAGMA foreign_key_list({name})"
        ):
            keys.setdefault(name, {}).setdefault(int(str(id)), []).append(
                (str(target), str(source), str(referred), str(on_delete))
            )
    rows = {
        name: [dict(zip(columns[name], row, strict=True)) for row in content]
        for name, content in before.items()
    }
    pending = [(table, row) for row in rows[table] if row["id"] == key]
    while pending:
        gone_table, gone = pending.pop()
        if gone not in rows[gone_table]:
            continue
        rows[gone_table].remove(gone)
        for name, of_table in keys.items():
            for parts in of_table.values():
                if parts[0][0] != gone_table:
                    continue
                for row in list(rows[name]):
                    if all(row[source] == gone[referred] for _, source, referred, _ in parts):
                        if parts[0][3] == "CASCADE":
                            pending.append((name, row))
                        else:
                            assert parts[0][3] == "SET NULL"
                            row.update((source, None) for _, source, _, _ in parts)
    return {name: [tuple(row.values()) for row in content] for name, content in rows.items()}


def without_indexes(contents: Contents) -> Contents:
    """Without search indexes, from which triggers take what is gone."""
    return {name: rows for name, rows in contents.items() if "_fts" not in name}


@pytest.mark.long
@pytest.mark.parametrize("case", [PROFILES, FILES, JOBS], ids=name_of)
async def test_deleting_a_parent_does_what_on_delete_says_and_touches_nobody_else(
    case: Case, database: Database, look: Look
) -> None:
    parents = await fill(database, "ann")
    await fill(database, "bob")
    before = contents(database.path)
    expected = deleted_by_hand(look, before, case.table, str(parents[case.table]))
    assert expected != before
    await case.on(database).delete(parents[case.table])
    assert without_indexes(contents(database.path)) == without_indexes(expected)
    assert look("SELECT rowid FROM files_fts ORDER BY 1") == look(
        "SELECT id FROM file_numbers ORDER BY 1"
    )
    assert await database.fetch_all(tuple, "PRAGMA foreign_key_check") == []


async def test_deleting_a_profile_leaves_nothing_of_it(database: Database) -> None:
    await fill(database, "ann")
    await database.profiles.delete("ann")
    left = contents(database.path)
    del left["schema_migrations"], left["database_identity"]
    filled = {table for table, rows in left.items() if rows}
    assert {table for table in filled if "_fts_" not in table} == set()


async def test_deleting_a_file_leaves_the_jobs_that_name_it(
    database: Database, owner: Owner
) -> None:
    job = await database.jobs.add(owner.profile_id, "t", {"file_id": str(owner.file_id)})
    await database.files.delete(owner.file_id)
    assert await database.jobs.get(job.id) == job
    assert await database.jobs.find_referencing_file(owner.profile_id, owner.file_id) == {job.id}


# Updating


@every_update
async def test_update_changes_only_what_is_passed(
    case: Case, database: Database, owner: Owner, clock: FrozenClock
) -> None:
    for name, value in case.changes.items():
        added = await case.add(database, owner)
        clock.advance(1)
        changed = await case.on(database).update(added.id, **{name: value})
        expected: dict[str, Any] = {name: value}
        if (case, name) == (SUMMARY_PROMPTS, "prompt_text"):
            expected["version"] = 2
        if "updated_at" in case.record.__struct_fields__:
            expected["updated_at"] = clock.now
        if (case, name) == (JOBS, "status"):
            expected["started_at"] = clock.now
        assert changed == msgspec.structs.replace(added, **expected), name
        assert await case.on(database).get(added.id) == changed


@every_update
async def test_update_changes_all_at_once(case: Case, database: Database, owner: Owner) -> None:
    added = await case.add(database, owner)
    other = await case.add(database, owner)
    changed = await case.on(database).update(added.id, **case.changes)
    held = msgspec.structs.asdict(changed)
    assert {name: held[name] for name in case.changes} == dict(case.changes)
    assert await case.on(database).get(other.id) == other


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.changes and case is not JOBS], ids=name_of
)
async def test_in_an_update_none_clears_and_unset_leaves(
    case: Case, database: Database, owner: Owner
) -> None:
    added = await case.add(database, owner)
    repository = case.on(database)
    unset = dict.fromkeys(case.changes, msgspec.UNSET)
    assert await repository.update(added.id) == added
    assert await repository.update(added.id, **unset) == added
    for name in case.clearable:
        assert getattr(added, name) is not None
        cleared = await repository.update(added.id, **(unset | {name: None}))
        assert cleared == msgspec.structs.replace(added, **{name: None})
        added = cleared
    for name in case.changes.keys() - case.clearable:
        with pytest.raises(ConstraintError) as caught:
            await repository.update(added.id, **{name: None})
        assert (caught.value.kind, caught.value.constraint) == ("not_null", f"{case.table}.{name}")
    assert await repository.get(added.id) == added


async def test_in_an_update_of_a_job_none_leaves_and_falsy_values_are_values(
    database: Database, owner: Owner, clock: FrozenClock
) -> None:
    job = await database.jobs.add(owner.profile_id, "t", {})
    full = await database.jobs.update(
        job.id,
        status="running",
        progress=0.5,
        completed=1,
        result={"a": 1},
        error="e",
        error_code="c",
        error_details={"d": 1},
    )
    clock.advance(1)
    assert await database.jobs.update(job.id, **dict.fromkeys(JOBS.changes)) == full
    assert await database.jobs.update(job.id) == full
    emptied = await database.jobs.update(
        job.id,
        progress=0,
        completed=0,
        result={},
        error="",
        error_code="",
        error_details={},
    )
    assert emptied == msgspec.structs.replace(
        full,
        progress=0.0,
        completed=0,
        result={},
        error="",
        error_code="",
        error_details={},
        updated_at=clock.now,
    )


async def test_a_job_that_does_not_really_change_keeps_its_time(
    database: Database, owner: Owner, clock: FrozenClock
) -> None:
    job = await database.jobs.add(owner.profile_id, "t", {})
    changed = await database.jobs.update(job.id, **dict(JOBS.changes))
    clock.advance(1)
    for name, value in JOBS.changes.items():
        assert await database.jobs.update(job.id, **{name: value}) == changed, name
    assert await database.jobs.update(job.id, **dict(JOBS.changes)) == changed


@every_update
async def test_update_refuses_unknown_fields_and_unknown_ids(
    case: Case, database: Database, owner: Owner
) -> None:
    added = await case.add(database, owner)
    before = contents(database.path)
    (name, value), *_ = case.changes.items()
    for unknown in ("colour", "id", "profile_id", "created_at", "set_name", "self_"):
        with pytest.raises((TypeError, ValueError), match=unknown):
            await case.on(database).update(added.id, **{unknown: "x"})
        with pytest.raises((TypeError, ValueError), match=unknown):
            await case.on(database).update(added.id, **{name: value, unknown: msgspec.UNSET})
    for changes in ({name: value}, dict(case.changes), {}):
        missing = case.missing_key()
        with pytest.raises(RecordNotFoundError) as caught:
            await case.on(database).update(missing, **changes)
        assert caught.value.details == {"entity": case.entity, "key": str(missing)}
    assert contents(database.path) == before


async def test_a_file_may_not_be_made_from_nothing(database: Database, owner: Owner) -> None:
    with pytest.raises(ConstraintError) as caught:
        await database.files.update(owner.file_id, source_file_id=uuid4())
    assert caught.value.kind == "foreign_key"


# Records


@every_repository
async def test_a_record_is_a_json_object_and_comes_back_from_it(
    case: Case, database: Database, owner: Owner
) -> None:
    added = await case.add(database, owner)
    encoded = msgspec.json.encode(added)
    assert list(msgspec.json.decode(encoded)) == list(case.record.__struct_fields__)
    assert msgspec.json.decode(encoded, type=case.record) == added


@pytest.mark.parametrize("case", [TRANSCRIPTS, CLIPS], ids=name_of)
async def test_a_record_with_its_file_comes_back_from_json(
    case: Case, database: Database, owner: Owner
) -> None:
    await case.add(database, owner)
    (record,) = await case.on(database).list_for_profile(owner.profile_id, load_file=True)
    assert record.file is not None
    assert msgspec.json.decode(msgspec.json.encode(record), type=case.record) == record


@every_repository
async def test_a_record_cannot_be_changed(case: Case, database: Database, owner: Owner) -> None:
    added = await case.add(database, owner)
    for name in case.record.__struct_fields__:
        with pytest.raises(AttributeError):
            setattr(added, name, None)


@every_repository
async def test_a_record_keeps_nothing_of_what_it_was_made_from(
    case: Case, database: Database, owner: Owner
) -> None:
    arguments = case.arguments(owner, 1)
    added = await getattr(case.on(database), case.adder)(**arguments)
    before = msgspec.json.encode(added)
    for value in arguments.values():
        if isinstance(value, dict):
            value["changed"] = "later"
    assert msgspec.json.encode(added) == before
    assert msgspec.json.encode(await case.find_it(database, case.key_of(added))) == before


def test_a_status_equals_its_text() -> None:
    assert [str(status) for status in JobStatus] == list(JobStatus)
    assert msgspec.json.encode(JobStatus.QUEUED) == b'"queued"'


# Ids and times


def is_uuid_7(id: UUID) -> bool:
    return id.version == 7 and id.variant == "specified in RFC 4122"


@every_uuid_key
async def test_ids_are_made_in_order(case: Case, database: Database, owner: Owner) -> None:
    ids = [(await case.add(database, owner)).id for _ in range(20)]
    assert all(map(is_uuid_7, ids))
    assert ids == sorted(ids)
    assert [str(id) for id in ids] == sorted(map(str, ids))
    assert len(set(ids)) == 20


def test_ids_increase_within_one_millisecond(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reelbase.engine.ids.time", SimpleNamespace(time_ns=lambda: 10**18))
    ids = [new_id() for _ in range(10_000)]
    assert all(map(is_uuid_7, ids))
    assert all(earlier < later for earlier, later in pairwise(ids))


def test_ids_increase_when_the_clock_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter(range(2 * 10**18, 10**18, -(10**15)))
    monkeypatch.setattr("reelbase.engine.ids.time", SimpleNamespace(time_ns=lambda: next(moments)))
    ids = [new_id() for _ in range(1000)]
    assert all(earlier < later for earlier, later in pairwise(ids))


def test_ids_are_the_times_they_were_made_at() -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    made_at = datetime.fromtimestamp((_Sequence().next().int >> 80) / 1000, UTC)
    assert before <= made_at <= datetime.now(UTC)


def test_ids_of_many_threads_are_unique_and_increase_in_each() -> None:
    made: list[list[UUID]] = []
    barrier = threading.Barrier(8)

    def make() -> None:
        barrier.wait()
        made.append([new_id() for _ in range(5000)])

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id for ids in made for id in ids}) == 8 * 5000
    for ids in made:
        assert ids == sorted(ids)


@every_repository
async def test_times_are_utc_to_the_millisecond(
    case: Case, database: Database, owner: Owner, clock: FrozenClock, look: Look
) -> None:
    zone = timezone(timedelta(hours=5, minutes=45))
    clock.now = datetime(2026, 3, 1, 4, 5, 6, 789999, tzinfo=zone)
    added = await case.add(database, owner)
    assert added.created_at == datetime(2026, 2, 28, 22, 20, 6, 789000, tzinfo=UTC)
    for name in case.record.__struct_fields__:
        moment = getattr(added, name)
        if isinstance(moment, datetime):
            assert moment.utcoffset() == timedelta(0)
            assert moment.microsecond % 1000 == 0
    ((stored,),) = look(
        f"SELECT created_at FROM {case.table} WHERE {case.key_field} = '{case.key_of(added)}'"
    )
    assert stored == "2026-02-28T22:20:06.789Z"


async def test_a_naive_clock_is_a_value_error(path: Path, journal: Any) -> None:
    def naive() -> datetime:
        return datetime(2026, 1, 1)

    with pytest.raises(ValueError, match="clock"):
        await reelbase.connect(path, journal=journal, clock=naive)
