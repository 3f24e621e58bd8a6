"""Which processes have a file open, as far as Linux tells this one."""

from __future__ import annotations

import contextlib
import glob
import os
from collections.abc import Iterator
from pathlib import Path


def processes_with(path: Path, *, besides: int | None = None) -> Iterator[int]:
    """The processes that have a file open, some of them more than once; this one may be among them. Those
    of other users are seen by root alone, those of other containers by the host; none without /proc.

    besides: a descriptor of this process that does not count. Raises OSError when there is no such file.
    """
    name, found = f"/{os.path.basename(os.path.realpath(path))}", os.stat(path)
    for link in glob.iglob("/proc/[0-9]*/fd/*"):
        if link == f"/proc/{os.getpid()}/fd/{besides}":
            continue
        with contextlib.suppress(OSError):  # not ours to look at, or gone
            # By name first: to ask of any file might wait for a dead file server.
            if os.readlink(link).endswith(name) and os.path.samestat(os.stat(link), found):
                yield int(link.split("/")[2])
