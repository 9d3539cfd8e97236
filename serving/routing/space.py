"""The space of all items a rules file can tell apart, and exact questions about it.

The values of a field fall into finitely many cells: within one, every condition of the file says the same. A choice of
a cell per field is a kind of item; which kinds exist, and which rules hold for them, is written as clauses over
booleans and put to a SAT solver. What is not known to be impossible counts as possible: any score with any
sentiment, any pattern of the text with any other.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from pycryptosat import Solver

from models.labels import LabelSchema
from serving.routing.compiled import Rules
from serving.routing.fields import Field, answers, field
from serving.routing.formula import All, Atom, Between, Formula, Known, Not, OneOf, Some, Value

#: Values per field; a field without any is not named.
Example = Mapping[str, tuple[Value, ...]]

#: Fields that are looked at though no rule may ask about them.
_ALWAYS = ("category", "sentiment", "abstained", "out_of_scope")
_ELSE = "something else"
#: Values that stand for all that no rule names; the first that none does name is taken.
_LANGUAGES = ("tlh", *(f"qa{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"))
_SCRIPTS = tuple(f"qaa{letter}" for letter in "abcdefghijklmnopqrstuvwxyz")
_COUNTRIES = tuple(f"x{letter}" for letter in "xyzabcdefghijklmnopqrstuvw")
#: What stands for a value that no rule names, in words.
OTHERS: Mapping[Value, str] = dict.fromkeys((*_LANGUAGES, *_COUNTRIES), "another one")


class Space:
    """Everything that can come in, as far as ``rules`` tell it apart; ``schema`` says which labels there are."""

    def __init__(self, rules: Rules, schema: LabelSchema) -> None:
        self._rules, self.schema = rules, schema
        self._solver = Solver(threads=1)
        self._top = 0
        self._values: Sequence[bool | None] = ()
        self._plain: list[int] = []
        self._literals: dict[Formula, int] = {}
        self._cells: dict[str, dict[Value | None, int]] = {}
        by_field: dict[str, list[Atom]] = {name: [] for name in _ALWAYS}
        for atom in rules.numbers:
            by_field.setdefault(atom.field, []).append(atom)
        for name, own in by_field.items():
            self._add_field(field(name), own)
        for task, abstained in self._cells["abstained"].items():
            if task is not None:  # of what is out of scope no task is sure
                self._solver.add_clause([-self._cells["out_of_scope"][True], abstained])

    def literal(self, formula: Formula) -> int:
        """A boolean that is true for exactly the items for which the formula holds (Tseitin 1968)."""
        known = self._literals.get(formula)
        if known is not None:
            return known
        match formula:
            case Not(part):
                found = -self.literal(part)
            case All(parts):
                found = -self.any_of([-self.literal(part) for part in parts])
            case Some(parts):
                found = self.any_of([self.literal(part) for part in parts])
            case _:
                raise LookupError(f"{formula} is asked by no rule")
        self._literals[formula] = found
        return found

    def only(self, task: str, label: str) -> list[int]:
        """What has to hold for an item to have this label of the task and no other."""
        cells = self._cells[task]
        own = self._cell_of(field(task), label)
        return [literal if value == own else -literal for value, literal in cells.items()]

    def sure(self) -> list[int]:
        """What has to hold for an item of which the model is sure."""
        return [-literal for literal in (*self._cells["abstained"].values(), self._cells["out_of_scope"][True])]

    def exists(self, wanted: Sequence[int]) -> bool:
        """Whether there is an item for which all of these hold."""
        return bool(self._solver.solve(list(wanted))[0])

    def example(self, wanted: Sequence[int]) -> Example | None:
        """An item for which all of these hold, and which says no more than it must; None if there is none."""
        found, values = self._solver.solve(list(wanted))
        if not found:
            return None
        fixed = list(wanted)
        for plain in self._plain:
            if values[abs(plain)] != (plain > 0):
                possible, others = self._solver.solve([*fixed, plain])
                if not possible:
                    continue
                values = others
            fixed.append(plain)
        self._values = values
        return {
            name: chosen
            for name, cells in self._cells.items()
            if (chosen := tuple(value for value, one in cells.items() if values[one] and value is not None))
        }

    def core(self, wanted: Sequence[int], fixed: Sequence[int] = ()) -> list[int]:
        """A part of ``wanted`` that no item fulfils together with ``fixed``, and of which none can be left out.

        Meaningful only where :meth:`exists` says that there is no item.
        """
        kept = self._refuted(wanted, fixed) or []
        for literal in list(kept):
            rest = [other for other in kept if other != literal]
            if literal in kept and (smaller := self._refuted(rest, fixed)) is not None:
                kept = smaller
        return kept

    def _refuted(self, wanted: Sequence[int], fixed: Sequence[int]) -> list[int] | None:
        """Those of ``wanted`` that an attempt to fulfil all showed impossible with ``fixed``; None if they are not."""
        if self.exists([*fixed, *wanted]):
            return None
        conflict = {-literal for literal in self._solver.get_conflict()}
        return [literal for literal in wanted if literal in conflict]

    def true(self, literal: int) -> bool:
        """Whether a boolean is true for the last example."""
        return bool(self._values[abs(literal)]) == (literal > 0)

    def any_of(self, literals: Sequence[int]) -> int:
        """A boolean that is true exactly if one of the literals is."""
        if len(literals) == 1:
            return literals[0]
        found = self._new()
        self._solver.add_clause([-found, *literals])
        for literal in literals:
            self._solver.add_clause([found, -literal])
        return found

    def _add_field(self, about: Field, own: Sequence[Atom]) -> None:
        cells: dict[object, tuple[Value | None, frozenset[Atom]]] = {}
        for value in self._candidates(about, own):
            held = _held(about, own, value)
            # yes and no stay apart, since what is out of scope is tied to other fields
            cells.setdefault(value if about.kind == "flag" else held, (value, held))
        self._cells[about.name] = {value: self._new() for value, _ in cells.values()}
        booleans = list(self._cells[about.name].values())
        several = about.several and not self._is_single(about)
        if not several:
            self._solver.add_clause(booleans)
            self._solver.add_clauses(self._at_most_one(booleans))
        # examples say no more than they must: no value, or else the last one, which fewest conditions ask for
        self._plain += [-one for one in booleans] if several else booleans[-1:]
        holding: dict[Atom, list[int]] = {atom: [] for atom in own}
        for (_, held), boolean in zip(cells.values(), booleans, strict=True):
            for atom in held & holding.keys():
                holding[atom].append(boolean)
        for atom, where in holding.items():
            self._literals[atom] = self.any_of(where)

    def _at_most_one(self, booleans: Sequence[int]) -> list[list[int]]:
        """Clauses that two of them break: a chain that is true from the first true one on (Sinz 2005)."""
        chain = [self._new() for _ in booleans]
        first = [[-one, after] for one, after in zip(booleans, chain, strict=True)]
        on = [[-before, after] for before, after in pairwise(chain)]
        return first + on + [[-before, -one] for before, one in zip(chain, booleans[1:], strict=False)]

    def _is_single(self, about: Field) -> bool:
        task = self.schema.tasks.get(about.task or "")
        return task is not None and task.kind == "single"

    def _cell_of(self, about: Field, value: Value) -> Value | None:
        """The value that stands for all that no condition tells apart from ``value``."""
        own = [atom for atom in self._rules.numbers if atom.field == about.name]
        held = _held(about, own, value)
        return next(cell for cell in self._cells[about.name] if cell is not None and _held(about, own, cell) == held)

    def _candidates(self, about: Field, own: Sequence[Atom]) -> list[Value | None]:
        """Values of the field among which is one of every cell; None: the field is not there."""
        named = sorted({value for atom in own if isinstance(atom, OneOf) for value in atom.values}, key=str)
        match about.kind:
            case "label" if about.task is None:
                return [*self.schema.tasks]
            case "label":
                task = self.schema.tasks.get(str(about.task))
                return [*(task.keys if task else ())]
            case "pattern":
                return [*self._rules.file.patterns]
            case "flag":
                return [True, False]
            case "tag":
                script = _unnamed(_SCRIPTS, [part for tag in named for part in str(tag).split("-")])
                return [*named, *(f"{tag}-{script}" for tag in named), _unnamed(_LANGUAGES, named)]
            case "word" if about.name == "country":
                return [*named, _unnamed(_COUNTRIES, named), None]
            case "word":
                return [*named, _else(named), None]
            case "any":
                return [*named, _else(named), *_numbers(about, own)]
            case "number":
                return [*_numbers(about, own), *([None] if self._may_lack(about) else [])]

    def _may_lack(self, about: Field) -> bool:
        group, _, task = about.name.partition(".")
        task = {"confidence": "category", "score": "sentiment"}.get(group, task)
        if group in ("confidence", "task_confidence", "score") and task in self.schema.tasks:
            return group == "score" and self.schema.tasks[task].values is None
        return True

    def _new(self) -> int:
        self._top += 1
        self._solver.add_clause([self._top, -self._top])  # what stands in no clause cannot be asked for
        return self._top


def _unnamed(stand_ins: Sequence[str], named: Sequence[Value]) -> str:
    return next((one for one in stand_ins if one not in named), stand_ins[0])


def _else(named: Sequence[Value]) -> str:
    found = _ELSE
    while found in named:
        found += "…"
    return found


def _held(about: Field, own: Sequence[Atom], value: Value | None) -> frozenset[Atom]:
    if value is None:
        return frozenset()
    # that there is a value is no way to tell two values apart, but tells one from none
    return frozenset(atom for atom in own if answers(about.kind, atom, value)) | {Known(about.name)}


def _numbers(about: Field, own: Sequence[Atom]) -> list[Value]:
    """A number of every cell that the ranges over a field cut out, within what the field can hold."""
    ends = {end for atom in own if isinstance(atom, Between) for end in (atom.low, atom.high)}
    inner = sorted(end for end in ends if about.low <= end <= about.high and abs(end) != float("inf"))
    low = about.low if about.low > float("-inf") else (inner[0] - 1 if inner else 0.0)
    high = about.high if about.high < float("inf") else (inner[-1] + 1 if inner else low + 1)
    if about.whole and high - low <= 1000:
        return [float(number) for number in range(int(low), int(high) + 1)]
    if about.whole:
        return sorted({float(int(end) + step) for end in (low, high, *inner) for step in (-1, 0, 1) if end + step >= 0})
    edges = sorted({float(edge) for edge in (low, *inner, high)})
    return sorted({*edges, *((first + second) / 2 for first, second in pairwise(edges))})
