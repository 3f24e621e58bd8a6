"""Summaries of files by a language model, in versions."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, NoReturn
from uuid import UUID

from msgspec import UNSET, UnsetType

from reelbase.engine.file_names import Message
from reelbase.engine.record import Record
from reelbase.engine.repository import Repository
from reelbase.engine.statements.search import match_expression
from reelbase.engine.statements.statement import Command, Query
from reelbase.engine.statements.step import Step


class SummaryStatus(StrEnum):
    """processing -> completed or failed. start() begins with processing; pending is for rows that another
    program writes."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"


class Summary(Record, frozen=True):
    """A version of a summary. content: None unless completed.  completed_at: when it was completed or
    failed."""

    id: int
    file_id: UUID
    profile_id: str
    version: int
    prompt_id: int | None
    provider: str | None
    model: str | None
    status: SummaryStatus
    content: dict[str, Any] | None
    error_message: Message | None
    metadata: dict[str, Any] | None
    created_at: datetime
    completed_at: datetime | None


class SummaryRepository(Repository):
    """Summaries of files, table ``summaries``: start() creates the next version, which is completed or
    fails; older versions stay.
    """

    entity = "summary"

    # The statement that finds the next version holds the writer lock.
    _start = Command(
        Summary,
        """
        INSERT INTO summaries (
          file_id, profile_id, version, prompt_id, provider, model, status, created_at
        )
        SELECT
          files.id,
          files.profile_id,
          (SELECT coalesce(max(version), 0) + 1 FROM summaries WHERE file_id = files.id),
          :prompt_id,
          :provider,
          :model,
          'processing',
          :created_at
        FROM files
        WHERE files.id = :file_id
        RETURNING *
        """,
        entity="file",
    )

    _get = Query(
        Summary,
        """
        SELECT *
        FROM summaries
        WHERE id = :id
        """,
    )

    _latest = Query(
        Summary,
        """
        SELECT *
        FROM summaries
        WHERE file_id = :file_id
          AND status = 'completed'
        ORDER BY version DESC, id DESC
        LIMIT 1
        """,
    )

    _list_for_file = Query(
        Summary,
        """
        SELECT *
        FROM summaries
        WHERE file_id = :file_id
        ORDER BY version DESC, id DESC
        LIMIT :limit OFFSET :offset
        """,
    )

    _search = Query(
        Summary,
        """
        SELECT
          summaries.id, file_id, profile_id, version, prompt_id, provider, model, status,
          summaries.content, error_message, metadata, created_at, completed_at
        FROM summaries_fts(:expression)
        CROSS JOIN summaries
        WHERE summaries.id = summaries_fts.rowid
          AND summaries.profile_id = :profile_id
        ORDER BY summaries_fts.rank, summaries.id DESC
        LIMIT :limit OFFSET :offset
        """,
        params={"expression": str},
    )

    _complete = Command(
        Summary,
        """
        UPDATE summaries
        SET status = 'completed',
            content = :content,
            metadata = coalesce(:metadata, metadata),
            completed_at = :now
        WHERE id = :id
          AND status IN ('pending', 'processing')
        RETURNING *
        """,
    )

    _update = Command(
        Summary,
        """
        UPDATE summaries
        SET content = iif(:set_content, :content, content),
            metadata = iif(:set_metadata, :metadata, metadata)
        WHERE id = :id
          AND status = 'completed'
        RETURNING *
        """,
    )

    # The texts of content line by line; a trigger has removed the row from the index if content changed.
    _index_again = Command(
        Summary,
        """
        INSERT INTO summaries_fts (rowid, content)
        SELECT
          id,
          (
            SELECT spaced(group_concat(atom, char(10)))
            FROM json_tree(summaries.content)
            WHERE type = 'text'
          )
        FROM summaries
        WHERE id = :id
          AND content IS NOT NULL
          AND NOT EXISTS (SELECT 1 FROM summaries_fts WHERE summaries_fts.rowid = summaries.id)
        """,
    )

    # Rebuilt from the texts, because a damaged index cannot be cleared.
    _mend_index = Command(
        Summary,
        """
        INSERT INTO summaries_fts (summaries_fts)
        VALUES ('rebuild')
        """,
    )

    _clear_index = Command(
        Summary,
        """
        DELETE FROM summaries_fts
        """,
    )

    _index_all = Command(
        Summary,
        """
        INSERT INTO summaries_fts (rowid, content)
        SELECT
          id,
          (
            SELECT spaced(group_concat(atom, char(10)))
            FROM json_tree(summaries.content)
            WHERE type = 'text'
          )
        FROM summaries
        WHERE content IS NOT NULL
        """,
    )
    _derived = "summaries_fts"
    _derivation = (_mend_index, _clear_index, _index_all)

    _fail = Command(
        Summary,
        """
        UPDATE summaries
        SET status = 'failed',
            error_message = :error_message,
            completed_at = :now
        WHERE id = :id
          AND status IN ('pending', 'processing')
        RETURNING *
        """,
    )

    _delete = Command(
        Summary,
        """
        DELETE FROM summaries
        WHERE id = :id
        """,
    )

    async def start(
        self,
        file_id: UUID | str,
        *,
        prompt_id: int | None = None,
        provider: str | None = None,
        model: str | None = None,
    ) -> Summary:
        """Begins the file's next version. No two callers get the same version.

        latest() returns the version before until this one is completed.

        Args:
            file_id: the file.
            prompt_id: the prompt that is used, one of summary_prompts, or None.
            provider: the provider of the model, or None.
            model: the model, or None.

        Returns:
            The version, processing.

        Raises:
            RecordNotFoundError: the file is unknown.
            ConstraintError: kind foreign_key for an unknown prompt.
        """
        return await self._run(
            self._start.one(
                file_id=file_id,
                prompt_id=prompt_id,
                provider=provider,
                model=model,
                created_at=self._now(),
            )
        )

    async def complete(
        self, summary_id: int, content: dict[str, Any], *, metadata: dict[str, Any] | None = None
    ) -> Summary:
        """Stores the content of a version and ends it; search() then finds it by its texts.

        Args:
            summary_id: the version.
            content: the summary, as JSON.
            metadata: further data, or None.

        Returns:
            The version.

        Raises:
            InvalidTransitionError: the version has ended before.
            RecordNotFoundError: there is no such version.
            ConstraintError: kind check for a content of None.
        """
        summary, _ = await self._batch(
            self._complete.optional(
                id=summary_id, content=content, metadata=metadata, now=self._now()
            ),
            self._index_again.count(id=summary_id),
        )
        return summary or await self._refusal("complete", summary_id)

    async def update(
        self,
        summary_id: int,
        *,
        content: dict[str, Any] | UnsetType = UNSET,
        metadata: dict[str, Any] | UnsetType | None = UNSET,
    ) -> Summary:
        """Corrects a completed version; search() then finds it by its new texts. Its number stays.

        Args:
            summary_id: the version.
            content: the new content; UNSET leaves it.
            metadata: the new metadata; None clears it, UNSET leaves it.

        Returns:
            The version.

        Raises:
            InvalidTransitionError: the version is not completed.
            RecordNotFoundError: there is no such version.
            ConstraintError: kind check for a content of None.
        """
        changes = {"content": content, "metadata": metadata}
        summary, _ = await self._batch(
            self._update.optional(**self._update.changes(changes, id=summary_id)),
            self._index_again.count(id=summary_id),
        )
        return summary or await self._refusal("be corrected", summary_id)

    async def fail(self, summary_id: int, message: str) -> Summary:
        """Ends the version as failed. InvalidTransitionError when it has ended before."""
        step: Step[Summary | None] = self._fail.optional(
            id=summary_id, error_message=message, now=self._now()
        )
        return await self._run(step) or await self._refusal("fail", summary_id)

    async def get(self, summary_id: int) -> Summary:
        """The summary; RecordNotFoundError when there is none."""
        return await self._run(self._get.one(id=summary_id))

    async def find(self, summary_id: int) -> Summary | None:
        """The summary, or None."""
        return await self._run(self._get.optional(id=summary_id))

    async def latest(self, file_id: UUID | str) -> Summary | None:
        """The file's newest completed version, or None."""
        return await self._run(self._latest.optional(file_id=file_id))

    async def list_for_file(
        self, file_id: UUID | str, *, limit: int | None = None, offset: int = 0
    ) -> list[Summary]:
        """Every version of the file's summary, with any status, newest first.

        Args:
            file_id: the file.
            limit: at most this many; None: all.
            offset: this many are skipped first.

        Returns:
            The summaries; [] also for an unknown file.
        """
        return await self._run(self._list_for_file.all(file_id=file_id, limit=limit, offset=offset))

    async def search(
        self, profile_id: str, query: str, limit: int | None = 50, *, offset: int = 0
    ) -> list[Summary]:
        """Finds the profile's summaries by the words of their texts.

        Args:
            profile_id: the profile.
            query: words that must all occur. The last word matches as a prefix, a "quoted part" as a
                phrase, scripts without spaces (Chinese, Thai …) as substrings; case, accents and width do
                not count. No query is an error.
            limit: at most this many; None: all.
            offset: this many, the best ones, are skipped first.

        Returns:
            The summaries, the best match first; [] for a query without a word.
        """
        expression = match_expression(self._expect("query", query, str))
        if expression is None:
            return []
        return await self._run(
            self._search.all(
                profile_id=profile_id, expression=expression, limit=limit, offset=offset
            )
        )

    async def rebuild_search(self) -> int:
        """Rebuilds the search index of summaries, also for rows that another program has written. Returns
        how many summaries are indexed."""
        *_, count = await self._batch(*(command.count() for command in self._derivation))
        return int(count)

    async def delete(self, summary_id: int, *, missing_ok: bool = False) -> bool:
        """True when it existed; otherwise RecordNotFoundError, or False with missing_ok."""
        count = await self._run(self._delete.count(id=summary_id))
        return self._deleted(count, summary_id, missing_ok=missing_ok)

    async def _refusal(self, action: str, summary_id: int) -> NoReturn:
        """Raises the reason why a step changed no row: there is no such summary, or it has ended."""
        summary = await self._run(self._get.one(id=summary_id))
        raise self._refused(action, summary_id, summary.status)
