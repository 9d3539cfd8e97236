"""Values and ranges of values that a condition asks for, as formulas."""

from collections.abc import Mapping, Sequence
from math import inf, isfinite

from serving.routing.fields import NPS_GROUPS, Field
from serving.routing.formula import Between, Formula, OneOf, Some, Value


def any_of(asked: Field, values: Sequence[Value]) -> Formula:
    """Any of the values; of numbers each is a range of its own."""
    if asked.kind != "number":
        return OneOf(asked.name, frozenset(values))
    ends = [NPS_GROUPS[value] if isinstance(value, str) else (value, value) for value in values]
    parts = tuple(Between(asked.name, float(low), float(high)) for low, high in ends)
    return parts[0] if len(parts) == 1 else Some(parts)


def range_of(asked: Field, ends: Mapping[str, object]) -> tuple[str, Formula]:
    """A range in words and as a formula, from its ends; ValueError if it is none."""
    checked = {key: number_of(asked, end, "a number") for key, end in ends.items()}
    if {"min", "above"} <= set(checked) or {"max", "below"} <= set(checked):
        raise ValueError("expected one lower and one upper end, got two of a kind")
    low = checked.get("min", checked.get("above", float("-inf")))
    high = checked.get("max", checked.get("below", float("inf")))
    found = Between(asked.name, low, high, "above" in checked, "below" in checked)
    if low > high or (low == high and (found.low_open or found.high_open)):
        raise ValueError(f"expected a lower end below the upper, got {low:g} and {high:g}")
    if not _possible(asked, found):
        raise ValueError(f"no value can lie there: {asked.name} is from {asked.low:g} to {asked.high:g}")
    words = {"min": "at least", "max": "at most", "above": "above", "below": "below"}
    return f"{asked.name} is " + " and ".join(f"{words[key]} {end:g}" for key, end in checked.items()), found


def _possible(asked: Field, found: Between) -> bool:
    if asked.whole and asked.high < float("inf"):
        return any(found.holds(float(number)) for number in range(int(asked.low), int(asked.high) + 1))
    return not (found.low_open and found.low >= asked.high) and not (found.high_open and found.high <= asked.low)


def number_of(asked: Field, value: object, expected: str) -> float:
    """A number that the field can hold; ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"expected {expected}, got {value!r:.60}")
    try:
        number = float(value)
    except OverflowError:
        number = inf
    if not asked.low <= number <= asked.high or not isfinite(number):
        raise ValueError(f"{asked.name} is from {asked.low:g} to {asked.high:g}, got {value!s:.30}")
    return number
