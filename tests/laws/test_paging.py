"""What every page() promises: each row once, in the documented order, by tokens that outlive their rows."""

from __future__ import annotations

import inspect
import random
import re
import sqlite3
from collections.abc import Awaitable, Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_origin, get_type_hints
from uuid import UUID

import pytest
from samples import (
    COMMENTS,
    DOWNLOADS,
    FILES,
    GENERATIONS,
    JOBS,
    LIBRARY_VIDEOS,
    TRANSCRIPTS,
    VIDEOS,
    Case,
    Owner,
    make_owner,
)
from test_contract import methods_of, repositories_of

import reelbase
from reelbase import Database, InvalidArgumentError, Page
from reelbase.engine.native.functions import create_functions
from reelbase.engine.statements.step import Step
from reelbase.testing.clock import FrozenClock

Add = Callable[[Database, Owner], Awaitable[Any]]
Arguments = Callable[[Owner], dict[str, Any]]


@dataclass(frozen=True)
class Listing:
    """A listing that page() gives.

    add: makes a row of the listing, at the time of the clock.  arguments: the filters.  order: the columns.
    lists: the method that lists the same rows in the same order, or None.
    """

    attribute: str
    table: str
    add: Add
    arguments: Arguments = lambda _owner: {}
    order: tuple[str, ...] = ("created_at", "id")
    newest_first: bool = True
    lists: str | None = None

    def __str__(self) -> str:
        filters = self.arguments(Owner("owner", UUID(int=0)))
        return "-".join([self.attribute, *(f"{name}={value}" for name, value in filters.items())])

    async def page(self, database: Database, owner: Owner, **more: Any) -> Page[Any]:
        page: Page[Any] = await getattr(database, self.attribute).page(
            **self.arguments(owner), **more
        )
        return page

    async def walk(self, database: Database, owner: Owner, limit: int) -> list[Page[Any]]:
        """All pages, by their tokens."""
        pages = [await self.page(database, owner, limit=limit)]
        while pages[-1].next is not None:
            pages.append(await self.page(database, owner, limit=limit, after=pages[-1].next))
        return pages

    def in_order(self, records: list[Any]) -> list[Any]:
        def key(record: Any) -> list[Any]:
            values = [getattr(record, name) for name in self.order]
            return [str(value) if isinstance(value, UUID) else value for value in values]

        return sorted(records, key=key, reverse=self.newest_first)

    async def delete(self, database: Database, record: Any) -> None:
        sql = f"DELETE FROM {self.table} WHERE id = :id"
        assert await database.execute(sql, {"id": record.id}) == 1


def of_profile(owner: Owner) -> dict[str, Any]:
    return {"profile_id": owner.profile_id}


def of_all(**filters: Any) -> Arguments:
    return lambda _owner: filters


def of_profile_and(**filters: Any) -> Arguments:
    return lambda owner: of_profile(owner) | filters


def of_session(owner: Owner) -> dict[str, Any]:
    return {"session_id": owner.session_id}


def by(case: Case) -> Add:
    async def add(database: Database, owner: Owner) -> Any:
        return await case.add(database, owner)

    return add


async def add_segment(database: Database, owner: Owner) -> Any:
    """Three at each second, the later ones before the earlier ones."""
    if not await database.transcripts.find(owner.file_id):
        await database.transcripts.add(owner.profile_id, owner.file_id, "t", id=owner.file_id)
    count = await database.segments.count(owner.file_id)
    await database.execute(
        "INSERT INTO transcript_segments (transcript_id, start_time, end_time, text)"
        " VALUES (:transcript_id, :start, 1000.0, 't')",
        {"transcript_id": owner.file_id, "start": 100.0 - count // 3},
    )


async def add_timeline_clip(database: Database, owner: Owner) -> Any:
    """Three at each place, the later ones before the earlier ones."""
    track = await database.timeline_tracks.find(1) or await database.timeline_tracks.add(
        owner.project_id, "audio", overlap="any"
    )
    count = await database.timeline_clips.count_for_track(track.id)
    return await database.timeline_clips.add(track.id, 9000 - count // 3, 5, generator="g")


async def add_notification(database: Database, owner: Owner) -> Any:
    return await database.notifications.push(owner.profile_id, "info", "title")


async def add_cancelled_job(database: Database, owner: Owner) -> Any:
    job = await JOBS.add(database, owner)
    return await database.jobs.cancel(job.id)


async def add_entry(database: Database, owner: Owner) -> Any:
    return await database.audit.log_create("shelf", owner.profile_id)


LISTINGS = (
    Listing("files", "files", by(FILES), of_profile, lists="list_for_profile"),
    Listing("files", "files", by(FILES), of_profile_and(type="video")),
    Listing("videos", "videos", by(VIDEOS), lists="list"),
    Listing("video_library", "library_videos", by(LIBRARY_VIDEOS), lists="list"),
    Listing(
        "timeline_clips",
        "timeline_clips",
        add_timeline_clip,
        lambda _owner: {"track_id": 1},
        order=("position", "id"),
        newest_first=False,
        lists=None,
    ),
    Listing(
        "segments",
        "transcript_segments",
        add_segment,
        lambda owner: {"transcript_id": owner.file_id},
        order=("start_time", "id"),
        newest_first=False,
        lists="list_for_transcript",
    ),
    *(
        Listing("transcripts", "transcripts", by(TRANSCRIPTS), arguments, lists="list_for_profile")
        for arguments in (of_profile, of_profile_and(load_file=True))
    ),
    *(
        Listing(
            "notifications",
            "notifications",
            add_notification,
            arguments,
            order=("updated_at", "id"),
            lists="list_for_profile",
        )
        for arguments in (of_profile, of_profile_and(unread_only=True))
    ),
    Listing("jobs", "jobs", by(JOBS), lists="list"),
    Listing("jobs", "jobs", by(JOBS), of_all(active_only=True), lists="list"),
    Listing("jobs", "jobs", by(JOBS), of_profile, lists="list_for_profile"),
    Listing("jobs", "jobs", by(JOBS), of_profile_and(active_only=True), lists="list_for_profile"),
    Listing("jobs", "jobs", by(JOBS), of_profile_and(status="queued")),
    Listing("jobs", "jobs", by(JOBS), of_profile_and(type="transcribe")),
    Listing("jobs", "jobs", add_cancelled_job, of_all(status="cancelled")),
    Listing("jobs", "jobs", add_cancelled_job, of_profile_and(status="cancelled")),
    Listing("generations", "generations", by(GENERATIONS), lists="list"),
    Listing("generations", "generations", by(GENERATIONS), of_all(status="pending"), lists="list"),
    Listing("downloads", "downloads", by(DOWNLOADS), lists="list"),
    Listing("downloads", "downloads", by(DOWNLOADS), of_all(active_only=True), lists="list"),
    Listing("downloads", "downloads", by(DOWNLOADS), of_session),
    Listing(
        "downloads",
        "downloads",
        by(DOWNLOADS),
        lambda owner: of_session(owner) | {"active_only": True},
    ),
    Listing("comments", "file_comments", by(COMMENTS), of_profile, order=("id",)),
    Listing("audit", "audit_log", add_entry, order=("timestamp", "id"), lists="list"),
    Listing(
        "audit",
        "audit_log",
        add_entry,
        lambda owner: {"entity_type": "shelf", "entity_id": owner.profile_id},
        order=("timestamp", "id"),
        lists="get_history",
    ),
)
every_listing = pytest.mark.parametrize("listing", LISTINGS, ids=str)


@pytest.fixture
async def owner(database: Database) -> Owner:
    return await make_owner(database)


def test_every_page_of_a_repository_is_among_the_listings() -> None:
    found = {
        name
        for name, repository in repositories_of(Database).items()
        if "page" in methods_of(repository)
    }
    # What these list has no id of its own: test_collections.py and test_project_versions.py in
    # tests/repositories have their promises.
    without_id = {"collections", "project_versions"}
    assert found == {listing.attribute for listing in LISTINGS} | without_id


@every_listing
@pytest.mark.parametrize("seconds", [0, 1], ids=["ties", "forwards"])
async def test_a_walk_by_tokens_visits_each_row_once_in_order(
    listing: Listing, seconds: int, database: Database, owner: Owner, clock: FrozenClock
) -> None:
    for _ in range(11):
        clock.advance(seconds)
        await listing.add(database, owner)
    everything = await listing.page(database, owner, limit=None)
    assert len(everything) >= 11
    assert everything.next is None
    assert everything == listing.in_order(everything)
    for limit in range(1, len(everything) + 2):
        pages = await listing.walk(database, owner, limit)
        assert [record for page in pages for record in page] == everything
        assert all(len(page) == limit for page in pages[:-1])
        assert 1 <= len(pages[-1]) <= limit


@pytest.mark.parametrize("listing", [each for each in LISTINGS if each.lists], ids=str)
async def test_pages_hold_what_the_list_holds(
    listing: Listing, database: Database, owner: Owner
) -> None:
    bob = await make_owner(database, "bob")
    for other in LISTINGS:
        await other.add(database, owner)
        await other.add(database, bob)
    method = getattr(getattr(database, listing.attribute), str(listing.lists))
    unlimited = {"limit": None} if "limit" in inspect.signature(method).parameters else {}
    everything = await method(**listing.arguments(owner), **unlimited)
    pages = await listing.walk(database, owner, 2)
    assert len(everything) >= 1
    assert [record for page in pages for record in page] == everything


@every_listing
async def test_a_token_and_the_last_record_give_the_same_next_page(
    listing: Listing, database: Database, owner: Owner
) -> None:
    for _ in range(7):
        await listing.add(database, owner)
    for limit in range(1, 7):
        page = await listing.page(database, owner, limit=limit)
        by_token = await listing.page(database, owner, limit=3, after=page.next)
        by_record = await listing.page(database, owner, limit=3, after=page[-1])
        assert (by_token, by_token.next) == (by_record, by_record.next)
        assert by_token


@every_listing
async def test_a_token_outlives_its_row_and_what_comes_and_goes(
    listing: Listing, database: Database, owner: Owner, clock: FrozenClock
) -> None:
    for _ in range(9):
        await listing.add(database, owner)
    everything = await listing.page(database, owner, limit=None)
    page = await listing.page(database, owner, limit=4)
    await listing.delete(database, page[-1])
    await listing.delete(database, page[0])
    await listing.delete(database, everything[6])
    clock.advance(1)
    await listing.add(database, owner)  # before the place
    rest = await listing.page(database, owner, limit=None, after=page.next)
    assert rest == [*everything[4:6], *everything[7:]]


@every_listing
async def test_a_listing_of_nothing_has_no_next_page(listing: Listing, database: Database) -> None:
    page = await listing.page(database, Owner("nobody", UUID(int=1)))
    assert (page, page.next) == ([], None)
    assert isinstance(page, Page)


@every_listing
async def test_an_empty_page_has_no_next_one(
    listing: Listing, database: Database, owner: Owner
) -> None:
    await listing.add(database, owner)
    page = await listing.page(database, owner, limit=0)
    assert (page, page.next) == ([], None)


@every_listing
async def test_the_largest_limit_is_no_error(
    listing: Listing, database: Database, owner: Owner
) -> None:
    await listing.add(database, owner)
    page = await listing.page(database, owner, limit=2**63 - 1)
    assert (page, page.next) == (await listing.page(database, owner, limit=None), None)
    with pytest.raises(InvalidArgumentError, match=r"page: limit: must be 0 or more, not -1"):
        await listing.page(database, owner, limit=-1)


async def tokens_of(database: Database, owner: Owner) -> list[str]:
    """One of each listing."""
    tokens = []
    for listing in LISTINGS:
        await listing.add(database, owner)
        await listing.add(database, owner)
        page = await listing.page(database, owner, limit=1)
        assert page.next is not None
        tokens.append(page.next)
    return tokens


async def test_a_token_is_short_and_fits_into_a_url(database: Database, owner: Owner) -> None:
    for token in await tokens_of(database, owner):
        assert re.fullmatch(r"1[A-Za-z0-9_-]{10,120}", token)


async def test_a_token_of_another_listing_is_refused(database: Database, owner: Owner) -> None:
    bob = await make_owner(database, "bob")
    tokens = await tokens_of(database, owner)
    for asked in LISTINGS:
        for token, given in zip(tokens, LISTINGS, strict=True):
            if given is asked:
                assert await asked.page(database, owner, after=token)
                continue
            with pytest.raises(
                InvalidArgumentError, match="the token of another listing"
            ) as caught:
                await asked.page(database, owner, after=token)
            assert caught.value.parameter == "after"
        if asked.arguments(owner) != asked.arguments(bob):
            with pytest.raises(InvalidArgumentError, match="the token of another listing"):
                await asked.page(database, bob, after=tokens[LISTINGS.index(asked)])


async def test_a_token_is_refused_if_a_single_character_differs(
    database: Database, owner: Owner
) -> None:
    listing, token = LISTINGS[0], (await tokens_of(database, owner))[0]
    alphabet = "ABab01-_=+/ é\0\ud800"
    chance = random.Random(7)
    damaged = [token[:end] for end in range(len(token))]
    damaged += [token + character for character in alphabet]
    for place in range(len(token)):
        damaged += [
            token[:place] + character + token[place + 1 :]
            for character in {*alphabet, chr(ord(token[place]) ^ 1), chance.choice(alphabet)}
            if character != token[place]
        ]
    for text in damaged:
        with pytest.raises(InvalidArgumentError, match=r"FileRepository.page: after: is no token"):
            await listing.page(database, owner, after=text)


@every_listing
async def test_what_is_neither_token_nor_record_is_a_type_error(
    listing: Listing, database: Database, owner: Owner
) -> None:
    for after in (7, object(), b"x", [], owner):
        with pytest.raises(TypeError, match=r"page: after: must be \w+ or the text of a page"):
            await listing.page(database, owner, after=after)


async def test_a_token_goes_on_in_a_copy_of_the_database(
    database: Database, owner: Owner, tmp_path: Path
) -> None:
    listing = LISTINGS[0]
    for _ in range(5):
        await listing.add(database, owner)
    page = await listing.page(database, owner, limit=2)
    rest = await listing.page(database, owner, after=page.next)
    await database.backup(tmp_path / "copy.db")
    async with reelbase.connect(tmp_path / "copy.db") as other:
        assert await listing.page(other, owner, after=page.next) == rest


@every_listing
async def test_a_page_amid_equal_times_costs_what_the_first_one_does(
    listing: Listing, database: Database, owner: Owner, path: Path
) -> None:
    await listing.add(database, owner)
    (row, *_) = await listing.page(database, owner)
    await multiply(database, listing.table, row.id, 900)
    everything = await listing.page(database, owner, limit=None)
    assert len(everything) > 900
    first = operations_of(await step_of(database, listing.page(database, owner, limit=50)), path)
    late = listing.page(database, owner, limit=50, after=everything[-51])
    last = operations_of(await step_of(database, late), path)
    assert await listing.page(database, owner, after=everything[-51], limit=60) == everything[-50:]
    assert 50 < last < 1.5 * first


async def multiply(database: Database, table: str, id: object, count: int) -> None:
    """Makes copies of a row, equal to it but for their ids and unique paths, and without a key that is
    unique."""
    rows = await database.fetch_all(
        tuple[str, str], "SELECT name, type FROM pragma_table_info(:table)", {"table": table}
    )
    columns = [name for name, _ in rows if name not in ("id", "unique_key")]
    values = [
        "printf('%d', number)" if (table, name) == ("library_videos", "path") else name
        for name in columns
    ]
    new_id = "printf('%08x-0000-7000-8000-%012x', number, number)"
    if ("id", "INTEGER") in rows:
        new_id = "NULL"
    await database.execute(
        f"WITH RECURSIVE numbers (number) AS ("
        f"SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < :count)"
        f" INSERT INTO {table} (id, {', '.join(columns)})"
        f" SELECT {new_id}, {', '.join(values)} FROM numbers CROSS JOIN {table} WHERE id = :id",
        {"id": id, "count": count},
    )


async def step_of(database: Database, awaitable: Awaitable[Any]) -> Step[Any]:
    """The one step that a call runs."""
    executor, steps = database._executor, list[Step[Any]]()
    run_one = executor.run_one

    def recorded(step: Step[Any]) -> Awaitable[Any]:
        steps.append(step)
        return run_one(step)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(executor, "run_one", recorded)
        await awaitable
    (step,) = steps
    return step


def operations_of(step: Step[Any], path: Path) -> int:
    """How many operations of SQLite's machine it takes."""
    count = 0

    def counted() -> int:
        nonlocal count
        count += 1
        return 0

    with closing(sqlite3.connect(path)) as native:
        create_functions(native)
        native.set_progress_handler(counted, 1)
        native.execute(step.statement.sql, step.parameters).fetchall()
    return count


# Lists

# Which methods give all of a list at once, and what keeps it short.
AS_A_WHOLE = {
    "ConfigRepository.entries": "one entry for each setting that the application has",
    "DerivedFileRepository.evict": "what it has removed, which is told once",
    "DerivedFileRepository.evictable": "what the next evict() removes",
    "FileProcessingRepository.recover_stuck": "what it has reset, which is told once",
    "FileProcessingRepository.retry_due": "what it has made pending, which is told to one caller",
    "JobRepository.steps": "the steps that one handler names",
    "LlmConfigRepository.list_for_profile": "what a person has set up by hand",
    "PersonRepository.attach_file": "the pictures and voices of one person",
    "ScheduleRepository.add_due": "what it has added, which is told once",
    "SecretsStoreRepository.list": "what a person has set up by hand",
    "SegmentRepository.at": "the segments that overlap at one moment",
    "SpeakerRepository.list_for_file": "the voices of one recording",
    "SummaryPromptRepository.list_for_profile": "what a person has written by hand",
    "SummaryPromptRepository.versions": "what a person has written by hand",
    "TagRepository.attach": "the tags of one file",
    "TagRepository.for_file": "the tags of one file",
}


def lists() -> list[tuple[type, str]]:
    return [
        (repository, method)
        for repository in repositories_of(Database).values()
        for method in methods_of(repository)
        if get_origin(get_type_hints(getattr(repository, method))["return"]) is list
    ]


def bound_of(repository: type, method: str) -> str | None:
    """What tells how long a list may become: a limit, a page of the same rows, or what was passed."""
    names = inspect.signature(getattr(repository, method)).parameters.keys() - {"self"}
    if bounds := names & {"limit", "count"}:
        return bounds.pop()
    filters = names - {"active_only", "load_file"}
    if (
        hasattr(repository, "page")
        and filters <= inspect.signature(repository.page).parameters.keys()
    ):
        return "page"
    hints = get_type_hints(getattr(repository, method))
    many = [name for name in names if get_origin(hints[name]) is Iterable]
    return many[0] if many else None


def test_every_list_has_a_limit_or_a_page_or_is_short() -> None:
    without = {
        f"{repository.__name__}.{method}"
        for repository, method in lists()
        if bound_of(repository, method) is None
    }
    assert without == AS_A_WHOLE.keys()
