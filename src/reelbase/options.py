"""The options of connect()."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from reelbase.engine.file.journal import Durability, JournalChoice
from reelbase.engine.native.setup import Setup
from reelbase.engine.native.watch import Watch
from reelbase.engine.schema.chain import Migrations
from reelbase.engine.secrets import Secrets
from reelbase.engine.threads.executors import Clock


class ConnectOptions(msgspec.Struct, frozen=True):
    """The arguments of connect(), after their check."""

    path: Path | None
    journal: JournalChoice
    durability: Durability
    busy_timeout_seconds: float
    readers: int | None
    create: bool
    migrate: bool
    migrations: Migrations | None
    backup_dir: Path | None
    setup: Setup | None
    secrets: Secrets | None
    mounts: str | os.PathLike[str]
    clock: Clock
    watch: Watch | None
    slow_transaction_seconds: float
    read_only: bool
