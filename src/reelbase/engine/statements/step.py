"""Steps: statements with their parameters bound, as the engine carries them to a connection."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import msgspec

from reelbase.engine.statements.pages import Keyset, Page

if TYPE_CHECKING:
    from reelbase.engine.statements.statement import Statement

R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")

_WHITE_SPACE = re.compile(r"\s+")


def in_one_line(sql: str) -> str:
    """SQL for a log or an error: every run of white space is one blank."""
    return _WHITE_SPACE.sub(" ", sql.strip())


class Step(msgspec.Struct, Generic[R_co], eq=False):
    """A statement with bound parameters; R_co is the type of its result. The subclasses return all rows,
    a page of them, the first row, the new row, or the number of rows.

    caller: the public method that runs it, ``FileRepository.update``; '' for SQL of no repository.
    """

    statement: Statement
    parameters: Any
    caller: str = ""

    reads_all: ClassVar[bool] = False  # its time grows with its rows

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"  # parameters may be secrets

    @property
    def name(self) -> str:
        """The step's name in errors and in the log of slow statements."""
        return self.caller or self.statement.name

    @property
    def may_be_long(self) -> bool:
        """Whether it may take long enough that finished requests must not wait for it."""
        return self.reads_all or self.statement.was_slow


class FetchAll(Step[list[T]]):
    """Every row."""

    reads_all = True


class FetchPage(Step[Page[T]], kw_only=True):
    """A page of rows, and where the next one begins. The statement gives one row more if there is one.

    limit: how many rows the page holds; None: all.  listing: the number of the listing in tokens.
    """

    keyset: Keyset
    listing: int
    limit: int | None

    reads_all = True


class FetchOptional(Step[R_co]):
    """The first row, or None."""


class FetchOne(Step[R_co]):
    """The first row; RecordNotFoundError when there is none."""


class InsertOne(Step[R_co]):
    """The new row, as it was bound; RecordNotFoundError when a trigger ignored the insert."""


class Count(Step[int]):
    """The number of rows that the statement changed."""


class CatchUp(Step[int]):
    """Brings an index up to date; it may run later in the same transaction, once for many. Gives 0."""


class RunMany(Step[int]):
    """Runs the statement once per row of parameters, and gives the number of rows changed in all.

    The parameters are bound on the connection's thread: thousands of rows must not hold up the event loop.
    place: the position of the row that is being bound, from 0; for errors.
    """

    place: int = 0
