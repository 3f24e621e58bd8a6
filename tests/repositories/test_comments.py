"""Promises about comments: at a moment or on the whole file, with answers, by their author."""

from __future__ import annotations

from uuid import UUID

import pytest

from reelbase import Comment, ConstraintError, Database, RecordNotFoundError


@pytest.fixture
async def file_id(database: Database) -> UUID:
    await database.profiles.ensure("ann")
    await database.profiles.ensure("bob")
    return (await database.files.add("ann", "talk.mp4", "talk.mp4")).id


@pytest.fixture
async def comment(database: Database, file_id: UUID) -> Comment:
    return await database.comments.add(file_id, "ann", "louder here", at_seconds=12.5)


async def test_a_files_comments_come_by_time_those_about_the_whole_first(
    database: Database, file_id: UUID
) -> None:
    for text, at_seconds in (("late", 90.0), ("whole", None), ("start", 0.0), ("late too", 90.0)):
        await database.comments.add(file_id, "bob", text, at_seconds=at_seconds)
    texts = [comment.text for comment in await database.comments.list_for_file(file_id)]
    assert texts == ["whole", "start", "late", "late too"]
    listed = await database.comments.list_for_file(file_id, limit=2, offset=1)
    assert [comment.text for comment in listed] == ["start", "late"]


async def test_answers_belong_to_a_comment_and_have_no_answers(
    database: Database, file_id: UUID, comment: Comment
) -> None:
    answers = [
        await database.comments.reply(comment.id, name, text)
        for name, text in (("bob", "why?"), ("ann", "wind"))
    ]
    assert await database.comments.replies(comment.id) == answers
    assert await database.comments.replies(comment.id, limit=1, offset=1) == answers[1:]
    assert {(answer.file_id, answer.parent_id) for answer in answers} == {(file_id, comment.id)}
    (listed,) = await database.comments.list_for_file(file_id)
    assert (listed.id, listed.reply_count) == (comment.id, 2)
    assert await database.comments.count_for_file(file_id) == 3
    with pytest.raises(ConstraintError, match="not to another answer") as caught:
        await database.comments.reply(answers[0].id, "ann", "see above")
    assert caught.value.kind == "check"
    with pytest.raises(RecordNotFoundError):
        await database.comments.reply(99, "ann", "?")


async def test_an_answer_has_the_place_of_its_comment(database: Database, comment: Comment) -> None:
    answer = await database.comments.reply(comment.id, "bob", "why?")
    with pytest.raises(ConstraintError, match="reply_has_no_time"):
        await database.comments.update(answer.id, at_seconds=3.0)
    assert (await database.comments.update(answer.id, text="how?")).text == "how?"


async def test_raw_sql_cannot_make_chains_or_answers_across_files(
    database: Database, file_id: UUID, comment: Comment
) -> None:
    other = await database.files.add("ann", "other.mp4", "other.mp4")
    elsewhere = await database.comments.add(other.id, "ann", "x")
    await database.comments.reply(comment.id, "bob", "why?")
    top = await database.comments.add(file_id, "ann", "top")
    for child, parent in ((top.id, elsewhere.id), (comment.id, top.id), (top.id, top.id)):
        with pytest.raises(ConstraintError):
            await database.execute(
                "UPDATE file_comments SET parent_id = ?, at_seconds = NULL WHERE id = ?",
                [parent, child],
            )


async def test_a_profiles_comments_are_paged_newest_first(
    database: Database, file_id: UUID, comment: Comment
) -> None:
    others = [await database.comments.add(file_id, "bob", str(number)) for number in range(3)]
    answer = await database.comments.reply(comment.id, "bob", "why?")
    first = await database.comments.page("bob", limit=3)
    second = await database.comments.page("bob", after=first.next, limit=3)
    assert [c.id for c in (*first, *second)] == [
        answer.id,
        others[2].id,
        others[1].id,
        others[0].id,
    ]
    assert second.next is None


async def test_comments_go_with_their_file_their_author_and_their_comment(
    database: Database, file_id: UUID, comment: Comment
) -> None:
    hers = await database.comments.add(file_id, "ann", "mine")
    await database.comments.reply(comment.id, "bob", "why?")
    await database.comments.reply(hers.id, "bob", "yours?")
    assert await database.comments.delete(comment.id) is True
    assert await database.comments.count_for_file(file_id) == 2
    await database.profiles.delete("bob")
    assert [c.id for c in await database.comments.list_for_file(file_id)] == [hers.id]
    await database.files.delete(file_id)
    assert await database.comments.find(hers.id) is None
