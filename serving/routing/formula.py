"""Conditions as formulas over questions that one value of one field answers with yes or no."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

#: One value of a field. A field of an item has none, one, or (labels, patterns found in the text) several.
Value = str | float | bool


@dataclass(frozen=True)
class OneOf:
    """Some value of the field is one of these, which are written the way the field compares them."""

    field: str
    values: frozenset[Value]


@dataclass(frozen=True)
class Between:
    """Some value of the field is a number from ``low`` to ``high``; an end that is ``open`` does not belong to it."""

    field: str
    low: float = float("-inf")
    high: float = float("inf")
    low_open: bool = False
    high_open: bool = False

    def holds(self, number: float) -> bool:
        """Whether ``number`` lies in the range."""
        above = number > self.low or (number == self.low and not self.low_open)
        return above and (number < self.high or (number == self.high and not self.high_open))


@dataclass(frozen=True)
class Known:
    """The field has a value."""

    field: str


Atom = OneOf | Between | Known


@dataclass(frozen=True)
class Not:
    """The part does not hold."""

    part: "Formula"


@dataclass(frozen=True)
class All:
    """Every part holds; true without parts."""

    parts: tuple["Formula", ...]


@dataclass(frozen=True)
class Some:
    """At least one part holds; false without parts."""

    parts: tuple["Formula", ...]


Formula = OneOf | Between | Known | Not | All | Some


def atoms(formula: Formula) -> Iterator[Atom]:
    """Every atom of a formula, in the order of writing, those that stand twice too."""
    match formula:
        case Not(part):
            yield from atoms(part)
        case All(parts) | Some(parts):
            for part in parts:
                yield from atoms(part)
        case _:
            yield formula


def conjuncts(formula: Formula) -> tuple[Formula, ...]:
    """The parts that all have to hold for the formula to hold."""
    return formula.parts if isinstance(formula, All) else (formula,)


def literal(formula: Formula) -> tuple[Atom, bool] | None:
    """An atom, and whether it has to hold; None for anything larger."""
    if isinstance(formula, Not):
        inner = literal(formula.part)
        return inner and (inner[0], not inner[1])
    return None if isinstance(formula, All | Some) else (formula, True)


def compiled(formula: Formula, number: Callable[[Atom], int]) -> Callable[[Collection[int]], bool]:
    """A function from the numbers of the atoms that hold to whether the formula does."""
    match formula:
        case Not(part):
            inner = compiled(part, number)
            return lambda held: not inner(held)
        case All(parts):
            every = [compiled(part, number) for part in parts]
            return lambda held: all(part(held) for part in every)
        case Some(parts):
            some = [compiled(part, number) for part in parts]
            return lambda held: any(part(held) for part in some)
        case _:
            own = number(formula)
            return lambda held: own in held
