"""What a benchmark measured, with its spread, and what the project wants of it."""

import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple


class Figure(NamedTuple):
    """One thing measured repeatedly: median, lowest and highest. ``wanted`` is a bound that the project has set.

    ``score`` tells how well it is kept: 1 or more where it is, 0.5 where half of it is.
    """

    name: str
    unit: str
    median: float
    low: float
    high: float
    wanted: str = ""
    reached: bool | None = None
    score: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return self._asdict()

    def as_row(self) -> list[str]:
        """For people: name, median, lowest to highest, the bound and whether it is kept."""
        digits = 0 if self.high >= 100 else 1 if self.high >= 1 else 2
        shown = [f"{value:,.{digits}f}" for value in self[2:5]]
        kept = "" if self.reached is None else "kept" if self.reached else "missed"
        return [self.name, f"{shown[0]} {self.unit}".strip(), f"{shown[1]}–{shown[2]}", self.wanted, kept]


def at_least(name: str, unit: str, values: Sequence[float], bound: float | None = None) -> Figure:
    """A figure that is better the higher it is; its median has to reach the bound."""
    measured = _measured(name, unit, values)
    if bound is None:
        return measured
    return measured._replace(
        wanted=f"≥ {_shown(bound)}", reached=measured.median >= bound, score=measured.median / bound
    )


def at_most(name: str, unit: str, values: Sequence[float], bound: float | None = None) -> Figure:
    """A figure that is better the lower it is; its highest value has to stay within the bound."""
    measured = _measured(name, unit, values)
    if bound is None:
        return measured
    return measured._replace(
        wanted=f"≤ {_shown(bound)}", reached=measured.high <= bound, score=bound / max(measured.high, 1e-9)
    )


def _measured(name: str, unit: str, values: Sequence[float]) -> Figure:
    return Figure(name, unit, statistics.median(values), min(values), max(values))


def _shown(bound: float) -> str:
    return f"{bound:,.0f}" if bound >= 10 else f"{bound:g}"
