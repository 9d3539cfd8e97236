"""From what stands under `when` to formulas, with every fault on the way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from math import isfinite
from typing import Any

from pydantic import TypeAdapter, ValidationError

from models.errors import did_you_mean
from models.labels import LabelSchema
from models.records import Country, LanguageTag
from serving.routing.faults import Fault, Path
from serving.routing.fields import GROUPS, NPS_GROUPS, Field, field, known_fields, same
from serving.routing.formula import All, Formula, Known, Not, OneOf, Some, Value
from serving.routing.ranges import any_of, number_of, range_of

#: Conditions within conditions, and conditions that one is made of, at most.
_DEEPEST, _LARGEST = 20, 1000
_LONGEST = 300
_JOINED = ("any", "all", "not", "is")
_SET_KEYS = ("any", "all", "none", "present")
_RANGE_KEYS = ("min", "max", "above", "below", "present")
_SPELLED = {"language": TypeAdapter(LanguageTag), "country": TypeAdapter(Country)}


@dataclass(frozen=True)
class Condition:
    """One condition of a rule: how it is said, what it asks, the field it is about (None: several), and how many
    conditions it is made of."""

    words: str
    formula: Formula
    field: Field | None
    size: int = 1


@dataclass
class Reader:
    """Reads the conditions of one file; ``faults`` grows with every one found.

    Args:
        named: conditions that can be referred to by name, as they stand in the file.
        patterns: names of text patterns.
        schema: the labels that conditions may name; None: any.
    """

    named: Mapping[str, Mapping[str, Any]]
    patterns: Sequence[str]
    schema: LabelSchema | None = None
    faults: list[Fault] = dataclass_field(default_factory=list)
    _open: list[str] = dataclass_field(default_factory=list)
    _read: dict[str, Condition] = dataclass_field(default_factory=dict)

    def read(self, when: Mapping[str, Any], path: Path) -> tuple[Condition, ...]:
        """The conditions of a table, all of which have to hold."""
        if len(path) > 2 * _DEEPEST or len(self._open) > _DEEPEST:
            self._fault(path[:2], f"conditions are nested too deeply; expected {_DEEPEST} levels at most")
            return ()
        if not when:
            self._fault(path, "expected at least one condition, got none; what is always to happen stands in [default]")
        found: list[Condition] = []
        for key, value in when.items():
            if key in GROUPS:
                found += self._group(key, value, (*path, key))
            elif key in _JOINED:
                found += self._joined(key, value, (*path, key))
            elif key in known_fields():
                found += self._field(field(key), value, (*path, key))
            else:
                self._fault((*path, key), f"unknown field {key!r}; {did_you_mean(key, [*known_fields(), *_JOINED])}")
        return tuple(found)

    def check_named(self) -> None:
        """Read every named condition, so that the faults of those that no rule uses are found too."""
        for name in self.named:
            self._named(name, ("conditions", name))

    def _group(self, group: str, value: object, path: Path) -> list[Condition]:
        if not isinstance(value, Mapping) or not value:
            self._fault(path, f"expected names with conditions, like {group}.NAME = …, got {value!r:.60}")
            return []
        return [
            condition
            for name, inner in value.items()
            for condition in self._field(field(f"{group}.{name}"), inner, (*path, name))
        ]

    def _joined(self, key: str, value: object, path: Path) -> list[Condition]:
        if key == "is":
            names = [value] if isinstance(value, str) else value
            if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
                self._fault(path, f"expected names of conditions, got {value!r:.60}")
                return []
            return [found for name in names if (found := self._named(name, path))]
        tables = [value] if key == "not" else value
        if not isinstance(tables, list) or not tables or not all(isinstance(table, Mapping) for table in tables):
            shape = "a table {…}" if key == "not" else "a list of tables [{…}, {…}]"
            self._fault(path, f"expected {shape} of conditions, got {value!r:.60}")
            return []
        place = [path] if key == "not" else [(*path, number) for number in range(len(tables))]
        parts = [self.read(table, where) for table, where in zip(tables, place, strict=True)]
        size = sum(condition.size for part in parts for condition in part)
        if self._is_too_large(size, path):
            return []
        whole = [All(tuple(condition.formula for condition in part)) for part in parts]
        said = [" and ".join(condition.words for condition in part) for part in parts]
        if key == "not":
            return [Condition(_short(f"not ({said[0]})"), Not(whole[0]), None, size)]
        joined: Formula = Some(tuple(whole)) if key == "any" else All(tuple(whole))
        word = " or " if key == "any" else " and "
        return [Condition(_short(word.join(f"({one})" for one in said)), joined, None, size)]

    def _named(self, name: str, path: Path) -> Condition | None:
        if name not in self.named:
            self._fault(path, f"unknown condition {name!r}; {did_you_mean(name, self.named)}")
            return None
        if name in self._open:
            circle = " → ".join([*self._open[self._open.index(name) :], name])
            self._fault(("conditions", name), f"conditions refer to each other in a circle: {circle}")
            return None
        if name not in self._read:
            self._open.append(name)
            parts = self.read(self.named[name], ("conditions", name))
            self._open.pop()
            words = " and ".join(part.words for part in parts)
            size = sum(part.size for part in parts)
            if self._is_too_large(size, ("conditions", name)):
                parts, size = (), 0
            whole = All(tuple(part.formula for part in parts))
            self._read[name] = Condition(_short(f"{name} ({words})"), whole, None, size)
        return self._read[name]

    def _is_too_large(self, size: int, path: Path) -> bool:
        if size > _LARGEST:
            self._fault(path, f"expected a condition made of {_LARGEST:,} at most, got {size:,}; write it simpler")
        return size > _LARGEST

    def _field(self, asked: Field, value: object, path: Path) -> list[Condition]:
        try:
            self._task_exists(asked)
            words, formula = self._asked(asked, value)
        except ValueError as error:
            for line in str(error).split("\n"):
                self._fault(path, line)
            return []
        return [Condition(words, formula, asked)]

    def _asked(self, asked: Field, value: object) -> tuple[str, Formula]:
        if asked.kind == "flag":
            if not isinstance(value, bool):
                raise ValueError(f"expected true or false, got {value!r:.60}")
            formula = OneOf(asked.name, frozenset([True]))
            said = asked.name.replace("_", " ")
            return (said, formula) if value else (f"not {said}", Not(formula))
        if not isinstance(value, Mapping):
            return self._values(asked, "any", value)
        is_range = asked.kind == "number" or (asked.kind == "any" and set(value) & set(_RANGE_KEYS[:-1]))
        keys = _RANGE_KEYS if is_range else _SET_KEYS
        if unknown := [key for key in value if key not in keys]:
            raise ValueError(f"unknown key {unknown[0]!r}; {did_you_mean(unknown[0], keys)}")
        if not value:
            raise ValueError(f"expected one of {', '.join(keys)}, got none")
        parts = [self._present(asked, value["present"])] if "present" in value else []
        ends = {key: end for key, end in value.items() if key != "present"}
        if is_range and ends:
            parts.append(range_of(asked, ends))
        elif not is_range:
            parts += [self._values(asked, key, ends[key]) for key in ends]
        words, formulas = zip(*parts, strict=True)
        return " and ".join(words), formulas[0] if len(formulas) == 1 else All(formulas)

    def _values(self, asked: Field, key: str, value: object) -> tuple[str, Formula]:
        values = value if isinstance(value, list) else [value]
        if not values:
            raise ValueError("expected at least one value, got none")
        checked, wrong = [], []
        for one in values:
            try:
                checked.append(self._value(asked, one))
            except ValueError as error:
                wrong.append(str(error))
        if wrong:
            raise ValueError("\n".join(wrong))
        said = [str(one) for one in values]
        if key == "all":
            return f"{_said(asked)} {' and '.join(said)}", All(tuple(any_of(asked, [one]) for one in checked))
        formula = any_of(asked, checked)
        verb = _said(asked)
        return (
            (f"{verb} {' or '.join(said)}", formula)
            if key == "any"
            else (f"{verb} not {' or '.join(said)}", Not(formula))
        )

    def _value(self, asked: Field, value: object) -> Value:
        if asked.kind == "number":
            if asked.name == "nps" and isinstance(value, str) and value in NPS_GROUPS:
                return value
            expected = "a number or one of " + ", ".join(NPS_GROUPS) if asked.name == "nps" else "a number"
            return number_of(asked, value, expected)
        if asked.kind == "any" and isinstance(value, str | int | float):
            if isinstance(value, float) and not isfinite(value):
                raise ValueError(f"expected a number, got {value}")
            return same(asked.kind, value)
        if not isinstance(value, str) or not value.strip():
            raise ValueError(f"expected words in quotes, got {value!r:.60}")
        if asked.name in _SPELLED:
            try:
                _SPELLED[asked.name].validate_python(value)
            except ValidationError:
                example = {"language": "a language tag like ro or zh-Hant", "country": "a country like RO"}[asked.name]
                raise ValueError(f"expected {example}, got {value!r}") from None
        if asked.kind == "pattern" and value not in self.patterns:
            raise ValueError(f"unknown pattern {value!r}; {did_you_mean(value, self.patterns)}")
        if asked.kind == "label":
            self._label_exists(asked, value)
        return same(asked.kind, value)

    def _task_exists(self, asked: Field) -> None:
        group, _, own = asked.name.partition(".")
        task = own if group == "task_confidence" else asked.task
        task = {"confidence": "category", "score": "sentiment"}.get(asked.name, task)
        if self.schema is not None and task is not None and task not in self.schema.tasks:
            raise ValueError(f"the model has no task {task!r}; {did_you_mean(task, self.schema.tasks)}")

    def _label_exists(self, asked: Field, value: str) -> None:
        if self.schema is None:
            return
        if asked.task is None:
            if value not in self.schema.tasks:
                raise ValueError(f"the model has no task {value!r}; {did_you_mean(value, self.schema.tasks)}")
            return
        if value not in (names := label_names(self.schema, asked.task)):
            raise ValueError(f"unknown {asked.task} label {value!r}; {did_you_mean(value, names)}")

    def _present(self, asked: Field, value: object) -> tuple[str, Formula]:
        if not isinstance(value, bool):
            raise ValueError(f"expected present = true or false, got {value!r:.60}")
        known = Known(asked.name)
        return (f"{asked.name} is known", known) if value else (f"{asked.name} is not known", Not(known))

    def _fault(self, path: Path, message: str) -> None:
        fault = Fault(path, message)
        if fault not in self.faults:  # what is referred to twice is read twice
            self.faults.append(fault)


def _short(words: str) -> str:
    return words if len(words) <= _LONGEST else f"{words[:_LONGEST]}…"


def label_names(schema: LabelSchema, task: str) -> list[str]:
    """The labels of a task, and `family/*` of each family."""
    labels = schema.tasks[task].labels
    return [*schema.tasks[task].keys, *sorted({f"{label.family}/*" for label in labels if "/" in label.key})]


def _said(asked: Field) -> str:
    if asked.kind == "pattern":
        return "text speaks of"
    return "not sure of" if asked.name == "abstained" else f"{asked.name} is"
