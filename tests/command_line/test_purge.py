"""What ``reelbase purge`` deletes, compared with what repositories can delete by age."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

from reelbase import UnitOfWork
from reelbase.catalogue import Catalogue, _Attribute
from reelbase.cli.purge import _KINDS, _delete


class Recorder:
    """A unit of work that notes which methods are called, and deletes nothing."""

    def __init__(self) -> None:
        self.called: set[str] = set()

    def __getattr__(self, repository: str) -> Any:
        return SimpleNamespace(
            **{
                name: self._noting(f"{repository}.{name}")
                for name in ("purge", "purge_idle", "prune")
            }
        )

    def _noting(self, name: str) -> Callable[[timedelta], Any]:
        async def method(older_than: timedelta) -> Any:
            self.called.add(name)
            if name.startswith("downloads."):
                return SimpleNamespace(deleted=[], sessions_deleted=0)
            return 0

        return method


def deletes_by_age() -> set[str]:
    """The methods of all repositories that delete rows older than their only argument."""
    return {
        f"{attribute}.{name}"
        for attribute, value in vars(Catalogue).items()
        if isinstance(value, _Attribute)
        for name, method in inspect.getmembers(value._repository_class, inspect.isfunction)
        if name.startswith(("purge", "prune"))
        and list(inspect.signature(method).parameters) == ["self", "older_than"]
    }


async def test_every_method_that_deletes_by_age_belongs_to_a_kind() -> None:
    unit = Recorder()
    await _delete(cast(UnitOfWork, unit), list(_KINDS), timedelta(days=1))
    # Deletes the same rows as downloads.purge_idle(), which tells the files too.
    assert unit.called == deletes_by_age() - {"sessions.purge_idle"}
