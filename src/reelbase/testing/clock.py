"""A clock for tests: connect(clock=FrozenClock())."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)


class FrozenClock:
    """A clock that stands still until a test moves it: connect(clock=…). now: the time that it shows."""

    def __init__(self, now: datetime = START) -> None:
        if now.tzinfo is None:
            raise ValueError("now must be an aware datetime")
        self.now = now

    def __call__(self) -> datetime:
        """The time that it shows."""
        return self.now

    def advance(self, seconds: float = 0, **units: float) -> datetime:
        """Moves the clock and returns its new time. units: days, hours, minutes …, as of timedelta."""
        self.now += timedelta(seconds=seconds, **units)
        return self.now
