"""One module per peer, written as the peer's own documentation shows it."""

from __future__ import annotations

from importlib import import_module

from bench.peers.interface import Peer

OURS = "reelbase"
CEILING = "sqlite3"

# By name, where each is. Imported by the process that runs it, and only there.
_MODULES = {
    OURS: "with_reelbase",
    CEILING: "with_sqlite3",
    "aiosqlite": "with_aiosqlite",
    "aiosqlitepool": "with_aiosqlitepool",
    "SQLAlchemy Core": "with_sqlalchemy_core",
    "SQLAlchemy ORM": "with_sqlalchemy_orm",
    "SQLModel": "with_sqlmodel",
    "advanced-alchemy": "with_advanced_alchemy",
    "sqlspec": "with_sqlspec",
    "Tortoise": "with_tortoise",
    "Piccolo": "with_piccolo",
    "peewee": "with_peewee",
    "apsw": "with_apsw",
}
PEERS = tuple(_MODULES)


def module_of(name: str) -> str:
    """name: one of PEERS, or any module with a PEER in it."""
    return f"{__name__}.{_MODULES[name]}" if name in _MODULES else name


def peer_named(name: str) -> type[Peer]:
    """As module_of(). ImportError when it is not installed."""
    found: type[Peer] = import_module(module_of(name)).PEER
    return found
