"""Conditions as formulas over questions that one value of one field answers with yes or no."""

from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
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


#: Numbers of the atoms that hold, and a function of them.
Held = AbstractSet[int]
Holds = Callable[[Held], bool]


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


def conjuncts(formula: Formula, wanted: bool = True) -> Iterator[Formula]:
    """Parts that all hold exactly if the formula does (or, not ``wanted``, exactly if it does not)."""
    match formula:
        case Not(part):
            yield from conjuncts(part, not wanted)
        case All(parts) if wanted:
            for part in parts:
                yield from conjuncts(part)
        case Some(parts) if not wanted:
            for part in parts:
                yield from conjuncts(part, False)
        case _:
            yield formula if wanted else Not(formula)


def literal(formula: Formula) -> tuple[Atom, bool] | None:
    """An atom, and whether it has to hold; None for anything larger."""
    if isinstance(formula, Not):
        inner = literal(formula.part)
        return inner and (inner[0], not inner[1])
    return None if isinstance(formula, All | Some) else (formula, True)


def needed(formula: Formula) -> frozenset[Atom] | None:
    """Atoms of which at least one holds wherever the formula does; None where it may hold without any."""
    match formula:
        case Not():
            return None
        case All(parts):
            found = [own for part in parts if (own := needed(part)) is not None]
            return min(found, key=len, default=None)
        case Some(parts):
            each = [needed(part) for part in parts]
            return None if None in each else frozenset(atom for own in each for atom in own or ())
        case _:
            return frozenset([formula])


def compiled(formula: Formula, number: Callable[[Atom], int]) -> Holds:
    """A function from the numbers of the atoms that hold to whether the formula does."""
    match formula:
        case Not(part):
            inner = compiled(part, number)
            return lambda held: not inner(held)
        case All(parts) | Some(parts):
            # atoms are asked for together, which sets do fast; what is larger, one by one
            literals = [found for part in parts if (found := literal(part)) is not None]
            positive = frozenset(number(atom) for atom, wanted in literals if wanted)
            negative = frozenset(number(atom) for atom, wanted in literals if not wanted)
            rest = [compiled(part, number) for part in parts if literal(part) is None]
            return _all(positive, negative, rest) if isinstance(formula, All) else _some(positive, negative, rest)
        case _:
            own = number(formula)
            return lambda held: own in held


def _all(positive: frozenset[int], negative: frozenset[int], rest: Sequence[Holds]) -> Holds:
    def holds(held: Held) -> bool:
        if not (positive <= held and negative.isdisjoint(held)):
            return False
        for part in rest:  # noqa: SIM110  (a loop is twice as fast as all() here, and this is the hot path)
            if not part(held):
                return False
        return True

    return holds


def _some(positive: frozenset[int], negative: frozenset[int], rest: Sequence[Holds]) -> Holds:
    def holds(held: Held) -> bool:
        if not positive.isdisjoint(held) or not negative <= held:
            return True
        for part in rest:  # noqa: SIM110
            if part(held):
                return True
        return False

    return holds
