"""Periods by the clocks of a place: hours, days, weeks and months, without a gap or an overlap when clocks change."""

from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

from serving.routing.hours import DAYS, first_shown, minute_of

Every = Literal["hour", "day", "week", "month"]

#: Days before and after a moment within which a period begins and ends.
_REACH: dict[Every, int] = {"hour": 2, "day": 2, "week": 9, "month": 33}
_MIDNIGHT = 24 * 60
#: Every month has a day of this number.
_LAST_DAY = 28


class Period(NamedTuple):
    """From ``opens``, included, to ``closes``, not included; both in UTC."""

    opens: datetime
    closes: datetime


class Schedule(NamedTuple):
    """``minute`` of the day at which a period ends, ``day`` its day of the week (Monday is 0) or of the month."""

    every: Every
    minute: int = 0
    day: int = 0

    @classmethod
    def read(cls, every: Every, at: str, on: str | int | None) -> "Schedule":
        """A schedule from how people write it.

        Raises:
            ValueError: a time or day that there is not.
        """
        try:
            minute = minute_of(at)
            if minute == _MIDNIGHT:
                raise ValueError
        except ValueError:
            raise ValueError(f"at: expected a time like 09:00, got {at!r}") from None
        if every == "week":
            if on is not None and on not in DAYS:
                raise ValueError(f"on: expected a day of the week like mon, got {on!r}")
            return cls(every, minute, 0 if on is None else DAYS.index(str(on)))
        if every == "month":
            if on is not None and (not isinstance(on, int) or not 1 <= on <= _LAST_DAY):
                raise ValueError(f"on: expected a day of the month from 1 to {_LAST_DAY}, got {on!r}")
            return cls(every, minute, 1 if on is None else int(on))
        if on is not None:
            raise ValueError(f"on: a digest every {every} has no day, got {on!r}")
        return cls(every, minute if every == "day" else 0)

    def period(self, zone: ZoneInfo, moment: datetime) -> Period:
        """The period that ``moment`` lies in.

        A period ends when the clocks of the zone first show its time; if they are put forward over that, when they have
        been. So every moment lies in one period, whatever clocks do.
        """
        moment = moment.astimezone(UTC)
        today = moment.astimezone(zone).date()
        reach = _REACH[self.every]
        days = (today + timedelta(days=number) for number in range(-reach, reach + 1))
        ends = sorted({end for day in days for end in self._ends(day, zone)})
        place = bisect_right(ends, moment)
        return Period(ends[place - 1], ends[place])

    def _ends(self, day: date, zone: ZoneInfo) -> Iterator[datetime]:
        if self.every == "hour":
            for hour in range(24):
                for fold in (0, 1):  # an hour that comes twice ends twice
                    local = datetime.combine(day, time(hour, fold=fold), zone)
                    moment = local.astimezone(UTC)
                    if moment.astimezone(zone).replace(tzinfo=None) == local.replace(tzinfo=None):
                        yield moment
        elif self.every == "day" or self.day == (day.weekday() if self.every == "week" else day.day):
            yield first_shown(day, self.minute, zone)
