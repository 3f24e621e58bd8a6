"""Finding language models, and how their tests went."""

from __future__ import annotations

from reelbase.engine.repository import Repository
from reelbase.engine.statements.statement import Query
from reelbase.repositories.llm_configs.records import LlmConfig, LlmConfigCheck


class LlmConfigFinding(Repository):
    """How configurations are read."""

    entity = "llm config"
    table = "llm_configs"
    _repository = "LlmConfigRepository"

    _get = Query(
        LlmConfig,
        """
        SELECT
          llm_configs.id, profile_id, name, provider, model_name, base_url, max_tokens, temperature,
          api_key IS NOT NULL AS has_api_key,
          profiles.active_llm_config_id IS llm_configs.id AS is_active,
          test_status, test_message, last_tested_at, llm_configs.created_at, updated_at
        FROM llm_configs
        CROSS JOIN profiles
        WHERE profiles.id = llm_configs.profile_id
          AND llm_configs.id = :id
        """,
    )

    _get_by_name = Query(
        LlmConfig,
        """
        SELECT
          llm_configs.id, profile_id, name, provider, model_name, base_url, max_tokens, temperature,
          api_key IS NOT NULL AS has_api_key,
          profiles.active_llm_config_id IS llm_configs.id AS is_active,
          test_status, test_message, last_tested_at, llm_configs.created_at, updated_at
        FROM llm_configs
        CROSS JOIN profiles
        WHERE profiles.id = llm_configs.profile_id
          AND profile_id = :profile_id
          AND name = :name
        """,
    )

    _list_for_profile = Query(
        LlmConfig,
        """
        SELECT
          llm_configs.id, profile_id, name, provider, model_name, base_url, max_tokens, temperature,
          api_key IS NOT NULL AS has_api_key,
          profiles.active_llm_config_id IS llm_configs.id AS is_active,
          test_status, test_message, last_tested_at, llm_configs.created_at, updated_at
        FROM profiles
        CROSS JOIN llm_configs
        WHERE llm_configs.profile_id = profiles.id
          AND profiles.id = :profile_id
        ORDER BY llm_configs.created_at DESC, llm_configs.id DESC
        """,
    )

    _active = Query(
        LlmConfig,
        """
        SELECT
          llm_configs.id, profile_id, name, provider, model_name, base_url, max_tokens, temperature,
          api_key IS NOT NULL AS has_api_key,
          profiles.active_llm_config_id IS llm_configs.id AS is_active,
          test_status, test_message, last_tested_at, llm_configs.created_at, updated_at
        FROM profiles
        CROSS JOIN llm_configs
        WHERE llm_configs.id = profiles.active_llm_config_id
          AND profiles.id = :profile_id
        """,
    )

    _tests = Query(
        LlmConfigCheck,
        """
        SELECT id, config_id, status, message, tested_at
        FROM llm_config_checks
        WHERE config_id = :config_id
        ORDER BY tested_at DESC, id DESC
        LIMIT :limit
        """,
    )

    async def get(self, config_id: int) -> LlmConfig:
        """The configuration; RecordNotFoundError when there is none."""
        return await self._run(self._get.one(id=config_id))

    async def find(self, config_id: int) -> LlmConfig | None:
        """The configuration, or None."""
        return await self._run(self._get.optional(id=config_id))

    async def list_for_profile(self, profile_id: str) -> list[LlmConfig]:
        """A profile's configurations, newest first."""
        return await self._run(self._list_for_profile.all(profile_id=profile_id))

    async def active(self, profile_id: str) -> LlmConfig | None:
        """The one that the profile uses; None when it has none at all."""
        return await self._run(self._active.optional(profile_id=profile_id))

    async def tests(self, config_id: int, limit: int | None = 20) -> list[LlmConfigCheck]:
        """How the configuration's tests went, newest first; those before a change of it too."""
        return await self._run(self._tests.all(config_id=config_id, limit=limit))
