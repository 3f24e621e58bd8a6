"""What a peer costs before it does anything: ``python -m bench.peers.footprint PEER FILE`` prints JSON."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import msgspec

from bench.peers.libraries import peer_named


class Footprint(msgspec.Struct, frozen=True):
    """import_ms: of the peer and of what its user has to declare.  opened_mb: resident memory above
    that of the bare interpreter, with the database open and a list of 1000 read."""

    import_ms: float
    opened_mb: float


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1024 / 1024


async def _opened(peer_type: type, path: Path) -> float:
    peer = peer_type()
    await peer.open(path, "normal")
    await peer.newest(1000)
    resident_mb = _resident_mb()
    await peer.close()
    return resident_mb


def _measured(name: str, path: Path) -> Footprint:
    before_mb = _resident_mb()
    started = time.perf_counter()
    peer_type = peer_named(name)
    import_ms = (time.perf_counter() - started) * 1000
    return Footprint(import_ms, asyncio.run(_opened(peer_type, path)) - before_mb)


if __name__ == "__main__":
    print(msgspec.json.encode(_measured(sys.argv[1], Path(sys.argv[2]))).decode())
