"""Secrets of profiles and of the application, encrypted: keys of services, passwords of shares, tokens."""

from __future__ import annotations

import builtins
from datetime import datetime

from reelbase.engine.record import Record
from reelbase.engine.repository import Repository
from reelbase.engine.statements.arguments import invalid_argument
from reelbase.engine.statements.parameters import has_surrogates
from reelbase.engine.statements.statement import Command, Query


class StoredSecret(Record, frozen=True):
    """A secret that is stored, without its value. profile_id: the owner; None: the application.

    kind: the application's own word, such as the service that the secret is for.
    """

    id: int
    profile_id: str | None
    name: str
    kind: str | None
    created_at: datetime
    updated_at: datetime


def place_of_secret(name: str) -> str:
    """The text that a stored value is bound to."""
    return f"the secret {name!r}"


def owner_of_secret(profile_id: str | None) -> str:
    """The owner from which the key of a value is derived."""
    return "the application" if profile_id is None else f"profile {profile_id}"


class SecretsStoreRepository(Repository):
    """Encrypted secrets, table ``secrets_store``: one per name and profile, or per name of the application.

    Values are encrypted as the keys of ``llm_configs`` are, with the keys of ``connect(secrets=)``, and bound
    to their name and owner. They are in no log and no error, and an export has them encrypted.
    """

    entity = "secret"
    table = "secrets_store"

    _replace = Command(
        StoredSecret,
        """
        UPDATE secrets_store
        SET value = :value,
            kind = :kind,
            updated_at = :now
        WHERE name = :name
          AND profile_id IS NOT DISTINCT FROM :profile_id
        """,
        params={"value": bytes},
    )

    _insert = Command(
        StoredSecret,
        """
        INSERT INTO secrets_store (profile_id, name, kind, value, created_at, updated_at)
        SELECT :profile_id, :name, :kind, :value, :now, :now
        WHERE NOT EXISTS (
            SELECT 1
            FROM secrets_store AS stored
            WHERE stored.profile_id IS NOT DISTINCT FROM :profile_id
              AND stored.name = :name
          )
        """,
        params={"value": bytes},
    )

    _get = Query(
        StoredSecret,
        """
        SELECT *
        FROM secrets_store
        WHERE name = :name
          AND profile_id IS NOT DISTINCT FROM :profile_id
        """,
        params={"profile_id": str | None},
    )

    _value = Query(
        bytes,
        """
        SELECT value
        FROM secrets_store
        WHERE name = :name
          AND profile_id IS NOT DISTINCT FROM :profile_id
        """,
        params={"name": str, "profile_id": str | None},
    )

    _list = Query(
        StoredSecret,
        """
        SELECT *
        FROM secrets_store
        WHERE profile_id IS NOT DISTINCT FROM :profile_id
        ORDER BY name, id
        """,
    )

    _delete = Command(
        StoredSecret,
        """
        DELETE FROM secrets_store
        WHERE name = :name
          AND profile_id IS NOT DISTINCT FROM :profile_id
        """,
    )

    _values = Query(
        tuple[int, str | None, str, bytes],
        """
        SELECT id, profile_id, name, value
        FROM secrets_store
        ORDER BY id
        """,
    )

    # Only if the value is still the one that was read.
    _rotate = Command(
        StoredSecret,
        """
        UPDATE secrets_store
        SET value = :value
        WHERE id = :id
          AND value = :old_value
        """,
        params={"value": bytes, "old_value": bytes},
    )

    async def set(
        self, name: str, value: str, *, profile_id: str | None = None, kind: str | None = None
    ) -> StoredSecret:
        """Stores a secret, in place of the one that the owner has under this name.

        Args:
            name: unique for its owner, compared exactly.
            value: the secret; it is stored encrypted.
            profile_id: the owner; None: the application.
            kind: the application's own word, or None.

        Returns:
            The stored secret, without its value.

        Raises:
            SecretError: ``connect(secrets=)`` was given no keys.
            ConstraintError: kind foreign_key for an unknown profile.
        """
        encrypted, now = self._encrypted(name, value, profile_id), self._now()
        *_, stored = await self._batch(
            self._replace.count(
                profile_id=profile_id, name=name, kind=kind, value=encrypted, now=now
            ),
            self._insert.count(
                profile_id=profile_id, name=name, kind=kind, value=encrypted, now=now
            ),
            self._get.one(profile_id=profile_id, name=name),
        )
        return stored

    async def get(self, name: str, *, profile_id: str | None = None) -> StoredSecret:
        """The secret without its value; RecordNotFoundError when the owner has none of this name."""
        return await self._run(self._get.one(name=name, profile_id=profile_id))

    async def find(self, name: str, *, profile_id: str | None = None) -> StoredSecret | None:
        """The secret without its value, or None."""
        return await self._run(self._get.optional(name=name, profile_id=profile_id))

    async def value(self, name: str, *, profile_id: str | None = None) -> str:
        """The decrypted value; RecordNotFoundError when the owner has no secret of this name.

        SecretError: code no_secrets without ``connect(secrets=)``, code unknown_key when it was encrypted
        by none of these secrets, code damaged when the stored bytes were changed or copied from another row.
        """
        stored = await self._run(self._value.one(name=name, profile_id=profile_id))
        return self._secrets().decrypt(
            stored, owner=owner_of_secret(profile_id), place=place_of_secret(name)
        )

    async def list(self, profile_id: str | None = None) -> builtins.list[StoredSecret]:
        """The secrets of a profile, or of the application, without their values, by name."""
        return await self._run(self._list.all(profile_id=profile_id))

    async def delete(
        self, name: str, *, profile_id: str | None = None, missing_ok: bool = False
    ) -> bool:
        """True when it existed; otherwise RecordNotFoundError, or False with missing_ok."""
        count = await self._run(self._delete.count(name=name, profile_id=profile_id))
        return self._deleted(count, name, missing_ok=missing_ok)

    async def rotate_keys(self) -> int:
        """Encrypts all secrets that an older key has encrypted with the current one. Returns how many.

        All or none: SecretError, as from value(), when one of them cannot be decrypted.
        """
        secrets = self._secrets()
        rows = []
        for secret_id, profile_id, name, stored in await self._run(self._values.all()):
            if not secrets.is_current(stored):
                owner, place = owner_of_secret(profile_id), place_of_secret(name)
                value = secrets.decrypt(stored, owner=owner, place=place)
                encrypted = secrets.encrypt(value, owner=owner, place=place)
                rows.append({"id": secret_id, "value": encrypted, "old_value": stored})
        return await self._run(self._rotate.many(rows))

    def _encrypted(self, name: str, value: str, profile_id: str | None) -> bytes:
        texts = {"name": name, "value": value}
        if profile_id is not None:
            texts["profile_id"] = profile_id
        for parameter, text in texts.items():
            if has_surrogates(self._expect(parameter, text, str)):
                raise invalid_argument(parameter, "holds a lone surrogate")
        return self._secrets().encrypt(
            value, owner=owner_of_secret(profile_id), place=place_of_secret(name)
        )
