"""The processes that have a file open, as far as Linux shows them to this one."""

from __future__ import annotations

import contextlib
import glob
import os
from collections.abc import Iterator
from pathlib import Path


def processes_with(path: Path, *, besides: int | None = None) -> Iterator[int]:
    """The ids of the processes that have a file open, this one included; an id may come more than once.

    Only root sees processes of all users, and only the host sees processes in containers. None is found
    without /proc. Raises OSError when there is no such file.

    besides: a descriptor of this process that does not count.
    """
    name, found = f"/{os.path.basename(os.path.realpath(path))}", os.stat(path)
    for link in glob.iglob("/proc/[0-9]*/fd/*"):
        if link == f"/proc/{os.getpid()}/fd/{besides}":
            continue
        with contextlib.suppress(OSError):  # this process may not look at it, or it has ended
            # By name first: stat() of an unrelated file might wait for a dead file server.
            if os.readlink(link).endswith(name) and os.path.samestat(os.stat(link), found):
                yield int(link.split("/")[2])
