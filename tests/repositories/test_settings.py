"""Promises about settings: a profile's preferences, any JSON, strictly typed, all or nothing."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from samples import contents

from reelbase import ConstraintError, Database, ProfileSetting
from reelbase.testing.clock import FrozenClock


@pytest.fixture(autouse=True)
async def profiles(database: Database) -> None:
    await database.profiles.ensure("ann")
    await database.profiles.ensure("bob")


@pytest.mark.parametrize("value", ["", 0, 2**70, 0.1, True, None, [1, [None]], {"ü": {"": []}}])
async def test_any_json_comes_back(value: Any, database: Database) -> None:
    await database.settings.set("ann", "k", value)
    got = await database.settings.get("ann", "k", "default")
    assert (got, type(got)) == (value, type(value))


async def test_a_setting_is_the_profiles_own(database: Database, clock: FrozenClock) -> None:
    assert await database.settings.set("ann", "k", 1) == ProfileSetting("ann", "k", 1, clock.now)
    assert await database.settings.get("bob", "k") is None
    assert await database.settings.get("bob", "k", default=5) == 5
    assert await database.settings.all("bob") == {}


async def test_a_value_is_of_the_type_asked_for_or_refused(database: Database) -> None:
    await database.settings.set("ann", "minutes", "30")
    with pytest.raises(msgspec.ValidationError):
        await database.settings.get("ann", "minutes", type=int)
    assert await database.settings.get("ann", "minutes", type=str) == "30"


async def test_a_group_is_found_by_its_prefix_literally(database: Database) -> None:
    values: dict[str, Any] = {
        "recording.a": 1,
        "recording.b": None,
        "recordingX": 2,
        "rec%": 3,
        "_": 4,
        "Recording.c": 5,
    }
    await database.settings.set_many("ann", values)
    await database.settings.set("bob", "recording.a", 9)
    assert await database.settings.all("ann") == values
    assert list(await database.settings.all("ann")) == sorted(values)
    got = await database.settings.all("ann", prefix="recording.")
    assert got == {"recording.a": 1, "recording.b": None}
    assert await database.settings.all("ann", prefix="rec%") == {"rec%": 3}
    assert await database.settings.all("ann", prefix="") == values
    assert await database.settings.all("ann", prefix="nothing") == {}


async def test_many_are_set_together_or_not_at_all(database: Database) -> None:
    before = contents(database.path)
    with pytest.raises(ValueError, match="value"):
        await database.settings.set_many("ann", {"a": 1, "b": float("nan")})
    with pytest.raises(ConstraintError) as caught:
        await database.settings.set_many("nobody", {"a": 1})
    assert caught.value.kind == "foreign_key"
    assert contents(database.path) == before


async def test_resetting_some_or_all(database: Database) -> None:
    await database.settings.set_many("ann", {"a": 1, "b": 2, "c": 3})
    await database.settings.set("bob", "a", 1)
    assert await database.settings.reset("ann", "a", "unknown", "a") == 1
    assert await database.settings.all("ann") == {"b": 2, "c": 3}
    assert await database.settings.reset("ann") == 2
    assert await database.settings.all("ann") == {}
    assert await database.settings.all("bob") == {"a": 1}


async def test_settings_go_with_their_profile(database: Database) -> None:
    await database.settings.set("ann", "a", 1)
    await database.profiles.delete("ann")
    assert await database.fetch_one(int, "SELECT count(*) FROM profile_settings") == 0
