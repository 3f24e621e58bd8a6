"""API keys as OpenTranscribe encrypts them."""

from __future__ import annotations

import base64
import binascii
import hashlib

from reelbase.errors import SecretError

_PREFIX = "v3:"
_ROUNDS = 600_000
_KEY_BYTES = 32
_PLACE = b"opentranscribe-api-key-v3"


def decrypted(stored: str, encryption_key: str) -> str | None:
    """The API key; None if it was not encrypted with this key.

    Args:
        stored: as the database has it: in the form "v3:" and three parts, or the older one, a Fernet token
            in base64.
        encryption_key: the application's ENCRYPTION_KEY, as its environment has it.

    Raises:
        SecretError: code not_installed, without the package cryptography.
    """
    try:
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - an extra
        from cryptography.fernet import Fernet, InvalidToken  # noqa: PLC0415 - an extra
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SecretError(
            'secrets need the package cryptography: pip install "reelbase[secrets]"',
            code="not_installed",
        ) from error
    try:
        if not stored.startswith(_PREFIX):
            token = base64.urlsafe_b64decode(stored)
            return Fernet(encryption_key.encode()).decrypt(token).decode()
        salt, nonce, ciphertext = (
            base64.urlsafe_b64decode(part) for part in stored.removeprefix(_PREFIX).split(":")
        )
        key = hashlib.pbkdf2_hmac("sha256", encryption_key.encode(), salt, _ROUNDS, _KEY_BYTES)
        return AESGCM(key).decrypt(nonce, ciphertext, _PLACE).decode()
    except (InvalidTag, InvalidToken, binascii.Error, ValueError):
        return None
