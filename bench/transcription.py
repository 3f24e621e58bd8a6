"""The rows of the bench over a transcription service's library: 1,500 files, 3.5 million segments.

The peer runs the library's statements with plain sqlite3. One library serves all rows; what changes
it works on other rows each time, or puts there again what was there.
"""

from __future__ import annotations

import itertools
import random
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

import msgspec

import reelbase
from bench import baselines
from bench.data import PROFILE, Stage
from bench.measuring import OURS, Contender, Row, require_equal
from reelbase import (
    Database,
    FileOrder,
    FileRepository,
    NewSegment,
    Segment,
    SegmentHit,
    SegmentRepository,
    SpeakerRepository,
    TranscriptRepository,
)
from reelbase.engine.ids import MAX_ID
from reelbase.engine.statements.rows import decoder_for
from reelbase.engine.statements.search import match_expression
from reelbase.engine.statements.step import Step
from reelbase.repositories.files.pages import _LAST_KEY, PlacedFile

_SEED = 4
_SPEAKERS = (2, 21)
_PAGE = 500
_GALLERY = 50
_TIMES = 20
_JAPANESE = " 今日の会議は東京で"
_QUERY = "会議 東京"


class _Library(msgspec.Struct, frozen=True):
    """The file, the transcript of the longest recording, and its segments as they were stored.

    speakers, files: what is left to be deleted; two that follow one another are alike.
    """

    path: Path
    transcript_id: UUID
    segments: list[NewSegment]
    speakers: list[int]
    files: list[str]


_LIBRARIES: WeakKeyDictionary[Stage, _Library] = WeakKeyDictionary()


_FILES_BY_LENGTH = """
SELECT transcripts.file_id
FROM transcripts
JOIN transcript_segments ON transcript_segments.transcript_id = transcripts.id
WHERE transcripts.id <> ?
GROUP BY transcripts.file_id
ORDER BY count(*), transcripts.file_id
"""

_SPEAKERS_BY_LENGTH = """
SELECT speaker_id
FROM transcript_segments
WHERE transcript_id <> ?
GROUP BY speaker_id
ORDER BY count(*), speaker_id
"""


class _Words:
    """Texts in which words occur as they do in speech: a few very often, most hardly ever."""

    def __init__(self, rng: random.Random) -> None:
        letters = "abcdefghijklmnopqrstuvwxyz"
        self._rng = rng
        self._words = ["".join(rng.choices(letters, k=rng.randint(2, 9))) for _ in range(20_000)]
        self._weights = list(itertools.accumulate(1 / (rank + 1) for rank in range(20_000)))

    def text(self) -> str:
        return " ".join(self._rng.choices(self._words, cum_weights=self._weights, k=12))


async def _library(stage: Stage) -> _Library:
    """Made by the library at the first call for this stage; some minutes for millions of segments."""
    if stage not in _LIBRARIES:
        path = stage.copy()
        async with reelbase.connect(path, journal="wal", durability="normal") as database:
            _LIBRARIES[stage] = await _fill(database, path, stage)
    return _LIBRARIES[stage]


async def _fill(database: Database, path: Path, stage: Stage) -> _Library:
    rng = random.Random(_SEED)
    words = _Words(rng)
    longest: tuple[UUID, list[NewSegment]] | None = None
    usual = (stage.sizes.longest * 18 // 100, stage.sizes.longest * 54 // 100)
    for number in range(stage.sizes.transcribed):
        file = await database.files.add(PROFILE, f"talk {number}.mp4", f"talks/{number}.mp4")
        tags = [f"tag {tag}" for tag in range(8) if rng.random() < 0.2]
        await database.tags.attach(file.id, *tags, *(["seldom"] if number % 100 == 0 else []))
        transcript = await database.transcripts.add(PROFILE, file.id, "")
        speakers = [
            (await database.speakers.ensure(file.id, f"SPEAKER_{label:02}")).id
            for label in range(rng.randint(*_SPEAKERS))
        ]
        is_longest = number == stage.sizes.transcribed // 2
        segments = [
            NewSegment(
                start_time=index * 2.5,
                end_time=index * 2.5 + 2.4,
                text=words.text() + (_JAPANESE if index % 10 == 0 else ""),
                speaker_id=rng.choice(speakers),
                confidence=0.9,
            )
            for index in range(stage.sizes.longest if is_longest else rng.randint(*usual))
        ]
        await database.segments.replace_all(transcript.id, segments)
        if is_longest:
            longest = (transcript.id, segments)
    assert longest is not None
    files = await database.fetch_all(str, _FILES_BY_LENGTH, [str(longest[0])])
    speakers = await database.fetch_all(int, _SPEAKERS_BY_LENGTH, [str(longest[0])])
    return _Library(path, *longest, speakers, files)


class _Reading(msgspec.Struct, frozen=True):
    """A statement with its parameters, the record it gives, and the same by the library."""

    record: type[msgspec.Struct]
    step: Step[Any]
    ours: Callable[[Database], Awaitable[Any]]


async def _reading(name: str, library: _Library, database: Database) -> _Reading:
    transcript_id = library.transcript_id
    if name == "segments-first":
        return _Reading(
            Segment,
            SegmentRepository._page.all(
                transcript_id=transcript_id, start_time=-1.0, id=0, limit=_PAGE
            ),
            lambda database: database.segments.page(transcript_id, limit=_PAGE),
        )
    if name == "segments-last":
        after = (await database.segments.list_for_transcript(transcript_id))[-_PAGE - 1]
        return _Reading(
            Segment,
            SegmentRepository._page.all(
                transcript_id=transcript_id, start_time=after.start_time, id=after.id, limit=_PAGE
            ),
            lambda database: database.segments.page(transcript_id, after=after, limit=_PAGE),
        )
    if name == "gallery":
        values = database.files._values(PROFILE, {"tags": ["seldom"]}) | {
            "order": "date",
            "driver": "tag",
            "tag": "seldom",
            "few": "[]",
            "least": "",
            "key": _LAST_KEY,
            "id": MAX_ID,
            "limit": _GALLERY,
        }
        page = FileRepository._descending
        return _Reading(
            PlacedFile,
            page.all(**{parameter: values[parameter] for parameter in page.parameters}),
            lambda database: database.files._page_of_places(
                PROFILE, None, _GALLERY, FileOrder.NEWEST, {"tags": ["Seldom"]}
            ),
        )
    return _Reading(
        SegmentHit,
        TranscriptRepository._search.all(
            profile_id=PROFILE, expression=match_expression(_QUERY), limit=_GALLERY, offset=0
        ),
        lambda database: database.transcripts.search(PROFILE, _QUERY, limit=_GALLERY),
    )


@asynccontextmanager
async def _readers(name: str, stage: Stage) -> AsyncIterator[list[Contender]]:
    library = await _library(stage)
    async with reelbase.connect(library.path, journal="wal") as database:
        work = await _reading(name, library, database)
        sql, params = work.step.statement.sql, work.step.parameters
        with baselines.plain(library.path) as native:
            cursor = native.execute(sql, params)
            tuples = cursor.fetchall()
            columns = tuple(column[0] for column in cursor.description)
            records = decoder_for(work.record, columns)(tuples)

            async def sync(_: int) -> list[Any]:
                return [native.execute(sql, params).fetchall() for _ in range(_TIMES)]

            async def ours(_: int) -> list[Any]:
                return [await work.ours(database) for _ in range(_TIMES)]

            def check(name: str, wanted: list[Any], _: int, results: list[Any]) -> None:
                require_equal(name, results, [wanted] * _TIMES)

            yield [
                Contender(baselines.SYNC, sync, partial(check, baselines.SYNC, tuples)),
                Contender(OURS, ours, partial(check, OURS, records)),
            ]


def _count(path: Path, sql: str, value: object) -> int:
    """What another connection counts, in a file that its writers still have open."""
    with closing(sqlite3.connect(path.as_uri() + "?mode=ro", uri=True)) as native:
        count: int = native.execute(sql, (value,)).fetchone()[0]
        return count


@asynccontextmanager
async def _replacing(stage: Stage) -> AsyncIterator[list[Contender]]:
    library = await _library(stage)
    transcript_id, segments = library.transcript_id, library.segments
    clear = SegmentRepository._clear.count(transcript_id=transcript_id)
    rows = [
        SegmentRepository._replace_all.bind(
            msgspec.structs.asdict(segment) | {"transcript_id": transcript_id}
        )
        for segment in segments
    ]

    def check(name: str, _: int, results: list[Any]) -> None:
        stored = _count(
            library.path,
            "SELECT count(*) FROM transcript_segments WHERE transcript_id = ?",
            str(transcript_id),
        )
        require_equal(name, [*results, stored], [len(segments), len(segments)])

    async with reelbase.connect(library.path, journal="wal", durability="normal") as database:
        with baselines.plain(library.path) as native:

            async def sync(_: int) -> list[Any]:
                native.execute("BEGIN IMMEDIATE")
                native.execute(clear.statement.sql, clear.parameters)
                added = native.executemany(SegmentRepository._replace_all.sql, rows).rowcount
                native.execute(SegmentRepository._index_new.sql)
                native.execute("COMMIT")
                return [added]

            async def ours(_: int) -> list[Any]:
                return [await database.segments.replace_all(transcript_id, segments)]

            runs = {baselines.SYNC: sync, OURS: ours}
            yield [Contender(name, run, partial(check, name)) for name, run in runs.items()]


@asynccontextmanager
async def _deleting(kind: str, stage: Stage) -> AsyncIterator[list[Contender]]:
    library = await _library(stage)
    waiting: list[Any] = library.speakers if kind == "speakers" else library.files
    statement = SpeakerRepository._delete if kind == "speakers" else FileRepository._delete
    deleted: dict[str, Any] = {}

    def check(name: str, _: int, results: list[Any]) -> None:
        left = _count(library.path, f"SELECT count(*) FROM {kind} WHERE id = ?", deleted[name])
        require_equal(name, [*results, left], [1, 0])

    async with reelbase.connect(library.path, journal="wal", durability="normal") as database:
        with baselines.plain(library.path) as native:

            async def sync(_: int) -> list[Any]:
                deleted[baselines.SYNC] = waiting.pop()
                params = {"id": deleted[baselines.SYNC]}
                return [native.execute(statement.sql, params).rowcount]

            async def ours(_: int) -> list[Any]:
                key = deleted[OURS] = waiting.pop()
                if kind == "speakers":
                    return [int(await database.speakers.delete(key))]
                return [int(await database.files.delete(key))]

            runs = {baselines.SYNC: sync, OURS: ours}
            yield [Contender(name, run, partial(check, name)) for name, run in runs.items()]


_LARGE = "among 1,500 files with 3.5 million segments"

TRANSCRIPTION = (
    *(
        Row(
            name=name,
            question=f"{question}; per call",
            targets=(),
            operations=lambda stage: _TIMES,
            contenders=partial(_readers, name),
        )
        for name, question in (
            ("segments-first", f"The first page ({_PAGE}) of a transcript of 6,500 segments"),
            ("segments-last", f"The last page ({_PAGE}) of a transcript of 6,500 segments"),
            ("gallery", f"A page of files with a tag that one in a hundred has, {_LARGE}"),
            ("search", f"The {_GALLERY} best for two Japanese words, {_LARGE}"),
        )
    ),
    Row(
        name="replace-segments",
        question=f"All 6,500 segments of a transcript replaced, {_LARGE}",
        targets=(),
        operations=lambda stage: 1,
        contenders=_replacing,
    ),
    Row(
        name="delete-speaker",
        question=f"A speaker deleted, {_LARGE}",
        targets=(),
        operations=lambda stage: 1,
        contenders=partial(_deleting, "speakers"),
    ),
    Row(
        name="delete-file",
        question=f"A file deleted with all that belongs to it, {_LARGE}",
        targets=(),
        operations=lambda stage: 1,
        contenders=partial(_deleting, "files"),
    ),
)
