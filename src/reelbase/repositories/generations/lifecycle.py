"""What happens to a generation, from the prompt to the end."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from reelbase.engine.arguments import invalid_argument
from reelbase.engine.identifiers import new_id
from reelbase.engine.statement import Command
from reelbase.engine.step import Step
from reelbase.repositories.generations.listing import GenerationListing
from reelbase.repositories.generations.records import (
    Generation,
    GenerationStatus,
    GenerationStatusLike,
)
from reelbase.repositories.prompts import PromptRepository


class GenerationLifecycle(GenerationListing):
    _create = Command(
        Generation,
        """
        INSERT INTO generations (
          id, prompt, model_name, model_version, duration_seconds, sample_rate, channels, file_path,
          status, created_at, metadata
        )
        VALUES (
          :id, :prompt, :model_name, :model_version, :duration_seconds, :sample_rate, :channels,
          :file_path, 'pending', :created_at, :metadata
        )
        RETURNING
          id, prompt, model_name, model_version, duration_seconds, sample_rate, channels, file_path,
          file_size_bytes, status, created_at, completed_at, generation_time_seconds, error_message,
          metadata
        """,
    )

    _claim = Command(
        Generation,
        """
        UPDATE generations
        SET status = 'processing'
        WHERE id = (
          SELECT id
          FROM generations
          WHERE status = 'pending'
          ORDER BY created_at, id
          LIMIT 1
        )
        RETURNING
          id, prompt, model_name, model_version, duration_seconds, sample_rate, channels, file_path,
          file_size_bytes, status, created_at, completed_at, generation_time_seconds, error_message,
          metadata
        """,
    )

    _update_status = Command(
        Generation,
        """
        UPDATE generations
        SET status = :status,
            error_message = coalesce(:error_message, error_message),
            completed_at = iif(:status = 'processing', NULL, :now)
        WHERE id = :id
          AND (
            (status = 'pending' AND :status <> 'pending')
            OR (status = 'processing' AND :status IN ('completed', 'failed', 'cancelled'))
          )
        RETURNING
          id, prompt, model_name, model_version, duration_seconds, sample_rate, channels, file_path,
          file_size_bytes, status, created_at, completed_at, generation_time_seconds, error_message,
          metadata
        """,
    )

    _complete = Command(
        Generation,
        """
        UPDATE generations
        SET status = 'completed',
            completed_at = :now,
            generation_time_seconds = :generation_time_seconds,
            file_size_bytes = coalesce(:file_size_bytes, file_size_bytes),
            metadata = merged(metadata, :metadata)
        WHERE id = :id
          AND status IN ('pending', 'processing')
        RETURNING
          id, prompt, model_name, model_version, duration_seconds, sample_rate, channels, file_path,
          file_size_bytes, status, created_at, completed_at, generation_time_seconds, error_message,
          metadata
        """,
    )

    _set_metadata = Command(
        Generation,
        """
        UPDATE generations
        SET metadata = :metadata
        WHERE id = :id
        RETURNING
          id, prompt, model_name, model_version, duration_seconds, sample_rate, channels, file_path,
          file_size_bytes, status, created_at, completed_at, generation_time_seconds, error_message,
          metadata
        """,
    )

    _recover = Command(
        Generation,
        """
        UPDATE generations
        SET status = 'failed',
            error_message = :error_message,
            completed_at = :now
        WHERE status = 'processing'
        """,
    )

    _delete = Command(
        Generation,
        """
        DELETE FROM generations
        WHERE id = :id
        """,
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
    ) -> Generation:
        """Adds a pending generation, counts the use of its prompt with it, and returns it.

        ConstraintError: kind check unless duration and rate are positive and channels 1 or 2; kind
        unique when the id is taken. The prompt is then not counted either.
        """
        now = self._now()
        _, _, generation = await self._batch(
            PromptRepository.track_prompt.one(text=prompt, now=now),
            PromptRepository.index_new_prompts.count(),
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
            ),
        )
        return generation

    async def claim(self) -> Generation | None:
        """Moves the oldest pending one to processing and returns it; None when none is pending.

        No two workers, tasks or processes get the same one.
        """
        return await self._run(self._claim.optional())

    async def mark_processing(self, generation_id: UUID | str) -> Generation:
        """pending -> processing. InvalidTransitionError from any other status."""
        return await self.update_status(generation_id, GenerationStatus.PROCESSING)

    async def complete(
        self,
        generation_id: UUID | str,
        generation_time: float,
        file_size_bytes: int | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> Generation:
        """Ends the generation as completed. generation_time: seconds.

        metadata is merged into what is there, key by key. InvalidTransitionError when it has ended.
        """
        step = self._complete.optional(
            id=generation_id,
            generation_time_seconds=generation_time,
            file_size_bytes=file_size_bytes,
            metadata={} if metadata is None else metadata,
            now=self._now(),
        )
        return await self._moved(generation_id, GenerationStatus.COMPLETED, step)

    async def fail(self, generation_id: UUID | str, error_message: str) -> Generation:
        """Ends the generation as failed. InvalidTransitionError when it has ended."""
        return await self.update_status(generation_id, GenerationStatus.FAILED, error_message)

    async def cancel(self, generation_id: UUID | str) -> Generation:
        """Ends the generation as cancelled. InvalidTransitionError when it has ended."""
        return await self.update_status(generation_id, GenerationStatus.CANCELLED)

    async def update_status(
        self,
        generation_id: UUID | str,
        status: GenerationStatusLike,
        error_message: str | None = None,
    ) -> Generation:
        """Moves the generation on; error_message None leaves what is there.

        pending moves to any other status, processing to an end; else InvalidTransitionError.
        """
        if status is None:
            raise invalid_argument("status", "must not be None")
        step = self._update_status.optional(
            id=generation_id,
            status=status,
            error_message=error_message,
            now=self._now(),
        )
        return await self._moved(generation_id, status, step)

    async def set_metadata(self, generation_id: UUID | str, metadata: dict[str, Any]) -> Generation:
        """Replaces the metadata as a whole."""
        return await self._run(self._set_metadata.one(id=generation_id, metadata=metadata))

    async def recover(self, message: str) -> int:
        """After a start: fails what is still processing, with this message; how many there were."""
        return await self._run(self._recover.count(error_message=message, now=self._now()))

    async def delete(self, generation_id: UUID | str, *, missing_ok: bool = False) -> bool:
        """Deletes the row, not the audio; its prompt stays counted.

        True when it existed; otherwise RecordNotFoundError, or False with missing_ok.
        """
        count = await self._run(self._delete.count(id=generation_id))
        return self._deleted(count, generation_id, missing_ok=missing_ok)

    async def _moved(
        self, generation_id: UUID | str, status: str, step: Step[Generation | None]
    ) -> Generation:
        """The generation that the step changed, or the reason why it changed none."""
        generation = await self._run(step)
        if generation is None:
            generation = await self._run(self._get.one(id=generation_id))
            raise self._refused(f"become {status}", generation_id, generation.status)
        return generation
