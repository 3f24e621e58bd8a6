"""Comments that profiles write about a file, or about a moment of it."""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict, Unpack
from uuid import UUID

from msgspec import UnsetType

from reelbase.engine.ids import MAX_ROWID
from reelbase.engine.record import Record
from reelbase.engine.repository import Repository
from reelbase.engine.statements.pages import Page
from reelbase.engine.statements.statement import Command, PageQuery, Query


class Comment(Record, frozen=True):
    """A profile's comment on a file. profile_id: the author.  parent_id: the comment that it answers.

    at_seconds: seconds into the file; None: about the whole file, and of every reply.  reply_count: how many
    comments answer it.
    """

    id: int
    file_id: UUID
    profile_id: str
    parent_id: int | None
    at_seconds: float | None
    text: str
    created_at: datetime
    updated_at: datetime
    reply_count: int


class CommentChanges(TypedDict, total=False):
    """The fields that comments.update() can change."""

    text: str | UnsetType
    at_seconds: float | UnsetType | None


class CommentRepository(Repository):
    """Comments on files, table ``file_comments``, with replies of one level. They are deleted with the file,
    with their author, and replies with their comment.
    """

    entity = "comment"
    table = "file_comments"

    _add = Command(
        Comment,
        """
        INSERT INTO file_comments (file_id, profile_id, at_seconds, text, created_at, updated_at)
        VALUES (:file_id, :profile_id, :at_seconds, :text, :now, :now)
        RETURNING
          id, file_id, profile_id, parent_id, at_seconds, text, created_at, updated_at,
          0 AS reply_count
        """,
    )

    _reply = Command(
        Comment,
        """
        INSERT INTO file_comments (file_id, profile_id, parent_id, text, created_at, updated_at)
        SELECT file_id, :profile_id, id, :text, :now, :now
        FROM file_comments
        WHERE id = :id
        RETURNING
          id, file_id, profile_id, parent_id, at_seconds, text, created_at, updated_at,
          0 AS reply_count
        """,
    )

    _get = Query(
        Comment,
        """
        SELECT
          id, file_id, profile_id, parent_id, at_seconds, text, created_at, updated_at,
          (
            SELECT count(*)
            FROM file_comments AS reply
            WHERE reply.parent_id = file_comments.id
          ) AS reply_count
        FROM file_comments
        WHERE id = :id
        """,
    )

    _list_for_file = Query(
        Comment,
        """
        SELECT
          id, file_id, profile_id, parent_id, at_seconds, text, created_at, updated_at,
          (
            SELECT count(*)
            FROM file_comments AS reply
            WHERE reply.parent_id = file_comments.id
          ) AS reply_count
        FROM file_comments
        WHERE file_id = :file_id
          AND parent_id IS NULL
        ORDER BY at_seconds NULLS FIRST, id
        LIMIT :limit OFFSET :offset
        """,
    )

    _replies = Query(
        Comment,
        """
        SELECT
          id, file_id, profile_id, parent_id, at_seconds, text, created_at, updated_at,
          0 AS reply_count
        FROM file_comments
        WHERE parent_id = :parent_id
        ORDER BY id
        LIMIT :limit OFFSET :offset
        """,
    )

    _page = PageQuery(
        Comment,
        """
        SELECT
          id, file_id, profile_id, parent_id, at_seconds, text, created_at, updated_at,
          (
            SELECT count(*)
            FROM file_comments AS reply
            WHERE reply.parent_id = file_comments.id
          ) AS reply_count
        FROM file_comments
        WHERE profile_id = :profile_id
          AND id < :id
        ORDER BY id DESC
        LIMIT :limit
        """,
        keyset={"id": MAX_ROWID},
    )

    _count_for_file = Query(
        int,
        """
        SELECT count(*)
        FROM file_comments
        WHERE file_id = :file_id
        """,
        params={"file_id": UUID},
    )

    _update = Command(
        Comment,
        """
        UPDATE file_comments
        SET text = iif(:set_text, :text, text),
            at_seconds = iif(:set_at_seconds, :at_seconds, at_seconds),
            updated_at = :now
        WHERE id = :id
        RETURNING
          id, file_id, profile_id, parent_id, at_seconds, text, created_at, updated_at,
          (
            SELECT count(*)
            FROM file_comments AS reply
            WHERE reply.parent_id = file_comments.id
          ) AS reply_count
        """,
    )

    _delete = Command(
        Comment,
        """
        DELETE FROM file_comments
        WHERE id = :id
        """,
    )

    async def add(
        self,
        file_id: UUID | str,
        profile_id: str,
        text: str,
        *,
        at_seconds: float | None = None,
    ) -> Comment:
        """Adds a comment on a file.

        Args:
            file_id: the file, of any profile.
            profile_id: the author.
            text: the comment.
            at_seconds: seconds into the file, at least 0; None: about the whole file.

        Returns:
            The comment.

        Raises:
            ConstraintError: kind foreign_key for an unknown file or profile; kind check for a negative time.
        """
        return await self._run(
            self._add.one(
                file_id=file_id,
                profile_id=profile_id,
                at_seconds=at_seconds,
                text=text,
                now=self._now(),
            )
        )

    async def reply(self, comment_id: int, profile_id: str, text: str) -> Comment:
        """Adds an answer to a comment, and returns it.

        RecordNotFoundError for an unknown comment; ConstraintError: kind foreign_key for an unknown profile,
        kind check for an answer to an answer: answer the comment instead (its parent_id).
        """
        return await self._run(
            self._reply.one(id=comment_id, profile_id=profile_id, text=text, now=self._now())
        )

    async def get(self, comment_id: int) -> Comment:
        """The comment or reply; RecordNotFoundError when there is none."""
        return await self._run(self._get.one(id=comment_id))

    async def find(self, comment_id: int) -> Comment | None:
        """The comment or reply, or None."""
        return await self._run(self._get.optional(id=comment_id))

    async def list_for_file(
        self, file_id: UUID | str, *, limit: int | None = 100, offset: int = 0
    ) -> list[Comment]:
        """A file's comments without the replies: about the whole file first, then by time. limit None:
        all."""
        return await self._run(self._list_for_file.all(file_id=file_id, limit=limit, offset=offset))

    async def replies(
        self, comment_id: int, *, limit: int | None = 100, offset: int = 0
    ) -> list[Comment]:
        """The answers to a comment, oldest first; [] also for an unknown comment. limit None: all."""
        return await self._run(self._replies.all(parent_id=comment_id, limit=limit, offset=offset))

    async def page(
        self, profile_id: str, *, after: Comment | str | None = None, limit: int | None = 50
    ) -> Page[Comment]:
        """A page of a profile's comments, replies too, newest first, by keyset.

        Args:
            profile_id: the author.
            after: ``next`` of the page before, or its last comment; None: the first page.
            limit: at most this many; None: all.

        Returns:
            The comments; [] also for an unknown profile. With ``next``, the token of the next page, or None
            on the last one.

        Raises:
            InvalidArgumentError: after is no token of this listing.
        """
        return await self._run(self._page.page(after=after, limit=limit, profile_id=profile_id))

    async def count_for_file(self, file_id: UUID | str) -> int:
        """How many comments and replies a file has; 0 for an unknown file."""
        return await self._run(self._count_for_file.one(file_id=file_id))

    async def update(self, comment_id: int, **changes: Unpack[CommentChanges]) -> Comment:
        """Changes the fields passed and returns the comment; UNSET leaves one.

        Can change: text, at_seconds (None: about the whole file); TypeError for any other field.
        RecordNotFoundError for an unknown id; ConstraintError: kind check for a negative time, and for a
        time of a reply.
        """
        params = self._update.changes(changes, id=comment_id, now=self._now())
        return await self._run(self._update.one(**params))

    async def delete(self, comment_id: int, *, missing_ok: bool = False) -> bool:
        """Deletes the comment with its replies.

        True when it existed; otherwise RecordNotFoundError, or False with missing_ok.
        """
        count = await self._run(self._delete.count(id=comment_id))
        return self._deleted(count, comment_id, missing_ok=missing_ok)
