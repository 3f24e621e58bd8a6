"""What each peer weighs: footprint.py in some fresh processes."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from statistics import median

import msgspec

from bench.peers.data import Template
from bench.peers.libraries import module_of
from bench.peers.running import ROOT, PeerFailedError, environment


class Footprint(msgspec.Struct, frozen=True):
    """import_ms: of the peer and of what its user has to declare.  opened_mb: resident memory above
    that of the bare interpreter, with the database open and a list of 1000 read."""

    import_ms: float
    opened_mb: float


def footprint(template: Template, name: str) -> Footprint:
    """The medians, behind a process that compiles what is not compiled yet. PeerFailedError."""
    module = module_of(name)
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise PeerFailedError(f"there is no module {module}")
    compiling = environment()
    compiling.pop("PYTHONDONTWRITEBYTECODE", None)
    measured = []
    for _ in range(1 + template.data.sizes.footprints):
        program = [sys.executable, "-m", "bench.peers.footprint", module, spec.origin]
        done = subprocess.run(
            [*program, str(template.copy())],
            cwd=ROOT,
            env=compiling,
            capture_output=True,
            check=False,
        )
        if done.returncode:
            last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
            raise PeerFailedError(f"exit code {done.returncode}, {last or 'no message'}")
        measured.append(msgspec.json.decode(done.stdout, type=Footprint))
    return Footprint(
        median(each.import_ms for each in measured[1:]),
        median(each.opened_mb for each in measured[1:]),
    )
