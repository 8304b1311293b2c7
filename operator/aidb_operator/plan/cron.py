"""When a schedule is due: five fields of cron in a time zone. Pure.

    minute hour day month weekday      *  5  1-5  */15  1-30/2  1,15  MON-FRI  JAN

Day and weekday: where both are given, either will do, as cron has it; 0 and 7 are Sunday. A local time that
does not exist, because clocks were put forward, is due an hour later by the new time; one that exists twice
is due once. So a schedule of each hour leaves one hour out when clocks go back; in UTC none does.

Own, because what is needed is a hundred lines, and the library that everybody used has lost its keeper.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_MONTHS = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1
    )
}
_DAYS = {name: number for number, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}
_NAMED = {
    "@yearly": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_PART = re.compile(r"(\*|[0-9a-z]+)(?:-([0-9a-z]+))?(?:/([0-9]+))?")
# 29 February comes again after eight years at the latest.
_MOST_DAYS = 8 * 366 + 1


class BadSchedule(ValueError):
    """What is wrong with it."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """`any_day`, `any_weekday`: that field is `*`, and the other one decides."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: bool
    any_weekday: bool
    zone: ZoneInfo

    def after(self, moment: datetime) -> datetime | None:
        """The first time after `moment` that it is due, in UTC; None: never (30 February)."""
        local = moment.astimezone(self.zone)
        day = local.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
        for _ in range(_MOST_DAYS):
            if self._fits(day):
                for due in self._times(day):
                    if due > moment:
                        return due
            day += timedelta(days=1)
        return None

    def newest(self, after: datetime, until: datetime) -> datetime | None:
        """The last time after the one and not after the other; of many that were missed, no more than that is
        asked for.
        """
        local = until.astimezone(self.zone)
        day = local.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
        first = after.astimezone(self.zone).replace(tzinfo=None) - timedelta(days=1)
        while day >= first:
            if self._fits(day):
                found = [due for due in self._times(day) if after < due <= until]
                if found:
                    return max(found)
            day -= timedelta(days=1)
        return None

    def _fits(self, day: datetime) -> bool:
        if day.month not in self.months:
            return False
        of_month, of_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        if self.any_day or self.any_weekday:
            return of_month and of_week
        return of_month or of_week

    def _times(self, day: datetime) -> Iterator[datetime]:
        """Of that day, in UTC and in order; where clocks change they may not be."""
        found = {
            day.replace(hour=hour, minute=minute, tzinfo=self.zone, fold=0).astimezone(UTC)
            for hour in self.hours
            for minute in self.minutes
        }
        yield from sorted(found)


def parse(text: str, zone: str = "UTC") -> Schedule:
    """Raises BadSchedule."""
    fields = _NAMED.get(text.strip(), text).lower().split()
    if len(fields) != 5:
        raise BadSchedule(f"{text!r} has {len(fields)} fields, not five: minute hour day month weekday")
    try:
        found = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadSchedule(f"{zone!r} is no time zone, such as UTC or Europe/Vienna") from error
    minute, hour, day, month, weekday = fields
    return Schedule(
        minutes=tuple(sorted(_field("minute", minute, 0, 59))),
        hours=tuple(sorted(_field("hour", hour, 0, 23))),
        days=frozenset(_field("day", day, 1, 31)),
        months=frozenset(_field("month", month, 1, 12, _MONTHS)),
        weekdays=frozenset(number % 7 for number in _field("weekday", weekday, 0, 7, _DAYS)),
        any_day=day.startswith("*"),
        any_weekday=weekday.startswith("*"),
        zone=found,
    )


def _field(name: str, text: str, low: int, high: int, names: Mapping[str, int] | None = None) -> set[int]:
    found: set[int] = set()
    for part in text.split(","):
        matched = _PART.fullmatch(part)
        if matched is None:
            raise BadSchedule(f"{part!r} is no {name}")
        begin, end, step = matched.groups()
        if begin == "*":
            first, last = low, high
        else:
            first = _number(name, begin, low, high, names)
            last = first if end is None else _number(name, end, low, high, names)
            if end is None and step is not None:
                last = high
        if (begin == "*" and end is not None) or last < first or (step is not None and int(step) == 0):
            raise BadSchedule(f"{part!r} is no {name}")
        found |= set(range(first, last + 1, int(step or 1)))
    return found


def _number(name: str, text: str, low: int, high: int, names: Mapping[str, int] | None) -> int:
    number = (names or {}).get(text[:3] if text.isalpha() else "", -1)
    if text.isdecimal():
        number = int(text)
    if not low <= number <= high:
        raise BadSchedule(f"{text!r} is no {name}: {low} to {high}")
    return number
