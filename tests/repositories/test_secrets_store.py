"""Promises about stored secrets: encrypted, bound to their owner and name, and never shown by accident."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

import reelbase
from reelbase import ConstraintError, Database, RecordNotFoundError, SecretError, Secrets


@pytest.fixture(autouse=True)
async def profiles(database: Database) -> None:
    await database.profiles.ensure("ann")
    await database.profiles.ensure("bob")


async def test_profiles_and_the_application_have_secrets_of_their_own(database: Database) -> None:
    store = database.secrets_store
    for owner, value in (("ann", "hers"), ("bob", "his"), (None, "everyone's")):
        await store.set("smb", value, profile_id=owner, kind="share")
    assert await store.value("smb", profile_id="ann") == "hers"
    assert await store.value("smb", profile_id="bob") == "his"
    assert await store.value("smb") == "everyone's"
    for owner in ("ann", "bob", None):
        (stored,) = await store.list(owner)
        assert (stored.profile_id, stored.name, stored.kind) == (owner, "smb", "share")
        assert await store.get("smb", profile_id=owner) == stored
    assert await store.find("smtp") is None
    with pytest.raises(RecordNotFoundError, match="smtp"):
        await store.value("smtp")


async def test_setting_again_replaces_the_value_and_keeps_the_row(
    database: Database, clock: Any
) -> None:
    for owner in ("ann", None):
        first = await database.secrets_store.set("key", "old", profile_id=owner, kind="asr")
        later = clock.advance(1)
        second = await database.secrets_store.set("key", "new", profile_id=owner)
        assert (second.id, second.created_at) == (first.id, first.created_at)
        assert (second.updated_at, second.kind) == (later, None)
        assert await database.secrets_store.value("key", profile_id=owner) == "new"
        assert len(await database.secrets_store.list(owner)) == 1


async def test_a_value_is_in_no_file_no_record_and_no_log(
    database: Database, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    stored = await database.secrets_store.set("key", "hunter2-in-clear", profile_id="ann")
    await database.checkpoint()
    files = b"".join(file.read_bytes() for file in path.parent.iterdir() if file.is_file())
    assert b"hunter2" not in files
    assert "hunter2" not in repr(stored)
    assert "hunter2" not in caplog.text


async def test_a_value_that_was_copied_to_another_row_does_not_decrypt(database: Database) -> None:
    store = database.secrets_store
    await store.set("key", "hers", profile_id="ann")
    for name, owner in (("key", "bob"), ("key", None), ("other", "ann")):
        await store.set(name, "x", profile_id=owner)
    await database.execute(
        "UPDATE secrets_store SET value = (SELECT value FROM secrets_store ORDER BY id LIMIT 1)"
    )
    assert await store.value("key", profile_id="ann") == "hers"
    for name, owner in (("key", "bob"), ("key", None), ("other", "ann")):
        with pytest.raises(SecretError) as caught:
            await store.value(name, profile_id=owner)
        assert caught.value.code == "damaged"
        assert "hers" not in str(caught.value)


async def test_a_profile_named_like_the_application_is_another_owner(database: Database) -> None:
    await database.profiles.ensure("the application")
    await database.secrets_store.set("key", "secret")
    await database.secrets_store.set("key", "other", profile_id="the application")
    await database.execute(
        "UPDATE secrets_store SET value = (SELECT value FROM secrets_store WHERE profile_id IS NULL)"
    )
    with pytest.raises(SecretError):
        await database.secrets_store.value("key", profile_id="the application")


@pytest.mark.long
async def test_keys_are_rotated_all_or_none(path: Path, database: Database) -> None:
    for number in range(5):
        await database.secrets_store.set(f"key {number}", f"value {number}", profile_id="ann")
    await database.secrets_store.set("key", "value")
    assert await database.secrets_store.rotate_keys() == 0
    await database.close()
    async with reelbase.connect(path, secrets=Secrets(b"n" * 32)) as other:
        with pytest.raises(SecretError):
            await other.secrets_store.rotate_keys()
    async with reelbase.connect(path, secrets=Secrets(b"n" * 32, b"k" * 32)) as rotating:
        assert await rotating.secrets_store.rotate_keys() == 6
    async with reelbase.connect(path, secrets=Secrets(b"n" * 32)) as rotated:
        assert await rotated.secrets_store.value("key 3", profile_id="ann") == "value 3"
        assert await rotated.secrets_store.value("key") == "value"


async def test_without_keys_nothing_is_stored(path: Path) -> None:
    async with reelbase.connect(path) as plain:
        await plain.profiles.ensure("ann")
        with pytest.raises(SecretError) as caught:
            await plain.secrets_store.set("key", "value", profile_id="ann")
        assert caught.value.code == "no_secrets"
        assert await plain.secrets_store.list("ann") == []


async def test_secrets_go_with_their_profile(database: Database) -> None:
    await database.secrets_store.set("key", "hers", profile_id="ann")
    await database.secrets_store.set("key", "all")
    await database.profiles.delete("ann")
    assert await database.secrets_store.list("ann") == []
    assert await database.secrets_store.value("key") == "all"
    with pytest.raises(ConstraintError) as caught:
        await database.secrets_store.set("key", "hers", profile_id="ann")
    assert caught.value.kind == "foreign_key"
    assert await database.secrets_store.delete("key") is True
    assert await database.secrets_store.delete("key", missing_ok=True) is False
