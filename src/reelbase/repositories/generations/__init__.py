"""Generations: pieces of music to be made, being made, and made.

The tables give the new state for each verb and each state. The state processing has no lease; held is
processing under a worker's lease, expired is held after the lease has run out, and spent is expired at the
last attempt. A dash means InvalidTransitionError; for claim and recover it means that they skip the
generation.

    state         mark          claim         heartbeat     complete      fail
    pending       processing    processing    -             completed     failed
    processing    processing    -             -             completed     failed
    held          processing    -             processing    completed     failed
    expired       processing    processing    processing    completed     failed
    spent         processing    failed        processing    completed     failed
    completed     -             -             -             -             -
    failed        -             -             -             -             -
    cancelled     -             -             -             -             -

    state         cancel        release       retry         recover
    pending       cancelled     -             -             -
    processing    cancelled     -             -             pending
    held          cancelled     pending       -             -
    expired       cancelled     pending       -             pending
    spent         cancelled     pending       -             failed
    completed     -             -             -             -
    failed        -             -             pending       -
    cancelled     cancelled     -             pending       -

mark is mark_processing() and update_status("processing"). update_status() does the same as complete, fail
and cancel, and refuses pending. A generation that is processing without a lease and has no attempt left
fails at recover(), too.
"""

from __future__ import annotations

from reelbase.repositories.generations.additions import GenerationAdditions
from reelbase.repositories.generations.housekeeping import GenerationHousekeeping
from reelbase.repositories.generations.leases import GenerationLeases
from reelbase.repositories.generations.lifecycle import GenerationLifecycle
from reelbase.repositories.generations.records import (
    Generation,
    GenerationStats,
    GenerationStatus,
    GenerationStatusLike,
    NewGeneration,
)


class GenerationRepository(
    GenerationAdditions, GenerationLeases, GenerationLifecycle, GenerationHousekeeping
):
    """The queue of pieces of music, table ``generations``. The docstring of the module shows its states.
    Creating a generation counts the use of its prompt.
    """


__all__ = [
    "Generation",
    "GenerationRepository",
    "GenerationStats",
    "GenerationStatus",
    "GenerationStatusLike",
    "NewGeneration",
]
