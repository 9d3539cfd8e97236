"""Working time of a team: when it works, and when a number of working hours is over."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from itertools import pairwise
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


@dataclass(frozen=True)
class Calendar:
    """When a team works: per weekday (Monday first) its spans in local time, and the days it is off."""

    zone: ZoneInfo
    week: Week
    off: frozenset[date] = frozenset()
    country: str | None = None
    _last: list[tuple[datetime, float, datetime]] = dataclass_field(default_factory=list, compare=False)
    _spans: dict[date, tuple[tuple[float, float], ...]] = dataclass_field(default_factory=dict, compare=False)

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
        if self._last and self._last[0][:2] == (start, hours):  # a replay asks twice
            return self._last[0][2]
        due = self._due(start, hours)
        self._last[:] = [(start, hours, due)]
        return due

    def _due(self, start: datetime, hours: float) -> datetime:
        if self.always:
            return (start.astimezone(UTC) + timedelta(hours=hours)).astimezone(self.zone)
        left = round(hours * 3600, 3)  # 1.1 hours are 66 minutes, and no more by a hair
        now = start.timestamp()
        day = start.astimezone(self.zone).date()
        for _ in range(_FAR):
            for begin, end in self._on(day):
                passed = end - max(begin, now)
                if passed >= left:
                    return datetime.fromtimestamp(max(begin, now) + left, self.zone)
                left -= max(passed, 0.0)
            day += timedelta(days=1)
        raise ValueError(f"the team does not work {hours:g} hours within ten years of {start.date()}")

    def _on(self, day: date) -> tuple[tuple[float, float], ...]:
        """Working time of a day as seconds since 1970."""
        found = self._spans.get(day)
        if found is None:
            free = day in self.off or (self.country is not None and day in self._public(self.country))
            spans = () if free else self.week[day.weekday()]
            found = tuple((self._moment(day, begin), self._moment(day, end)) for begin, end in spans)
            if len(self._spans) >= _FAR:
                self._spans.clear()
            self._spans[day] = found
        return found

    def _moment(self, day: date, minute: int) -> float:
        days, rest = divmod(minute, _MIDNIGHT)
        local = datetime.combine(day + timedelta(days=days), time(rest // 60, rest % 60), self.zone)
        moment = local.astimezone(UTC)
        while moment.astimezone(self.zone).replace(tzinfo=None) != local.replace(tzinfo=None):
            # clocks are put forward over it: what begins or ends then does so when they have been
            local += timedelta(minutes=1)
            moment = local.astimezone(UTC)
        return moment.timestamp()

    @staticmethod
    def _public(country: str) -> "HolidayBase":
        return public_holidays(country)


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
        begin, end = (_minutes(part) for part in text.split("-"))
    except ValueError:
        raise ValueError(f"expected hours like 09:00-17:00, got {text!r}") from None
    if begin >= end:
        raise ValueError(
            f"expected hours that end after they begin, got {text!r}; a shift over midnight is two: "
            "until 24:00, and from 00:00 the next day"
        )
    return begin, end


def _minutes(clock: str) -> int:
    hour, minute = clock.strip().split(":")
    found = int(hour) * 60 + int(minute)
    if len(minute) != 2 or not (0 <= int(minute) < 60 and 0 <= found <= _MIDNIGHT):
        raise ValueError
    return found


def _clock(begin: int, end: int) -> str:
    return f"{begin // 60:02}:{begin % 60:02}-{end // 60:02}:{end % 60:02}"
