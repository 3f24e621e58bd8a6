"""Promises of finding the jobs that use or made a file or a transcript."""

import json
import logging
import re
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Literal
from uuid import UUID, uuid4

import pytest

import reelbase
from reelbase import Database, JobRepository
from reelbase.testing.clock import FrozenClock

A, B, C = (UUID(f"01890000-0000-7000-8000-{n:012x}") for n in (0xA, 0xB, 0xC))

Look = Callable[[str], list[tuple[object, ...]]]


@pytest.fixture
async def jobs(database: Database) -> JobRepository:
    await database.profiles.ensure("anna")
    await database.profiles.ensure("ben")
    return database.jobs


PLACES: dict[str, tuple[dict[str, Any], dict[str, Any] | None]] = {
    "params.file_id": ({"file_id": str(A)}, None),
    "params.file_ids": ({"file_ids": [str(B), str(A)]}, None),
    "result.file_id": ({}, {"file_id": str(A)}),
    "result.srt_file_id": ({}, {"srt_file_id": str(A)}),
    "all at once": (
        {"file_id": str(A), "file_ids": [str(A), str(A)]},
        {"file_id": str(A), "srt_file_id": str(A), "transcript_id": str(A)},
    ),
    "as a UUID": ({"file_id": A}, None),
    "as UUIDs": ({"file_ids": (A, B)}, {"file_id": A}),
    "in upper case": ({"file_id": str(A).upper()}, None),
    "in upper case in a list": ({"file_ids": [str(A).upper()]}, {"file_id": str(A).upper()}),
    "among values that are no ids": (
        {
            "file_id": 5,
            "file_ids": [None, 7, "x", {"file_id": str(B)}, [str(B)], str(A), 1.5, True],
        },
        {"file_id": None, "srt_file_id": {}},
    ),
}


@pytest.mark.parametrize("place", PLACES)
async def test_a_job_that_names_the_file_is_found(jobs: JobRepository, place: str) -> None:
    params, result = PLACES[place]
    job = await jobs.add("anna", "t", params)
    await jobs.add("anna", "t", {"file_id": str(C)})
    if result is not None:
        await jobs.succeed(job.id, result)
    assert await jobs.find_referencing_file("anna", A) == {job.id}
    assert await jobs.find_referencing_file("anna", str(A)) == {job.id}
    assert await jobs.find_referencing_file("anna", str(A).upper()) == {job.id}


@pytest.mark.parametrize("value", [str(A), A, str(A).upper()])
async def test_a_job_that_made_the_transcript_is_found(jobs: JobRepository, value: object) -> None:
    job = await jobs.add("anna", "t", {})
    await jobs.succeed(job.id, {"transcript_id": value})
    assert await jobs.find_referencing_transcript("anna", A) == {job.id}
    assert await jobs.find_referencing_transcript("anna", str(A).upper()) == {job.id}


async def test_files_and_transcripts_are_not_mixed_up(jobs: JobRepository) -> None:
    made = await jobs.add("anna", "t", {"file_id": str(A)})
    await jobs.succeed(made.id, {"transcript_id": str(B)})
    assert await jobs.find_referencing_transcript("anna", A) == set()
    assert await jobs.find_referencing_file("anna", B) == set()


async def test_other_keys_are_no_references(jobs: JobRepository) -> None:
    text = str(A)
    job = await jobs.add(
        "anna",
        text,
        {
            "FILE_ID": text,
            "file": text,
            "transcript_id": text,
            "srt_file_id": text,
            "nested": {"file_id": text, "file_ids": [text]},
            "file_id ": text,
            "$.file_id": text,
            text: text,
        },
    )
    await jobs.update(
        job.id,
        result={"file_ids": [text], "nested": {"transcript_id": text}},
        error=text,
        error_details={"file_id": text, "transcript_id": text},
    )
    assert await jobs.find_referencing_file("anna", A) == set()
    assert await jobs.find_referencing_transcript("anna", A) == set()


NO_REFERENCES: list[Any] = [
    None, True, False, 0, -1, 2**62, 1.5, "", "x", "null", str(A)[:-1], str(A) + "0", f" {A}", f"{A} ",
    [str(A)], {"file_id": str(A)}, {"0": str(A)}, [[str(A)]], [{"file_id": str(A)}], [], {}, "\0", "🎬",
    [None, 1, 1.5, True, "", "x", {}, []],
]  # fmt: skip


@pytest.mark.parametrize("value", NO_REFERENCES, ids=repr)
async def test_values_that_are_no_ids_are_no_references_and_no_error(
    jobs: JobRepository, value: Any
) -> None:
    lists = value if isinstance(value, list) and str(A) not in value else {"not": "a list"}
    job = await jobs.add("anna", "t", {"file_id": value, "file_ids": lists})
    await jobs.update(
        job.id, result={"file_id": value, "srt_file_id": value, "transcript_id": value}
    )
    assert await jobs.find_referencing_file("anna", A) == set()
    assert await jobs.find_referencing_transcript("anna", A) == set()


@pytest.mark.parametrize("value", [str(A), 5, 1.5, True, None, {"0": str(A)}, {"a": {"b": str(A)}}])
async def test_file_ids_that_are_no_list_are_no_references_and_no_error(
    jobs: JobRepository, value: Any
) -> None:
    job = await jobs.add("anna", "t", {"file_ids": value})
    await jobs.update(job.id, result={"file_ids": value})
    assert await jobs.find_referencing_file("anna", A) == set()
    assert (await jobs.get(job.id)).params == {"file_ids": value}


async def test_a_child_stands_for_its_parent(jobs: JobRepository) -> None:
    parent, children = await jobs.add_batch(
        "anna", "t", {"file_ids": [str(A), str(B)]}, [{"file_id": str(A)}, {"file_id": str(C)}]
    )
    single = await jobs.add("anna", "t", {"file_id": str(C)})
    await jobs.succeed(children[1].id, {"transcript_id": str(A)})
    assert await jobs.find_referencing_file("anna", A) == {parent.id}
    assert await jobs.find_referencing_file("anna", B) == {parent.id}
    assert await jobs.find_referencing_file("anna", C) == {parent.id, single.id}
    assert await jobs.find_referencing_transcript("anna", A) == {parent.id}


async def test_deleting_what_was_found_removes_whole_batches(
    jobs: JobRepository, look: Look
) -> None:
    await jobs.add_batch("anna", "t", {}, [{"file_id": str(A)}, {"file_id": str(B)}])
    await jobs.add("anna", "t", {"file_ids": [str(A)]})
    kept = await jobs.add("anna", "t", {"file_id": str(B)})
    for job_id in await jobs.find_referencing_file("anna", A):
        await jobs.delete(job_id)
    assert look("SELECT id FROM jobs") == [(str(kept.id),)]
    assert await jobs.find_referencing_file("anna", A) == set()
    assert await jobs.find_referencing_file("anna", B) == {kept.id}


async def test_jobs_of_other_profiles_are_not_found(jobs: JobRepository) -> None:
    annas = await jobs.add("anna", "t", {"file_id": str(A)})
    bens = await jobs.add("ben", "t", {"file_id": str(A)})
    await jobs.succeed(bens.id, {"transcript_id": str(B)})
    assert await jobs.find_referencing_file("anna", A) == {annas.id}
    assert await jobs.find_referencing_file("ben", A) == {bens.id}
    assert await jobs.find_referencing_transcript("anna", B) == set()
    assert await jobs.find_referencing_file("nobody", A) == set()


async def test_nothing_refers_to_an_unknown_id(jobs: JobRepository) -> None:
    await jobs.add(
        "anna", "t", {"file_id": "*", "file_ids": ["%", "????????-????-????-????-????????????"]}
    )
    assert await jobs.find_referencing_file("anna", uuid4()) == set()
    with pytest.raises(ValueError, match="not a UUID"):
        await jobs.find_referencing_file("anna", "*")
    with pytest.raises(ValueError, match="not a UUID"):
        await jobs.find_referencing_transcript("anna", "")


# References follow the job


async def test_references_follow_an_update(jobs: JobRepository) -> None:
    job = await jobs.add("anna", "t", {"file_id": str(A)})
    await jobs.update(job.id, result={"file_id": str(B), "transcript_id": str(A)})
    assert await jobs.find_referencing_file("anna", B) == {job.id}
    await jobs.update(job.id, result={"srt_file_id": str(C)})
    assert await jobs.find_referencing_file("anna", A) == {job.id}
    assert await jobs.find_referencing_file("anna", B) == set()
    assert await jobs.find_referencing_file("anna", C) == {job.id}
    assert await jobs.find_referencing_transcript("anna", A) == set()
    await jobs.update(job.id, result={})
    assert await jobs.find_referencing_file("anna", C) == set()
    await jobs.update(job.id, progress=0.5)
    assert await jobs.find_referencing_file("anna", A) == {job.id}


async def test_references_follow_success_and_retry(jobs: JobRepository) -> None:
    job = await jobs.add("anna", "t", {"file_id": str(A)})
    await jobs.claim("w")
    await jobs.succeed(job.id, {"file_id": str(B), "transcript_id": str(C)}, worker="w")
    assert await jobs.find_referencing_file("anna", B) == {job.id}
    await jobs.retry(job.id)
    assert await jobs.find_referencing_file("anna", A) == {job.id}
    assert await jobs.find_referencing_file("anna", B) == set()
    assert await jobs.find_referencing_transcript("anna", C) == set()
    await jobs.cancel(job.id)
    assert await jobs.find_referencing_file("anna", A) == {job.id}


async def test_references_follow_the_retry_of_a_batch(jobs: JobRepository) -> None:
    parent, (child,) = await jobs.add_batch("anna", "t", {"file_id": str(C)}, [{"file_id": str(A)}])
    await jobs.succeed(child.id, {"transcript_id": str(B)})
    assert await jobs.find_referencing_transcript("anna", B) == {parent.id}
    await jobs.retry(parent.id)
    assert await jobs.find_referencing_transcript("anna", B) == set()
    assert await jobs.find_referencing_file("anna", A) == {parent.id}
    assert await jobs.find_referencing_file("anna", C) == {parent.id}


async def test_references_go_with_the_job(
    database: Database, jobs: JobRepository, clock: FrozenClock, look: Look
) -> None:
    job = await jobs.add("anna", "t", {"file_id": str(A)})
    parent, (child, _) = await jobs.add_batch("anna", "t", {}, [{"file_id": str(B)}, {}])
    await jobs.add("ben", "t", {"file_ids": [str(C)]})
    await jobs.delete(job.id)
    await jobs.delete(child.id)
    assert await jobs.find_referencing_file("anna", A) == set()
    assert await jobs.find_referencing_file("anna", B) == set()
    await jobs.delete(parent.id)
    await database.profiles.delete("ben")
    assert look("SELECT count(*) FROM jobs") == [(0,)]
    assert look("SELECT count(*) FROM job_references") == [(0,)]


async def test_references_outlive_the_file(database: Database, jobs: JobRepository) -> None:
    """Jobs are not linked to files by a foreign key."""
    file = await database.files.add("anna", "a.mp4", "a.mp4")
    job = await jobs.add("anna", "t", {"file_id": str(file.id)})
    await database.files.delete(file.id)
    assert await jobs.find_referencing_file("anna", file.id) == {job.id}


async def test_references_are_part_of_the_transaction(
    database: Database, jobs: JobRepository
) -> None:
    job = await jobs.add("anna", "t", {})
    async with database.transaction() as unit:
        await unit.jobs.update(job.id, result={"file_id": str(A)})
        assert await unit.jobs.find_referencing_file("anna", A) == {job.id}
        assert await jobs.find_referencing_file("anna", A) == set()
        await unit.rollback()
    assert await jobs.find_referencing_file("anna", A) == set()


# Rows of the sqlite3 prompt


async def test_rows_of_the_sqlite3_prompt_are_found_too(jobs: JobRepository, path: Path) -> None:
    with closing(sqlite3.connect(path)) as prompt, prompt:
        prompt.execute(
            "INSERT INTO jobs (id, profile_id, type, params) VALUES (?, 'anna', 't', ?)",
            (str(B), f'{{ "file_ids" : [ "{str(A).upper()}" ] }}'),
        )
    assert await jobs.find_referencing_file("anna", A) == {B}
    with closing(sqlite3.connect(path)) as prompt, prompt:
        prompt.execute(
            "UPDATE jobs SET params = '{}', result = ?", (f'{{"transcript_id": "{C}"}}',)
        )
    assert await jobs.find_referencing_file("anna", A) == set()
    assert await jobs.find_referencing_transcript("anna", C) == {B}
    with closing(sqlite3.connect(path)) as prompt, prompt:
        prompt.execute("DELETE FROM jobs")  # where foreign keys are off
    assert await jobs.find_referencing_transcript("anna", C) == set()


@pytest.mark.parametrize("text", ["[]", "null", "5", '"x"', "[1]", "true", "no JSON"])
async def test_json_of_the_prompt_that_is_no_object_is_refused(
    jobs: JobRepository, path: Path, text: str
) -> None:
    with (
        closing(sqlite3.connect(path)) as prompt,
        pytest.raises(sqlite3.IntegrityError, match="jobs_params"),
    ):
        prompt.execute(
            "INSERT INTO jobs (id, profile_id, type, params) VALUES (?, 'anna', 't', ?)",
            (str(B), text),
        )
    assert await jobs.find_referencing_file("anna", A) == set()


# Constant in the history's size


def _fill(path: Path, count: int) -> None:
    """A history of finished jobs, a file and a transcript each; the first one names A."""
    with closing(sqlite3.connect(path)) as prompt, prompt:
        prompt.executemany(
            """
            INSERT INTO jobs (id, profile_id, type, status, params, result, finished_at)
            VALUES (?, 'anna', 't', 'succeeded', ?, ?, '2026-01-01T00:00:00.000Z')
            """,
            (
                (
                    str(uuid4()),
                    json.dumps({"file_id": str(uuid4() if number else A)}),
                    json.dumps({"transcript_id": str(uuid4() if number else A)}),
                )
                for number in range(count)
            ),
        )


async def _seconds_to_find(jobs: JobRepository) -> float:
    """Seconds of computing; how busy the machine is does not matter."""
    started = time.process_time()
    for _ in range(100):
        found = await jobs.find_referencing_file("anna", A)
        found |= await jobs.find_referencing_transcript("anna", A)
        assert len(found) == 1
    return time.process_time() - started


@pytest.mark.long
async def test_finding_takes_as_long_among_20_000_jobs_as_among_100(
    jobs: JobRepository, path: Path
) -> None:
    _fill(path, 100)
    few = await _seconds_to_find(jobs)
    with closing(sqlite3.connect(path)) as prompt, prompt:
        prompt.execute("DELETE FROM jobs")
        prompt.execute("DELETE FROM job_references")
    _fill(path, 20_000)
    assert await _seconds_to_find(jobs) < 3 * few


async def test_finding_never_scans(
    path: Path, journal: Literal["wal", "delete"], caplog: pytest.LogCaptureFixture
) -> None:
    async with reelbase.connect(path, journal=journal, slow_query=0) as database:
        await database.profiles.ensure("anna")
        await database.jobs.add("anna", "t", {"file_id": str(A)})
        caplog.clear()
        with caplog.at_level(logging.INFO, logger="reelbase.sql"):
            await database.jobs.find_referencing_file("anna", A)
            await database.jobs.find_referencing_transcript("anna", A)
    statements = [
        str(record.args[3]) for record in caplog.records if isinstance(record.args, tuple)
    ]
    assert len(statements) == 2
    with closing(sqlite3.connect(path)) as prompt:
        for sql in statements:
            names = dict.fromkeys(re.findall(r":(\w+)", sql), "")
            plan = [row[3] for row in prompt.execute(f"EXPLAIN QUERY PLAN {sql}", names)]
            assert plan
            assert not [step for step in plan if step.startswith("SCAN")]
