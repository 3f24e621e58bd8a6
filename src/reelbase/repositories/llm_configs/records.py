"""What the repository of language models gives back. Never a key."""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict

import msgspec
from msgspec import UnsetType


class LlmConfig(msgspec.Struct, frozen=True):
    """A language model that a profile may use.

    has_api_key: whether one is stored.  is_active: of a profile that has any, exactly one is.
    test_status: untested, success or failed, of the configuration as it is now.
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
    """What llm_configs.update() can change. api_key: None or '' clears it."""

    name: str | UnsetType
    provider: str | UnsetType
    model_name: str | UnsetType
    base_url: str | UnsetType | None
    max_tokens: int | UnsetType
    temperature: float | UnsetType
    api_key: str | UnsetType | None


class LlmConfigCheck(msgspec.Struct, frozen=True):
    """A try of a configuration. status: success or failed."""

    id: int
    config_id: int
    status: str
    message: str | None
    tested_at: datetime
