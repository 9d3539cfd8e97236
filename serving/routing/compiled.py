"""Rules ready to decide by: every question is asked once an item, however many rules ask it."""

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from serving.routing.conditions import Condition
from serving.routing.decision import Situation
from serving.routing.fields import Field, Read, answers, field, reader
from serving.routing.formula import Atom, Between, Known, Value, atoms, compiled, literal
from serving.routing.hours import Calendar
from serving.routing.patterns import Patterns
from serving.routing.rules import Outcome, Rule, RulesFile

#: A field that holds an open set of values remembers so many.
_REMEMBERED = 10_000
_NONE: frozenset[int] = frozenset()

Held = Collection[int]


class Check(NamedTuple):
    """A condition ready to be asked: the number of its atom and whether that has to hold, or, for what is more than
    an atom, the function that says whether it does."""

    atom: int
    wanted: bool
    test: Callable[[Held], bool] | None
    words: str


@dataclass(frozen=True)
class Compiled:
    """One rule: its conditions as written, and as checks, those that need the text read apart, since that takes
    longest."""

    name: str
    then: Outcome
    conditions: tuple[Condition, ...]
    checks: tuple[Check, ...]
    text_checks: tuple[Check, ...]


class FieldIndex:
    """Which atoms over one field hold, from its values."""

    def __init__(self, about: Field, own: Mapping[Atom, int]) -> None:
        self.field = about
        self._atoms = own
        self._present = frozenset(number for atom, number in own.items() if isinstance(atom, Known))
        self._known: dict[Value, frozenset[int]] = {}
        # each range begins just before its lower end or just behind it, and the same with its upper end
        ranges = [atom for atom in own if isinstance(atom, Between)]
        self._cuts = sorted({cut for atom in ranges for cut in _cuts(atom)})
        self._cells: dict[int, frozenset[int]] = {}

    def held(self, values: Iterable[Value]) -> frozenset[int]:
        """Numbers of the atoms that hold for these values of the field."""
        found = _NONE
        for value in values:
            found |= self._of(value)
        return found

    def _of(self, value: Value) -> frozenset[int]:
        if self.field.kind == "number":
            # no range begins or ends within a cell, so one value of it speaks for all
            cell = bisect_left(self._cuts, (float(value), 0))
            held = self._cells.get(cell)
            if held is None:
                held = self._cells[cell] = self._asked(value)
            return held
        held = self._known.get(value)
        if held is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            held = self._known[value] = self._asked(value)
        return held

    def _asked(self, value: Value) -> frozenset[int]:
        return frozenset(number for atom, number in self._atoms.items() if answers(self.field.kind, atom, value))


class Rules:
    """A checked rules file, ready to decide by.

    Args:
        file: what stands in it.
        conditions: the conditions of each of its rules, in their order.
    """

    def __init__(self, file: RulesFile, conditions: Iterable[tuple[Condition, ...]]) -> None:
        self.file = file
        self.digest = file.digest
        self.numbers: dict[Atom, int] = {}
        compiled_rules = [(rule, self._compiled(rule, own)) for rule, own in zip(file.rules, conditions, strict=True)]
        self.owning = tuple(ready for rule, ready in compiled_rules if not rule.also)
        self.also = tuple(ready for rule, ready in compiled_rules if rule.also)
        self.calendars: dict[str, Calendar] = {name: team.calendar() for name, team in file.teams.items()}
        self.owners = {pattern: name for name, team in file.teams.items() for pattern in team.owns}
        self.patterns = Patterns(file.patterns)
        by_field: dict[str, dict[Atom, int]] = {}
        for atom, number in self.numbers.items():
            by_field.setdefault(atom.field, {})[atom] = number
        self.indices = {name: FieldIndex(field(name), own) for name, own in by_field.items()}
        self._readers: list[tuple[Read, FieldIndex]] = [
            (reader(index.field), index) for name, index in self.indices.items() if name != "text"
        ]
        self._text = self.indices.get("text")

    def held(self, situation: Situation) -> set[int]:
        """Numbers of the atoms that hold, those about the text excepted."""
        found: set[int] = set()
        for read, index in self._readers:
            if values := read(situation):
                found |= index.held(values)
        return found

    def held_in_text(self, situation: Situation) -> frozenset[int]:
        """Numbers of the atoms about the text that hold."""
        if self._text is None:
            return _NONE
        return self._text.held(self.patterns.found(situation.item.text, situation.prediction.language))

    def owner(self, labels: Iterable[str]) -> str | None:
        """The team that owns the first of these categories that has an owner; the label's own before the family's."""
        for label in labels:
            found = self.owners.get(label) or self.owners.get(f"{label.partition('/')[0]}/*")
            if found is not None:
                return found
        return None

    def _compiled(self, rule: Rule, conditions: tuple[Condition, ...]) -> Compiled:
        checks: list[Check] = []
        text_checks: list[Check] = []
        for condition in conditions:
            own = list(atoms(condition.formula))
            simple = literal(condition.formula)
            numbers = [self._number(atom) for atom in own]
            if simple is not None:
                check = Check(numbers[0], simple[1], None, condition.words)
            else:
                check = Check(-1, True, compiled(condition.formula, self._number), condition.words)
            (text_checks if any(atom.field == "text" for atom in own) else checks).append(check)
        return Compiled(rule.name, rule.then, conditions, tuple(checks), tuple(text_checks))

    def _number(self, atom: Atom) -> int:
        return self.numbers.setdefault(atom, len(self.numbers))


def _cuts(atom: Between) -> tuple[tuple[float, int], tuple[float, int]]:
    return (atom.low, 1 if atom.low_open else -1), (atom.high, -1 if atom.high_open else 1)
