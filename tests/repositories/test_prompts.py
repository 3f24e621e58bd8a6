"""Promises about prompts: every use is counted, the most used come first, and words find them."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import textwrap
import unicodedata
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import reelbase
from reelbase import Database, Prompt, RecordNotFoundError
from reelbase.engine.threads.executors import DatabaseExecutor
from reelbase.testing.clock import START, FrozenClock

Look = Callable[[str], list[tuple[object, ...]]]
Run = Callable[[Callable[[Database], Awaitable[None]]], None]


async def track_all(database: Database, *texts: str) -> None:
    for text in texts:
        await database.prompts.track(text)


async def found(database: Database, query: str, **options: Any) -> list[str]:
    return [prompt.text for prompt in await database.prompts.search(query, **options)]


# Tracking


async def test_the_first_use_makes_a_prompt_and_the_next_counts(
    database: Database, clock: FrozenClock
) -> None:
    first = await database.prompts.track("lo-fi beat")
    assert first == Prompt(
        id=first.id, text="lo-fi beat", used_count=1, first_used_at=START, last_used_at=START
    )
    later = clock.advance(60)
    second = await database.prompts.track("lo-fi beat")
    assert second == msgspec.structs.replace(first, used_count=2, last_used_at=later)
    assert await database.prompts.list() == [second]


async def test_a_clock_that_jumps_back_does_not_make_the_last_use_older(
    database: Database, clock: FrozenClock
) -> None:
    await database.prompts.track("a")
    noon = clock.advance(3600)
    await database.prompts.track("a")
    clock.advance(-7200)
    prompt = await database.prompts.track("a")
    assert (prompt.used_count, prompt.first_used_at, prompt.last_used_at) == (3, START, noon)
    assert prompt.first_used_at <= prompt.last_used_at


@pytest.fixture
def hops(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows by one for each thing that is handed to a connection's thread and waited for."""
    seen: list[str] = []

    def counted(name: str) -> Callable[..., Awaitable[Any]]:
        run = getattr(DatabaseExecutor, name)

        def counting(self: DatabaseExecutor, *steps: Any) -> Any:
            seen.append(name)
            return run(self, *steps)

        return counting

    for name in ("run", "run_one"):
        monkeypatch.setattr(DatabaseExecutor, name, counted(name))
    return seen


async def test_one_more_use_is_one_upsert_and_all_of_it_one_hop(
    path: Path, journal: Any, caplog: pytest.LogCaptureFixture, hops: list[str]
) -> None:
    async with reelbase.connect(path, journal=journal, slow_query=0) as database:
        for expected in (1, 2):
            hops.clear()
            with caplog.at_level(logging.INFO, "reelbase.sql"):
                caplog.clear()
                assert (await database.prompts.track("a")).used_count == expected
            assert len(hops) == 1
            logged = [r.getMessage() for r in caplog.records if r.name == "reelbase.sql"]
            assert sum("INTO prompts " in message for message in logged) == 1
            assert not any("UPDATE prompts" in message for message in logged)


TEXTS = [
    "a", "A", " a", "a ", "a  b", "a b", "a\tb", "a\n", "", " ", "\0", "a\0", "a\0b", "é", "e\u0301",
    "Å", "\u212b", "ﬁ", "fi", "ß", "ss", "ẞ", "が", "か\u3099", "🎹", "null", "\u200b", "\ufeff",
]  # fmt: skip


async def test_texts_are_told_apart_exactly(database: Database) -> None:
    """Case, spaces, and every way to write the same character."""
    for _ in range(2):
        await track_all(database, *TEXTS)
    assert await database.prompts.count() == len(TEXTS)
    for text in TEXTS:
        prompt = await database.prompts.find_by_text(text)
        assert prompt is not None
        assert (prompt.text, prompt.used_count) == (text, 2)
        assert await database.prompts.get(prompt.id) == prompt


async def test_find_by_text_finds_that_text_only(database: Database) -> None:
    tracked = await database.prompts.track("Trap Beat")
    assert await database.prompts.find_by_text("Trap Beat") == tracked
    assert await database.prompts.find_by_text(text="trap beat") is None
    assert await database.prompts.find_by_text("Trap") is None
    assert await database.prompts.find_by_text("%") is None
    assert await database.prompts.find_by_text("") is None


async def test_a_long_prompt_is_kept_whole(database: Database) -> None:
    text = "ambient drone, " * 20_000 + "coda"
    await track_all(database, text, text)
    prompt = await database.prompts.find_by_text(text)
    assert prompt is not None
    assert prompt.used_count == 2
    assert await found(database, "coda") == [text]


@pytest.mark.parametrize(
    ("text", "error"), [("\ud800", ValueError), (7, TypeError), (b"a", TypeError)]
)
async def test_what_is_no_text_is_refused(
    text: Any, error: type[Exception], database: Database
) -> None:
    for call in (database.prompts.track, database.prompts.find_by_text):
        with pytest.raises(error, match="text"):
            await call(text)
    assert await database.prompts.count() == 0


# Many at once


async def test_200_calls_at_once_are_all_counted(database: Database) -> None:
    prompts = await asyncio.gather(*(database.prompts.track("same") for _ in range(200)))
    assert sorted(prompt.used_count for prompt in prompts) == list(range(1, 201))
    assert len({prompt.id for prompt in prompts}) == 1
    (prompt,) = await database.prompts.list()
    assert prompt.used_count == 200


async def test_many_texts_at_once_are_all_counted_and_found(database: Database) -> None:
    await asyncio.gather(*(database.prompts.track(f"word{n % 17} beat") for n in range(340)))
    prompts = await database.prompts.list()
    assert {prompt.text: prompt.used_count for prompt in prompts} == {
        f"word{n} beat": 20 for n in range(17)
    }
    assert len(await found(database, "beat")) == 17


async def test_creating_and_tracking_count_together(database: Database) -> None:
    async def create() -> None:
        await database.generations.create("same", "m", 1.0, 32000, 2, "f")

    async def in_a_unit() -> None:
        async with database.transaction() as unit:
            await unit.prompts.track("same")

    await asyncio.gather(
        *(create() for _ in range(100)),
        *(database.prompts.track("same") for _ in range(80)),
        *(in_a_unit() for _ in range(20)),
    )
    (prompt,) = await database.prompts.list()
    assert prompt.used_count == 200


WORKER = textwrap.dedent(
    """
    import asyncio, sys
    import reelbase

    path, journal = sys.argv[1:]

    async def main():
        async with reelbase.connect(path, journal=journal, busy_timeout=60) as database:
            print("ready", flush=True)
            sys.stdin.readline()
            for n in range(60):
                await database.prompts.track("same")
                await database.prompts.track(f"beat {n % 12}")

    asyncio.run(main())
    """
)


@pytest.mark.long
async def test_four_processes_count_exactly(database: Database, path: Path, journal: str) -> None:
    library = str(Path(reelbase.__file__).parents[1])
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            *("-W", "error", "-c", WORKER, str(path), journal),
            env=os.environ | {"PYTHONPATH": library},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
    await asyncio.gather(*(process.communicate(b"go\n") for process in processes))
    assert [process.returncode for process in processes] == [0] * 4
    prompts = await database.prompts.list()
    assert {prompt.text: prompt.used_count for prompt in prompts} == {
        "same": 240,
        **{f"beat {n}": 20 for n in range(12)},
    }
    assert len(await found(database, "beat")) == 12
    assert await found(database, "same") == ["same"]


async def test_a_unit_that_is_rolled_back_counted_nothing(database: Database) -> None:
    await track_all(database, "known")
    async with database.transaction() as unit:
        assert (await unit.prompts.track("known")).used_count == 2
        await unit.prompts.track("new")
        assert [prompt.text for prompt in await unit.prompts.search("new")] == ["new"]
        await unit.rollback()
    assert [(p.text, p.used_count) for p in await database.prompts.list()] == [("known", 1)]
    assert await found(database, "new") == []
    await track_all(database, "newer")
    assert await found(database, "new") == ["newer"]


async def test_uses_in_a_unit_have_its_one_moment(database: Database, clock: FrozenClock) -> None:
    async with database.transaction() as unit:
        await unit.prompts.track("a")
        clock.advance(5)
        prompt = await unit.prompts.track("a")
    assert prompt.first_used_at == prompt.last_used_at == START


# Order


async def test_the_most_used_come_first_then_the_last_used_then_the_first_made(
    database: Database, clock: FrozenClock
) -> None:
    await track_all(database, "once, early", "once, early too")
    await track_all(database, *["three times"] * 3)
    clock.advance(60)
    await track_all(database, "once, late", "twice", "twice")
    expected = ["three times", "twice", "once, late", "once, early", "once, early too"]
    assert [prompt.text for prompt in await database.prompts.list()] == expected
    assert [prompt.text for prompt in await database.prompts.most_used()] == expected
    assert [prompt.text for prompt in await database.prompts.most_used(2)] == expected[:2]
    await track_all(database, "once, early too")  # which makes it two uses, and both are late
    top = [prompt.text for prompt in await database.prompts.most_used(limit=3)]
    assert top == ["three times", "once, early too", "twice"]


async def test_paging_visits_every_prompt_once(database: Database, clock: FrozenClock) -> None:
    for n in range(40):
        clock.advance(n % 2)
        await track_all(database, *[f"p{n % 23}"] * (n % 3 + 1))
    whole = await database.prompts.list(limit=None)
    assert len(whole) == 23
    assert whole == sorted(whole, key=lambda p: (-p.used_count, -p.last_used_at.timestamp(), p.id))
    pages = []
    for offset in range(0, 30, 4):
        pages += await database.prompts.list(limit=4, offset=offset)
    assert pages == whole
    assert await database.prompts.list(limit=0) == []
    for wrong in ({"limit": -1}, {"offset": -1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            await database.prompts.list(**wrong)


async def test_how_long_lists_are_unless_asked_otherwise(database: Database) -> None:
    async with database.transaction() as unit:
        for n in range(101):
            await unit.prompts.track(f"beat {n}")
    prompts = database.prompts
    assert len(await prompts.list()) == 100
    assert len(await prompts.list(limit=None)) == 101
    assert len(await prompts.most_used()) == 10
    assert len(await prompts.most_used(None)) == 101
    assert await prompts.most_used(0) == []
    assert len(await prompts.search("beat")) == 20
    assert len(await prompts.search("beat", limit=None)) == 101
    assert await prompts.search("beat", 0) == []
    assert await prompts.count() == 101
    for call in (prompts.most_used(-1), prompts.search("beat", -1)):
        with pytest.raises(ValueError, match="limit"):
            await call


async def test_get_raises_and_find_does_not(database: Database) -> None:
    prompt = await database.prompts.track("a")
    assert await database.prompts.get(prompt_id=prompt.id) == prompt
    assert await database.prompts.find(prompt_id=prompt.id) == prompt
    assert await database.prompts.find(prompt.id + 1) is None
    with pytest.raises(RecordNotFoundError) as caught:
        await database.prompts.get(prompt.id + 1)
    assert caught.value.details["entity"] == "prompt"
    assert str(caught.value.details["key"]) == str(prompt.id + 1)


# Searching

PROMPTS = [
    "Trap beat, 140 BPM",
    "lo-fi hip hop beat to study to",
    "ambient café drone",
    "naïve AI猫 melody",
    "静かな夜のピアノ",
    "東京の夜、雨",
    "夜想曲 (nocturne)",
    "한국어 노래",
    "安静的钢琴曲",
    "C# minor, 3/4",
    "Über den Wolken",
    "don't stop",
    "a\0b",
    "AND OR NOT NEAR",
    "ｶﾞｷﾞｸﾞ",
    "",
]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        # Words, in any order, all of them.
        ("trap", {0}),
        ("TRAP BEAT", {0}),
        ("bpm trap", {0}),
        ("beat", {0, 1}),
        ("trap hop", set()),
        ("  trap \t\n beat ", {0}),
        # The last word as the beginning of one.
        ("stu", {1}),
        ("beat stu", {1}),
        ("stu beat", set()),
        ("14", {0}),
        ("rap", set()),
        # Phrases.
        ('"hip hop"', {1}),
        ('"hop hip"', set()),
        ('"trap beat" 140', {0}),
        ('140 "trap be"', set()),
        ('"to study', {1}),
        ('"trap" beat', {0}),
        ('""', set()),
        ('"" trap', {0}),
        ("lo-fi", {1}),
        ("lo-f", {1}),
        ("fi-lo", set()),
        ("3/4", {9}),
        ("don't", {11}),
        # Diacritics, in either spelling.
        ("cafe", {2}),
        ("CAFÉ", {2}),
        ("cafe\u0301", {2}),
        ("uber", {10}),
        ("naive", {3}),
        # Substrings of Chinese, Japanese and Korean, from one character.
        ("夜", {4, 5, 6}),
        ("夜の", {4}),
        ("の夜", {5}),
        ("な夜のピ", {4}),
        ("ピ", {4}),
        ("東京 雨", {5}),
        ("雨 東京", {5}),
        ('"夜、雨"', {5}),
        ("京の雨", set()),
        ("国", set()),
        ("국어", {7}),
        ("어 한", {7}),
        ("钢琴", {8}),
        ("猫", {3}),
        ("AI猫", {3}),
        ("猫 melo", {3}),
        ("ｷﾞ", {14}),
        ("ギ", {14}),
        ("ｷ", set()),
        # Nothing is an operator.
        ("AND", {13}),
        ("trap AND beat", set()),
        ("trap OR drone", set()),
        ("NOT near", {13}),
        ("NEAR(", {13}),
        ("text:trap", set()),
        ("^trap", {0}),
        ("-trap", {0}),
        ("trap*", {0}),
        ("tra* beat", set()),
        ("(nocturne)", {6}),
        ("{trap}", {0}),
        ("trap + beat", {0}),
        ("trap;--", {0}),
        # No word, nothing found.
        ("", set()),
        (" ", set()),
        ("\0", set()),
        ("*", set()),
        ('"', set()),
        ('"""', set()),
        ("?!… — 、。", set()),
        ("\u0301", set()),
        ("🎹", set()),
        # NUL parts words.
        ("a\0b", {12}),
        ('"a b"', {12}),
    ],
)  # fmt: skip
async def test_what_a_query_finds(query: str, expected: set[int], library: Database) -> None:
    assert set(await found(library, query)) == {PROMPTS[n] for n in expected}


@pytest.fixture
async def library(database: Database) -> Database:
    async with database.transaction() as unit:
        for text in PROMPTS:
            await unit.prompts.track(text)
    return database


async def test_the_best_match_comes_first_and_ties_by_id(database: Database) -> None:
    await track_all(
        database,
        "a piano somewhere in a long line of words that are about something else",
        "piano",
        "piano piano",
        "slow piano",
        "fast piano",
        "a drum",
    )
    texts = await found(database, "piano")
    assert texts[-1].startswith("a piano somewhere")
    assert set(texts[:2]) == {"piano", "piano piano"}
    assert texts[2:4] == ["slow piano", "fast piano"]
    assert await found(database, "piano", limit=3) == texts[:3]


async def test_search_gives_whole_prompts(database: Database) -> None:
    await track_all(database, "a beat", "a beat")
    assert await database.prompts.search("beat") == await database.prompts.list()


async def test_a_prompt_is_found_once_however_often_it_was_used(
    database: Database, look: Look
) -> None:
    await track_all(database, *["beat"] * 3, "other", *["beat"] * 3)
    assert await found(database, "beat") == ["beat"]
    assert look("SELECT count(*) FROM prompts_fts") == [(2,)]


async def test_prompts_of_generations_are_found(database: Database) -> None:
    await database.generations.create("東京 drill", "m", 1.0, 32000, 2, "f")
    assert await found(database, "京 dri") == ["東京 drill"]


async def test_a_prompt_that_came_in_by_plain_sql_is_found_after_the_next_use(
    database: Database,
) -> None:
    await track_all(database, "first")
    await database.execute("INSERT INTO prompts (text) VALUES ('by hand')")
    await track_all(database, "second")
    assert await found(database, "hand") == ["by hand"]


async def test_a_prompt_that_is_gone_is_not_found(database: Database) -> None:
    await track_all(database, "first beat", "second beat", "third beat")
    for text in ("second beat", "third beat"):
        assert await database.execute("DELETE FROM prompts WHERE text = ?", [text]) == 1
    assert await found(database, "beat") == ["first beat"]
    await track_all(database, "fourth beat", "third beat")
    assert set(await found(database, "beat")) == {"first beat", "fourth beat", "third beat"}


@pytest.mark.parametrize("query", [None, 7, b"trap", ["trap"]])
async def test_a_query_is_a_text(query: Any, database: Database) -> None:
    with pytest.raises(TypeError, match="query"):
        await database.prompts.search(query)


async def test_a_lone_surrogate_is_no_text_to_search_for(database: Database) -> None:
    with pytest.raises(ValueError, match="query"):
        await database.prompts.search("trap \ud800")


@pytest.mark.long
async def test_a_query_may_be_long(database: Database) -> None:
    text = " ".join(f"word{n}" for n in range(1000))
    await track_all(database, text, "夜の" * 1000)
    assert await found(database, text) == [text]
    assert await found(database, f'"{text}"') == [text]
    assert await found(database, text + " more") == []
    assert await found(database, "の夜" * 999) == ["夜の" * 1000]


async def test_a_snapshot_searches_its_moment(database: Database, journal: str) -> None:
    await track_all(database, "old beat")
    async with database.snapshot() as view:
        assert [p.text for p in await view.prompts.search("beat")] == ["old beat"]
        if journal == "wal":
            await track_all(database, "new beat")
        assert [p.text for p in await view.prompts.search("beat")] == ["old beat"]


@pytest.fixture(scope="module")
def memory() -> Iterator[Run]:
    """Runs a function of a database; always the same one, and one event loop for all."""
    with asyncio.Runner() as runner:

        async def open_it() -> Database:
            return await reelbase.connect(":memory:", clock=FrozenClock())

        database = runner.run(open_it())

        async def run(function: Callable[[Database], Awaitable[None]]) -> None:
            await function(database)

        yield lambda function: runner.run(run(function))
        runner.run(database.close())


SYNTAX = ["*", "^", "(", ")", "{", "}", ":", "+", "-", "NEAR(", "NEAR(a b, 2)", "AND", "OR", "NOT"]
QUOTES = ['"', '""', "'", ";", "\\", "%", "_", "\0", " ", "\n", "\u3000", "\ufeff", "\u200d"]
LETTERS = [
    "trap",
    "text:",
    "夜",
    "국",
    "ｶ",
    "é",
    "\u0301",
    "\ue000",
    "𞤀",
    "🎤",
    "²",
    "Ⅷ",
    "\U0010ffff",
]
pieces = st.sampled_from(SYNTAX + QUOTES + LETTERS)
hostile = st.text(max_size=40) | st.lists(pieces, max_size=8).map("".join)


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(query=hostile)
@example(query="")
@example(query='"\0"*')
@example(query='"' * 999)
@example(query="a " * 400)
def test_no_query_is_an_error(query: str, memory: Run) -> None:
    async def check(database: Database) -> None:
        assert isinstance(await database.prompts.search(query), list)

    memory(check)


words = st.text("abcdeéABC夜の京국어カナ0189-_'\" ,.", max_size=24)


@pytest.mark.long
@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(text=words | hostile)
@example(text="a \ue000 b")  # private use: a word for SQLite and none for Python
@example(text="0\ud7fc0")  # unassigned
@example(text="a 𞤀 b")  # younger than SQLite's tables
def test_a_prompt_is_found_by_its_own_text(text: str, memory: Run) -> None:
    """Whatever it is, unless it holds no word: then nothing is found."""

    async def check(database: Database) -> None:
        tracked = await database.prompts.track(text)
        if any(character in "abcdeABCé夜の京국어カナ0189" for character in text):
            bare = text.replace('"', " ")
            assert tracked in await database.prompts.search(bare, limit=None)
            assert tracked in await database.prompts.search(f'"{bare}"', limit=None)

    memory(check)


@pytest.mark.long
@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    text=st.text("夜の京国カナ국어한漢字", min_size=1, max_size=12), data=st.data()
)  # fmt: skip
def test_every_part_of_a_cjk_text_finds_it(text: str, data: st.DataObject, memory: Run) -> None:
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))

    async def check(database: Database) -> None:
        tracked = await database.prompts.track(text)
        results = await database.prompts.search(text[start:end], limit=None)
        assert tracked in results
        # Other texts in this database may have a blank or a dot inside of it, or half-width letters.
        for prompt in results:
            wide = unicodedata.normalize("NFKC", prompt.text)
            assert text[start:end] in "".join(filter(str.isalnum, wide))

    memory(check)


# What is left when generations go, and the record


async def test_prompts_outlive_generations(database: Database, look: Look) -> None:
    generation = await database.generations.create("beat", "m", 1.0, 32000, 2, "f")
    await database.generations.delete(generation.id)
    assert [(p.text, p.used_count) for p in await database.prompts.list()] == [("beat", 1)]
    assert await found(database, "beat") == ["beat"]
    assert look("SELECT * FROM pragma_foreign_key_list('generations')") == []


async def test_generations_outlive_prompts(database: Database) -> None:
    generation = await database.generations.create("beat", "m", 1.0, 32000, 2, "f")
    await database.execute("DELETE FROM prompts")
    assert await database.generations.get(generation.id) == generation
    assert (await database.prompts.track("beat")).used_count == 1


async def test_to_dict_has_iso_times(database: Database, clock: FrozenClock) -> None:
    await database.prompts.track("静かな夜")
    clock.advance(0.5)
    prompt = await database.prompts.track("静かな夜")
    assert prompt.to_dict() == {
        "id": prompt.id,
        "text": "静かな夜",
        "used_count": 2,
        "first_used_at": "2026-01-31T12:00:00Z",
        "last_used_at": "2026-01-31T12:00:00.500000Z",
    }
    assert list(prompt.to_dict()) == ["id", "text", "used_count", "first_used_at", "last_used_at"]


async def test_json_is_an_object_and_comes_back(database: Database) -> None:
    prompt = await database.prompts.track('a "quoted" \0 prompt')
    encoded = msgspec.json.encode(prompt)
    assert msgspec.json.decode(encoded) == prompt.to_dict()
    assert msgspec.json.decode(encoded, type=Prompt) == prompt


async def test_an_id_is_not_used_twice(database: Database) -> None:
    first = await database.prompts.track("a")
    await database.execute("DELETE FROM prompts")
    assert (await database.prompts.track("b")).id > first.id


async def test_moments_are_kept_to_the_millisecond(database: Database, clock: FrozenClock) -> None:
    clock.now += timedelta(microseconds=1999)
    prompt = await database.prompts.track("a")
    assert prompt.first_used_at == prompt.last_used_at == START + timedelta(milliseconds=1)
