"""What the benches' command lines have in common."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable

NewLoop = Callable[[], asyncio.AbstractEventLoop]


def new_loops(wanted: str) -> dict[str, NewLoop]:
    """By name; wanted: one of them or "both". Without uvloop, "both" is asyncio, and says so."""
    loops: dict[str, NewLoop] = {"asyncio": asyncio.new_event_loop}
    if wanted != "asyncio":
        try:
            import uvloop  # noqa: PLC0415 - it is optional
        except ImportError:
            if wanted == "uvloop":
                sys.exit("uvloop is not installed; it comes with the extra [bench]")
            print("uvloop is not installed (extra [bench]): its figures are left out")
        else:
            loops["uvloop"] = uvloop.new_event_loop
    if wanted == "uvloop":
        del loops["asyncio"]
    return loops


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number
