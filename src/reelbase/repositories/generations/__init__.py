"""Generations: pieces of music to be made, being made, and made."""

from __future__ import annotations

from reelbase.repositories.generations.lifecycle import GenerationLifecycle
from reelbase.repositories.generations.records import (
    Generation,
    GenerationStats,
    GenerationStatus,
    GenerationStatusLike,
)


class GenerationRepository(GenerationLifecycle):
    """Everything that can be done with generations; the modules beside this one hold it by behaviour."""


__all__ = [
    "Generation",
    "GenerationRepository",
    "GenerationStats",
    "GenerationStatus",
    "GenerationStatusLike",
]
