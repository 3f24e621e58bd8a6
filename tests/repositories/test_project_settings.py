"""Promises about project settings: one row per project, in which what is not passed stays."""

from __future__ import annotations

from fractions import Fraction

import pytest

from reelbase import ConstraintError, Database, Project, RecordNotFoundError
from reelbase.testing.clock import FrozenClock


@pytest.fixture
async def project(database: Database) -> Project:
    return await database.projects.add("film", "work")


async def test_what_is_not_passed_stays_and_none_clears(
    database: Database, project: Project, clock: FrozenClock
) -> None:
    first = await database.project_settings.upsert(
        project.id, output_width=1920, output_height=1080, data={"mix": [1, 2]}
    )
    assert (first.output_width, first.sample_rate, first.data) == (1920, None, {"mix": [1, 2]})
    clock.advance(5)
    second = await database.project_settings.upsert(
        project.id, output_width=None, sample_rate=48_000, audio_channels=2, bit_depth=24
    )
    assert (second.output_width, second.output_height) == (None, 1080)
    assert (second.sample_rate, second.audio_channels, second.bit_depth) == (48_000, 2, 24)
    assert second.data == first.data
    assert second.updated_at == clock.now > first.updated_at
    assert await database.project_settings.get(project.id) == second


async def test_a_frame_rate_is_exact_once_both_parts_are_known(
    database: Database, project: Project
) -> None:
    half = await database.project_settings.upsert(project.id, frame_rate_num=30_000)
    assert half.frame_rate is None
    whole = await database.project_settings.upsert(project.id, frame_rate_den=1001)
    assert whole.frame_rate == Fraction(30_000, 1001)


@pytest.mark.parametrize(
    "field",
    [
        *("output_width", "output_height", "frame_rate_num", "frame_rate_den"),
        *("sample_rate", "audio_channels", "bit_depth"),
    ],
)
async def test_what_is_not_positive_is_refused(
    field: str, database: Database, project: Project
) -> None:
    before = await database.project_settings.upsert(project.id, output_width=1)
    with pytest.raises(ConstraintError) as caught:
        await database.project_settings.upsert(project.id, **{field: 0})  # type: ignore[arg-type]
    assert caught.value.kind == "check"
    assert await database.project_settings.get(project.id) == before


async def test_settings_go_with_their_project(database: Database, project: Project) -> None:
    await database.project_settings.upsert(project.id, output_width=1)
    await database.projects.delete(project.id)
    assert await database.project_settings.find(project.id) is None
    with pytest.raises(ConstraintError) as caught:
        await database.project_settings.upsert(project.id, output_width=1)
    assert caught.value.kind == "foreign_key"


async def test_settings_can_be_deleted(database: Database, project: Project) -> None:
    assert not await database.project_settings.delete(project.id, missing_ok=True)
    await database.project_settings.upsert(project.id)
    assert await database.project_settings.delete(project.id)
    with pytest.raises(RecordNotFoundError):
        await database.project_settings.get(project.id)
    with pytest.raises(RecordNotFoundError):
        await database.project_settings.delete(project.id)
