"""Rules ready to decide by: every question is asked once an item, however many rules ask it."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from serving.routing.conditions import Condition
from serving.routing.decision import Situation
from serving.routing.fields import Field, Read, answers, field, reader
from serving.routing.formula import (
    Atom,
    Between,
    Held,
    Holds,
    Value,
    atoms,
    compiled,
    conjuncts,
    literal,
    needed,
)
from serving.routing.hours import Calendar
from serving.routing.patterns import Patterns
from serving.routing.rules import Outcome, Rule, RulesFile

#: A field that holds an open set of values remembers so many.
_REMEMBERED = 10_000
_NONE: frozenset[int] = frozenset()


class Check(NamedTuple):
    """A condition ready to be asked: the number of its atom and whether that has to hold, or, for what is more than
    an atom, the function that says whether it does. ``needs`` are atoms of which one has to hold for it to hold; None
    where that is not known."""

    atom: int
    wanted: bool
    test: Holds | None
    words: str
    needs: frozenset[int] | None


@dataclass(frozen=True)
class Compiled:
    """One rule: its conditions as written, and as checks, those that need the text read apart, since that takes
    longest."""

    name: str
    then: Outcome
    conditions: tuple[Condition, ...]
    checks: tuple[Check, ...]
    text_checks: tuple[Check, ...]

    @property
    def first(self) -> Check:
        """The check that is made first."""
        return (*self.checks, *self.text_checks)[0]

    def rarest(self, text: bool) -> frozenset[int] | None:
        """Atoms of which one has to hold for the rule to hold, the fewest that are known; with ``text`` those about the
        text too."""
        checks = (*self.checks, *self.text_checks) if text else self.checks
        known = [check.needs for check in checks if check.needs is not None]
        return min(known, key=len, default=None)


class _Lookup:
    """Places of rules by the atoms that they need; those that need none are always among them."""

    def __init__(self, needs: Iterable[frozenset[int] | None]) -> None:
        self._by_atom: dict[int, set[int]] = {}
        self._always: set[int] = set()
        for place, own in enumerate(needs):
            if own is None:
                self._always.add(place)
            for atom in own or ():
                self._by_atom.setdefault(atom, set()).add(place)

    def places(self, held: Held) -> list[int]:
        found = set(self._always)
        for atom in held:
            if atom in self._by_atom:
                found |= self._by_atom[atom]
        return sorted(found)


class FieldIndex:
    """Which atoms over one field hold, from its values."""

    def __init__(self, about: Field, own: Mapping[Atom, int]) -> None:
        self.field = about
        self._atoms = own
        # each range begins just before its lower end or just behind it, and the same with its upper end
        ranges = [atom for atom in own if isinstance(atom, Between)]
        self._cuts = sorted({cut for atom in ranges for cut in _cuts(atom)})
        self._cells: dict[int, frozenset[int]] = {}
        self._remembered: dict[tuple[Value, ...], frozenset[int]] = {}

    def held(self, values: tuple[Value, ...]) -> frozenset[int]:
        """Numbers of the atoms that hold for these values of the field."""
        if self.field.kind == "number":
            return self._in_cell(values[0]) if values else _NONE
        found = self._remembered.get(values)
        if found is None:
            if len(self._remembered) >= _REMEMBERED:
                self._remembered.clear()
            found = self._remembered[values] = _NONE.union(*map(self._asked, values))
        return found

    def _in_cell(self, value: Value) -> frozenset[int]:
        # no range begins or ends within a cell, so one value of it speaks for all
        cell = bisect_left(self._cuts, (float(value), 0))
        held = self._cells.get(cell)
        if held is None:
            held = self._cells[cell] = self._asked(value)
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
        #: Whether a rule asks about the text and nothing else: then every text is read.
        self.reads_every_text = any(not one.checks for one in (*self.owning, *self.also))
        # which rules may hold is looked up, not asked of each: by their first condition where it matters at which one a
        # rule fails, else by the one that fewest items fulfil
        self._by_first = _Lookup([one.first.needs for one in self.owning])
        self._by_rarest = _Lookup([one.rarest(self.reads_every_text) for one in self.owning])
        self._also = _Lookup([one.rarest(self.reads_every_text) for one in self.also])
        self.first_failures = [(one.name, one.first.words) for one in self.owning]
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

    def candidates(self, held: Held, *, path: bool) -> list[int]:
        """Places of the owning rules that may hold, in order; with ``path``, others fail at their first condition."""
        return (self._by_first if path else self._by_rarest).places(held)

    def also_candidates(self, held: Held) -> list[Compiled]:
        """Rules that only add and may hold, in order."""
        return [self.also[place] for place in self._also.places(held)]

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
            for part in conjuncts(condition.formula):
                own = needed(part)
                needs = None if own is None else frozenset(self._number(atom) for atom in own)
                simple = literal(part)
                if simple is not None:
                    check = Check(self._number(simple[0]), simple[1], None, condition.words, needs)
                else:
                    check = Check(-1, True, compiled(part, self._number), condition.words, needs)
                reads_text = any(atom.field == "text" for atom in atoms(part))
                (text_checks if reads_text else checks).append(check)
        return Compiled(rule.name, rule.then, conditions, tuple(checks), tuple(text_checks))

    def _number(self, atom: Atom) -> int:
        return self.numbers.setdefault(atom, len(self.numbers))


def _cuts(atom: Between) -> tuple[tuple[float, int], tuple[float, int]]:
    return (atom.low, 1 if atom.low_open else -1), (atom.high, -1 if atom.high_open else 1)
