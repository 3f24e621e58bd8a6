"""LLM templates: a profile's prompts and models for its language model. One per profile."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from reelbase.engine.ids import new_id
from reelbase.engine.record import Record
from reelbase.engine.repository import Repository
from reelbase.engine.statements.statement import Command, Query


class LlmTemplate(Record, frozen=True):
    """Messages and models. srt_…: for the repair of subtitles; '' means the application's default."""

    id: UUID
    profile_id: str
    sys_msg: str
    prompt: str
    model: str
    srt_sys_msg: str
    srt_model: str
    created_at: datetime
    updated_at: datetime


class LlmTemplateRepository(Repository):
    """The prompt templates of profiles, table ``llm_templates``: one per profile at most."""

    entity = "LLM template of profile"

    _get = Query(
        LlmTemplate,
        """
        SELECT *
        FROM llm_templates
        WHERE profile_id = :profile_id
        """,
    )

    _upsert = Command(
        LlmTemplate,
        """
        INSERT INTO llm_templates (
          id, profile_id, sys_msg, prompt, model, srt_sys_msg, srt_model, created_at, updated_at
        )
        VALUES (:id, :profile_id, :sys_msg, :prompt, :model, :srt_sys_msg, :srt_model, :now, :now)
        ON CONFLICT (profile_id) DO UPDATE
        SET sys_msg = excluded.sys_msg,
            prompt = excluded.prompt,
            model = excluded.model,
            srt_sys_msg = excluded.srt_sys_msg,
            srt_model = excluded.srt_model,
            updated_at = excluded.updated_at
        RETURNING *
        """,
    )

    _delete = Command(
        LlmTemplate,
        """
        DELETE FROM llm_templates
        WHERE profile_id = :profile_id
        """,
    )

    async def get_for_profile(self, profile_id: str) -> LlmTemplate | None:
        """The profile's template, or None."""
        return await self._run(self._get.optional(profile_id=profile_id))

    async def upsert(
        self,
        profile_id: str,
        sys_msg: str,
        prompt: str,
        model: str,
        srt_sys_msg: str = "",
        srt_model: str = "",
    ) -> LlmTemplate:
        """Creates the profile's template, or replaces all its fields; its id and created_at stay.

        Args:
            profile_id: the profile.
            sys_msg: the system message.
            prompt: the prompt.
            model: the model.
            srt_sys_msg: the system message for the repair of subtitles; '': the application's default.
            srt_model: the model for the repair of subtitles; '': the application's default.

        Returns:
            The template.

        Raises:
            ConstraintError: kind foreign_key when the profile does not exist.
        """
        return await self._run(
            self._upsert.one(
                id=new_id(),
                profile_id=profile_id,
                sys_msg=sys_msg,
                prompt=prompt,
                model=model,
                srt_sys_msg=srt_sys_msg,
                srt_model=srt_model,
                now=self._now(),
            )
        )

    async def delete(self, profile_id: str, *, missing_ok: bool = False) -> bool:
        """True when the profile had one; otherwise RecordNotFoundError, or False with missing_ok."""
        count = await self._run(self._delete.count(profile_id=profile_id))
        return self._deleted(count, profile_id, missing_ok=missing_ok)
