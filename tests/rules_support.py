"""Rules in many spellings of TOML, what their conditions mean said a second time, and items to decide on."""

import json
import operator
import re
import tempfile
from datetime import UTC, datetime
from itertools import pairwise, product
from pathlib import Path

from models.labels import LabelSchema
from models.records import ModelName, Prediction, TaskPrediction
from serving.routing.compiled import Rules
from serving.routing.load import Loaded, read_rules

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
CATEGORIES = ["product/defect", "product/quality", "other"]
SENTIMENTS = {"negative": -1.0, "neutral": 0.0, "positive": 1.0}
INTENTS = ["cancel", "praise"]
LABELS = {"category": dict.fromkeys(CATEGORIES), "sentiment": SENTIMENTS, "intent": dict.fromkeys(INTENTS)}
TASKS = {
    task: {
        "kind": "single" if task == "sentiment" else "multi",
        "labels": tuple({"key": key, "value": value} for key, value in labels.items()),
    }
    for task, labels in LABELS.items()
}
#: Small enough for all that can come in to be counted up.
SCHEMA = LabelSchema.model_validate({"tasks": TASKS})
HEAD = 'version = 1\ndefault = { team = "rest" }\nteams.rest.title = "Rest"\nteams.hit.title = "Hit"\n'


def reading_of(text) -> Loaded:
    with tempfile.NamedTemporaryFile("w", suffix=".toml", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        return read_rules(Path(file.name), SCHEMA)


def rules_of(text) -> Rules:
    loaded = reading_of(text)
    assert loaded.rules, loaded.findings
    return loaded.rules


def predicted(*category, sentiment="neutral", intent=(), abstained=(), language="en", **fields) -> Prediction:
    chosen = {"category": category, "sentiment": (sentiment,), "intent": tuple(intent)}
    confidence, score = fields.pop("confidence", {}), fields.pop("score", 0.0)
    tasks = {
        name: TaskPrediction(
            labels=labels,
            confidence=confidence.get(name, 0.8),
            abstained=name in abstained,
            probabilities={},
            score=score if name == "sentiment" else None,
        )
        for name, labels in chosen.items()
    }
    whole = {"truncated": False, "tier": "linear", "label_schema": SCHEMA.digest, **fields}
    return Prediction(tasks=tasks, language=language, model=ModelName(name="m", version="1"), **whole)


# --- a document as TOML


class Spelling:
    """A document written as TOML in one of many ways; ``lines`` says on which line each part of it begins."""

    def __init__(self, document, dice):
        self.text, self.lines, self._dice = "", {}, dice
        self._table((), [], document, all_with_headers=False)

    def _chance(self, share=0.5):
        return self._dice.random() < share

    def _begins(self, path):
        for length in range(1, len(path) + 1):
            self.lines.setdefault(path[:length], self.text.count("\n") + 1)

    def _break(self):
        comment = self._dice.choice(["", "", ' # = [x] """ \'', "\n\n", "\n# {}, '''\n"])
        self.text += f"{comment}\n"

    def _table(self, path, header, table, all_with_headers):
        flat, apart = [], {}
        for key, value in table.items():
            headed = isinstance(value, dict) or (isinstance(value, list) and {type(one) for one in value} == {dict})
            if headed and (all_with_headers or self._chance()):
                apart[key] = value
            else:
                flat += self._flat((key,), value)
        for keys, value in flat:
            self._entry(path, keys, value)
            self._break()
        for key, value in apart.items():
            self._part((*path, key), [*header, self._key(key)], value)

    def _part(self, path, header, value):
        dot = self._dice.choice([".", " . "])
        if isinstance(value, list):
            for number, one in enumerate(value):
                self._begins((*path, number))
                self.text += f"[[{dot.join(header)}]]"
                self._break()
                self._table((*path, number), header, one, all_with_headers=False)
            return
        # the header of a table that holds tables only may be left out
        implied = bool(value) and all(isinstance(one, dict) for one in value.values()) and self._chance()
        if not implied:
            self._begins(path)
            self.text += f"[{dot.join(header)}]"
            self._break()
        self._table(path, header, value, all_with_headers=implied)

    def _flat(self, keys, value):
        if isinstance(value, dict) and value and self._chance():
            return [one for key, inner in value.items() for one in self._flat((*keys, key), inner)]
        return [(keys, value)]

    def _entry(self, path, keys, value):
        self._begins(path + keys)
        self.text += ".".join(self._key(key) for key in keys) + self._dice.choice(["=", " = "])
        self._value(path + keys, value)

    def _value(self, path, value):
        if isinstance(value, dict):
            self.text += "{"
            entries = (one for key, inner in value.items() for one in self._flat((key,), inner))
            for number, (keys, inner) in enumerate(entries):
                self.text += ", " if number else " "
                self._entry(path, keys, inner)
            self.text += "}"
        elif isinstance(value, list):
            self._list(path, value)
        elif isinstance(value, str):
            self.text += self._string(value)
        else:
            self.text += json.dumps(value) if isinstance(value, bool | int | float) else value.isoformat()

    def _list(self, path, values):
        several_lines = self._chance()
        self.text += "["
        for number, one in enumerate(values):
            if several_lines:
                self._break()
            self._begins((*path, number))
            self._value((*path, number), one)
            self.text += "," if several_lines or number + 1 < len(values) else ""
        if several_lines:
            self._break()
        self.text += "]"

    def _key(self, key):
        if re.fullmatch(r"[A-Za-z0-9_-]+", key) and self._chance(0.8):
            return key
        return f"'{key}'" if not {"'", "\n"} & set(key) and self._chance() else json.dumps(key, ensure_ascii=False)

    def _string(self, value):
        ways = [json.dumps(value, ensure_ascii=False)]
        lines = [json.dumps(line, ensure_ascii=False)[1:-1] for line in value.split("\n")]
        ways.append('"""\n' + "\n".join(lines) + '"""')
        if not value.startswith(" "):
            ways.append('"""\\\n   ' + ways[0][1:-1] + '"""')
        if "'" not in value:
            ways.append(f"'''\n{value}'''")
            ways += [] if "\n" in value else [f"'{value}'"]
        return self._dice.choice(ways)


# --- conditions, by the dice: hypothesis alone tries too few of the many ways in which they go together


def table(dice, fields, named=(), deep=2):
    """What may stand under `when`; ``fields`` gives what may be asked of each field."""
    choices = [*fields] * 3 + ["any", "all", "not"] * bool(deep) + ["is"] * bool(named)
    when = {}
    for name in dict.fromkeys(dice.choices(choices, k=dice.randint(1, 3))):
        tables = [table(dice, fields, named, deep - 1) for _ in range(dice.randint(1, 2))] if deep else []
        if name == "not":
            when[name] = tables[0]
        elif name in ("any", "all"):
            when[name] = tables
        elif name == "is":
            when[name] = one_or_several(dice, named)
        else:
            group, _, own = name.partition(".")
            (when.setdefault(group, {}) if own else when)[own or name] = fields[name](dice)
    return when


def some_of(dice, choices):
    """Some of the keys, each with a value that its function chooses."""
    return {key: choose(dice) for key, choose in choices.items() if dice.random() < 0.5}


def one_or_several(dice, values):
    values = list(values)
    return dice.choice(values) if dice.random() < 0.5 else [dice.choice(values) for _ in range(dice.randint(1, 3))]


def sets(values):
    """How a field that holds names may be asked."""

    def ask(dice):
        keys = dice.sample(["any", "all", "none", "present"], dice.choice([0, 0, 1, 1, 2]))
        asked = {key: dice.random() < 0.5 if key == "present" else one_or_several(dice, values) for key in keys}
        return asked or one_or_several(dice, values)

    return ask


def ranges(points, low, high, whole=False, values=None):
    """How a field that holds numbers may be asked; ``points`` are where ranges begin and end."""
    points = sorted({*points, *(one for one in (low, high) if abs(one) < 1000)})
    inside = [*points, *((first + second) / 2 for first, second in pairwise(points))]
    inside = [number for number in inside if not whole or number == int(number)]
    ends = [{key: point} for key in LIMITS for point in points]
    pairs = product(("min", "above"), ("max", "below"), points, points)
    ends += [{lower: low, upper: high} for lower, upper, low, high in pairs if low <= high]
    possible = [own for own in ends if any(all(LIMITS[key](n, end) for key, end in own.items()) for n in inside)]
    asked = [*possible, {"present": True}, {"present": False}, possible[0] | {"present": False}]

    def ask(dice):
        return dice.choice(asked) if dice.random() < 0.6 else one_or_several(dice, values or points)

    return ask


# --- what conditions mean, read from the document itself

LIMITS = {"min": operator.ge, "max": operator.le, "above": operator.gt, "below": operator.lt}
NPS = {"detractor": range(7), "passive": range(7, 9), "promoter": range(9, 11)}
GROUPS = ("tasks", "task_confidence", "meta")


def parts(when):
    """The conditions of a table, one by one."""
    for key, value in when.items():
        if key in GROUPS:
            yield from ((f"{key}.{name}", inner) for name, inner in value.items())
        elif key == "is":
            yield from ((key, name) for name in listed(value))
        else:
            yield key, value


def holds(when, known, named) -> bool:
    return all(part_holds(key, value, known, named) for key, value in parts(when))


def part_holds(key, value, known, named) -> bool:
    if key == "is":
        return holds(named[value], known, named)
    if key == "not":
        return not holds(value, known, named)
    if key in ("any", "all"):
        return (any if key == "any" else all)(holds(table, known, named) for table in value)
    got = known.get(key, [])
    tests = value if isinstance(value, dict) else {"any": value}
    ends = {name: end for name, end in tests.items() if name in LIMITS}
    if ends and not any(all(LIMITS[name](number, end) for name, end in ends.items()) for number in _numbers(got)):
        return False
    if "present" in tests and bool(got) != tests["present"]:
        return False
    found = {name: [_found(key, one, got) for one in listed(tests.get(name, []))] for name in ("any", "all", "none")}
    return ("any" not in tests or any(found["any"])) and all(found["all"]) and not any(found["none"])


def listed(value):
    return value if isinstance(value, list) else [value]


def _numbers(values):
    return [number for value in values if (number := _number(value)) is not None]


def _number(value):
    if isinstance(value, bool) or not re.fullmatch(r"-?\d+(\.\d+)?", str(value).strip()):
        return None
    return float(str(value))


def _found(key, wanted, got) -> bool:
    return any(_matches(key, wanted, one) for one in got)


def _matches(key, wanted, got) -> bool:
    if isinstance(wanted, bool) or isinstance(got, bool):
        return wanted is got
    if key == "language":
        tags = wanted.lower().split("-")
        return got.lower().split("-")[: len(tags)] == tags
    if key in ("category", "sentiment") or key.startswith("tasks."):
        return wanted == got or (wanted.endswith("/*") and got.startswith(wanted[:-1]))
    if key == "nps" and wanted in NPS:
        return got in NPS[wanted]
    if (key.startswith("meta.") or not isinstance(wanted, str)) and None not in (_number(wanted), _number(got)):
        return _number(wanted) == _number(got)
    return str(wanted).strip().lower() == str(got).lower().strip()
