"""The synchronous door, connect_sync(), and its objects. The stub beside this module has their types."""

from reelbase.faces import (
    SyncContext,
    SyncDatabase,
    SyncRows,
    SyncSnapshot,
    SyncUnitOfWork,
    connect_sync,
)

__all__ = [
    "SyncContext",
    "SyncDatabase",
    "SyncRows",
    "SyncSnapshot",
    "SyncUnitOfWork",
    "connect_sync",
]
