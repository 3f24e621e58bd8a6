"""Engines as SQLAlchemy's chapter on SQLite sets them up: who begins is SQLAlchemy, not the driver.

The chapter's listener begins every transaction alike. Here it begins those of the writing engine only,
with BEGIN IMMEDIATE; a SELECT alone needs none. Both engines share one pool of the default kind and
size: 5 connections are kept, up to 10 more are opened when these are busy and closed after their use.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.ext.asyncio import AsyncEngine

from bench.peers.interface import Durability, pragma_statements


def url(path: Path) -> str:
    return f"sqlite+aiosqlite:///{path}"


def set_up(engine: AsyncEngine, durability: Durability) -> None:
    """Has every new connection set."""

    def connect(connection: Any, _: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for statement in pragma_statements(durability):
            cursor.execute(statement)
        cursor.close()

    event.listen(engine.sync_engine, "connect", connect)


def writing(engine: AsyncEngine) -> AsyncEngine:
    """An engine for transactions that write, on the same pool."""
    engine = engine.execution_options()
    event.listen(engine.sync_engine, "begin", _begin_immediate)
    return engine


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
