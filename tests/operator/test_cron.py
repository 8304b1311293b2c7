"""Schedules: due when cron would be, in their time zone, over changes of the clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from aidb_operator.plan.cron import BadSchedule, parse
from hypothesis import given
from hypothesis import strategies as st


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "zone", "after", "due"),
    [
        ("*/15 * * * *", "UTC", "2026-11-28T12:07:30", "2026-11-28T12:15:00"),
        ("*/15 * * * *", "UTC", "2026-11-28T12:15:00", "2026-11-28T12:30:00"),
        ("0 3 * * *", "UTC", "2026-11-28T12:00:00", "2026-11-29T03:00:00"),
        ("0 3 * * *", "Europe/Vienna", "2026-11-28T12:00:00", "2026-11-29T02:00:00"),
        ("30 4 1,15 * 5", "UTC", "2026-11-02T00:00:00", "2026-11-06T04:30:00"),
        ("30 4 1,15 * *", "UTC", "2026-11-02T00:00:00", "2026-11-15T04:30:00"),
        ("0 0 * * sun", "UTC", "2026-11-28T12:00:00", "2026-11-29T00:00:00"),
        ("0 0 * * 7", "UTC", "2026-11-28T12:00:00", "2026-11-29T00:00:00"),
        ("0 0 * JAN MON-FRI", "UTC", "2026-11-28T12:00:00", "2027-01-01T00:00:00"),
        ("0 0 29 2 *", "UTC", "2026-11-28T12:00:00", "2028-02-29T00:00:00"),
        ("5/20 * * * *", "UTC", "2026-11-28T12:26:00", "2026-11-28T12:45:00"),
        ("@weekly", "UTC", "2026-11-28T12:00:00", "2026-11-29T00:00:00"),
        # 2:30 does not exist on 29 March: an hour later, 3:30 of the new time.
        ("30 2 * * *", "Europe/Vienna", "2026-03-28T12:00:00", "2026-03-29T01:30:00"),
        ("30 2 * * *", "Europe/Vienna", "2026-03-29T01:30:00", "2026-03-30T00:30:00"),
        # 2:30 exists twice on 25 October: once.
        ("30 2 * * *", "Europe/Vienna", "2026-10-24T12:00:00", "2026-10-25T00:30:00"),
        ("30 2 * * *", "Europe/Vienna", "2026-10-25T00:30:00", "2026-10-26T01:30:00"),
    ],
)
def test_the_next_time(schedule: str, zone: str, after: str, due: str) -> None:
    assert parse(schedule, zone).after(at(after)) == at(due)


def test_what_never_comes_is_never_due() -> None:
    assert parse("0 0 30 2 *").after(at("2026-01-01T00:00:00")) is None


@pytest.mark.parametrize(
    ("schedule", "zone"),
    [
        ("* * * *", "UTC"),
        ("60 * * * *", "UTC"),
        ("* 24 * * *", "UTC"),
        ("* * 0 * *", "UTC"),
        ("* * * 13 *", "UTC"),
        ("* * * * 8", "UTC"),
        ("5-1 * * * *", "UTC"),
        ("*/0 * * * *", "UTC"),
        ("*-5 * * * *", "UTC"),
        ("a * * * *", "UTC"),
        ("@never", "UTC"),
        ("* * * * *", "Mars/Olympus"),
        ("* * * * *", "../etc/passwd"),
    ],
)
def test_what_is_no_schedule(schedule: str, zone: str) -> None:
    with pytest.raises(BadSchedule):
        parse(schedule, zone)


FIELDS = st.tuples(
    st.sampled_from(["*", "0", "7,31", "*/7", "50-59"]),
    st.sampled_from(["*", "2", "0-4", "*/5"]),
    st.sampled_from(["*", "1", "10-20", "31"]),
    st.sampled_from(["*", "3", "OCT"]),
    st.sampled_from(["*", "0", "mon-fri"]),
)
MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2032, 1, 1)).map(lambda one: one.replace(tzinfo=UTC))


@given(FIELDS, st.sampled_from(["UTC", "Europe/Vienna", "America/New_York", "Asia/Kathmandu"]), MOMENTS)
def test_what_is_due_next_is_the_newest_when_it_is_there(
    fields: tuple[str, ...], zone: str, moment: datetime
) -> None:
    schedule = parse(" ".join(fields), zone)
    due = schedule.after(moment)
    assert due is not None
    assert due > moment
    assert due.second == 0
    local = due.astimezone(ZoneInfo(zone))
    exists = local.replace(tzinfo=None) == (due.astimezone(ZoneInfo(zone)).replace(tzinfo=None))
    assert exists
    assert schedule.newest(moment, due) == due
    assert schedule.newest(moment, due - timedelta(seconds=1)) is None
