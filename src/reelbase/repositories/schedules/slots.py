"""Slots: the moments that a cron expression names in a time zone, on the nights of a changed clock too."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from reelbase.errors import DatabaseError

_SECOND = timedelta(seconds=1)
# R and H stand for a number that croniter draws: another one in each process.
_DRAWN = re.compile(r"(?:^|[\s,])[RrHh](?:$|[\s,/(])")


class SlotError(ValueError):
    """A cron expression or a time zone cannot be used. parameter: which of them."""

    def __init__(self, parameter: str, problem: str) -> None:
        super().__init__(problem)
        self.parameter = parameter


class Slots:
    """The moments of a cron expression in a time zone.

    An expression that names every hour (its second field is ``*``) goes by the time that passes: the hour
    that a zone repeats has its slots twice, and the one that it skips has none. Any other one goes by the
    clock on the wall: a time that occurs twice is a slot the first time, and times that are skipped are one
    slot at the moment of the change.
    """

    def __init__(self, cron: str, time_zone: str) -> None:
        """SlotError for a text that is no such expression or zone; DatabaseError without croniter."""
        self._zone = _zone(time_zone)
        self._cron = cron
        self._is_hourly = _fields(cron)[1] == ["*"]

    def after(self, moment: datetime) -> datetime:
        """The first slot after the moment, in UTC. SlotError when there is none."""
        moment = moment.replace(microsecond=0)
        try:
            return self._by_time(moment) if self._is_hourly else self._by_wall(moment)
        except OverflowError:
            raise SlotError("cron", f"{self._cron!r} names no time that can be stored") from None

    def _by_wall(self, moment: datetime) -> datetime:
        wall = moment.astimezone(self._zone).replace(tzinfo=None, fold=0)
        for wall_time in self._wall_times(wall):
            first, second = (
                wall_time.replace(tzinfo=self._zone, fold=fold).astimezone(UTC) for fold in (0, 1)
            )
            # Of a skipped time, fold 0 has the offset before the change, and so the later moment.
            slot = first if first <= second else self._change(second, first)
            if slot > moment:
                return slot
        raise AssertionError("the times of a cron expression end with an error")

    def _by_time(self, moment: datetime) -> datetime:
        offset = self._offset(moment)
        wall = (moment + offset).replace(tzinfo=None)
        while True:
            slot = (next(self._wall_times(wall)) - offset).replace(tzinfo=UTC)
            if self._offset(slot) == offset:
                return slot
            moment = self._change(moment, slot)
            offset = self._offset(moment)
            wall = (moment + offset - _SECOND).replace(tzinfo=None)

    def _wall_times(self, after: datetime) -> Iterator[datetime]:
        times = _croniter()(self._cron, after)
        while True:
            try:
                yield times.get_next(datetime)
            except ValueError as error:
                raise SlotError("cron", f"{self._cron!r} names no time: {error}") from None

    def _change(self, before: datetime, after: datetime) -> datetime:
        """The first moment between these two, to the second, at which the zone has another offset."""
        offset = self._offset(before)
        seconds = range(int((after - before) / _SECOND))
        return before + _SECOND * bisect_left(
            seconds, True, key=lambda number: self._offset(before + _SECOND * number) != offset
        )

    def _offset(self, moment: datetime) -> timedelta:
        offset = moment.astimezone(self._zone).utcoffset()
        assert offset is not None
        return offset


def _zone(name: str) -> tzinfo:
    if name == "UTC":  # known without a database of zones
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise SlotError(
            "time_zone",
            f"{name!r} is no time zone that this machine knows; the package tzdata has all of them",
        ) from None


def _fields(cron: str) -> list[list[Any]]:
    """The values that the five fields allow. SlotError for any other expression."""
    try:
        fields: list[list[Any]]
        fields, _ = _croniter().expand(cron)
    except ValueError as error:
        raise SlotError("cron", f"{cron!r} is no cron expression: {error}") from None
    if len(fields) != 5 or _DRAWN.search(cron):
        raise SlotError(
            "cron",
            f"{cron!r}: five fields are needed (minute, hour, day of the month, month, day of the week),"
            " without H and R; or @hourly, @daily, @weekly, @monthly, @yearly",
        )
    return fields


def _croniter() -> Any:
    try:
        import croniter  # type: ignore[import-untyped]  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise DatabaseError(
            'schedules need the package croniter: pip install "reelbase[schedules]"',
            code="not_installed",
        ) from error
    return croniter.croniter
