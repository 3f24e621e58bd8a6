"""What a peer costs before it does anything, in a process that has nothing but the standard library.

``python -m bench.peers.footprint MODULE SOURCE FILE`` prints JSON: import_ms, opened_mb. What the peer
stands on is imported first, then the bench's own modules, which use msgspec too, off the clock and off
the scales; then the peer's module, which declares what a user has to.
"""

from __future__ import annotations

import ast
import asyncio
import json
import os
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

_THE_BENCHS_OWN = ("bench.peers.interface", "bench.peers.data")


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024 / 1024


async def _opened(peer_type: Any, path: Path) -> float:
    peer = peer_type()
    await peer.open(path, "normal")
    await peer.newest(1000)
    resident_mb = _resident_mb()
    await peer.close()
    return resident_mb


def _stands_on(source: Path) -> list[str]:
    """The modules that it imports and that are not the bench's, in order."""
    names: list[str] = []
    for node in ast.parse(source.read_text("utf-8")).body:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names.append(node.module)
    return [name for name in names if name.partition(".")[0] != "bench"]


def _imported(modules: list[str]) -> tuple[float, float]:
    """Milliseconds and MB."""
    before_mb, started = _resident_mb(), time.perf_counter()
    for module in modules:
        import_module(module)
    return (time.perf_counter() - started) * 1000, _resident_mb() - before_mb


def main(module: str, source: str, path: str) -> None:
    stands_on = _stands_on(Path(source))
    before_mb = _resident_mb()
    libraries_ms, _ = _imported(stands_on)
    _, the_benchs_mb = _imported(list(_THE_BENCHS_OWN))
    declarations_ms, _ = _imported([module])
    opened_mb = asyncio.run(_opened(sys.modules[module].PEER, Path(path)))
    figures = {
        "import_ms": libraries_ms + declarations_ms,
        "opened_mb": opened_mb - before_mb - the_benchs_mb,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:])
