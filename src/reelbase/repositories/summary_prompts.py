"""Summary prompts: the requests for a summary to a language model, with all versions of their text."""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict, Unpack

from msgspec import UnsetType

from reelbase.engine.record import Record
from reelbase.engine.repository import Repository
from reelbase.engine.statements.arguments import invalid_argument
from reelbase.engine.statements.statement import Command, Query
from reelbase.repositories.profiles import Profile


class SummaryPrompt(Record, frozen=True):
    """A prompt. profile_id None: a system prompt, for all profiles.

    content_type: the application's own word for a kind of recording (meeting, interview, podcast …);
    active() falls back on the system prompt for ``general``.  version: that of prompt_text.
    """

    id: int
    profile_id: str | None
    name: str
    description: str | None
    content_type: str
    prompt_text: str
    version: int
    created_at: datetime
    updated_at: datetime


class SummaryPromptChanges(TypedDict, total=False):
    """The fields that summary_prompts.update() can change."""

    name: str | UnsetType
    description: str | UnsetType | None
    content_type: str | UnsetType
    prompt_text: str | UnsetType


class SummaryPromptVersion(Record, frozen=True):
    """A text that a prompt has, or had. created_at: since when."""

    prompt_id: int
    version: int
    prompt_text: str
    created_at: datetime


class SummaryPromptRepository(Repository):
    """Prompts for summaries, table ``summary_prompts``: system prompts and prompts of profiles. Each text
    that a prompt has had is kept as a version.
    """

    entity = "summary prompt"
    table = "summary_prompts"

    _add = Command(
        SummaryPrompt,
        """
        INSERT INTO summary_prompts (
          profile_id, name, description, content_type, prompt_text, version, created_at, updated_at
        )
        VALUES (:profile_id, :name, :description, :content_type, :prompt_text, 1, :now, :now)
        RETURNING *
        """,
    )

    _get = Query(
        SummaryPrompt,
        """
        SELECT *
        FROM summary_prompts
        WHERE id = :id
        """,
    )

    _list = Query(
        SummaryPrompt,
        """
        SELECT *
        FROM summary_prompts
        WHERE (profile_id = :profile_id OR (profile_id IS NULL AND :filter_system))
          AND (NOT :filter_content_type OR content_type = :content_type)
        ORDER BY profile_id NULLS FIRST, name, id
        """,
    )

    _versions = Query(
        SummaryPromptVersion,
        """
        SELECT *
        FROM summary_prompt_versions
        WHERE prompt_id = :prompt_id
        ORDER BY version DESC
        """,
    )

    _active = Query(
        SummaryPrompt,
        """
        SELECT *
        FROM summary_prompts
        WHERE id = coalesce(
            (
              SELECT active_summary_prompt_id
              FROM profiles
              WHERE id = :profile_id
            ),
            (
              SELECT id
              FROM summary_prompts
              WHERE profile_id IS NULL
                AND content_type = :content_type
              ORDER BY id
              LIMIT 1
            ),
            (
              SELECT id
              FROM summary_prompts
              WHERE profile_id IS NULL
                AND content_type = 'general'
              ORDER BY id
              LIMIT 1
            )
          )
        """,
    )

    _set_active = Command(
        Profile,
        """
        UPDATE profiles
        SET active_summary_prompt_id = :prompt_id
        WHERE id = :profile_id
        RETURNING *
        """,
        params={"profile_id": str, "prompt_id": int},
        entity="profile",
    )

    # A change of the text makes a new version; a trigger stores it.
    _update = Command(
        SummaryPrompt,
        """
        UPDATE summary_prompts
        SET name = iif(:set_name, :name, name),
            description = iif(:set_description, :description, description),
            content_type = iif(:set_content_type, :content_type, content_type),
            prompt_text = iif(:set_prompt_text, :prompt_text, prompt_text),
            version = version + iif(
              :set_prompt_text AND prompt_text IS DISTINCT FROM :prompt_text, 1, 0
            ),
            updated_at = iif(
              (:set_name AND name IS DISTINCT FROM :name)
              OR (:set_description AND description IS DISTINCT FROM :description)
              OR (:set_content_type AND content_type IS DISTINCT FROM :content_type)
              OR (:set_prompt_text AND prompt_text IS DISTINCT FROM :prompt_text),
              :now,
              updated_at
            )
        WHERE id = :id
        RETURNING *
        """,
    )

    _delete = Command(
        SummaryPrompt,
        """
        DELETE FROM summary_prompts
        WHERE id = :id
        """,
    )

    async def add(
        self,
        profile_id: str | None,
        name: str,
        prompt_text: str,
        *,
        content_type: str = "general",
        description: str | None = None,
    ) -> SummaryPrompt:
        """Adds a prompt.

        Args:
            profile_id: the profile that owns it; None: a system prompt.
            name: the name to show; it need not be unique.
            prompt_text: the text.
            content_type: the application's own word for a kind of recording; not empty.
            description: a text, or None.

        Returns:
            The prompt.

        Raises:
            ConstraintError: kind foreign_key for an unknown profile; kind check for an empty content_type.
        """
        return await self._run(
            self._add.one(
                profile_id=profile_id,
                name=name,
                description=description,
                content_type=content_type,
                prompt_text=prompt_text,
                now=self._now(),
            )
        )

    async def get(self, prompt_id: int) -> SummaryPrompt:
        """The prompt; RecordNotFoundError when there is none."""
        return await self._run(self._get.one(id=prompt_id))

    async def find(self, prompt_id: int) -> SummaryPrompt | None:
        """The prompt, or None."""
        return await self._run(self._get.optional(id=prompt_id))

    async def list_for_profile(
        self, profile_id: str, *, content_type: str | None = None, include_system: bool = True
    ) -> list[SummaryPrompt]:
        """The prompts that the profile can choose: system prompts, then its own, by name, then id.

        Args:
            profile_id: the profile.
            content_type: only prompts of this type; None: all.
            include_system: also the system prompts.

        Returns:
            The prompts; for an unknown profile only the system prompts.
        """
        return await self._run(
            self._list.all(
                profile_id=profile_id,
                filter_system=include_system,
                filter_content_type=content_type is not None,
                content_type=content_type,
            )
        )

    async def versions(self, prompt_id: int) -> list[SummaryPromptVersion]:
        """Every text of the prompt, the current one first; [] for an unknown prompt."""
        return await self._run(self._versions.all(prompt_id=prompt_id))

    async def active(self, profile_id: str, content_type: str = "general") -> SummaryPrompt | None:
        """The prompt to use: the profile's choice, of any type; else the system prompt of this type, else
        the system prompt for ``general``, else None. Of several system prompts it is the first added."""
        return await self._run(
            self._active.optional(profile_id=profile_id, content_type=content_type)
        )

    async def set_active(self, profile_id: str, prompt_id: int | None) -> Profile:
        """Makes the prompt the profile's choice and returns the profile. None: clears the choice.

        ValueError for a prompt of another profile; RecordNotFoundError for an unknown prompt or profile.
        """
        self._expect("profile_id", profile_id, str)
        if prompt_id is not None:
            prompt = await self._run(self._get.one(id=prompt_id))
            if prompt.profile_id not in (None, profile_id):
                raise invalid_argument("prompt_id", f"prompt {prompt_id} is of another profile_id")
        return await self._run(self._set_active.one(profile_id=profile_id, prompt_id=prompt_id))

    async def update(
        self, prompt_id: int, **changes: Unpack[SummaryPromptChanges]
    ) -> SummaryPrompt:
        """Changes the fields passed and returns the prompt; None clears one, UNSET leaves it.

        Can change: name, description, content_type, prompt_text; TypeError for any other field. A new text
        is a new version. RecordNotFoundError for an unknown id.
        """
        params = self._update.changes(changes, id=prompt_id, now=self._now())
        return await self._run(self._update.one(**params))

    async def delete(self, prompt_id: int, *, missing_ok: bool = False) -> bool:
        """Deletes the prompt with its versions; profiles that had chosen it have no choice afterwards.

        True when it existed; otherwise RecordNotFoundError, or False with missing_ok.
        """
        count = await self._run(self._delete.count(id=prompt_id))
        return self._deleted(count, prompt_id, missing_ok=missing_ok)
