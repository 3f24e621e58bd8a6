"""The base of every repository: statements in, records out, and no connection in sight."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping
from datetime import datetime
from typing import Any, ClassVar, Protocol, TypeVar, overload
from uuid import UUID

from reelbase.engine.executor import Executor
from reelbase.engine.secrets import Secrets
from reelbase.engine.statements.arguments import (
    PublicFace,
    called_method,
    invalid_argument,
    wrong_type,
)
from reelbase.engine.statements.declarations import Entity, derivations, entities
from reelbase.engine.statements.parameters import to_id
from reelbase.engine.statements.statement import Command, Query, record_not_found
from reelbase.engine.statements.step import Step
from reelbase.errors import InvalidTransitionError, RecordNotFoundError, SecretError

# How many rows of a kind a slice of _slices() deletes, and the seconds between two slices. 200 jobs, which
# cost most, take 10 ms of a desktop processor, and so less than 50 ms of a small one.
SLICE = 200
_PAUSE = 0.01

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")


class Movable(Protocol):
    """A record with a lifecycle. worker: the one that holds it, or None."""

    @property
    def status(self) -> str:
        """Where in its lifecycle it is."""
        ...

    @property
    def worker(self) -> str | None:
        """Which worker holds it."""
        ...


M = TypeVar("M", bound=Movable)


class Repository(PublicFace):
    """Typed statements as class attributes, and methods that run them.

        class NoteRepository(Repository):
            entity = "note"

            _get = Query(Note, "SELECT id, text FROM notes WHERE id = :id")

            async def get(self, note_id: int) -> Note:
                return await self._run(self._get.one(id=note_id))

        note = await database.repository(NoteRepository).get(1)

    entity: the name of its records in errors.  table: the table that holds them.  remedy: how to make a
    missing one, with {key} for its key; errors about references to it give this advice.  may_scan: the
    statements that may read a table from end to end, each with the reason (``{"_count": "it counts"}``), for
    assert_statements() and ``reelbase lint``.  A class that is only a part of a repository has the
    repository's name in ``_repository``.
    """

    entity: ClassVar[str] = "row"
    table: ClassVar[str] = ""
    remedy: ClassVar[str] = ""
    may_scan: ClassVar[Mapping[str, str]] = {}
    # A table that is derived from other tables, and the statements that fill it.
    _derived: ClassVar[str] = ""
    _derivation: ClassVar[tuple[Command[Any], ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__dict__.get("table"):
            entities[cls.table] = Entity(cls.entity, cls.remedy)
        if cls.__dict__.get("_derived"):
            derivations[cls._derived] = cls._derivation

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def _now(self) -> datetime:
        """The time to store; inside a unit of work always the same."""
        return self._executor.now()

    def _actor(self) -> str | None:
        """The actor of the unit of work, for the audit trail; else None."""
        return self._executor.actor

    def _secrets(self) -> Secrets:
        """The keys to encrypt with. SecretError when connect() was given none."""
        secrets = self._executor.secrets
        if secrets is None:
            raise SecretError(
                f"{self.entity}: no keys to encrypt or decrypt with; pass connect(secrets=)",
                code="no_secrets",
            )
        return secrets

    def _commits(self) -> bool:
        """Whether the writes of a call are committed when it returns: not so in a unit of work."""
        return self._executor.commits

    def _run(self, step: Step[A]) -> Awaitable[A]:
        """Runs one statement."""
        step.caller = called_method(sys._getframe(1))
        return self._executor.run_one(step)

    @overload
    async def _batch(self, first: Step[A], second: Step[B], /) -> tuple[A, B]: ...
    @overload
    async def _batch(
        self, first: Step[A], second: Step[B], third: Step[C], /
    ) -> tuple[A, B, C]: ...
    @overload
    async def _batch(
        self, first: Step[A], second: Step[B], third: Step[C], fourth: Step[D], /
    ) -> tuple[A, B, C, D]: ...
    @overload
    async def _batch(self, *steps: Step[Any]) -> tuple[Any, ...]: ...
    async def _batch(self, *steps: Step[Any]) -> tuple[Any, ...]:
        """Runs statements in order, in one hop, all or nothing. They cannot see each other's results."""
        return tuple(await self._execute(*steps))

    async def _slices(self, *steps: Step[Any]) -> AsyncIterator[tuple[Any, ...]]:
        """Runs statements that change at most SLICE rows again and again, until they change none.

        Gives the results of each time. On a Database each time is a transaction of its own, so that all
        writers get their turn: tasks of this process as always, another process in the pause. In a unit of
        work all of it is a part of the unit.
        """
        while any(changed := await self._batch(*steps)):
            yield changed
            if self._commits():
                await asyncio.sleep(_PAUSE)

    def _execute(self, *steps: Step[Any]) -> Awaitable[list[Any]]:
        """Runs the statements of _batch()."""
        caller = called_method(sys._getframe(1))
        for step in steps:
            step.caller = caller
        return self._executor.run(*steps)

    def _expect(self, name: str, value: A, kind: type[A]) -> A:
        """The value, or TypeError that names it."""
        if not isinstance(value, kind):
            raise wrong_type(name, f"must be {kind.__name__}, not {type(value).__name__}")
        return value

    def _id(self, name: str, value: UUID | str, place: int | None = None) -> str:
        """The stored form of an id, or InvalidArgumentError that names it.  place: in a list."""
        try:
            return to_id(value)
        except ValueError as error:
            where = "" if place is None else f" (number {place} of the list, counted from 0)"
            raise invalid_argument(name, f"{error}{where}") from None

    def _ids(self, name: str, values: Iterable[UUID | str]) -> list[str]:
        """The stored forms of several ids; TypeError or InvalidArgumentError that name the parameter."""
        values = self._listed(name, values, "UUID")
        return [self._id(name, value, place) for place, value in enumerate(values)]

    def _listed(self, name: str, values: Iterable[A], kind: str) -> list[A]:
        """The values as a list, which several statements can take; TypeError that names the parameter."""
        if isinstance(values, str | bytes) or not isinstance(values, Iterable):
            raise wrong_type(name, f"must be a list of {kind}, not {type(values).__name__}")
        return list(values)

    def _deleted(self, count: int, key: object, *, missing_ok: bool) -> bool:
        """Whether a delete removed a row. RecordNotFoundError when it did not, unless missing_ok."""
        if count == 0 and not missing_ok:
            raise self._not_found(key)
        return count > 0

    def _not_found(self, key: object, entity: str | None = None) -> RecordNotFoundError:
        return record_not_found(entity or self.entity, key)

    async def _moved(self, action: str, key: object, step: Step[M | None], look: Query[M]) -> M:
        """The row that the step changed; InvalidTransitionError when its state did not allow that.

        action: the change that was wanted, for the error.  look: reads the row by ``:id``.
        """
        row = await self._run(step)
        if row is None:
            raise self._not_moved(action, key, await self._run(look.one(id=key)))
        return row

    def _not_moved(self, action: str, key: object, row: Movable) -> InvalidTransitionError:
        held = "" if row.worker is None else f" (it is held by {row.worker!r})"
        return self._refused(f"{action}{held}", key, row.status)

    def _refused(self, action: str, key: object, status: str) -> InvalidTransitionError:
        return InvalidTransitionError(
            f"{self.entity} {str(key)!r} is {status}: cannot {action}",
            details={"entity": self.entity, "key": str(key), "status": str(status)},
        )
