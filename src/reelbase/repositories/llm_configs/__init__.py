"""Language models: which ones a profile may use, with what key, and how their tests went."""

from __future__ import annotations

from reelbase.repositories.llm_configs.changing import LlmConfigChanging
from reelbase.repositories.llm_configs.records import LlmConfig, LlmConfigChanges, LlmConfigCheck


class LlmConfigRepository(LlmConfigChanging):
    """Language models of profiles, table ``llm_configs``, with encrypted keys. Of a profile that has any,
    exactly one is active.
    """


__all__ = ["LlmConfig", "LlmConfigChanges", "LlmConfigCheck", "LlmConfigRepository"]
