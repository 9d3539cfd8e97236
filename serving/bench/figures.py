"""What a benchmark measured, with its spread."""

import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple


class Figure(NamedTuple):
    """One thing measured repeatedly: median, lowest and highest. ``wanted`` is a bound that the project has set."""

    name: str
    unit: str
    median: float
    low: float
    high: float
    wanted: str = ""
    reached: bool | None = None

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return self._asdict()

    def as_row(self) -> list[str]:
        """For people: name, median, lowest to highest, the bound and whether it is kept."""
        shown = [f"{value:,.0f}" if self.high >= 100 else f"{value:,.1f}" for value in self[2:5]]
        kept = "" if self.reached is None else "kept" if self.reached else "missed"
        return [self.name, f"{shown[0]} {self.unit}", f"{shown[1]}–{shown[2]}", self.wanted, kept]


def at_least(name: str, unit: str, values: Sequence[float], bound: float | None = None) -> Figure:
    """A figure that is better the higher it is; its median has to reach the bound."""
    middle = statistics.median(values)
    wanted = "" if bound is None else f"≥ {bound:,.0f}"
    return Figure(name, unit, middle, min(values), max(values), wanted, None if bound is None else middle >= bound)


def at_most(name: str, unit: str, values: Sequence[float], bound: float | None = None) -> Figure:
    """A figure that is better the lower it is; its highest value has to stay within the bound."""
    middle = statistics.median(values)
    wanted = "" if bound is None else f"≤ {bound:,.0f}"
    return Figure(name, unit, middle, min(values), max(values), wanted, None if bound is None else max(values) <= bound)
