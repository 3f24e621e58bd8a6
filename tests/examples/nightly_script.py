"""A script for cron, without an event loop: ``MEDIA_DATABASE=media.db python nightly_script.py folder``."""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from pathlib import Path

import reelbase


def main(folder: Path) -> None:
    with reelbase.connect_sync(os.environ.get("MEDIA_DATABASE", "media.db")) as database:
        purged = database.jobs.purge(timedelta(days=30))
        with database.transaction(actor="nightly") as unit:  # both or none
            unit.profiles.ensure("archive")
            found = [path for path in sorted(folder.iterdir()) if path.suffix == ".mkv"]
            new = [reelbase.NewFile(path.name, str(path)) for path in found]
            unit.files.add_many("archive", new)
        database.optimize()
        database.backup(folder / "media.backup.db")
        print(f"{len(new)} files added, {purged} jobs purged")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
