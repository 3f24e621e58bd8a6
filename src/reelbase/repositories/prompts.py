"""Prompts: the texts of generations, and how often each was used."""

from __future__ import annotations

import builtins
from datetime import datetime
from typing import Any

import msgspec

from reelbase.engine.record import Record
from reelbase.engine.repository import Repository
from reelbase.engine.statements.search import match_expression
from reelbase.engine.statements.statement import Command, Query


class Prompt(Record, frozen=True):
    """A text that was used as a prompt at least once; texts are compared exactly."""

    id: int
    text: str
    used_count: int
    first_used_at: datetime
    last_used_at: datetime

    def to_dict(self) -> dict[str, Any]:
        """The fields in JSON's types: times as ISO 8601 texts."""
        fields: dict[str, Any] = msgspec.to_builtins(self)
        return fields


class PromptRepository(Repository):
    """Prompts of generations and how often each was used, table ``prompts``: one row per text, compared
    exactly. A prompt stays when its generations are deleted.
    """

    entity = "prompt"

    # Exact for any number of callers: the statement that counts holds the writer lock.
    track_prompt = Command(
        Prompt,
        """
        INSERT INTO prompts (text, used_count, first_used_at, last_used_at)
        VALUES (:text, 1, :now, :now)
        ON CONFLICT (text) DO UPDATE
        SET used_count = prompts.used_count + 1,
            last_used_at = iif(
              excluded.last_used_at > prompts.last_used_at,
              excluded.last_used_at,
              prompts.last_used_at
            )
        RETURNING *
        """,
    )

    # Ids only grow, so the rows that are not indexed yet lie behind the last indexed one.
    index_new_prompts = Command(
        Prompt,
        """
        INSERT INTO prompts_fts (rowid, text)
        SELECT id, spaced(text)
        FROM prompts
        WHERE id > coalesce((SELECT rowid FROM prompts_fts ORDER BY rowid DESC LIMIT 1), 0)
        """,
    )

    # Rebuilt from the texts, because a damaged index cannot be cleared.
    _mend_index = Command(
        Prompt,
        """
        INSERT INTO prompts_fts (prompts_fts)
        VALUES ('rebuild')
        """,
    )

    _clear_index = Command(
        Prompt,
        """
        DELETE FROM prompts_fts
        """,
    )
    _derived = "prompts_fts"
    _derivation = (_mend_index, _clear_index, index_new_prompts)

    _get = Query(
        Prompt,
        """
        SELECT *
        FROM prompts
        WHERE id = :id
        """,
    )

    _find_by_text = Query(
        Prompt,
        """
        SELECT *
        FROM prompts
        WHERE text = :text
        """,
    )

    _list = Query(
        Prompt,
        """
        SELECT *
        FROM prompts
        ORDER BY used_count DESC, last_used_at DESC, id
        LIMIT :limit OFFSET :offset
        """,
    )

    _search = Query(
        Prompt,
        """
        SELECT
          prompts.id, prompts.text, prompts.used_count, prompts.first_used_at, prompts.last_used_at
        FROM prompts_fts(:expression)
        CROSS JOIN prompts
        WHERE prompts.id = prompts_fts.rowid
        ORDER BY prompts_fts.rank, prompts.id
        LIMIT :limit OFFSET :offset
        """,
        params={"expression": str},
    )

    _count = Query(
        int,
        """
        SELECT count(*)
        FROM prompts
        """,
    )

    async def track(self, text: str) -> Prompt:
        """Counts a use of the text and returns the prompt; the first use creates it."""
        prompt, _ = await self._batch(
            self.track_prompt.one(text=text, now=self._now()), self.index_new_prompts.catch_up()
        )
        return prompt

    async def get(self, prompt_id: int) -> Prompt:
        """The prompt; RecordNotFoundError when there is none."""
        return await self._run(self._get.one(id=prompt_id))

    async def find(self, prompt_id: int) -> Prompt | None:
        """The prompt, or None."""
        return await self._run(self._get.optional(id=prompt_id))

    async def find_by_text(self, text: str) -> Prompt | None:
        """The prompt of exactly this text, or None."""
        return await self._run(self._find_by_text.optional(text=text))

    async def list(self, *, limit: int | None = 100, offset: int = 0) -> builtins.list[Prompt]:
        """Prompts, the most used first, then the last used, then by id."""
        return await self._run(self._list.all(limit=limit, offset=offset))

    async def most_used(self, limit: int | None = 10) -> builtins.list[Prompt]:
        """The first of list()."""
        return await self.list(limit=limit)

    async def search(
        self, query: str, limit: int | None = 20, *, offset: int = 0
    ) -> builtins.list[Prompt]:
        """Prompts that have all words of the query, the best match first.

        The last word matches as a prefix, a "quoted part" as a phrase; scripts without spaces
        (Chinese, Thai …) as substrings; case, accents and width do not count. No query is an error; a
        query without a word finds no prompt. offset: this many, the best ones, are skipped first.
        """
        expression = match_expression(self._expect("query", query, str))
        if expression is None:
            return []
        return await self._run(self._search.all(expression=expression, limit=limit, offset=offset))

    async def rebuild_search(self) -> int:
        """Rebuilds the search index of prompts, also for rows that another program has written. Returns how
        many prompts are indexed."""
        *_, count = await self._batch(*(command.count() for command in self._derivation))
        return int(count)

    async def count(self) -> int:
        """How many different prompts there are."""
        return await self._run(self._count.one())
