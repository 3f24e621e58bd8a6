"""Language models: which ones a profile may use, with what key, and how their tests went."""

from __future__ import annotations

from reelbase.repositories.llm_configs.changing import LlmConfigChanging
from reelbase.repositories.llm_configs.records import LlmConfig, LlmConfigChanges, LlmConfigCheck


class LlmConfigRepository(LlmConfigChanging):
    """Configurations of language models; the modules beside this one hold it by behaviour."""


__all__ = ["LlmConfig", "LlmConfigChanges", "LlmConfigCheck", "LlmConfigRepository"]
