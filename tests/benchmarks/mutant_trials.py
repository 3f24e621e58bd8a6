"""Peers that each do one thing wrong; the environment's MUTANT says which."""

from __future__ import annotations

import os
import time
from typing import Any
from uuid import UUID

from bench.peers.interface import NewDownload
from bench.peers.libraries import sql
from bench.peers.libraries.with_sqlite3 import Sqlite3


class TearsOneInFifty(Sqlite3):
    async def set_both(self, first: UUID, second: UUID, filesize: int) -> None:
        if filesize % 50:
            await super().set_both(first, second, filesize)
        else:
            self._connection.execute(sql.SET_FILESIZE, (filesize, str(first)))


class LosesUnits(Sqlite3):
    async def set_both(self, first: UUID, second: UUID, filesize: int) -> None:
        pass


class RaisesOneInTen(Sqlite3):
    """As a pool of ten does of which one connection is poisoned."""

    uses = 0

    def _use(self) -> None:
        self.uses += 1
        if self.uses % 10 == 0:
            raise RuntimeError("poisoned: it holds a transaction")

    async def set_both(self, first: UUID, second: UUID, filesize: int) -> None:
        self._use()
        await super().set_both(first, second, filesize)

    async def add(self, new: NewDownload) -> Any:
        self._use()
        return await super().add(new)


class ForgetsAdds(Sqlite3):
    async def add(self, new: NewDownload) -> Any:
        row = await super().add(new)
        self._connection.execute("DELETE FROM downloads WHERE id = ?", (str(new.id),))
        return row


class CannotAdd(Sqlite3):
    async def add(self, new: NewDownload) -> Any:
        raise RuntimeError("cannot add")


class Dies(Sqlite3):
    async def set_both(self, first: UUID, second: UUID, filesize: int) -> None:
        os._exit(3)


class Hangs(Sqlite3):
    async def set_both(self, first: UUID, second: UUID, filesize: int) -> None:
        time.sleep(3600)  # noqa: ASYNC251 - that is what is wrong with it


class BlocksAtFirst(Sqlite3):
    """Its loop stands still while it does the first add."""

    is_new = True

    async def add(self, new: NewDownload) -> Any:
        if self.is_new:
            self.is_new = False
            time.sleep(0.1)  # noqa: ASYNC251 - as above
        return await super().add(new)


MUTANTS: dict[str, type[Sqlite3]] = {
    each.__name__: each
    for each in (
        TearsOneInFifty,
        LosesUnits,
        RaisesOneInTen,
        ForgetsAdds,
        CannotAdd,
        Dies,
        Hangs,
        BlocksAtFirst,
    )
}
PEER = MUTANTS.get(os.environ.get("MUTANT", ""), Sqlite3)
