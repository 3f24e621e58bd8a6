"""Finding and counting generations."""

from __future__ import annotations

import builtins
from uuid import UUID

from reelbase.engine.ids import END_OF_TIME, MAX_ID
from reelbase.engine.repository import Repository
from reelbase.engine.statements.pages import Page
from reelbase.engine.statements.statement import PageQuery, Query
from reelbase.repositories.generations.records import (
    Generation,
    GenerationStats,
    GenerationStatus,
    GenerationStatusLike,
)


class GenerationQueries(Repository):
    """How generations are read."""

    entity = "generation"
    _repository = "GenerationRepository"

    _get = Query(
        Generation,
        """
        SELECT *
        FROM generations
        WHERE id = :id
        """,
    )

    _list = Query(
        Generation,
        """
        SELECT *
        FROM generations
        ORDER BY created_at DESC, id DESC
        LIMIT :limit OFFSET :offset
        """,
    )

    _list_with_status = Query(
        Generation,
        """
        SELECT *
        FROM generations
        WHERE status = :status
        ORDER BY created_at DESC, id DESC
        LIMIT :limit OFFSET :offset
        """,
    )

    _page = PageQuery(
        Generation,
        """
        SELECT *
        FROM generations
        WHERE (created_at, id) < (:created_at, :id)
        ORDER BY created_at DESC, id DESC
        LIMIT :limit
        """,
        keyset={"created_at": END_OF_TIME, "id": MAX_ID},
    )

    _page_with_status = PageQuery(
        Generation,
        """
        SELECT *
        FROM generations
        WHERE status = :status
          AND (created_at, id) < (:created_at, :id)
        ORDER BY created_at DESC, id DESC
        LIMIT :limit
        """,
        keyset={"created_at": END_OF_TIME, "id": MAX_ID},
    )

    _list_for_model = Query(
        Generation,
        """
        SELECT *
        FROM generations
        WHERE model_name = :model_name
        ORDER BY created_at DESC, id DESC
        LIMIT :limit OFFSET :offset
        """,
    )

    _list_for_prompt = Query(
        Generation,
        """
        SELECT *
        FROM generations
        WHERE prompt = :prompt
        ORDER BY created_at DESC, id DESC
        LIMIT :limit OFFSET :offset
        """,
    )

    _pending = Query(
        Generation,
        """
        SELECT *
        FROM generations
        WHERE status = 'pending'
        ORDER BY created_at, id
        LIMIT :limit
        """,
    )

    _count = Query(
        int,
        """
        SELECT count(*)
        FROM generations
        """,
    )

    _count_with_status = Query(
        int,
        """
        SELECT count(*)
        FROM generations
        WHERE status = :status
        """,
        params={"status": GenerationStatus},
    )

    _stats = Query(
        GenerationStats,
        """
        SELECT
          count(*) AS total_generations,
          count(*) FILTER (WHERE status = 'pending') AS pending_generations,
          count(*) FILTER (WHERE status = 'processing') AS processing_generations,
          count(*) FILTER (WHERE status = 'completed') AS completed_generations,
          count(*) FILTER (WHERE status = 'failed') AS failed_generations,
          count(*) FILTER (WHERE status = 'cancelled') AS cancelled_generations,
          (SELECT count(*) FROM prompts) AS total_prompts
        FROM generations
        """,
    )

    async def get(self, generation_id: UUID | str) -> Generation:
        """The generation; RecordNotFoundError when there is none."""
        return await self._run(self._get.one(id=generation_id))

    async def find(self, generation_id: UUID | str) -> Generation | None:
        """The generation, or None."""
        return await self._run(self._get.optional(id=generation_id))

    async def list(
        self,
        *,
        status: GenerationStatusLike | None = None,
        limit: int | None = 100,
        offset: int = 0,
    ) -> builtins.list[Generation]:
        """Generations, newest first.

        Args:
            status: only generations with this status; None: all.
            limit: at most this many; None: all.
            offset: this many are skipped first.

        Returns:
            The generations; [] when there are none.
        """
        if status is None:
            return await self._run(self._list.all(limit=limit, offset=offset))
        step = self._list_with_status.all(status=status, limit=limit, offset=offset)
        return await self._run(step)

    async def page(
        self,
        *,
        after: Generation | str | None = None,
        limit: int | None = 50,
        status: GenerationStatusLike | None = None,
    ) -> Page[Generation]:
        """A page of generations, newest first, by keyset.

        Args:
            after: ``next`` of the page before, or its last generation; None: the first page.
            limit: at most this many; None: all.
            status: only generations with this status; None: all.

        Returns:
            The generations; with ``next``, the token of the next page, or None on the last one.

        Raises:
            InvalidArgumentError: after is no token of this listing; status is none.
        """
        if status is None:
            return await self._run(self._page.page(after=after, limit=limit))
        return await self._run(self._page_with_status.page(after=after, limit=limit, status=status))

    async def list_for_model(
        self, model_name: str, *, limit: int | None = 100, offset: int = 0
    ) -> builtins.list[Generation]:
        """The generations of a model, of all its versions, newest first.

        Args:
            model_name: the model, compared exactly.
            limit: at most this many; None: all.
            offset: this many are skipped first.

        Returns:
            The generations; [] also for an unknown model.
        """
        step = self._list_for_model.all(model_name=model_name, limit=limit, offset=offset)
        return await self._run(step)

    async def list_for_prompt(
        self, prompt: str, *, limit: int | None = 100, offset: int = 0
    ) -> builtins.list[Generation]:
        """The generations of a prompt, newest first.

        Args:
            prompt: the text, compared exactly.
            limit: at most this many; None: all.
            offset: this many are skipped first.

        Returns:
            The generations; [] also for an unknown prompt.
        """
        step = self._list_for_prompt.all(prompt=prompt, limit=limit, offset=offset)
        return await self._run(step)

    async def pending(self, limit: int | None = 100) -> builtins.list[Generation]:
        """Pending generations, oldest first."""
        return await self._run(self._pending.all(limit=limit))

    async def count(self, status: GenerationStatusLike | None = None) -> int:
        """How many generations have this status; None: how many there are."""
        if status is None:
            return await self._run(self._count.one())
        return await self._run(self._count_with_status.one(status=status))

    async def stats(self) -> GenerationStats:
        """The numbers of generations by status, and of prompts, in one read transaction."""
        return await self._run(self._stats.one())
