"""Mounts that stop answering or go away under a program, and what the program reports.

Drives the commands of the probe; runs on the machine itself and inside user-mode Linux.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PROBE = Path(__file__).with_name("probe.py")
_PATIENCE_SECONDS = 240.0

Report = dict[str, Any]
Act = Callable[[], object]


def hang(path: Path, *, pause: Act, resume: Act) -> Report:
    """What happens to programs while the mount of `path` does not answer.

    leave: one with an open database that ends meanwhile; resume: one that lives to see it answer
    again; connect: one that tries to open. Each says `exit_seconds`, from its last words to its end.
    """
    reports: Report = {}
    subprocess.run([sys.executable, PROBE, "write", path, "first", "1"], check=True)
    for end in ("resume", "leave"):
        with _talking("open_hung", path, end) as process:
            _expect(process, "open")
            with _paused(pause, resume):
                _say(process)
                report = _hear(process)
                if end == "leave":
                    report["exit_seconds"] = _seconds_to_exit(process)
            if end == "resume":
                _say(process)
                report |= _hear(process)
                report["exit_seconds"] = _seconds_to_exit(process)
        reports[end] = report
    with _talking("connect_hung", path) as process:
        _expect(process, "ready")
        with _paused(pause, resume):
            _say(process)
            report = _hear(process)
            report["exit_seconds"] = _seconds_to_exit(process)
    reports["connect"] = report
    return reports


def drop(path: Path, *, gone: Act, back: Act) -> Report:
    """What a program with an open database sees once its mount is gone, and once it is back."""
    with _talking("open_dropped", path) as process:
        _expect(process, "open")
        gone()
        _say(process)
        report = _hear(process)
        back()
        _say(process)
        report |= _hear(process)
        report["exit_seconds"] = _seconds_to_exit(process)
    return report


@contextlib.contextmanager
def _paused(pause: Act, resume: Act) -> Iterator[None]:
    pause()
    try:
        yield
    finally:
        resume()


@contextlib.contextmanager
def _talking(*command: str | Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, PROBE, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    watchdog = threading.Timer(_PATIENCE_SECONDS, process.kill)
    watchdog.start()
    try:
        with process:
            yield process
            process.kill()
    finally:
        watchdog.cancel()


def _say(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def _expect(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdout is not None
    heard = process.stdout.readline()
    if heard.strip() != line:
        raise RuntimeError(heard + process.stdout.read())


def _hear(process: subprocess.Popen[str]) -> Report:
    """The next report. What the library logs comes before it: it notices a mount that is gone."""
    assert process.stdout is not None
    heard = ""
    for line in process.stdout:
        if line.startswith("{"):
            report: Report = json.loads(line)
            return report
        heard += line
    raise RuntimeError(heard)


def _seconds_to_exit(process: subprocess.Popen[str]) -> float:
    """Until the interpreter has ended. The kernel may keep its process a while longer: closing a file
    on FUSE waits for the server, and cannot be killed.
    """
    started = time.monotonic()
    status = Path(f"/proc/{process.pid}/stat")
    while time.monotonic() < started + 10:
        if status.read_bytes().rpartition(b") ")[2].startswith(b"Z"):
            break
        time.sleep(0.01)
    return time.monotonic() - started
