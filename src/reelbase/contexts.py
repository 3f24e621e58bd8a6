"""Context managers of ``async with``, which tell a plain ``with`` how they are entered."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar


class AsyncContext:
    """The base of asynchronous context managers. entered_with: the line that enters one, for the error."""

    entered_with: ClassVar[str]

    if not TYPE_CHECKING:  # type checkers refuse `with` by themselves

        def __enter__(self):
            raise TypeError(f"it is entered with `{self.entered_with}`, not with a plain `with`")

        def __exit__(self, *_):
            raise AssertionError("it cannot be entered")
