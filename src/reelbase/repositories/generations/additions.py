"""Creating generations: one, or many at once."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from reelbase.engine.ids import new_id
from reelbase.engine.statements.arguments import wrong_type
from reelbase.engine.statements.statement import Command, Query
from reelbase.repositories.generations.queries import GenerationQueries
from reelbase.repositories.generations.records import Generation, NewGeneration
from reelbase.repositories.prompts import PromptRepository


class GenerationAdditions(GenerationQueries):
    """How generations are queued."""

    _create = Command(
        Generation,
        """
        INSERT INTO generations (
          id, prompt, model_name, model_version, duration_seconds, sample_rate, channels, file_path,
          status, created_at, metadata, priority, max_attempts
        )
        VALUES (
          :id, :prompt, :model_name, :model_version, :duration_seconds, :sample_rate, :channels,
          :file_path, 'pending', :created_at, :metadata, :priority, :max_attempts
        )
        RETURNING *
        """,
    )

    _get_many = Query(
        Generation,
        """
        SELECT *
        FROM (SELECT value AS wanted_id, key AS position FROM json_each(:ids)) AS wanted
        CROSS JOIN generations
        WHERE id = wanted_id
        ORDER BY position
        """,
        params={"ids": list},
    )

    async def create(
        self,
        prompt: str,
        model_name: str,
        duration_seconds: float,
        sample_rate: int,
        channels: int,
        file_path: str,
        *,
        id: UUID | str | None = None,
        model_version: str | None = None,
        metadata: dict[str, Any] | None = None,
        priority: int = 0,
        max_attempts: int = 1,
    ) -> Generation:
        """Adds a pending generation, and counts the use of its prompt in the same transaction.

        Args:
            prompt: the text.
            model_name: the model.
            duration_seconds: the length of the audio, above 0.
            sample_rate: samples a second, above 0.
            channels: 1 or 2.
            file_path: where the audio will be.
            id: the id of the generation; None: a new one.
            model_version: the version of the model, or None.
            metadata: further data of the application; None: {}.
            priority: a higher one is claimed sooner.
            max_attempts: how often it may be claimed, or started and interrupted, before it fails for
                good; at least 1.

        Returns:
            The generation.

        Raises:
            ConstraintError: kind check when a number is out of range; kind unique when the id is taken.
                The prompt is then not counted either.
        """
        now = self._now()
        _, _, generation = await self._batch(
            PromptRepository.track_prompt.one(text=prompt, now=now),
            PromptRepository.index_new_prompts.catch_up(),
            self._create.one(
                id=new_id() if id is None else id,
                prompt=prompt,
                model_name=model_name,
                model_version=model_version,
                duration_seconds=duration_seconds,
                sample_rate=sample_rate,
                channels=channels,
                file_path=file_path,
                created_at=now,
                metadata={} if metadata is None else metadata,
                priority=priority,
                max_attempts=max_attempts,
            ),
        )
        return generation

    async def create_many(self, generations: Iterable[NewGeneration]) -> list[Generation]:
        """Adds pending generations, all or none, and returns them in the order given. Counts the use of
        each prompt. [] adds nothing. Errors as in create()."""
        if not isinstance(generations, Iterable):
            raise wrong_type(
                "generations",
                f"must be a list of NewGeneration, not {type(generations).__name__}",
            )
        now = self._now()
        rows = [
            self._row(self._expect("generations", generation, NewGeneration), place, now)
            for place, generation in enumerate(generations)
        ]
        if not rows:
            return []
        _, _, _, created = await self._batch(
            PromptRepository.track_prompt.many(
                [{"text": row["prompt"], "now": now} for row in rows]
            ),
            PromptRepository.index_new_prompts.catch_up(),
            self._create.many(rows),
            self._get_many.all(ids=[row["id"] for row in rows]),
        )
        return created

    def _row(self, new: NewGeneration, place: int, now: datetime) -> dict[str, Any]:
        id = self._id("id", new_id() if new.id is None else new.id, place)
        metadata = {} if new.metadata is None else new.metadata
        return msgspec.structs.asdict(new) | {"id": id, "metadata": metadata, "created_at": now}
