"""Errors about arguments, which name the public method that was called and its parameter.

The engine binds parameters of statements, which have names of their own: ``:id`` of
``FileRepository._get``. The caller wrote ``files.get(file_id)``. Only when there is an error, the public
method is looked up on the stack.
"""

from __future__ import annotations

import inspect
import sys
from types import CodeType, FrameType, FunctionType
from typing import Any

from reelbase.errors import InvalidArgumentError

# By the identity of their code. A frame's locals would show the method, too. But before Python 3.13 reading
# them keeps objects alive that the frame's function deletes later, and most frames are the application's.
_methods: dict[int, CodeType] = {}


class PublicFace:
    """A class with public methods that applications call: a repository, a Database, a unit of work."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for member in (member for base in cls.__mro__ for member in vars(base).values()):
            if isinstance(member, FunctionType):
                code = inspect.unwrap(member).__code__
                _methods[id(code)] = code


def invalid_argument(
    parameter: str,
    problem: object,
    *,
    value: object = None,
    where: str | None = None,
    is_public: bool = True,
) -> InvalidArgumentError:
    """The error for a value that cannot be used: ``FileRepository.get: file_id: not a UUID: 'x'``.

    Args:
        parameter: its name, unless value finds another.
        problem: the sentence about the value.
        value: the value itself, by which the public method's parameter is found.
        where: the name to use when no public method is on the stack of this thread.
        is_public: whether a client of the application may read the sentence. False: it names a file or SQL.
    """
    called, parameter = _called(parameter, value)
    return InvalidArgumentError(
        _sentence(called or where, parameter, problem),
        parameter=parameter,
        public_text=_sentence(None, parameter, problem) if is_public else None,
    )


def wrong_type(
    parameter: str, problem: object, *, value: object = None, where: str | None = None
) -> TypeError:
    """The error for a value of the wrong type, in the same words."""
    called, parameter = _called(parameter, value)
    return TypeError(_sentence(called or where, parameter, problem))


def _sentence(called: str | None, parameter: str, problem: object) -> str:
    return f"{called}: {parameter}: {problem}" if called else f"{parameter}: {problem}"


def _called(parameter: str, value: object) -> tuple[str | None, str]:
    """The outermost public method on the stack, and its own name for the parameter."""
    frame = _outermost_method(sys._getframe(2))
    if frame is None:
        return None, parameter
    code, known = frame.f_code, frame.f_locals
    names = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
    if parameter not in names and value is not None:
        parameter = next((name for name in names if known.get(name) is value), parameter)
    return _name_of(frame), parameter


def called_method(frame: FrameType) -> str:
    """The name of the outermost public method on the stack from this frame on, for errors; '' for none."""
    outermost = _outermost_method(frame)
    return "" if outermost is None else _name_of(outermost)


def _name_of(method: FrameType) -> str:
    code = method.f_code
    return f"{type(method.f_locals[code.co_varnames[0]]).__name__}.{code.co_name}"


def _outermost_method(start: FrameType) -> FrameType | None:
    found = None
    frame: FrameType | None = start
    while frame is not None:
        if id(frame.f_code) in _methods:
            if not frame.f_code.co_name.startswith("_"):
                found = frame
        elif found is not None:
            break
        frame = frame.f_back
    return found
