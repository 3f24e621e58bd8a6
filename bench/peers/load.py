"""A number of like operations by a number of tasks, in the peer's own process."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Literal

import msgspec

from bench.measuring import WrongResultError
from bench.peers.data import Data, id_of, session
from bench.peers.interface import Peer
from bench.peers.work import plain

Kind = Literal["get", "list", "add", "progress"]

_LISTED = 100
_NEW = 4_000_000  # beyond what other rows of the bench add


class Load(msgspec.Struct, frozen=True, tag=True):
    """rows: how many downloads the file has, whose ids are those of data.id_of.

    seed: of the next load at least so many more as this one has operations, so that no two add the
    same downloads.
    """

    kind: Kind
    tasks: int
    operations: int
    rows: int
    seed: int = 0


def calls(peer: Peer, data: Data, load: Load) -> list[Callable[[], Awaitable[Any]]]:
    rng = random.Random(load.seed)
    if load.kind == "list":
        return [partial(peer.newest, _LISTED)] * load.operations
    if load.kind == "get":
        return [partial(peer.get, id_of(rng.randrange(load.rows))) for _ in range(load.operations)]
    if load.kind == "add":
        new = data.new_downloads(_NEW + load.seed, load.operations, session(load.seed))
        return [partial(peer.add, each) for each in new]
    return [
        partial(
            peer.progress, rng.choice(data.downloading).id, rng.random() * 100, "1MiB/s", "00:01"
        )
        for _ in range(load.operations)
    ]


def forget_added(data: Data, path: Path) -> None:
    """Deletes what loads have added, so that the file has its known rows again."""
    (first,) = data.new_downloads(_NEW, 1, session(0))
    with closing(sqlite3.connect(path, isolation_level=None)) as native:
        native.execute("DELETE FROM downloads WHERE id >= ?", (str(first.id),))
        native.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def check(load: Load, results: list[Any]) -> None:
    """Raises WrongResultError when what came back is not what was asked for."""
    rng = random.Random(load.seed)
    for result in results:
        if load.kind == "get":
            wanted = str(id_of(rng.randrange(load.rows)))
            if not isinstance(result, Exception) and plain(result, ("id",))[0] != wanted:
                raise WrongResultError(f"not the download {wanted}")
        elif load.kind == "list" and not isinstance(result, Exception) and len(result) != _LISTED:
            raise WrongResultError(f"a list of {len(result)}, not {_LISTED}")
