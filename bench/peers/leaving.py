"""A program that forgets to close: ``python -m bench.peers.leaving PEER LOOP FILE``.

It stores one download, prints "stored", and returns from its main coroutine.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from bench.options import new_loops
from bench.peers.data import Data, Sizes, session
from bench.peers.libraries import peer_named

FORGOTTEN = Data(Sizes(downloads=1)).new_downloads(3_000_000, 1, session(0))[0]


async def _leave(name: str, path: Path) -> None:
    peer = peer_named(name)()
    await peer.open(path, "normal")
    await peer.add(FORGOTTEN)
    print("stored", flush=True)


def main(name: str, loop: str, path: str) -> None:
    with asyncio.Runner(loop_factory=new_loops(loop)[loop]) as runner:
        runner.run(_leave(name, Path(path)))


if __name__ == "__main__":
    main(*sys.argv[1:])
