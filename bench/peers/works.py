"""All works, in the order in which they are run."""

from __future__ import annotations

from bench.peers.adds import ADDS
from bench.peers.changes import CHANGES
from bench.peers.reads import READS

WORKS = (*READS, *ADDS, *CHANGES)
