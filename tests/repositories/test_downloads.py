"""Promises about downloads: a queue of URLs, their progress, their end, and what is left of them."""

from __future__ import annotations

import asyncio
import logging
import shutil
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from msgspec import UNSET
from state_tables import REFUSED, cells

import reelbase
from reelbase import (
    ConstraintError,
    Database,
    Download,
    DownloadRepository,
    DownloadStatus,
    InvalidTransitionError,
    PurgedDownload,
    PurgeReport,
    RecordNotFoundError,
)
from reelbase.engine.native.pragmas import set_pragma
from reelbase.engine.threads import writer
from reelbase.repositories import downloads as downloads_module
from reelbase.testing.clock import START, FrozenClock

ACTIVE = ("queued", "extracting", "downloading")
FINISHED = ("completed", "failed", "cancelled")
EVERY = ACTIVE + FINISHED
URL = "https://example.org/watch?v=1"
NAN, INFINITY = float("nan"), float("inf")

Look = Callable[[str], list[tuple[object, ...]]]

every_status = pytest.mark.parametrize("status", EVERY)
every_active = pytest.mark.parametrize("status", ACTIVE)
every_finished = pytest.mark.parametrize("status", FINISHED)


async def download_that_is(
    status: str, database: Database, *, session_id: str = "s", **options: Any
) -> Download:
    """A download in this state; a finished one ended now."""
    downloads = database.downloads
    download = await downloads.add(session_id, URL, **options)
    if status == "queued":
        return download
    if status == "extracting":
        return await downloads.start(download.id, extracting=True)
    download = await downloads.start(download.id)
    await downloads.progress(download.id, 40, speed="1 MiB/s", eta="00:10", filename="a.mkv")
    if status == "completed":
        return await downloads.complete(download.id, filesize=7)
    if status == "failed":
        return await downloads.fail(download.id, "HTTP Error 403")
    if status == "cancelled":
        return await downloads.cancel(download.id)
    return await downloads.get(download.id)


# The table of states: what each verb makes of each state.

Verb = Callable[[DownloadRepository, UUID], Awaitable[object]]

VERBS: dict[str, Verb] = {
    "start": lambda downloads, key: downloads.start(key),
    "extract": lambda downloads, key: downloads.start(key, extracting=True),
    "heartbeat": lambda downloads, key: downloads.heartbeat(key, "w"),
    "complete": lambda downloads, key: downloads.complete(key),
    "fail": lambda downloads, key: downloads.fail(key, "broken"),
    "cancel": lambda downloads, key: downloads.cancel(key),
    "release": lambda downloads, key: downloads.release(key, "w"),
    "retry": lambda downloads, key: downloads.retry(key),
}
OVER_ALL: dict[str, Verb] = {
    "claim": lambda downloads, _: downloads.claim("heir"),
    "progress": lambda downloads, key: downloads.progress(key, 50),
    "recover": lambda downloads, _: downloads.recover(),
}
HELD = ("held", "expired", "spent")
TABLE = cells(downloads_module)


async def download_in_state(state: str, database: Database, clock: FrozenClock) -> Download:
    """A download as a row of the table has it; claimed ones are held by w."""
    attempts = 1 if state == "spent" else 3
    if state not in HELD:
        return await download_that_is(state, database, max_attempts=attempts)
    await database.downloads.add("s", URL, max_attempts=attempts)
    held = await database.downloads.claim("w", lease=30)
    assert held is not None
    if state != "held":
        clock.advance(30)
    return held


def test_the_table_has_every_state_and_every_verb() -> None:
    assert {state for state, _, _ in TABLE} == {*EVERY, *HELD}
    assert {verb for _, verb, _ in TABLE} == {*VERBS, *OVER_ALL}
    assert len(TABLE) == len({(state, verb) for state, verb, _ in TABLE}) == 9 * 11


@pytest.mark.parametrize(("state", "verb", "becomes"), TABLE)
async def test_what_a_verb_makes_of_a_state(
    state: str, verb: str, becomes: str, database: Database, clock: FrozenClock
) -> None:
    downloads = database.downloads
    before = await download_in_state(state, database, clock)
    now = clock.advance(1)
    if verb in OVER_ALL:
        result = await OVER_ALL[verb](downloads, before.id)
        if becomes == REFUSED:
            assert not result
            assert await downloads.get(before.id) == before
            return
        assert result or (verb, becomes) == ("claim", "failed")
    elif becomes == REFUSED:
        with pytest.raises(InvalidTransitionError) as caught:
            await VERBS[verb](downloads, before.id)
        assert caught.value.http_status == 409
        assert caught.value.details == {
            "entity": "download",
            "key": str(before.id),
            "status": before.status,
        }
        assert await downloads.get(before.id) == before
        return
    else:
        result = await VERBS[verb](downloads, before.id)
        assert result == await downloads.get(before.id)
    after = await downloads.get(before.id)
    assert after.status is DownloadStatus(becomes)
    if becomes not in FINISHED:
        assert after.completed_at is None
    elif before.completed_at is None:
        assert after.completed_at == now
    else:
        assert after == before
    assert (after.worker is None) == (after.lease_expires_at is None)
    assert after.worker is None or after.status in ("extracting", "downloading")
    assert after.created_at == START


@pytest.mark.parametrize("verb", VERBS)
async def test_no_verb_finds_a_download_that_is_not_there(verb: str, database: Database) -> None:
    missing = uuid4()
    with pytest.raises(RecordNotFoundError) as caught:
        await VERBS[verb](database.downloads, missing)
    assert caught.value.details == {"entity": "download", "key": str(missing)}


@every_finished
async def test_every_end_stamps_completed_at(
    status: str, database: Database, clock: FrozenClock
) -> None:
    ended = await download_that_is(status, database)
    assert ended.completed_at == START
    assert (ended.speed, ended.eta) == (None, None)


async def test_the_start_is_stamped_once(database: Database, clock: FrozenClock) -> None:
    download = await database.downloads.add("s", URL)
    assert download.started_at is None
    first = clock.advance(1)
    assert (await database.downloads.start(download.id, extracting=True)).started_at == first
    clock.advance(1)
    assert (await database.downloads.start(download.id)).started_at == first
    await database.downloads.progress(download.id, 3)
    done = await database.downloads.complete(download.id)
    assert (done.started_at, done.completed_at) == (first, first + timedelta(seconds=1))


async def test_a_failure_keeps_its_message_and_its_progress(database: Database) -> None:
    download = await download_that_is("downloading", database)
    failed = await database.downloads.fail(download.id, "")
    assert failed.error_message == ""
    assert failed.progress_percent == 40
    assert failed.filename == "a.mkv"


async def test_a_completed_download_is_at_100_without_speed_and_eta(database: Database) -> None:
    download = await download_that_is("downloading", database)
    assert (download.speed, download.eta) == ("1 MiB/s", "00:10")
    done = await database.downloads.complete(download.id, filename="b.mkv", filesize=2**40)
    assert (done.progress_percent, done.speed, done.eta) == (100.0, None, None)
    assert (done.filename, done.filesize) == ("b.mkv", 2**40)
    assert done.error_message is None


async def test_complete_leaves_what_is_unset_and_clears_what_is_none(database: Database) -> None:
    first = await download_that_is("downloading", database)
    second = await download_that_is("downloading", database)
    await database.downloads.progress(first.id, 1, filesize=5)
    await database.downloads.progress(second.id, 1, filesize=5)
    kept = await database.downloads.complete(first.id, filename=UNSET)
    assert (kept.filename, kept.filesize) == ("a.mkv", 5)
    cleared = await database.downloads.complete(second.id, filename=None, filesize=None)
    assert (cleared.filename, cleared.filesize) == (None, None)


async def test_complete_refuses_a_negative_size(database: Database) -> None:
    download = await download_that_is("downloading", database)
    with pytest.raises(ConstraintError) as caught:
        await database.downloads.complete(download.id, filesize=-1)
    assert (caught.value.kind, caught.value.constraint) == ("check", "downloads_filesize")
    assert await database.downloads.get(download.id) == download


# Adding


async def test_an_added_download_is_queued_with_the_defaults(database: Database) -> None:
    download = await database.downloads.add("s", URL)
    assert download == Download(
        id=download.id,
        session_id="s",
        url=URL,
        status=DownloadStatus.QUEUED,
        format_id=None,
        quality=None,
        output_template=None,
        filename=None,
        filesize=None,
        progress_percent=0.0,
        speed=None,
        eta=None,
        error_message=None,
        created_at=START,
        started_at=None,
        completed_at=None,
        media_type=None,
        output_format=None,
        parent_id=None,
        priority=0,
        attempts=0,
        max_attempts=1,
        worker=None,
        lease_expires_at=None,
    )
    assert await database.downloads.get(download.id) == download
    assert await database.downloads.find(str(download.id).upper()) == download


async def test_add_keeps_what_it_is_given(database: Database) -> None:
    own_id = uuid4()
    download = await database.downloads.add(
        "s",
        "",
        id=str(own_id),
        format_id="137+140",
        quality="",
        output_template="%(title)s.%(ext)s",
        media_type="audio",
        output_format="mp3",
        priority=-(2**63),
        max_attempts=2**63 - 1,
    )
    assert (download.id, download.url) == (own_id, "")
    assert (download.media_type, download.output_format) == ("audio", "mp3")
    assert (download.priority, download.max_attempts) == (-(2**63), 2**63 - 1)
    assert (download.format_id, download.quality) == ("137+140", "")
    assert download.output_template == "%(title)s.%(ext)s"


async def test_add_makes_the_session(database: Database, clock: FrozenClock) -> None:
    await database.downloads.add("new", URL)
    session = await database.sessions.get("new")
    assert (session.created_at, session.last_seen) == (START, START)


async def test_add_makes_the_session_also_where_foreign_keys_are_deferred(
    database: Database,
) -> None:
    async with database.transaction() as unit:
        await unit.execute("PRAGMA defer_foreign_keys = ON")
        download = await unit.downloads.add("s", URL)
    assert await database.downloads.get(download.id) == download
    assert (await database.sessions.get("s")).id == "s"


async def test_add_leaves_a_session_that_is_there(database: Database, clock: FrozenClock) -> None:
    session = await database.sessions.ensure("s")
    clock.advance(100)
    await database.downloads.add("s", URL)
    await database.downloads.add_many("s", [URL])
    assert await database.sessions.get("s") == session


async def test_a_refused_add_leaves_no_session(database: Database, look: Look) -> None:
    taken = await database.downloads.add("s", URL)
    with pytest.raises(ConstraintError) as caught:
        await database.downloads.add("new", URL, id=taken.id)
    assert (caught.value.kind, caught.value.constraint) == ("unique", "downloads.id")
    with pytest.raises(ConstraintError) as caught:
        await database.downloads.add("new", None)  # type: ignore[arg-type]
    assert (caught.value.kind, caught.value.constraint) == ("not_null", "downloads.url")
    for wrong in ({"id": "no id"}, {"url": "\ud800"}, {"quality": "\ud800"}):
        arguments: dict[str, Any] = {"session_id": "new", "url": URL} | wrong
        with pytest.raises(ValueError, match=next(iter(wrong))):
            await database.downloads.add(**arguments)
    assert look("SELECT id FROM sessions") == [("s",)]
    assert look("SELECT count(*) FROM downloads") == [(1,)]


async def test_a_refused_add_inside_a_unit_leaves_no_session_and_the_unit_goes_on(
    database: Database, look: Look
) -> None:
    taken = await database.downloads.add("s", URL)
    async with database.transaction() as unit:
        with pytest.raises(ConstraintError):
            await unit.downloads.add("new", URL, id=taken.id)
        await unit.downloads.add("other", URL)
    assert look("SELECT id FROM sessions ORDER BY id") == [("other",), ("s",)]


async def test_many_adds_for_one_new_session_at_once_all_succeed(
    database: Database, look: Look
) -> None:
    await asyncio.gather(*(database.downloads.add("new", f"{URL}{n}") for n in range(64)))
    assert look("SELECT count(*) FROM sessions") == [(1,)]
    assert await database.downloads.queue_depth() == 64


async def test_a_playlist_is_added_in_its_order(database: Database) -> None:
    urls = [f"https://example.org/{number % 7}" for number in range(50)]
    added = await database.downloads.add_many(
        "s", (url for url in urls), format_id="best", quality="1080p", output_template="t"
    )
    assert [download.url for download in added] == urls
    assert [download.id for download in added] == sorted(download.id for download in added)
    assert await database.downloads.list_for_session("s") == added
    for download in added:
        assert (download.format_id, download.quality, download.output_template) == (
            "best",
            "1080p",
            "t",
        )
        assert (download.status, download.created_at) == ("queued", START)


@pytest.mark.parametrize("position", [0, 5, 9])
@pytest.mark.parametrize(("bad", "error"), [(None, ConstraintError), ("\ud800", ValueError)])
async def test_one_bad_url_of_a_playlist_leaves_nothing_of_it(
    position: int, bad: Any, error: type[Exception], database: Database, look: Look
) -> None:
    urls: list[Any] = [URL] * 10
    urls[position] = bad
    with pytest.raises(error):
        await database.downloads.add_many("new", urls)
    assert look("SELECT count(*) FROM sessions") == [(0,)]
    assert look("SELECT count(*) FROM downloads") == [(0,)]


async def test_urls_that_break_off_leave_nothing(database: Database, look: Look) -> None:
    def urls() -> Iterator[str]:
        yield URL
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await database.downloads.add_many("new", urls())
    assert look("SELECT count(*) FROM sessions") == [(0,)]


async def test_an_empty_playlist_adds_nothing(database: Database) -> None:
    assert await database.downloads.add_many("s", []) == []
    assert await database.downloads.queue_depth() == 0


# Progress, the hot path


@pytest.mark.parametrize("status", ACTIVE)
async def test_progress_is_noted_and_makes_an_active_download_downloading(
    status: str, database: Database, clock: FrozenClock
) -> None:
    before = await download_that_is(status, database)
    now = clock.advance(5)
    assert (
        await database.downloads.progress(before.id, 12.5, speed="2 MiB/s", eta="1:00:00") is True
    )
    after = await database.downloads.get(before.id)
    assert after.status is DownloadStatus.DOWNLOADING
    assert (after.progress_percent, after.speed, after.eta) == (12.5, "2 MiB/s", "1:00:00")
    assert after.started_at == (now if status == "queued" else START)
    assert after.completed_at is None
    assert after.filename == before.filename


@every_finished
async def test_a_finished_download_ignores_late_progress(status: str, database: Database) -> None:
    ended = await download_that_is(status, database)
    assert await database.downloads.progress(ended.id, 99, speed="x", filename="late") is False
    assert await database.downloads.get(ended.id) == ended


async def test_progress_of_a_missing_download_is_false(database: Database) -> None:
    assert await database.downloads.progress(uuid4(), 50) is False


@pytest.mark.parametrize(
    ("percent", "stored"), [(-0.001, 0), (100.001, 100), (-1, 0), (3852, 100), (1e300, 100)]
)
async def test_progress_outside_0_to_100_is_cut(
    percent: float, stored: float, database: Database
) -> None:
    download = await download_that_is("downloading", database)
    assert await database.downloads.progress(download.id, percent, speed="x", filesize=1234.6)
    after = await database.downloads.get(download.id)
    assert (after.progress_percent, after.speed, after.filesize) == (stored, "x", 1235)


@pytest.mark.parametrize("percent", [0, 0.0, 100, 99.99])
async def test_progress_from_0_to_100_is_taken(percent: float, database: Database) -> None:
    download = await database.downloads.add("s", URL)
    assert await database.downloads.progress(download.id, percent) is True
    assert (await database.downloads.get(download.id)).progress_percent == percent


@pytest.mark.parametrize("percent", [NAN, INFINITY, -INFINITY])
async def test_progress_that_is_no_number_is_a_value_error(
    percent: float, database: Database
) -> None:
    download = await database.downloads.add("s", URL)
    with pytest.raises(ValueError, match="percent"):
        await database.downloads.progress(download.id, percent)


async def test_progress_may_go_back(database: Database) -> None:
    """A file has an audio and a video part, and each counts from 0."""
    download = await download_that_is("downloading", database)
    assert await database.downloads.progress(download.id, 1)
    assert (await database.downloads.get(download.id)).progress_percent == 1


async def test_speed_and_eta_are_what_is_passed_and_the_file_stays_when_unset(
    database: Database,
) -> None:
    download = await database.downloads.add("s", URL)
    progress = database.downloads.progress
    await progress(download.id, 1, speed="s", eta="e", filename="f", filesize=0)
    await progress(download.id, 2)
    after = await database.downloads.get(download.id)
    assert (after.speed, after.eta, after.filename, after.filesize) == (None, None, "f", 0)
    await progress(download.id, 3, speed="", eta="", filename="", filesize=9)
    after = await database.downloads.get(download.id)
    assert (after.speed, after.eta, after.filename, after.filesize) == ("", "", "", 9)
    await progress(download.id, 4, filename=None, filesize=None)
    after = await database.downloads.get(download.id)
    assert (after.filename, after.filesize) == (None, None)


async def test_text_that_reads_null_is_text(database: Database) -> None:
    download = await database.downloads.add("null", "null", quality="null")
    await database.downloads.progress(download.id, 1, speed="null", eta="null", filename="null")
    after = await database.downloads.get(download.id)
    assert (after.session_id, after.url, after.quality) == ("null", "null", "null")
    assert (after.speed, after.eta, after.filename) == ("null", "null", "null")


async def test_a_negative_size_is_refused(database: Database) -> None:
    download = await database.downloads.add("s", URL)
    with pytest.raises(ConstraintError) as caught:
        await database.downloads.progress(download.id, 1, filesize=-1)
    assert (caught.value.kind, caught.value.constraint) == ("check", "downloads_filesize")


async def test_progress_is_one_statement(
    path: Path, journal: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with reelbase.connect(path, journal=journal, slow_query=0) as database:
        download = await database.downloads.add("s", URL)
        ended = await download_that_is("cancelled", database)
        with caplog.at_level(logging.INFO, "reelbase.sql"):
            for id in (download.id, ended.id, uuid4()):
                caplog.clear()
                await database.downloads.progress(id, 1, speed="s", eta="e", filename="f")
                (record,) = [r for r in caplog.records if r.name == "reelbase.sql"]
                assert "SELECT" not in record.getMessage()
                assert "RETURNING" not in record.getMessage()


def test_progress_writes_no_index() -> None:
    """Only the row: a report comes for every chunk, and each index is a page more for the log."""
    progress = DownloadRepository._progress
    nothing = dict.fromkeys(progress.parameters)
    with closing(sqlite3.connect(":memory:")) as plain:
        plain.executescript(reelbase.schema_sql())
        program = plain.execute("EXPLAIN " + progress.sql, nothing).fetchall()
    # The trigger's own steps follow, with addresses from 0 again.
    length = next(n for n, row in enumerate(program) if n and row[0] == 0)
    codes = [row[1] for row in program[:length]]
    assert {"Insert", "Program"} <= set(codes)
    assert {"IdxInsert", "IdxDelete"}.isdisjoint(codes)


@pytest.mark.parametrize("status", ["queued", "extracting"])
async def test_own_sql_that_sets_the_status_gets_the_status_it_sets(
    status: str, database: Database
) -> None:
    ended = await download_that_is("failed", database)
    again = """
        UPDATE downloads
        SET status = :status, progress_percent = 0, error_message = NULL, completed_at = NULL
        WHERE id = :id
    """
    assert await database.execute(again, {"id": str(ended.id), "status": status}) == 1
    assert (await database.downloads.get(ended.id)).status == status


async def test_progress_does_not_wait_for_the_disk(
    database: Database, journal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    download = await database.downloads.add("s", URL)
    levels: list[object] = []

    def note(native: sqlite3.Connection, name: str, value: int | str) -> None:
        levels.append(value)
        set_pragma(native, name, value)

    monkeypatch.setattr(writer, "set_pragma", note)
    await database.downloads.progress(download.id, 1)
    await database.downloads.progress(download.id, 2)
    await database.downloads.complete(download.id)
    # synchronous: 1 is NORMAL, 2 is FULL. A rollback journal stays at EXTRA.
    assert levels == ([1, 2] if journal == "wal" else [])


async def test_64_at_once_each_get_their_own_progress(database: Database) -> None:
    added = await database.downloads.add_many("s", [f"{URL}{n}" for n in range(64)])
    for step in (1, 2):
        results = await asyncio.gather(
            *(
                database.downloads.progress(download.id, n * step / 2, speed=str(n))
                for n, download in enumerate(added)
            )
        )
        assert results == [True] * 64
    for n, download in enumerate(await database.downloads.list_for_session("s")):
        assert (download.progress_percent, download.speed) == (n, str(n))
        assert download.status == "downloading"


async def test_one_bad_progress_among_64_harms_no_other(database: Database) -> None:
    added = await database.downloads.add_many("s", [URL] * 64)
    results = await asyncio.gather(
        *(
            database.downloads.progress(download.id, n, filesize=-1 if n == 31 else n)
            for n, download in enumerate(added)
        ),
        return_exceptions=True,
    )
    assert isinstance(results.pop(31), ConstraintError)
    assert results == [True] * 63
    assert (await database.downloads.get(added[31].id)).status == "queued"


async def test_progress_works_inside_a_unit(database: Database) -> None:
    download = await database.downloads.add("s", URL)
    async with database.transaction() as unit:
        assert await unit.downloads.progress(download.id, 50) is True
        assert (await unit.downloads.get(download.id)).progress_percent == 50
        await unit.rollback()
    assert await database.downloads.get(download.id) == download


# Races: a cancel stays


@pytest.mark.parametrize("late", ["progress", "complete", "fail", "start"])
async def test_a_worker_cannot_undo_a_cancel(late: str, database: Database) -> None:
    """Whoever comes first wins; a cancelled download is never seen in another state again."""
    for round_number in range(12):
        download = await database.downloads.add("s", URL)

        async def work(id: UUID = download.id, delay: int = round_number % 4) -> str:
            for _ in range(delay):
                await asyncio.sleep(0)
            try:
                if late == "progress":
                    return str(await database.downloads.progress(id, 77))
                if late == "complete":
                    return (await database.downloads.complete(id)).status
                if late == "fail":
                    return (await database.downloads.fail(id, "late")).status
                return (await database.downloads.start(id)).status
            except InvalidTransitionError:
                return "refused"

        async def cancel(id: UUID = download.id, delay: int = round_number % 3) -> str:
            for _ in range(delay):
                await asyncio.sleep(0)
            try:
                return (await database.downloads.cancel(id)).status
            except InvalidTransitionError:
                return "refused"

        jobs = [work(), cancel()] if round_number % 2 else [cancel(), work()]
        outcomes = await asyncio.gather(*jobs)
        worked, cancelled = outcomes if round_number % 2 else outcomes[::-1]
        after = await database.downloads.get(download.id)
        if late in ("complete", "fail"):
            assert (worked == "refused") != (cancelled == "refused")
            assert after.status == (worked if cancelled == "refused" else "cancelled")
        else:
            assert cancelled == "cancelled"
            assert after.status == "cancelled"
            assert worked in ("True", "False", "downloading", "refused")
        assert after.completed_at == START


async def test_two_ends_at_once_are_one(database: Database) -> None:
    for _ in range(5):
        download = await download_that_is("downloading", database)
        results = await asyncio.gather(
            *(VERBS[verb](database.downloads, download.id) for verb in ("complete", "fail") * 8),
            *(VERBS["cancel"](database.downloads, download.id) for _ in range(8)),
            return_exceptions=True,
        )
        won = [result for result in results if isinstance(result, Download)]
        assert won == [await database.downloads.get(download.id)]
        assert len([r for r in results if isinstance(r, InvalidTransitionError)]) == 23


async def test_another_connections_cancel_is_not_overwritten(
    database: Database, path: Path, journal: Any, clock: FrozenClock
) -> None:
    download = await download_that_is("downloading", database)
    async with reelbase.connect(path, journal=journal, clock=clock) as other:
        await other.downloads.cancel(download.id)
    assert await database.downloads.progress(download.id, 80) is False
    with pytest.raises(InvalidTransitionError):
        await database.downloads.complete(download.id)
    assert (await database.downloads.get(download.id)).status == "cancelled"


# Lists and counts


async def test_a_sessions_downloads_are_listed_oldest_first(
    database: Database, clock: FrozenClock
) -> None:
    expected = []
    for number in range(12):
        if number % 3 == 0:
            clock.advance(1)  # ties in between
        expected.append(await database.downloads.add("s", f"{URL}{number}"))
        await database.downloads.add("other", URL)
    assert await database.downloads.list_for_session("s") == expected
    assert await database.downloads.list_for_session("s", active_only=True) == expected
    assert await database.downloads.list_for_session("nobody") == []


async def test_ids_that_the_caller_chose_do_not_change_the_order(
    database: Database, clock: FrozenClock
) -> None:
    ids = [UUID(int=n) for n in (5, 3, 4, 1, 2)]
    for number, id in enumerate(ids):
        if number in (0, 2, 4):
            clock.advance(1)
        await database.downloads.add("s", URL, id=id)
    oldest_first = [UUID(int=n) for n in (3, 5, 1, 4, 2)]
    listed = await database.downloads.list_for_session("s")
    assert [download.id for download in listed] == oldest_first
    listed = await database.downloads.list()
    assert [download.id for download in listed] == oldest_first[::-1]
    listed = await database.downloads.list(active_only=True)
    assert [download.id for download in listed] == oldest_first[::-1]


async def test_active_only_leaves_the_finished_ones_out(database: Database) -> None:
    made = {status: await download_that_is(status, database) for status in EVERY}
    active = [made[status] for status in ACTIVE]
    assert await database.downloads.list_for_session("s", active_only=True) == active
    assert await database.downloads.list(active_only=True) == active[::-1]
    assert await database.downloads.list() == list(made.values())[::-1]
    assert await database.downloads.list_for_session("s") == list(made.values())


@pytest.mark.long
@pytest.mark.parametrize("active_only", [True, False])
async def test_paging_visits_every_download_once(
    active_only: bool, database: Database, clock: FrozenClock
) -> None:
    for number in range(23):
        clock.advance(number % 2)
        await download_that_is(EVERY[number % 6], database, session_id=str(number % 3))
    whole = await database.downloads.list(active_only=active_only, limit=None)
    assert len(whole) == (12 if active_only else 23)
    assert whole == sorted(whole, key=lambda d: (d.created_at, str(d.id)), reverse=True)
    pages = []
    for offset in range(0, 30, 5):
        pages += await database.downloads.list(active_only=active_only, limit=5, offset=offset)
    assert pages == whole
    assert await database.downloads.list(active_only=active_only, limit=0) == []
    for wrong in ({"limit": -1}, {"offset": -1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            await database.downloads.list(active_only=active_only, **wrong)


async def test_a_list_is_100_long_unless_asked_otherwise(database: Database) -> None:
    await database.downloads.add_many("s", [URL] * 101)
    assert len(await database.downloads.list()) == 100
    assert len(await database.downloads.list(limit=None)) == 101
    assert len(await database.downloads.list_for_session("s")) == 101


async def test_counts_hold_only_what_occurs_and_the_depth_is_what_is_active(
    database: Database,
) -> None:
    assert await database.downloads.counts_by_status() == {}
    assert await database.downloads.queue_depth() == 0
    for number, status in enumerate(EVERY):
        for _ in range(number + 1):
            await download_that_is(status, database)
    counts = await database.downloads.counts_by_status()
    assert counts == {status: number + 1 for number, status in enumerate(EVERY)}
    assert all(type(status) is DownloadStatus for status in counts)
    assert await database.downloads.queue_depth() == 1 + 2 + 3
    await database.downloads.recover(queued=True)
    assert await database.downloads.counts_by_status() == {
        "completed": 4,
        "failed": 5 + 6,
        "cancelled": 6,
    }
    assert await database.downloads.queue_depth() == 0


def test_a_status_equals_its_text() -> None:
    assert [str(status) for status in DownloadStatus] == list(EVERY)
    assert [status.value for status in DownloadStatus if status.is_active] == list(ACTIVE)


async def test_a_download_is_a_json_object_and_comes_back_from_it(database: Database) -> None:
    for status in EVERY:
        download = await download_that_is(status, database)
        encoded = msgspec.json.encode(download)
        assert msgspec.json.decode(encoded)["status"] == status
        assert msgspec.json.decode(encoded, type=Download) == download


@pytest.mark.parametrize("id", ["", "x", "0189", 7, None])
async def test_a_malformed_id_is_a_value_error(id: Any, database: Database) -> None:
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: database.downloads.get(id),
        lambda: database.downloads.find(id),
        lambda: database.downloads.start(id),
        lambda: database.downloads.progress(id, 1),
        lambda: database.downloads.complete(id),
        lambda: database.downloads.fail(id, "m"),
        lambda: database.downloads.cancel(id),
        lambda: database.downloads.delete(id),
        lambda: database.downloads.retry(id),
        lambda: database.downloads.heartbeat(id, "w"),
        lambda: database.downloads.release(id, "w"),
        lambda: database.downloads.list_children(id),
        lambda: database.downloads.add_many("s", [URL], ids=[id]),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="UUID"):
            await call()


# Deleting


@every_status
async def test_a_download_is_deleted_in_every_state(status: str, database: Database) -> None:
    download = await download_that_is(status, database)
    assert await database.downloads.delete(download_id=download.id) is True
    assert await database.downloads.find(download.id) is None
    with pytest.raises(RecordNotFoundError):
        await database.downloads.get(download.id)
    with pytest.raises(RecordNotFoundError):
        await database.downloads.delete(download.id)
    assert await database.downloads.delete(download.id, missing_ok=True) is False
    assert await database.sessions.find("s") is not None


async def test_downloads_go_with_their_session_and_no_other(database: Database) -> None:
    for status in EVERY:
        await download_that_is(status, database, session_id="gone")
    kept = await download_that_is("completed", database, session_id="kept")
    await database.sessions.delete("gone")
    assert await database.downloads.list() == [kept]


# Recovering: more in test_download_queue.py


async def test_recover_ends_what_ran_without_a_lease_and_nothing_else(
    database: Database, clock: FrozenClock
) -> None:
    made = {status: await download_that_is(status, database) for status in EVERY}
    now = clock.advance(60)
    assert await database.downloads.recover() == 2
    for status, before in made.items():
        after = await database.downloads.get(before.id)
        if status not in ("extracting", "downloading"):
            assert after == before
            continue
        assert after.status == "failed"
        assert after.error_message == "interrupted by server restart"
        assert after.completed_at == now
        assert (after.speed, after.eta) == (None, None)
        assert after.progress_percent == before.progress_percent
        assert after.started_at == before.started_at
    assert await database.downloads.recover() == 0


async def test_recover_also_ends_what_waits_where_the_queue_was_in_memory(
    database: Database, clock: FrozenClock
) -> None:
    made = {status: await download_that_is(status, database) for status in EVERY}
    now = clock.advance(60)
    assert await database.downloads.recover(queued=True) == 3
    for status in ACTIVE:
        after = await database.downloads.get(made[status].id)
        assert (after.status, after.completed_at) == ("failed", now)
        assert after.error_message == "interrupted by server restart"
    for status in FINISHED:
        assert await database.downloads.get(made[status].id) == made[status]


async def test_recover_takes_a_message_of_ones_own(database: Database) -> None:
    download = await download_that_is("downloading", database)
    assert await database.downloads.recover(message="power cut") == 1
    assert (await database.downloads.get(download.id)).error_message == "power cut"


# Purging


async def test_a_purge_takes_every_kind_of_end_and_says_what_to_unlink(
    database: Database, clock: FrozenClock
) -> None:
    made = {status: await download_that_is(status, database) for status in EVERY}
    clock.advance(10.001)
    report = await database.downloads.purge(timedelta(seconds=10))
    assert report == PurgeReport(
        deleted=[PurgedDownload(made[status].id, "a.mkv") for status in FINISHED],
        active_skipped=3,
        sessions_deleted=0,
    )
    assert await database.downloads.list() == [made[status] for status in ACTIVE[::-1]]
    again = await database.downloads.purge(timedelta(seconds=10))
    assert again == PurgeReport(deleted=[], active_skipped=3, sessions_deleted=0)


async def test_what_never_had_a_file_is_named_without_one(
    database: Database, clock: FrozenClock
) -> None:
    download = await database.downloads.add("s", URL)
    await database.downloads.cancel(download.id)
    report = await database.downloads.purge(None)
    assert report.deleted == [PurgedDownload(download.id, None)]


async def test_the_cut_of_a_purge_is_exact(database: Database, clock: FrozenClock) -> None:
    ended = await download_that_is("failed", database)
    clock.advance(60)
    kept = await database.downloads.purge(timedelta(seconds=60))  # completed at the cut
    assert kept.deleted == []
    clock.advance(0.001)
    gone = await database.downloads.purge(timedelta(seconds=60))
    assert [purged.id for purged in gone.deleted] == [ended.id]


async def test_a_purge_goes_by_the_end_not_by_the_beginning(
    database: Database, clock: FrozenClock
) -> None:
    download = await database.downloads.add("s", URL)
    clock.advance(3600)
    await database.downloads.complete(download.id)
    assert (await database.downloads.purge(timedelta(minutes=1))).deleted == []


async def test_a_purge_reaches_beyond_the_calendar(database: Database) -> None:
    await download_that_is("failed", database)
    assert (await database.downloads.purge(timedelta.max)).deleted == []


async def test_a_recovered_download_is_purged_too(database: Database, clock: FrozenClock) -> None:
    """The original never stamped the end of a failed download, and so kept it for ever."""
    downloads = [await download_that_is(status, database) for status in ACTIVE]
    await database.downloads.recover(queued=True)
    clock.advance(1)
    report = await database.downloads.purge(timedelta(0))
    assert [purged.id for purged in report.deleted] == [download.id for download in downloads]


async def test_a_purge_names_the_oldest_first(database: Database, clock: FrozenClock) -> None:
    added = await database.downloads.add_many("s", [URL] * 40)
    for download in added[::-1]:
        clock.advance(0.001)
        await database.downloads.complete(download.id)
    expected = [download.id for download in added]
    clock.advance(1)
    report = await database.downloads.purge(timedelta(0))
    assert [purged.id for purged in report.deleted] == expected


async def test_a_purge_of_all_takes_the_sessions_that_then_have_none(database: Database) -> None:
    await database.sessions.ensure("never had any")
    for status in FINISHED:
        await download_that_is(status, database, session_id="all finished")
        await download_that_is(status, database, session_id="one active")
    active = await download_that_is("queued", database, session_id="one active")
    report = await database.downloads.purge(None)
    assert len(report.deleted) == 6
    assert (report.active_skipped, report.sessions_deleted) == (1, 2)
    assert [session.id for session in await database.sessions.list()] == ["one active"]
    assert await database.downloads.list() == [active]


async def test_a_purge_by_age_leaves_the_sessions(database: Database, clock: FrozenClock) -> None:
    await download_that_is("completed", database)
    clock.advance(10)
    report = await database.downloads.purge(timedelta(0))
    assert (len(report.deleted), report.sessions_deleted) == (1, 0)
    assert await database.sessions.count() == 1


@pytest.mark.long
async def test_two_purges_at_once_name_every_file_once(
    database: Database, path: Path, journal: Any, clock: FrozenClock
) -> None:
    for number in range(30):
        download = await database.downloads.add("s", URL)
        await database.downloads.complete(download.id, filename=str(number))
    async with reelbase.connect(path, journal=journal, clock=clock) as other:
        reports = await asyncio.gather(
            *(holder.downloads.purge(None) for holder in (database, other) * 3)
        )
    named = [purged.filename for report in reports for purged in report.deleted]
    assert sorted(named, key=int) == [str(number) for number in range(30)]  # type: ignore[arg-type]
    assert sum(report.sessions_deleted for report in reports) == 1


async def test_a_purge_that_is_rolled_back_deleted_nothing(database: Database) -> None:
    ended = await download_that_is("completed", database)
    async with database.transaction() as unit:
        assert len((await unit.downloads.purge(None)).deleted) == 1
        await unit.rollback()
    assert await database.downloads.list() == [ended]
    assert await database.sessions.count() == 1


async def test_an_idle_session_goes_with_its_downloads_which_are_named(
    database: Database, clock: FrozenClock
) -> None:
    ended = [await download_that_is(status, database, session_id="idle") for status in FINISHED]
    await database.sessions.ensure("idle and empty")
    busy = [
        await download_that_is(status, database, session_id="idle but busy")
        for status in ("extracting", "completed")
    ]
    clock.advance(60.001)
    fresh = await download_that_is("completed", database, session_id="fresh")
    report = await database.downloads.purge_idle(timedelta(seconds=60))
    assert report == PurgeReport(
        deleted=[PurgedDownload(download.id, "a.mkv") for download in ended],
        active_skipped=1,
        sessions_deleted=2,
    )
    assert {session.id for session in await database.sessions.list()} == {"idle but busy", "fresh"}
    assert await database.downloads.list() == [fresh, *busy[::-1]]


@every_active
async def test_a_session_with_an_active_download_is_never_idle(
    status: str, database: Database, clock: FrozenClock
) -> None:
    active = await download_that_is(status, database)
    clock.advance(10**8)
    report = await database.downloads.purge_idle(timedelta(0))
    assert report == PurgeReport(deleted=[], active_skipped=1, sessions_deleted=0)
    assert await database.downloads.list() == [active]


async def test_the_cut_of_an_idle_purge_is_exact(database: Database, clock: FrozenClock) -> None:
    await database.sessions.ensure("s")
    clock.advance(60)
    assert (await database.downloads.purge_idle(timedelta(seconds=60))).sessions_deleted == 0
    clock.advance(0.001)
    assert (await database.downloads.purge_idle(timedelta(seconds=60))).sessions_deleted == 1


@pytest.mark.long
async def test_an_idle_purge_does_what_that_of_the_sessions_does(
    path: Path, tmp_path: Path, journal: Any, clock: FrozenClock, template: Path
) -> None:
    copies = [tmp_path / "one.db", tmp_path / "two.db"]
    left = []
    for number, copy in enumerate(copies):
        shutil.copy(template, copy)
        clock.now = datetime(2026, 1, 31, tzinfo=UTC)
        async with reelbase.connect(copy, journal=journal, clock=clock) as database:
            for session_number in range(12):
                clock.advance(1)
                for status in EVERY[session_number % 6 : session_number % 6 + session_number % 3]:
                    await download_that_is(status, database, session_id=str(session_number))
                await database.sessions.ensure(str(session_number))
            if number == 0:
                count = await database.sessions.purge_idle(timedelta(seconds=4))
            else:
                report = await database.downloads.purge_idle(timedelta(seconds=4))
                count = report.sessions_deleted
            sessions = [
                (session.id, session.download_count) for session in await database.sessions.list()
            ]
            left.append((count, sessions))
    assert left[0] == left[1]
    assert left[0][0] > 0
