"""A page as a list, and the statements that give pages."""

from __future__ import annotations

import copy
import os
import pickle
from typing import Any, TypedDict, get_args, get_origin

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from reelbase import (
    Database,
    InvalidArgumentError,
    NewSegment,
    Page,
    PageQuery,
    Repository,
)
from reelbase.engine.statements.pages import _encoded


class Note(msgspec.Struct, frozen=True):
    id: int
    text: str


class NoteRepository(Repository):
    """What a user writes."""

    entity = "note"

    _page = PageQuery(
        Note,
        """
        SELECT *
        FROM notes
        WHERE id < :id
          AND text >= :least
        ORDER BY id DESC
        LIMIT :limit
        """,
        keyset={"id": 2**63 - 1},
        params={"least": str},
    )

    async def page(
        self, after: Note | str | None = None, limit: int | None = 2, least: str = ""
    ) -> Page[Note]:
        return await self._run(self._page.page(after=after, limit=limit, least=least))


@pytest.fixture
async def notes(database: Database) -> NoteRepository:
    await database.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL)")
    await database.execute_many("INSERT INTO notes VALUES (?, ?)", [(n, f"{n}") for n in range(5)])
    return database.repository(NoteRepository)


def test_a_page_is_a_list() -> None:
    page = Page([1, 2, 3], next="token")
    assert page == [1, 2, 3]
    assert page == [1, 2, 3]
    assert page != [1, 2]
    assert isinstance(page, list)
    assert repr(page) == "[1, 2, 3]"
    assert not Page()
    assert Page().next is None


def test_what_is_made_of_a_page_is_a_plain_list() -> None:
    page = Page([1, 2, 3], next="token")
    made = (page[:2], page.copy(), page * 2, sorted(page))
    assert [type(each) for each in made] == [list] * len(made)
    assert page[:2] == [1, 2]


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_page_survives_pickle_and_copy(protocol: int) -> None:
    page = Page([[1], [2]], next="token")
    for other in (
        pickle.loads(pickle.dumps(page, protocol)),
        copy.copy(page),
        copy.deepcopy(page),
    ):
        assert type(other) is Page
        assert (other, other.next) == (page, "token")


def test_a_page_is_an_array_to_msgspec_and_to_pydantic() -> None:
    page = Page([Note(1, "one")], next="token")
    assert msgspec.json.encode(page) == b'[{"id":1,"text":"one"}]'
    assert msgspec.json.encode({"notes": page, "next": page.next}) == (
        b'{"notes":[{"id":1,"text":"one"}],"next":"token"}'
    )
    assert msgspec.to_builtins(page) == [{"id": 1, "text": "one"}]
    adapter = TypeAdapter(Page[int])
    assert adapter.json_schema() == {"items": {"type": "integer"}, "type": "array"}
    assert adapter.dump_json(adapter.validate_python(Page([1, 2], next="token"))) == b"[1,2]"
    assert TypeAdapter(Page).json_schema() == {"items": {}, "type": "array"}


def test_the_type_of_a_page_tells_its_records() -> None:
    assert get_origin(Page[Note]) is Page
    assert get_args(Page[Note]) == (Note,)


async def test_a_repository_of_an_application_gives_pages(notes: NoteRepository) -> None:
    first = await notes.page()
    second = await notes.page(first.next)
    last = await notes.page(second.next)
    assert [[note.id for note in page] for page in (first, second, last)] == [[4, 3], [2, 1], [0]]
    assert last.next is None
    assert await notes.page(first[-1]) == second
    assert await notes.page(Note(3, "never stored")) == second


async def test_a_token_that_was_given_once_is_taken_by_every_later_release(
    notes: NoteRepository,
) -> None:
    """If this fails, the form of tokens has changed, and their version must, too."""
    page = await notes.page(least="0")
    assert page.next == "1ks4-dtG8A8Ou0QE"
    assert [note.id for note in await notes.page("1ks4-dtG8A8Ou0QE", least="0")] == [2, 1]


async def test_a_token_is_refused_with_other_arguments_but_for_the_limit(
    notes: NoteRepository,
) -> None:
    page = await notes.page(least="1")
    assert [note.id for note in await notes.page(page.next, limit=1, least="1")] == [2]
    with pytest.raises(InvalidArgumentError, match=r"NoteRepository.page: after: is the token of"):
        await notes.page(page.next, least="2")


@pytest.mark.long
@settings(
    max_examples=200,
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(text=st.text() | st.text(alphabet="1ks4-_=A", max_size=40))
async def test_no_text_but_a_token_is_taken(notes: NoteRepository, text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"NoteRepository.page: after: is no token"):
        await notes.page(text)


@pytest.mark.long
@settings(
    max_examples=200,
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    place=st.lists(st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(), max_size=3)
    | st.integers(-(2**63), 2**64 - 1).map(lambda number: [number])
)
async def test_a_token_that_a_client_made_up_shows_rows_of_its_listing_or_is_refused(
    notes: NoteRepository, place: list[Any]
) -> None:
    """The checksum needs no key."""
    listing = NoteRepository._page._listing({"least": ""})
    try:
        page = await notes.page(_encoded(listing, place), limit=None)
    except InvalidArgumentError:
        assert [type(value) for value in place] != [int] or place[0] >= 2**63
    else:
        assert [note.id for note in page] == [id for id in range(4, -1, -1) if id < place[0]]


async def test_a_record_whose_place_cannot_be_stored_is_refused_by_name(
    notes: NoteRepository,
) -> None:
    with pytest.raises(InvalidArgumentError, match=r"page: after: does not fit into 64 bits"):
        await notes.page(Note(2**63, "x"))
    with pytest.raises(TypeError, match=r"page: after: must be int, not str"):
        await notes.page(Note("x", "x"))  # type: ignore[arg-type]


async def test_a_page_in_a_unit_sees_its_own_rows(
    database: Database, notes: NoteRepository
) -> None:
    page = await notes.page()
    async with database.transaction() as unit:
        await unit.execute("DELETE FROM notes WHERE id = 2")
        assert [note.id for note in await unit.repository(NoteRepository).page(page.next)] == [1, 0]
    async with database.snapshot() as view:
        assert [note.id for note in await view.repository(NoteRepository).page(page.next)] == [1, 0]


async def test_a_row_that_was_moved_since_does_not_move_the_place(
    database: Database,
) -> None:
    """A token holds the place, not the row."""
    await database.profiles.ensure("ann")
    file = await database.files.add("ann", "a", "a")
    transcript = await database.transcripts.add("ann", file.id, "t")
    await database.segments.replace_all(
        transcript.id, [NewSegment(float(start), 99.0, "s") for start in range(6)]
    )
    page = await database.segments.page(transcript.id, limit=3)
    await database.segments.update(page[-1].id, start_time=5.5)
    rest = await database.segments.page(transcript.id, after=page.next)
    assert [segment.start_time for segment in rest] == [3.0, 4.0, 5.0, 5.5]


def test_a_statement_of_pages_needs_its_keyset() -> None:
    sql = "SELECT * FROM notes WHERE id < :id ORDER BY id DESC LIMIT :limit"
    with pytest.raises(TypeError, match="no parameter :place"):
        PageQuery(Note, sql, keyset={"place": 0})
    with pytest.raises(TypeError, match="no parameter :limit"):
        PageQuery(Note, sql.removesuffix(" LIMIT :limit"), keyset={"id": 0})
    with pytest.raises(TypeError, match="pages are of records with attributes"):
        PageQuery(int, sql, keyset={"id": 0}, params={"id": int})

    class Typed(TypedDict):
        id: int

    with pytest.raises(TypeError, match="pages are of records with attributes"):
        PageQuery(Typed, sql, keyset={"id": 0})
