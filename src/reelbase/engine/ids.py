"""Identifiers and times: Python makes them, so that no clock and no randomness runs inside SQL."""

from __future__ import annotations

import os
import struct
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec

from reelbase.engine.statements.arguments import invalid_argument, wrong_type

# The id of a row that is to be added: it may be text, but msgspec decodes no union of UUID and str.
if TYPE_CHECKING:
    IdLike = UUID | str
else:
    IdLike = UUID

# Past every key: a page that begins after them, newest first, begins with the newest row.
END_OF_TIME = datetime.max.replace(tzinfo=UTC)
MAX_ID = UUID(int=2**128 - 1)
MAX_ROWID = 2**63 - 1

_TAIL_BITS = 74  # the bits of a version 7 UUID behind the milliseconds that RFC 9562 leaves free
_STEPS_AT_ONCE = 256


class _Sequence:
    """UUIDv7 values that strictly increase within the process, even if the system clock goes back.

    A new millisecond starts at a random tail; within one, or after the clock went back, the tail
    grows by a random step, so that ids stay unguessable and unique between processes.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._millisecond = 0
        self._tail = 0
        self._steps: Iterator[tuple[int]] = iter(())

    def next(self) -> UUID:
        with self._lock:
            millisecond = time.time_ns() // 1_000_000
            if millisecond > self._millisecond:
                self._millisecond = millisecond
                # The top bit starts clear: room for 2^41 steps before the tail could overflow.
                self._tail = int.from_bytes(os.urandom(10)) >> (80 - _TAIL_BITS + 1)
            else:
                self._tail += 1 + self._step()
                if self._tail >> _TAIL_BITS:
                    self._millisecond += 1
                    self._tail = self._step()
            high, low = self._tail >> 62, self._tail & ((1 << 62) - 1)
            number = self._millisecond << 80 | 7 << 76 | high << 64 | 2 << 62 | low
        return msgspec.convert(number.to_bytes(16), UUID)  # UUID(int=…) takes twice as long

    def _step(self) -> int:
        """A random number of 32 bits; the system is asked for many at once."""
        for (step,) in self._steps:
            return step
        self._steps = struct.iter_unpack("I", os.urandom(_STEPS_AT_ONCE * 4))
        return self._step()


_sequence = _Sequence()


def _restart_sequence() -> None:
    global _sequence
    _sequence = _Sequence()


# A forked child would go on from its parent's tail and could meet the parent's ids.
os.register_at_fork(after_in_child=_restart_sequence) if hasattr(os, "register_at_fork") else None


def new_id() -> UUID:
    """A UUIDv7 (RFC 9562), greater than all ids that this process made before."""
    return _sequence.next()


def moment_after(now: datetime, name: str, seconds: float) -> datetime:
    """The time after that many seconds. TypeError or InvalidArgumentError, naming the parameter, unless
    seconds is a number of 0 or more, and the time is before the year 10000."""
    if not isinstance(seconds, int | float) or isinstance(seconds, bool):
        raise wrong_type(name, f"must be a number of seconds, not {type(seconds).__name__}")
    if not seconds >= 0:  # NaN is not
        raise invalid_argument(name, f"must be 0 or more seconds, not {seconds}")
    try:
        return now + timedelta(seconds=seconds)
    except OverflowError:
        raise invalid_argument(name, "ends past the year 9999") from None


def moment_before(now: datetime, name: str, age: timedelta) -> datetime:
    """The time that long ago; the year 1 for an age that reaches past it. TypeError, naming the parameter,
    unless age is a timedelta."""
    if not isinstance(age, timedelta):
        raise wrong_type(name, f"must be a timedelta, not {type(age).__name__}")
    try:
        return now - age
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC) if age > timedelta(0) else END_OF_TIME


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_latest = (0, _EPOCH)


def utc_now() -> datetime:
    """The system's time to the millisecond, aware, UTC.

    Calls within one millisecond return the same object, which under load saves making and formatting it.
    """
    global _latest
    millisecond = time.time_ns() // 1_000_000
    if millisecond != _latest[0]:
        _latest = (millisecond, _EPOCH + timedelta(milliseconds=millisecond))
    return _latest[1]
