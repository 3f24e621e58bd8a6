"""Tests that need a process of their own: its source is written in the test."""

from __future__ import annotations

import subprocess
import sys
import textwrap


def script(body: str, *arguments: object, timeout: float = 20) -> subprocess.CompletedProcess[str]:
    """Runs Python source in a process of its own; sys.argv[1:] are the arguments."""
    return subprocess.run(
        [
            sys.executable,
            "-W",
            "error::ResourceWarning",
            "-c",
            prepared(body),
            *map(str, arguments),
        ],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def prepared(body: str) -> str:
    return "import asyncio, os, sqlite3, sys, time\nimport reelbase\n" + textwrap.dedent(body)
