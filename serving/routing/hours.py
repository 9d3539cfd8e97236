"""Working time of a team: when it works, and when a number of working hours is over."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from holidays import HolidayBase

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
#: From and to, in minutes of the day.
Span = tuple[int, int]
Week = tuple[tuple[Span, ...], ...]

_MIDNIGHT = 24 * 60
#: After so many days without enough working time something is wrong with the calendar.
_FAR = 3660
#: Days before and after an item for which working time is counted at once.
_BEHIND, _AHEAD = 60, 400


@dataclass
class Calendar:
    """When a team works: per weekday (Monday first) its spans in local time, and the days it is off."""

    zone: ZoneInfo
    week: Week
    off: frozenset[date] = frozenset()
    country: str | None = None
    _table: "_Table | None" = dataclass_field(default=None, init=False, repr=False, compare=False)

    @cached_property
    def always(self) -> bool:
        """Whether the team works at any time."""
        return not self.off and self.country is None and all(day == ((0, _MIDNIGHT),) for day in self.week)

    def due(self, start: datetime, hours: float) -> datetime:
        """The moment at which ``hours`` of working time since ``start`` are over, in the team's time zone.

        Time is counted as it passes: on the day that clocks change, a span is an hour longer or shorter. Work that
        is done exactly at the end of a span is due then, not at the beginning of the next.

        Raises:
            ValueError: the calendar has no such working time within ten years.
        """
        if self.always:
            return (start.astimezone(UTC) + timedelta(hours=hours)).astimezone(self.zone)
        left = round(hours * 3600, 3)  # 1.1 hours are 66 minutes, and no more by a hair
        now = start.timestamp()
        days = _AHEAD
        while True:
            found = None if self._table is None else self._table.due(now, left)
            if found is not None:
                return datetime.fromtimestamp(found, self.zone)
            if days > _FAR:
                raise ValueError(f"the team does not work {hours:g} hours within ten years of {start.date()}")
            self._table = self._made(start.astimezone(self.zone).date(), days)
            days *= 2

    def _made(self, day: date, ahead: int) -> "_Table":
        """Working time from a while before ``day`` to ``ahead`` days after it, and of the days that were known."""
        first, last = day - timedelta(days=_BEHIND), day + timedelta(days=ahead)
        before = self._table
        if before is not None and (max(last, before.last) - min(first, before.first)).days <= 2 * _FAR:
            first, last = min(first, before.first), max(last, before.last)
        spans = [
            (first_shown(one, begin, self.zone).timestamp(), first_shown(one, end, self.zone).timestamp())
            for one in (first + timedelta(days=number) for number in range((last - first).days + 1))
            if not (one in self.off or (self.country is not None and one in public_holidays(self.country)))
            for begin, end in self.week[one.weekday()]
        ]
        return _Table(first, last, first_shown(first, 0, self.zone).timestamp(), spans)


class _Table:
    """Working time from the first to the last day, counted through.

    Args:
        first: the first day.
        last: the last day.
        begin: when the first day begins, in seconds since 1970.
        spans: beginnings and ends in seconds since 1970, in order.
    """

    def __init__(self, first: date, last: date, begin: float, spans: Sequence[tuple[float, float]]) -> None:
        self.first, self.last, self._begin = first, last, begin
        self._starts = [start for start, _ in spans]
        self._ends = [end for _, end in spans]
        # working time that is over at the end of each span
        self._done = list(accumulate(max(end - start, 0.0) for start, end in spans))

    def due(self, now: float, left: float) -> float | None:
        """When ``left`` seconds of work from ``now`` on are over; None if not between first and last day."""
        if now < self._begin:
            return None
        place = bisect_right(self._ends, now)
        if place == len(self._ends):
            return None
        wanted = self._done[place] - (self._ends[place] - max(self._starts[place], now)) + left
        # a hair of what floats lose must not push the end of a span into the next
        place = bisect_left(self._done, wanted - 1e-3, place)
        return None if place == len(self._done) else self._ends[place] - (self._done[place] - wanted)


def first_shown(day: date, minute: int, zone: ZoneInfo) -> datetime:
    """When clocks first show this minute of a day (24 * 60 is the end of it), in UTC; where they are put forward over
    it, when they have been."""
    local = datetime.combine(day, time()) + timedelta(minutes=minute)
    while True:
        moment = local.replace(tzinfo=zone).astimezone(UTC)
        if moment.astimezone(zone).replace(tzinfo=None) == local:
            return moment
        local += timedelta(minutes=1)


def public_holidays(country: str) -> "HolidayBase":
    """Public holidays of a country (ISO 3166, two letters), by date.

    Raises:
        KeyError: they are not known.
    """
    if country not in _HOLIDAYS:
        import holidays

        try:
            _HOLIDAYS[country] = holidays.country_holidays(country)
        except NotImplementedError:
            raise KeyError(country) from None
    return _HOLIDAYS[country]


_HOLIDAYS: "dict[str, HolidayBase]" = {}


def read_week(hours: Mapping[str, Sequence[str]]) -> Week:
    """The spans of each weekday, from e.g. ``{"mon-fri": ["09:00-12:30", "13:00-17:00"]}``.

    Without entries the team works around the clock.

    Raises:
        ValueError: with every fault of the entries, one a line.
    """
    if not hours:
        return (((0, _MIDNIGHT),),) * 7
    faults: list[str] = []
    week: dict[str, tuple[Span, ...]] = {}
    for name, texts in hours.items():
        try:
            days, spans = _days(name), tuple(sorted(_span(text) for text in texts))
        except ValueError as error:
            faults.append(str(error))
            continue
        faults += [
            f"{name}: {_clock(*first)} and {_clock(*second)} overlap"
            for first, second in pairwise(spans)
            if second[0] < first[1]
        ]
        faults += [f"{day} has hours twice; give each day once" for day in days if day in week]
        week |= dict.fromkeys(days, spans)
    if not faults and not any(week.values()):
        faults.append("expected working hours on at least one day, got none")
    if faults:
        raise ValueError("\n".join(faults))
    return tuple(week.get(day, ()) for day in DAYS)


def _days(name: str) -> tuple[str, ...]:
    first, _, last = name.casefold().partition("-")
    last = last or first
    if first not in DAYS or last not in DAYS or DAYS.index(first) > DAYS.index(last):
        raise ValueError(f"expected a day or days like mon or mon-fri, got {name!r}")
    return DAYS[DAYS.index(first) : DAYS.index(last) + 1]


def _span(text: str) -> Span:
    try:
        begin, end = (minute_of(part) for part in text.split("-"))
    except ValueError:
        raise ValueError(f"expected hours like 09:00-17:00, got {text!r}") from None
    if begin >= end:
        raise ValueError(
            f"expected hours that end after they begin, got {text!r}; a shift over midnight is two: "
            "until 24:00, and from 00:00 the next day"
        )
    return begin, end


def minute_of(clock: str) -> int:
    """The minute of the day that a time like 09:00 stands for; ValueError if it is none."""
    hour, minute = clock.strip().split(":")
    found = int(hour) * 60 + int(minute)
    if len(minute) != 2 or not (0 <= int(minute) < 60 and 0 <= found <= _MIDNIGHT):
        raise ValueError
    return found


def _clock(begin: int, end: int) -> str:
    return f"{begin // 60:02}:{begin % 60:02}-{end // 60:02}:{end % 60:02}"
