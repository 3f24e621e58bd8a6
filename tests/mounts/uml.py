"""User-mode Linux of Debian's package: boots in seconds, with the machine's files as its root."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_MODULES = Path("/usr/lib/uml/modules")
_BOOT_SECONDS = 60
_WORK_SECONDS = 240


def boot(works: Sequence[str], folder: Path, python_path: str) -> dict[str, Any]:
    """What each work of the guest reported; those it did not come to are left out.

    folder: empty; it becomes the guest's own. python_path: where its interpreter looks for packages.
    """
    library = folder / "root" / "lib"
    library.mkdir(parents=True)
    (library / "modules").symlink_to(_MODULES)
    (folder / "works.json").write_text(json.dumps(list(works)))
    results, log = folder / "results.json", folder / "console.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                "linux.uml",
                "mem=1024M",
                "rootfstype=hostfs",
                "rootflags=/",
                "rw",
                "con=null",
                "con0=null,fd:1",
                f"umid={folder.name}-{os.getpid()}",
                f"uml_dir={folder}/",
                # The kernel hands what it does not know to its first process, as environment.
                f"PYTHONPATH={python_path}",
                f"init={sys.executable}",
                "--",
                *("-m", f"{__package__}.guest", str(folder)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        process.wait(_BOOT_SECONDS + _WORK_SECONDS * len(works))
    finally:
        process.kill()
        process.wait()
    if not results.exists():
        raise RuntimeError(log.read_text(errors="replace"))
    reports: dict[str, Any] = json.loads(results.read_text())
    if "boot" in reports:
        raise RuntimeError(reports["boot"]["result"]["failed"])
    return reports
