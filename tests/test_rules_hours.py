"""When a team works, and when a number of working hours is over."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rules_support import reading_of

from serving.routing.hours import DAYS, Calendar, read_week

LAW = settings(deadline=None, derandomize=True)

BUCHAREST = "Europe/Bucharest"
OFFICE = {"mon-fri": ["09:00-12:30", "13:00-17:00"]}


def calendar(hours, zone=BUCHAREST, off=(), country=None):
    return Calendar(ZoneInfo(zone), read_week(hours), frozenset(map(date.fromisoformat, off)), country)


def local(text, zone=BUCHAREST):
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


@pytest.mark.parametrize(
    ("start", "hours", "due"),
    [
        ("2026-03-10 09:00", 1, "2026-03-10 10:00"),
        ("2026-03-10 09:15", 0.1, "2026-03-10 09:21"),
        ("2026-03-10 12:00", 1, "2026-03-10 13:30"),
        ("2026-03-10 11:30", 1, "2026-03-10 12:30"),
        ("2026-03-10 12:30", 1, "2026-03-10 14:00"),
        ("2026-03-10 12:45", 4, "2026-03-10 17:00"),
        ("2026-03-10 15:54", 1.1, "2026-03-10 17:00"),
        ("2026-03-10 16:00", 1.5, "2026-03-11 09:30"),
        ("2026-03-10 17:00", 3.5, "2026-03-11 12:30"),
        ("2026-03-10 20:00", 1, "2026-03-11 10:00"),
        ("2026-03-10 03:00", 1, "2026-03-10 10:00"),
        ("2026-03-13 16:00", 2, "2026-03-16 10:00"),
        ("2026-03-14 11:00", 1, "2026-03-16 10:00"),
        ("2026-03-15 23:59", 7.5, "2026-03-16 17:00"),
        ("2026-03-13 16:00", 8.5, "2026-03-16 17:00"),
        ("2026-03-10 09:00", 37.5, "2026-03-16 17:00"),
    ],
)
def test_hours_count_only_while_the_team_works(start, hours, due):
    assert calendar(OFFICE).due(local(start), hours) == local(due)


@pytest.mark.parametrize(
    ("off", "country", "start", "hours", "due"),
    [
        (["2026-03-11"], None, "2026-03-10 16:00", 2, "2026-03-12 10:00"),
        (["2026-03-11", "2026-03-12", "2026-03-13"], None, "2026-03-10 16:00", 2, "2026-03-16 10:00"),
        (["2026-03-14"], None, "2026-03-13 16:00", 2, "2026-03-16 10:00"),
        # in Romania 30 November, 1 December and 1 May are free, and from Friday to Monday it is Easter
        ([], "RO", "2026-11-27 16:00", 2, "2026-12-02 10:00"),
        ([], "RO", "2026-04-30 16:00", 2, "2026-05-04 10:00"),
        ([], "RO", "2026-04-09 16:00", 2, "2026-04-14 10:00"),
        ([], "DE", "2026-11-27 16:00", 2, "2026-11-30 10:00"),
        (["2026-12-02"], "RO", "2026-11-27 16:00", 2, "2026-12-03 10:00"),
    ],
)
def test_nobody_works_on_holidays(off, country, start, hours, due):
    assert calendar(OFFICE, off=off, country=country).due(local(start), hours) == local(due)


@pytest.mark.parametrize(
    ("zone", "due"),
    [
        ("Europe/Bucharest", "2026-03-10T15:00:00+02:00"),
        ("Europe/Warsaw", "2026-03-10T14:00:00+01:00"),
        ("America/New_York", "2026-03-10T10:00:00-04:00"),
        ("Asia/Shanghai", "2026-03-11T10:00:00+08:00"),
        ("Asia/Kolkata", "2026-03-11T10:00:00+05:30"),
        ("Pacific/Auckland", "2026-03-11T10:00:00+13:00"),
        ("UTC", "2026-03-10T13:00:00+00:00"),
    ],
)
def test_hours_are_those_of_the_clock_where_the_team_is(zone, due):
    found = calendar({"mon-fri": ["09:00-17:00"]}, zone).due(datetime(2026, 3, 10, 12, tzinfo=UTC), 1)
    assert found.isoformat() == due


NIGHT = {"sun": ["00:00-06:00"]}


@pytest.mark.parametrize(
    ("zone", "week", "start", "hours", "due"),
    [
        (BUCHAREST, NIGHT, "2026-03-29 00:00", 3.5, "2026-03-29T04:30:00+03:00"),
        (BUCHAREST, NIGHT, "2026-03-28 20:00", 5, "2026-03-29T06:00:00+03:00"),
        (BUCHAREST, NIGHT, "2026-03-28 20:00", 5.5, "2026-04-05T00:30:00+03:00"),
        (BUCHAREST, NIGHT, "2026-10-25 00:00", 3.5, "2026-10-25T03:30:00+03:00"),
        (BUCHAREST, NIGHT, "2026-10-25 00:00", 4.5, "2026-10-25T03:30:00+02:00"),
        (BUCHAREST, NIGHT, "2026-10-24 20:00", 7, "2026-10-25T06:00:00+02:00"),
        ("Europe/Warsaw", NIGHT, "2026-03-29 00:00", 3, "2026-03-29T04:00:00+02:00"),
        ("Europe/Warsaw", NIGHT, "2026-03-28 20:00", 5.5, "2026-04-05T00:30:00+02:00"),
        ("Europe/Warsaw", NIGHT, "2026-10-25 00:00", 3, "2026-10-25T02:00:00+01:00"),
        ("Europe/Warsaw", NIGHT, "2026-10-24 20:00", 7, "2026-10-25T06:00:00+01:00"),
        (BUCHAREST, OFFICE, "2026-03-27 16:00", 2, "2026-03-30T10:00:00+03:00"),
        (BUCHAREST, {}, "2026-03-28 12:00", 24, "2026-03-29T13:00:00+03:00"),
        (BUCHAREST, {}, "2026-10-24 12:00", 24, "2026-10-25T11:00:00+02:00"),
        (BUCHAREST, {"sat": ["20:00-24:00"], **NIGHT}, "2026-03-28 21:00", 7, "2026-03-29T05:00:00+03:00"),
        # from 03:00 to 04:00 there is no time to work in
        (BUCHAREST, {"sun": ["03:00-03:30", "04:00-05:00"]}, "2026-03-28 12:00", 1, "2026-03-29T05:00:00+03:00"),
        (BUCHAREST, {"sun": ["03:30-05:00"]}, "2026-03-28 12:00", 1, "2026-03-29T05:00:00+03:00"),
        (BUCHAREST, {"sun": ["02:00-03:30"]}, "2026-03-28 12:00", 1.25, "2026-04-05T02:15:00+03:00"),
    ],
)  # fmt: skip
def test_when_clocks_change_time_counts_as_it_passes(zone, week, start, hours, due):
    assert calendar(week, zone).due(local(start, zone), hours).isoformat() == due


def test_a_team_without_hours_is_free_on_its_holidays_only():
    free = calendar({}, "UTC", off=["2026-03-11"])
    start = datetime(2026, 3, 10, 22, tzinfo=UTC)
    assert free.due(start, 2) == datetime(2026, 3, 11, tzinfo=UTC)
    assert free.due(start, 3) == datetime(2026, 3, 12, 1, tzinfo=UTC)
    assert calendar({}, "UTC").due(start, 3) == datetime(2026, 3, 11, 1, tzinfo=UTC)


def test_a_team_that_never_works_long_enough_is_told():
    days = [(date(2026, 1, 1) + timedelta(days=number)).isoformat() for number in range(4000)]
    with pytest.raises(ValueError, match=r"the team does not work 2 hours within ten years of 2026-03-10"):
        calendar({"mon": ["09:00-10:00"]}, off=days).due(local("2026-03-10 12:00"), 2)


# --- against a walk from minute to minute

ZONES = st.sampled_from([BUCHAREST, "Europe/Warsaw", "America/New_York", "Asia/Kolkata", "UTC"])
# around the hours in which clocks change, spans begin and end with the hour
CLOCKS = [hour * 60 + half for hour in range(24) for half in (0, 30) if not half or hour > 3]
SPANS = st.lists(st.sampled_from([*CLOCKS, 1440]), max_size=6, unique=True).map(
    lambda ends: [pair for number, pair in enumerate(pairwise(sorted(ends))) if number % 2 == 0]
)
WEEKS = st.lists(SPANS, min_size=7, max_size=7).filter(any)
# days before and after clocks change
STARTS = st.builds(
    lambda day, minutes: datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(minutes=minutes),
    st.sampled_from(["2026-03-27", "2026-10-24", "2026-03-07", "2026-10-31", "2026-12-30"]),
    st.integers(0, 3 * 1440),
)
OFF = st.sets(st.sampled_from(["2026-03-28", "2026-03-30", "2026-10-26", "2027-01-01"]))


def written(week):
    def clock(minute):
        return f"{minute // 60:02}:{minute % 60:02}"

    return {DAYS[day]: [f"{clock(begin)}-{clock(end)}" for begin, end in spans] for day, spans in enumerate(week)}


def walked(week, zone, off, start, minutes):
    now, zone = start, ZoneInfo(zone)
    while minutes:
        there = now.astimezone(zone)
        minute = there.hour * 60 + there.minute
        works = there.date().isoformat() not in off
        minutes -= works and any(begin <= minute < end for begin, end in week[there.weekday()])
        now += timedelta(minutes=1)
    return now


@settings(LAW, max_examples=150)
@given(WEEKS, ZONES, OFF, STARTS, st.integers(1, 900))
def test_between_start_and_due_lies_as_much_working_time_as_was_asked(week, zone, off, start, minutes):
    found = calendar(written(week), zone, off).due(start, minutes / 60)
    assert found == walked(week, zone, off, start, minutes)


@settings(LAW, max_examples=150)
@given(WEEKS, ZONES, OFF, st.tuples(STARTS, STARTS), st.tuples(*[st.floats(0.01, 80)] * 2))
def test_who_comes_later_or_takes_longer_is_not_due_earlier(week, zone, off, starts, hours):
    due = calendar(written(week), zone, off).due
    (first, second), (less, more) = sorted(starts), sorted(hours)
    assert first < due(first, less) <= due(first, more) <= due(second, more)


# --- what cannot be working hours


@pytest.mark.parametrize(
    ("hours", "faults"),
    [
        ({"mon": ["09:00-12:00", "11:30-17:00"]}, ["mon: 09:00-12:00 and 11:30-17:00 overlap"]),
        ({"mon": ["13:00-17:00", "09:00-13:30"]}, ["mon: 09:00-13:30 and 13:00-17:00 overlap"]),
        ({"mon-wed": ["09:00-12:00"], "tue": ["13:00-14:00"]}, ["tue has hours twice; give each day once"]),
        ({"Mon": ["09:00-12:00"], "mon": ["13:00-14:00"]}, ["mon has hours twice; give each day once"]),
        ({"monday": ["09:00-12:00"]}, ["expected a day or days like mon or mon-fri, got 'monday'"]),
        ({"fri-mon": ["09:00-12:00"]}, ["expected a day or days like mon or mon-fri, got 'fri-mon'"]),
        ({"mon-": ["09:00-12:00"], "-tue": []}, ["expected a day or days like mon or mon-fri, got '-tue'"]),
        ({"mon": ["9-17"]}, ["expected hours like 09:00-17:00, got '9-17'"]),
        ({"mon": ["09:00"]}, ["expected hours like 09:00-17:00, got '09:00'"]),
        ({"mon": ["09:00-24:30"]}, ["expected hours like 09:00-17:00, got '09:00-24:30'"]),
        ({"mon": ["09:00-10:60"]}, ["expected hours like 09:00-17:00, got '09:00-10:60'"]),
        ({"mon": ["09:00-10:00-11:00"]}, ["expected hours like 09:00-17:00, got '09:00-10:00-11:00'"]),
        (
            {"mon": ["22:00-06:00"]},
            [
                "expected hours that end after they begin, got '22:00-06:00'; a shift over midnight is two: "
                "until 24:00, and from 00:00 the next day"
            ],
        ),
        ({"mon": [], "tue-sun": []}, ["expected working hours on at least one day, got none"]),
        (
            {"mon-fri": ["09:00-17:00", "16:00-18:00"], "fry": [], "tue": ["9-17"], "wed": ["01:00-02:00"]},
            [
                "mon-fri: 09:00-17:00 and 16:00-18:00 overlap",
                "expected a day or days like mon or mon-fri, got 'fry'",
                "expected hours like 09:00-17:00, got '9-17'",
                "wed has hours twice; give each day once",
            ],
        ),
    ],
)  # fmt: skip
def test_contradictory_hours_are_refused_with_every_fault(hours, faults):
    with pytest.raises(ValueError, match=r"expected|overlap|twice") as caught:
        read_week(hours)
    assert str(caught.value).split("\n") == faults
    written = ", ".join(f"{day} = {spans}" for day, spans in hours.items())
    text = f'version = 1\ndefault.team = "a"\n[teams.a]\ntitle = "A"\nhours = {{ {written} }}\n'
    found = [(one.line, one.message) for one in reading_of(text).findings]
    assert found == [(5, f"teams.a.hours: {fault[0].lower()}{fault[1:]}") for fault in faults]
