"""Periods by local clocks: every moment lies in one, whatever clocks do."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rules_support import HEAD, reading_of

from serving.routing.schedule import Schedule

#: Clocks that change by an hour, by half of one, at midnight, twice a year or never, and a day that was left out.
ZONES = (
    "UTC",
    "Europe/Bucharest",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Santiago",
    "Asia/Kathmandu",
    "Africa/Casablanca",
    "Pacific/Apia",
    "Asia/Shanghai",
)
SCHEDULES = st.one_of(
    st.just(Schedule("hour")),
    st.builds(Schedule, st.just("day"), st.integers(0, 1439)),
    st.builds(Schedule, st.just("week"), st.integers(0, 1439), st.integers(0, 6)),
    st.builds(Schedule, st.just("month"), st.integers(0, 1439), st.integers(1, 28)),
)
MOMENTS = st.datetimes(datetime(2009, 1, 1), datetime(2032, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC))
LONGEST = {"hour": 2, "day": 49, "week": 8 * 24, "month": 32 * 24}


@settings(deadline=None, max_examples=400, derandomize=True)
@given(SCHEDULES, st.sampled_from(ZONES), MOMENTS)
def test_every_moment_lies_in_one_period(schedule, name, moment):
    zone = ZoneInfo(name)
    found = schedule.period(zone, moment)
    assert found.opens <= moment < found.closes
    assert found.closes - found.opens <= timedelta(hours=LONGEST[schedule.every])
    # the next one begins where it ends, and all of its moments know it
    after = schedule.period(zone, found.closes)
    assert after.opens == found.closes
    for other in (found.opens, found.closes - timedelta(microseconds=1)):
        assert schedule.period(zone, other) == found


@pytest.mark.parametrize(
    ("every", "at", "on", "zone", "moment", "opens", "closes"),
    [
        ("day", "09:00", None, "Europe/Bucharest", "2026-03-10T12:00", "2026-03-10T07:00", "2026-03-11T07:00"),
        # the day on which clocks are put forward has 23 hours
        ("day", "09:00", None, "Europe/Bucharest", "2026-03-29T05:00", "2026-03-28T07:00", "2026-03-29T06:00"),
        # 03:30 does not come on that day: it ends when clocks have been put forward, at 04:00
        ("day", "03:30", None, "Europe/Bucharest", "2026-03-29T00:59", "2026-03-28T01:30", "2026-03-29T01:00"),
        # 03:30 comes twice in October: the first one ends it
        ("day", "03:30", None, "Europe/Bucharest", "2026-10-25T00:31", "2026-10-25T00:30", "2026-10-26T01:30"),
        # and so does an hour, which is two periods
        ("hour", "09:00", None, "Europe/Bucharest", "2026-10-25T00:30", "2026-10-25T00:00", "2026-10-25T01:00"),
        ("hour", "09:00", None, "Asia/Kathmandu", "2026-03-10T12:00", "2026-03-10T11:15", "2026-03-10T12:15"),
        ("week", "08:00", "fri", "Europe/Rome", "2026-03-10T12:00", "2026-03-06T07:00", "2026-03-13T07:00"),
        ("week", "09:00", None, "UTC", "2026-03-09T09:00", "2026-03-09T09:00", "2026-03-16T09:00"),
        ("month", "00:00", 15, "Asia/Shanghai", "2026-03-10T12:00", "2026-02-14T16:00", "2026-03-14T16:00"),
    ],
)
def test_periods_end_by_the_clocks_of_the_team(every, at, on, zone, moment, opens, closes):
    found = Schedule.read(every, at, on).period(ZoneInfo(zone), datetime.fromisoformat(moment).replace(tzinfo=UTC))
    assert [one.strftime("%Y-%m-%dT%H:%M") for one in found] == [opens, closes]


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        ('{ every = "fortnight" }', "'hour', 'day', 'week' or 'month'"),
        ('{ at = "25:00" }', "at: expected a time like 09:00, got '25:00'"),
        ('{ at = "24:00" }', "at: expected a time like 09:00"),
        ('{ every = "week", on = "monday" }', "on: expected a day of the week like mon, got 'monday'"),
        ('{ every = "month", on = 31 }', "on: expected a day of the month from 1 to 28, got 31"),
        ('{ every = "day", on = "mon" }', "on: a digest every day has no day"),
        ('{ evry = "day" }', "unknown field 'evry'"),
    ],
)
def test_a_schedule_that_is_none_is_refused_with_its_line(written, fault):
    loaded = reading_of(HEAD + f"teams.hit.digest = {written}\n")
    assert loaded.rules is None
    assert fault in str(loaded.findings)


def test_teams_that_hear_of_overdue_items_have_to_be_there():
    loaded = reading_of(HEAD + 'teams.hit.escalate_to = "hti"\n')
    assert "unknown team 'hti'; did you mean 'hit'" in str(loaded.findings)
