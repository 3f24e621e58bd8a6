"""Secrets at rest: AES-GCM under a key per owner, bound to the place where the ciphertext is stored.

Stored are a format byte, which master key it was, a nonce, and the ciphertext with its tag. The owner's
key is derived from the master key (HKDF-SHA256), so that no two owners share one; the place is
authenticated with the ciphertext, so that a copy of it elsewhere does not decrypt.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from reelbase.engine.statements.parameters import has_surrogates
from reelbase.errors import SecretError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_KEY_BYTES = 32
_FORMAT = b"\x01"
_KEY_ID_BYTES = 8
_NONCE_BYTES = 12
_NONCE_AT = len(_FORMAT) + _KEY_ID_BYTES
_CIPHERTEXT_AT = _NONCE_AT + _NONCE_BYTES


class Secrets:
    """The application's master keys, 32 random bytes each: the current one, which encrypts, then older
    ones that may still be needed to decrypt.

    They are kept in memory and never shown. A wrong key is noticed only when a secret is decrypted.
    Raises SecretError (code not_installed) without the package cryptography, which encrypts.
    """

    __slots__ = ("_keys",)

    def __init__(self, current: bytes, *older: bytes) -> None:
        for key in (current, *older):
            if not isinstance(key, bytes):
                raise TypeError(f"a key must be bytes, not {type(key).__name__}")
            if len(key) != _KEY_BYTES:
                raise ValueError(f"a key must be {_KEY_BYTES} bytes, not {len(key)}")
        self._keys = (current, *older)
        # A missing package is found here, not when the first key is stored.
        _cipher(current, "")

    def __repr__(self) -> str:
        return f"<Secrets: {len(self._keys)} keys>"

    def __reduce__(self) -> str:
        raise TypeError("Secrets cannot be pickled: keys belong neither into files nor messages")

    def encrypt(self, text: str, *, owner: str, place: str) -> bytes:
        """Encrypts a text for one place in the database.

        Args:
            text: the secret; it must not hold a lone surrogate.
            owner: the id of the owner, from which the key is derived.
            place: the place where the result is stored; it decrypts nowhere else.

        Returns:
            The bytes to store.

        Raises:
            ValueError: the text holds a lone surrogate.
        """
        # Not left to encode(): its error would carry the text.
        if has_surrogates(text):
            raise ValueError("a secret must not hold a lone surrogate")
        key = self._keys[0]
        nonce = os.urandom(_NONCE_BYTES)
        ciphertext = _cipher(key, owner).encrypt(nonce, text.encode(), place.encode())
        return _FORMAT + _key_id(key) + nonce + ciphertext

    def decrypt(self, stored: bytes, *, owner: str, place: str) -> str:
        """Decrypts a secret.

        Args:
            stored: the result of encrypt().
            owner: the owner that encrypt() was given.
            place: the place that encrypt() was given.

        Returns:
            The text.

        Raises:
            SecretError: code unknown_key when none of the keys encrypted it; code damaged when it was
                changed, or comes from another place.
        """
        key = self._key_of(stored)
        if key is None:
            raise SecretError(
                f"{place} was encrypted with a key that is not at hand; give it as an older one",
                code="unknown_key",
                details={"place": place},
            )
        cipher = _cipher(key, owner)
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - an extra

        try:
            text = cipher.decrypt(
                stored[_NONCE_AT:_CIPHERTEXT_AT], stored[_CIPHERTEXT_AT:], place.encode()
            )
        except (InvalidTag, ValueError):
            raise SecretError(
                f"{place} does not decrypt: it was changed, or copied from elsewhere; set it again",
                code="damaged",
                details={"place": place},
            ) from None
        return text.decode()

    def is_current(self, stored: bytes) -> bool:
        """Whether it was encrypted with the current key."""
        return self._key_of(stored) is self._keys[0]

    def _key_of(self, stored: bytes) -> bytes | None:
        for key in self._keys:
            if stored.startswith(_FORMAT + _key_id(key)):
                return key
        return None


def _cipher(key: bytes, owner: str) -> AESGCM:
    owners_key = _derived(key, b"reelbase owner\0" + owner.encode(), _KEY_BYTES)
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - an extra

    return AESGCM(owners_key)


def _key_id(key: bytes) -> bytes:
    """An id that tells keys apart and reveals nothing about them."""
    return _derived(key, b"reelbase key id", _KEY_ID_BYTES)


def _derived(key: bytes, info: bytes, length_bytes: int) -> bytes:
    try:
        from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415 - an extra
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SecretError(
            'secrets need the package cryptography: pip install "reelbase[secrets]"',
            code="not_installed",
        ) from error
    return HKDF(algorithm=SHA256(), length=length_bytes, salt=None, info=info).derive(key)
