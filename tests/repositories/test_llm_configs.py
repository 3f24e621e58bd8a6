"""Promises about language models: one is active, and nobody gets to see a key."""

from __future__ import annotations

import asyncio
import logging
import pickle
import random
import sys
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Literal

import msgspec
import pytest
from samples import contents

import reelbase
from reelbase import ConstraintError, Database, RecordNotFoundError, SecretError, Secrets
from reelbase.testing.clock import FrozenClock

KEY = "sk-very-secret-0123456789-ключ"
OLD, NEW = b"o" * 32, b"n" * 32


@pytest.fixture(autouse=True)
async def profiles(database: Database) -> None:
    await database.profiles.ensure("ann")
    await database.profiles.ensure("bob")


async def add(database: Database, name: str = "m", profile_id: str = "ann") -> reelbase.LlmConfig:
    return await database.llm_configs.add(profile_id, name, "openai", "gpt", api_key=KEY)


# One is active


async def active_ids(database: Database, profile_id: str = "ann") -> list[int]:
    configs = await database.llm_configs.list_for_profile(profile_id)
    return [config.id for config in configs if config.is_active]


async def test_the_first_is_active_and_a_choice_moves_it(database: Database) -> None:
    first, second = await add(database, "a"), await add(database, "b")
    assert (first.is_active, second.is_active) == (True, False)
    assert await database.llm_configs.active("ann") == first
    assert await database.llm_configs.active("bob") is None
    assert (await database.llm_configs.activate(second.id)).is_active
    assert await active_ids(database) == [second.id]
    assert (await database.profiles.get("ann")).active_llm_config_id == second.id
    with pytest.raises(RecordNotFoundError, match="llm config '999'"):
        await database.llm_configs.activate(999)


async def test_after_the_active_one_the_newest_is_active(
    database: Database, clock: FrozenClock
) -> None:
    made = []
    for name in "abc":
        made.append(await add(database, name))
        clock.advance(1)
    await database.llm_configs.delete(made[1].id)
    assert await active_ids(database) == [made[0].id]
    await database.llm_configs.delete(made[0].id)
    assert await active_ids(database) == [made[2].id]
    await database.llm_configs.delete(made[2].id)
    assert await database.llm_configs.active("ann") is None
    assert (await database.profiles.get("ann")).active_llm_config_id is None


@pytest.mark.long
async def test_exactly_one_is_active_whatever_happens(database: Database) -> None:
    rng = random.Random(7)
    for step in range(150):
        configs = await database.llm_configs.list_for_profile("ann")
        action = rng.choice(("add", "add", "activate", "delete", "raw delete", "raw insert"))
        if action == "add":
            await database.llm_configs.add("ann", str(step), "p", "m")
        elif action == "raw insert":
            await database.execute(
                "INSERT INTO llm_configs (profile_id, name, provider, model_name) "
                "VALUES ('ann', ?, 'p', 'm')",
                [str(step)],
            )
        elif configs:
            chosen = rng.choice(configs).id
            if action == "activate":
                await database.llm_configs.activate(chosen)
            elif action == "delete":
                await database.llm_configs.delete(chosen)
            else:
                await database.execute("DELETE FROM llm_configs WHERE id = ?", [chosen])
        left = await database.llm_configs.list_for_profile("ann")
        assert len(await active_ids(database)) == min(1, len(left)), (step, action)


async def test_a_profile_takes_its_models_along(database: Database) -> None:
    await add(database)
    await add(database, profile_id="bob")
    await database.profiles.delete("ann")
    assert await database.llm_configs.list_for_profile("ann") == []
    assert len(await active_ids(database, "bob")) == 1


# Tests of a configuration


async def test_every_test_is_remembered_and_a_change_makes_it_untested(
    database: Database, clock: FrozenClock
) -> None:
    config = await add(database)
    assert (config.test_status, config.last_tested_at) == ("untested", None)
    await database.llm_configs.record_test(config.id, "failed", "401")
    at = clock.advance(1)
    tested = await database.llm_configs.record_test(config.id, "success")
    assert (tested.test_status, tested.test_message, tested.last_tested_at) == ("success", None, at)
    assert [
        (check.status, check.message) for check in await database.llm_configs.tests(config.id)
    ] == [
        ("success", None),
        ("failed", "401"),
    ]
    assert len(await database.llm_configs.tests(config.id, limit=1)) == 1
    assert await database.llm_configs.update(config.id) == tested  # no change
    several: list[reelbase.LlmConfigChanges] = [
        {"max_tokens": 1},
        {"api_key": "another"},
        {"base_url": None},
    ]
    for changes in several:
        await database.llm_configs.record_test(config.id, "success")
        changed = await database.llm_configs.update(config.id, **changes)
        assert (changed.test_status, changed.last_tested_at) == ("untested", None)
    assert len(await database.llm_configs.tests(config.id)) == 5
    for status in ("untested", "", "ok"):
        with pytest.raises(ConstraintError):
            await database.llm_configs.record_test(config.id, status)  # type: ignore[arg-type]


async def test_a_name_is_used_once_per_profile(database: Database) -> None:
    await add(database)
    await add(database, profile_id="bob")
    before = contents(database.path)
    with pytest.raises(ConstraintError) as caught:
        await add(database)
    assert caught.value.kind == "unique"
    assert contents(database.path) == before


# The key


async def test_a_key_comes_back_only_when_asked_for(database: Database) -> None:
    config = await add(database)
    assert config.has_api_key
    assert KEY not in repr(config) + msgspec.json.encode(config).decode()
    assert await database.llm_configs.api_key(config.id) == KEY
    with pytest.raises(RecordNotFoundError):
        await database.llm_configs.api_key(999)


@pytest.mark.parametrize("nothing", [None, ""])
async def test_no_key_is_none(nothing: str | None, database: Database) -> None:
    config = await database.llm_configs.add("ann", "n", "p", "m", api_key=nothing)
    assert not config.has_api_key
    assert await database.llm_configs.api_key(config.id) is None
    with_key = await database.llm_configs.update(config.id, api_key=KEY)
    assert with_key.has_api_key
    assert (await database.llm_configs.update(config.id, name="x")).has_api_key  # UNSET keeps
    assert not (await database.llm_configs.update(config.id, api_key=nothing)).has_api_key


async def test_it_is_nowhere_in_the_files(database: Database, path: Path) -> None:
    config = await add(database)
    await database.llm_configs.update(config.id, api_key=KEY + "2")
    for file in path.parent.iterdir():
        data = file.read_bytes()
        assert KEY.encode() not in data
        assert KEY.encode("utf-16-le") not in data
        assert b"very-secret" not in data


async def test_it_is_in_no_log_and_no_traceback(
    path: Path, journal: Literal["wal", "delete"], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = Secrets(NEW)
    async with reelbase.connect(path, journal=journal, secrets=secrets, slow_query=0) as database:
        config = await add(database)
        await database.llm_configs.api_key(config.id)
        texts = [repr(secrets), str(secrets), repr(database)]
        calls: tuple[Callable[[], Awaitable[object]], ...] = (
            lambda: database.llm_configs.add("nobody", "n", "p", "m", api_key=KEY),
            lambda: add(database),
            lambda: database.llm_configs.update(config.id, api_key=KEY, name=None),  # type: ignore[arg-type]
            lambda: database.llm_configs.update(config.id, api_key=KEY + "\ud800"),
            lambda: database.llm_configs.update(config.id, api_key=KEY.encode()),  # type: ignore[arg-type]
            lambda: database.llm_configs.update(config.id, api_key=KEY, colour=1),  # type: ignore[call-arg]
            lambda: database.llm_configs.update(999, api_key=KEY),
        )
        for call in calls:
            try:
                await call()
            except Exception as error:
                texts += traceback.format_exception(error)
            else:
                pytest.fail("it was taken")
    texts.append(caplog.text)
    assert "INSERT INTO llm_configs" in caplog.text
    assert not [text for text in texts if "very-secret" in text]


async def test_the_master_keys_are_not_shown_and_do_not_leave_the_process() -> None:
    secrets = Secrets(b"do not show this key, it is mine", OLD)
    assert repr(secrets) == str(secrets) == "<Secrets: 2 keys>"
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(secrets)
    for wrong in (b"", b"short", b"x" * 33):
        with pytest.raises(ValueError, match=f"32 bytes, not {len(wrong)}"):
            Secrets(wrong)
        with pytest.raises(ValueError, match="32 bytes"):
            Secrets(OLD, wrong)
    with pytest.raises(TypeError, match="bytes, not str"):
        Secrets("x" * 32)  # type: ignore[arg-type]


async def test_without_keys_there_are_no_secrets(
    path: Path, journal: Literal["wal", "delete"], database: Database
) -> None:
    config = await add(database)
    before = contents(path)
    async with reelbase.connect(path, journal=journal) as other:
        for call in (
            lambda: other.llm_configs.add("ann", "n", "p", "m", api_key=KEY),
            lambda: other.llm_configs.update(config.id, api_key=KEY),
            lambda: other.llm_configs.api_key(config.id),
            other.llm_configs.rotate_keys,
        ):
            with pytest.raises(SecretError, match="connect\\(secrets=\\)") as caught:
                await call()
            assert caught.value.code == "no_secrets"
        assert contents(path) == before
        assert (await other.llm_configs.get(config.id)).has_api_key  # all else works
        await other.llm_configs.update(config.id, api_key=None)


async def test_a_stored_key_belongs_to_its_row(database: Database) -> None:
    mine, other, his = [await add(database, *of) for of in (("a",), ("b",), ("a", "bob"))]
    for target in (other, his):
        await database.execute(
            "UPDATE llm_configs SET api_key = (SELECT api_key FROM llm_configs WHERE id = ?) "
            "WHERE id = ?",
            [mine.id, target.id],
        )
        with pytest.raises(SecretError) as caught:
            await database.llm_configs.api_key(target.id)
        assert caught.value.code == "damaged"
    assert await database.llm_configs.api_key(mine.id) == KEY


async def test_any_changed_byte_is_noticed(database: Database) -> None:
    config = await add(database)
    stored = await database.fetch_one(bytes, "SELECT api_key FROM llm_configs")
    damaged = [
        bytes([*stored[:place], stored[place] ^ 1, *stored[place + 1 :]])
        for place in range(len(stored))
    ]
    for data in (*damaged, stored[:-1], stored[:20], stored[:9], b"", stored + b"\0"):
        await database.execute("UPDATE llm_configs SET api_key = ?", [data])
        with pytest.raises(SecretError):
            await database.llm_configs.api_key(config.id)


async def test_the_same_key_is_stored_differently_each_time(database: Database) -> None:
    for name in "ab":
        await add(database, name)
    stored = await database.fetch_all(bytes, "SELECT api_key FROM llm_configs")
    assert len({data[9:] for data in stored}) == 2


@pytest.fixture
async def with_old_key(path: Path, journal: Literal["wal", "delete"]) -> AsyncIterator[list[int]]:
    async with reelbase.connect(path, journal=journal, secrets=Secrets(OLD)) as database:
        await database.profiles.ensure("ann")
        yield [(await add(database, name)).id for name in "abc"]


async def test_rotation_brings_every_key_to_the_current_one(
    path: Path, journal: Literal["wal", "delete"], with_old_key: list[int]
) -> None:
    async with reelbase.connect(path, journal=journal, secrets=Secrets(NEW, OLD)) as database:
        assert await database.llm_configs.api_key(with_old_key[0]) == KEY
        await database.llm_configs.update(with_old_key[0], api_key="fresh")
        assert await database.llm_configs.rotate_keys() == 2
        assert await database.llm_configs.rotate_keys() == 0
    async with reelbase.connect(path, journal=journal, secrets=Secrets(NEW)) as database:
        keys = [await database.llm_configs.api_key(config_id) for config_id in with_old_key]
        assert keys == ["fresh", KEY, KEY]


@pytest.mark.long
async def test_a_key_that_is_missing_is_said_and_rotation_is_all_or_nothing(
    path: Path, journal: Literal["wal", "delete"], with_old_key: list[int]
) -> None:
    async with reelbase.connect(path, journal=journal, secrets=Secrets(NEW)) as database:
        await add(database, "current")
        before = contents(path)
        for call in (
            lambda: database.llm_configs.api_key(with_old_key[0]),
            database.llm_configs.rotate_keys,
        ):
            with pytest.raises(SecretError) as caught:
                await call()
            assert caught.value.code == "unknown_key"
        assert contents(path) == before


async def test_many_tasks_add_keys_at_once(database: Database) -> None:
    configs = await asyncio.gather(
        *(
            database.llm_configs.add("ann", str(number), "p", "m", api_key=f"key {number}")
            for number in range(12)
        )
    )
    keys = await asyncio.gather(*(database.llm_configs.api_key(config.id) for config in configs))
    assert keys == [f"key {number}" for number in range(12)]
    assert len(await active_ids(database)) == 1


async def test_keys_in_a_unit_of_work_and_a_snapshot(database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        async with database.transaction() as unit:
            undone = await unit.llm_configs.add("ann", "n", "p", "m", api_key=KEY)
            assert await unit.llm_configs.api_key(undone.id) == KEY
            raise ZeroDivisionError
    assert await database.llm_configs.list_for_profile("ann") == []
    config = await add(database)
    async with database.snapshot() as view:
        assert await view.llm_configs.api_key(config.id) == KEY


def test_without_the_package_secrets_say_at_once_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "cryptography"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(SecretError, match=r"reelbase\[secrets\]") as caught:
        Secrets(OLD)
    assert caught.value.code == "not_installed"


def test_secrets_must_be_secrets(path: Path) -> None:
    with pytest.raises(TypeError, match="secrets"):
        reelbase.connect(path, secrets=b"k" * 32)  # type: ignore[arg-type]
