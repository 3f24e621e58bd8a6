"""A peer whose every second claim fails."""

from __future__ import annotations

from typing import Any

from bench.peers.libraries.with_sqlite3 import Sqlite3


class Failing(Sqlite3):
    def __init__(self) -> None:
        self._claims = 0

    async def claim(self, session_id: str) -> Any | None:
        self._claims += 1
        if self._claims % 2:
            raise RuntimeError("not now")
        return await super().claim(session_id)


PEER = Failing
