"""Language models: the configurations of a profile, with their API keys and the results of tests."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, TypedDict, Unpack

from msgspec import UNSET, UnsetType

from reelbase.engine.record import Record
from reelbase.engine.repository import Repository
from reelbase.engine.statements.arguments import invalid_argument
from reelbase.engine.statements.parameters import has_surrogates
from reelbase.engine.statements.statement import Command, Query
from reelbase.errors import ConstraintError


class LlmConfig(Record, frozen=True):
    """A language model that a profile may use.

    has_api_key: whether a key is stored.  is_active: true for exactly one configuration of a profile that
    has any.  test_status: untested, success or failed, for the configuration as it is now.
    """

    id: int
    profile_id: str
    name: str
    provider: str
    model_name: str
    base_url: str | None
    max_tokens: int
    temperature: float
    has_api_key: bool
    is_active: bool
    test_status: str
    test_message: str | None
    last_tested_at: datetime | None
    created_at: datetime
    updated_at: datetime


class LlmConfigChanges(TypedDict, total=False):
    """The fields that llm_configs.update() can change. api_key: None or '' clears it."""

    name: str | UnsetType
    provider: str | UnsetType
    model_name: str | UnsetType
    base_url: str | UnsetType | None
    max_tokens: int | UnsetType
    temperature: float | UnsetType
    api_key: str | UnsetType | None


class LlmConfigCheck(Record, frozen=True):
    """A test of a configuration. status: success or failed."""

    id: int
    config_id: int
    status: str
    message: str | None
    tested_at: datetime


def place_of_key(config_id: int | None) -> str:
    """The text that a stored key is bound to."""
    return f"the API key of llm config {config_id}"


class LlmConfigRepository(Repository):
    """Language models of profiles, table ``llm_configs``, with encrypted keys. A profile that has any has
    exactly one active configuration.
    """

    entity = "llm config"
    table = "llm_configs"

    _get = Query(
        LlmConfig,
        """
        SELECT
          llm_configs.id, profile_id, name, provider, model_name, base_url, max_tokens, temperature,
          api_key IS NOT NULL AS has_api_key,
          profiles.active_llm_config_id IS NOT DISTINCT FROM llm_configs.id AS is_active,
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
          profiles.active_llm_config_id IS NOT DISTINCT FROM llm_configs.id AS is_active,
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
          profiles.active_llm_config_id IS NOT DISTINCT FROM llm_configs.id AS is_active,
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
          profiles.active_llm_config_id IS NOT DISTINCT FROM llm_configs.id AS is_active,
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
        SELECT *
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
        """The configuration that the profile uses; None when it has no configuration."""
        return await self._run(self._active.optional(profile_id=profile_id))

    async def tests(self, config_id: int, limit: int | None = 20) -> list[LlmConfigCheck]:
        """The configuration's tests, newest first, also from before it was changed."""
        return await self._run(self._tests.all(config_id=config_id, limit=limit))

    # A trigger makes a profile's first configuration the active one.
    _add = Command(
        LlmConfig,
        """
        INSERT INTO llm_configs (
          id, profile_id, name, provider, model_name, base_url, max_tokens, temperature, api_key,
          test_status, created_at, updated_at
        )
        VALUES (
          :id, :profile_id, :name, :provider, :model_name, :base_url, :max_tokens, :temperature, :api_key,
          'untested', :now, :now
        )
        """,
        params={"api_key": bytes},
    )

    _next_id = Query(
        int,
        """
        SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'llm_configs'), 0) + 1
        """,
    )

    _activate = Command(
        LlmConfig,
        """
        UPDATE profiles
        SET active_llm_config_id = :id
        WHERE id = (SELECT profile_id FROM llm_configs WHERE llm_configs.id = :id)
        """,
    )

    _update = Command(
        LlmConfig,
        """
        UPDATE llm_configs
        SET name = iif(:set_name, :name, name),
            provider = iif(:set_provider, :provider, provider),
            model_name = iif(:set_model_name, :model_name, model_name),
            base_url = iif(:set_base_url, :base_url, base_url),
            max_tokens = iif(:set_max_tokens, :max_tokens, max_tokens),
            temperature = iif(:set_temperature, :temperature, temperature),
            api_key = iif(:set_api_key, :api_key, api_key),
            test_status = 'untested',
            test_message = NULL,
            last_tested_at = NULL,
            updated_at = :now
        WHERE id = :id
        """,
        params={"api_key": bytes},
    )

    _log_test = Command(
        LlmConfig,
        """
        INSERT INTO llm_config_checks (config_id, status, message, tested_at)
        VALUES (:id, :test_status, :test_message, :now)
        """,
    )

    _record_test = Command(
        LlmConfig,
        """
        UPDATE llm_configs
        SET test_status = :test_status,
            test_message = :test_message,
            last_tested_at = :now
        WHERE id = :id
        """,
    )

    _delete = Command(
        LlmConfig,
        """
        DELETE FROM llm_configs
        WHERE id = :id
        """,
    )

    _api_key = Query(
        tuple[str, bytes | None],
        """
        SELECT profile_id, api_key
        FROM llm_configs
        WHERE id = :id
        """,
        params={"id": int},
    )

    _api_keys = Query(
        tuple[int, str, bytes],
        """
        SELECT id, profile_id, api_key
        FROM llm_configs
        WHERE api_key IS NOT NULL
        ORDER BY id
        """,
    )

    # Only if the key is still the one that was read.
    _rotate = Command(
        LlmConfig,
        """
        UPDATE llm_configs
        SET api_key = :api_key
        WHERE id = :id
          AND api_key = :old_api_key
        """,
        params={"api_key": bytes, "old_api_key": bytes},
    )

    async def add(
        self,
        profile_id: str,
        name: str,
        provider: str,
        model_name: str,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        max_tokens: int = 8192,
        temperature: float = 0.3,
    ) -> LlmConfig:
        """Adds a configuration. A profile's first configuration is active at once.

        Args:
            profile_id: the profile.
            name: unique in the profile.
            provider: the application's own word.
            model_name: the provider's name of the model.
            api_key: stored encrypted; None or '': no key.
            base_url: the address of the provider, or None.
            max_tokens: at least 1.
            temperature: at least 0.

        Returns:
            The configuration.

        Raises:
            SecretError: api_key is passed without ``connect(secrets=)``.
            ConstraintError: kind unique when the profile has a configuration of this name; kind foreign_key
                for an unknown profile; kind check when a number is out of range.
        """
        while True:
            # The key is bound to the row's id, so the id must be known before the row is inserted.
            config_id = await self._run(self._next_id.one()) if api_key else None
            try:
                _, config = await self._batch(
                    self._add.count(
                        id=config_id,
                        profile_id=profile_id,
                        name=name,
                        provider=provider,
                        model_name=model_name,
                        base_url=base_url,
                        max_tokens=max_tokens,
                        temperature=temperature,
                        api_key=self._encrypted(api_key, profile_id, config_id),
                        now=self._now(),
                    ),
                    self._get_by_name.one(profile_id=profile_id, name=name),
                )
            except ConstraintError as error:
                if error.constraint != "llm_configs.id":
                    raise
                # Another caller was faster and has taken the id.
            else:
                return config

    async def activate(self, config_id: int) -> LlmConfig:
        """Makes the configuration the active one of its profile."""
        _, config = await self._batch(
            self._activate.count(id=config_id), self._get.one(id=config_id)
        )
        return config

    async def update(self, config_id: int, **changes: Unpack[LlmConfigChanges]) -> LlmConfig:
        """Changes the fields passed and returns the configuration; None clears one, UNSET leaves it.

        Can change: name, provider, model_name, base_url, max_tokens, temperature, api_key (None or ''
        clears it); TypeError for any other field. Any change makes the configuration untested.
        RecordNotFoundError for an unknown id; errors as in add().
        """
        stored: dict[str, Any] = {**changes}
        api_key = changes.get("api_key", UNSET)
        if api_key is not UNSET:
            config = await self.get(config_id)
            stored["api_key"] = self._encrypted(api_key, config.profile_id, config_id)
        params = self._update.changes(stored, id=config_id, now=self._now())
        if all(value is UNSET for value in stored.values()):
            return await self.get(config_id)
        _, config = await self._batch(self._update.count(**params), self._get.one(id=config_id))
        return config

    async def record_test(
        self, config_id: int, status: Literal["success", "failed"], message: str | None = None
    ) -> LlmConfig:
        """Stores the result of a test.

        Args:
            config_id: the configuration.
            status: success or failed.
            message: the provider's answer, or None.

        Returns:
            The configuration.

        Raises:
            RecordNotFoundError: there is no such configuration.
            ConstraintError: kind check for any other status.
        """
        now = self._now()
        _, _, _, config = await self._batch(
            self._get.one(id=config_id),
            self._log_test.count(id=config_id, test_status=status, test_message=message, now=now),
            self._record_test.count(
                id=config_id, test_status=status, test_message=message, now=now
            ),
            self._get.one(id=config_id),
        )
        return config

    async def delete(self, config_id: int, *, missing_ok: bool = False) -> bool:
        """Deletes the configuration, its key and its tests. If it was active, the profile's newest
        configuration becomes active.

        True when it existed; otherwise RecordNotFoundError, or False with missing_ok.
        """
        count = await self._run(self._delete.count(id=config_id))
        return self._deleted(count, config_id, missing_ok=missing_ok)

    async def api_key(self, config_id: int) -> str | None:
        """The decrypted key; None when no key is stored.

        SecretError: code no_secrets without ``connect(secrets=)``, code unknown_key when it was encrypted
        by none of these secrets, code damaged when the stored bytes were changed or copied from another row.
        """
        profile_id, stored = await self._run(self._api_key.one(id=config_id))
        if stored is None:
            return None
        return self._secrets().decrypt(stored, owner=profile_id, place=place_of_key(config_id))

    async def rotate_keys(self) -> int:
        """Encrypts all API keys that an older secret has encrypted with the current one. Returns how many.

        All or none: SecretError, as from api_key(), when one of them cannot be decrypted.
        """
        secrets = self._secrets()
        rows = []
        for config_id, profile_id, stored in await self._run(self._api_keys.all()):
            if not secrets.is_current(stored):
                text = secrets.decrypt(stored, owner=profile_id, place=place_of_key(config_id))
                encrypted = self._encrypted(text, profile_id, config_id)
                rows.append({"id": config_id, "api_key": encrypted, "old_api_key": stored})
        return await self._run(self._rotate.many(rows))

    def _encrypted(
        self, api_key: str | None, profile_id: str, config_id: int | None
    ) -> bytes | None:
        """The encrypted key; None for no key."""
        if api_key is None or api_key == "":
            return None
        for name, text in (("api_key", api_key), ("profile_id", profile_id)):
            if has_surrogates(self._expect(name, text, str)):
                raise invalid_argument(name, "holds a lone surrogate")
        return self._secrets().encrypt(api_key, owner=profile_id, place=place_of_key(config_id))
