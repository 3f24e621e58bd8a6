"""An existing database file, as commands see it that must not create, migrate or convert it."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Literal

from reelbase.engine.file.paths import file_path
from reelbase.engine.maintenance.opening import prepare_file
from reelbase.engine.schema.source import check_ownership

__all__ = ["file_path", "journal_mode_of_file"]


async def journal_mode_of_file(
    path: Path, *, busy_timeout: float
) -> Literal["wal", "delete"] | None:
    """The journal mode of a database of this schema version; None for an empty file.

    Raises SchemaError for a database of another program or version, DatabaseIOError (code missing,
    directory, not_regular), DatabaseBusyError, DatabaseCorruptError.
    """
    return await asyncio.to_thread(
        partial(
            prepare_file,
            path,
            create=False,
            refuse=partial(check_ownership, may_be_older=False),
            busy_timeout_seconds=busy_timeout,
        )
    )
