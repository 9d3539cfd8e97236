"""The label schema: the only place that knows which labels exist, and in which order.

A schema has tasks (*category*, *sentiment*, any further one); a task has labels. The order of
labels in the schema is the order of columns in every array of scores, everywhere.
"""

import hashlib
import json
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator, model_validator

from models.errors import SchemaError, as_list, did_you_mean
from models.records import FeedbackItem

DEFAULT_SCHEMA = Path(__file__).with_name("labels.toml")

#: What the words of a sentiment are worth where a schema is derived from data.
KNOWN_VALUES = {
    "very negative": -1.0,
    "negative": -1.0,
    "neg": -1.0,
    "neutral": 0.0,
    "mixed": 0.0,
    "ambiguous": 0.0,
    "positive": 1.0,
    "pos": 1.0,
    "very positive": 1.0,
}

#: Names that no task may have, since a record means something else by them.
RECORD_FIELDS = frozenset(FeedbackItem.model_fields) | {"categories"}

Key = Annotated[str, StringConstraints(min_length=1, max_length=120, pattern=r"^[^\s/][^\n\r\t]*$")]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Label(_Strict):
    """One answer of a task.

    ``key`` is what data and predictions hold; ``family/label`` puts it in a family. ``value``,
    in [-1, 1], says where the label stands on a scale; a task whose labels have values gets a
    score beside its probabilities.
    """

    key: Key
    title: str = ""
    description: str = ""
    value: Annotated[float, Field(ge=-1, le=1)] | None = None

    @property
    def family(self) -> str:
        """The part before the slash, or the whole key of a label without a family."""
        return self.key.partition("/")[0]

    @property
    def name(self) -> str:
        """The title, or the key where no title was written."""
        return self.title or self.key


class Task(_Strict):
    """A question asked of every text: ``single`` has exactly one answer, ``multi`` any number."""

    kind: Literal["single", "multi"]
    title: str = ""
    description: str = ""
    families: Mapping[str, str] = {}
    labels: tuple[Label, ...]

    @model_validator(mode="before")
    @classmethod
    def _lists_become_tuples(cls, data: object) -> object:
        if isinstance(data, dict) and isinstance(data.get("labels"), list):
            return {**data, "labels": tuple(data["labels"])}
        return data

    @model_validator(mode="after")
    def _labels_fit_together(self) -> Self:
        if problems := _key_faults(self.keys, self.families):
            raise ValueError("; ".join(problems))
        return self

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """Label keys in class order."""
        return tuple(label.key for label in self.labels)

    @cached_property
    def index(self) -> dict[str, int]:
        """Column of each label key."""
        return {key: column for column, key in enumerate(self.keys)}

    @cached_property
    def values(self) -> tuple[float, ...] | None:
        """Place of each label on the scale, in class order, or None if the task has no scale."""
        if all(label.value is None for label in self.labels):
            return None
        return tuple(label.value or 0.0 for label in self.labels)


class LabelSchema(_Strict):
    """All tasks of a model, by name.

    ``migrations`` are the digests of those that made it what it is (:mod:`models.migration`), in their order.
    """

    version: Literal[1] = 1
    migrations: tuple[str, ...] = ()
    tasks: Mapping[str, Task]

    @field_validator("migrations", mode="before")
    @classmethod
    def _a_list_becomes_a_tuple(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _has_tasks(self) -> Self:
        if not self.tasks:
            raise ValueError("expected at least one task under [tasks.NAME], got none")
        if taken := sorted(RECORD_FIELDS & set(self.tasks)):
            raise ValueError(f"task {taken[0]!r} has the name of a field of a record; give it another")
        return self

    @cached_property
    def digest(self) -> str:
        """Short hash over everything that decides what a prediction means: names and order."""
        content = {name: [task.kind, *task.keys, task.values] for name, task in self.tasks.items()}
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]

    def task(self, name: str) -> Task:
        """The task called ``name``; SchemaError names the known ones otherwise."""
        try:
            return self.tasks[name]
        except KeyError:
            raise SchemaError(f"no task {name!r} in the label schema; {did_you_mean(name, self.tasks)}") from None

    def check_label(self, task: str, key: str) -> None:
        """Raise SchemaError, naming the nearest label, unless ``task`` has the label ``key``."""
        if key not in self.task(task).index:
            raise SchemaError(f"unknown {task} label {key!r}; {did_you_mean(key, self.tasks[task].keys)}")

    @classmethod
    def load(cls, path: Path = DEFAULT_SCHEMA) -> Self:
        """Read a ``labels.toml``; SchemaError lists every fault found in it."""
        problems = check_schema(path)
        if problems:
            raise SchemaError(f"{path}: {len(problems)} fault(s) in the label schema{as_list(problems)}")
        return cls.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))

    def to_toml(self) -> str:
        """The schema as the text of a ``labels.toml``; reading it back gives an equal schema."""
        lines = ["# Label schema. Order is class order; family/label makes two levels.", "", "version = 1"]
        lines += [f"migrations = [{', '.join(map(_quote, self.migrations))}]"] if self.migrations else []
        for name, task in self.tasks.items():
            lines += ["", f"[tasks.{_quote(name)}]", f"kind = {_quote(task.kind)}"]
            lines += _fields(title=task.title, description=task.description)
            if task.families:
                lines += ["", f"[tasks.{_quote(name)}.families]"]
                lines += [f"{_quote(key)} = {_quote(title)}" for key, title in task.families.items()]
            for label in task.labels:
                lines += ["", f"[[tasks.{_quote(name)}.labels]]", f"key = {_quote(label.key)}"]
                lines += _fields(title=label.title, description=label.description)
                if label.value is not None:
                    lines.append(f"value = {label.value!r}")
        return "\n".join(lines) + "\n"


def check_schema(path: Path) -> list[str]:
    """Every fault of a ``labels.toml``, each with its place; empty when it is sound."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ["file not found; `feedback labels init --data FILE` derives one from labelled data"]
    except IsADirectoryError:
        return ["expected a file, got a folder"]
    except OSError as error:
        return [f"expected a readable file: {error.strerror}"]
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        return [f"not valid TOML: {error}"]
    try:
        LabelSchema.model_validate(data)
    except ValidationError as error:
        faults = [_fault(dict(detail)) for detail in error.errors(include_url=False)]
        return faults + [fault for fault in _hidden_faults(data) if fault not in faults]
    return []


def derive_schema(labels: Mapping[str, Iterable[tuple[str, ...]]]) -> LabelSchema:
    """A schema from data: per task the labels of each labelled row.

    A task is multi if any row has several labels or an empty list. Labels are sorted, known
    sentiment words by their value first. Raises SchemaError when a task has fewer than two labels.
    """
    tasks = {}
    for name, rows in labels.items():
        seen: set[str] = set()
        multi = False
        for row in rows:
            seen.update(row)
            multi = multi or len(row) != 1
        values = _values_of(seen)
        order = sorted(seen, key=lambda key: (values.get(key, 2.0), key))
        tasks[name] = {
            "kind": "multi" if multi else "single",
            "title": name.replace("_", " ").capitalize(),
            "labels": [{"key": key, "value": values.get(key)} for key in order],
        }
    try:
        return LabelSchema.model_validate({"tasks": tasks})
    except ValidationError as error:
        faults = [_fault(dict(detail)) for detail in error.errors(include_url=False)]
        raise SchemaError(f"no label schema can be derived from this data{as_list(faults)}") from None


def _values_of(keys: Iterable[str]) -> dict[str, float]:
    """Places on a scale for labels that are words of sentiment, if both ends are among them."""
    words = {key: key.casefold().replace("_", " ").replace("-", " ").strip() for key in keys}
    found = {key: KNOWN_VALUES[word] for key, word in words.items() if word in KNOWN_VALUES}
    if {-1.0, 1.0} - set(found.values()):
        return {}
    if any(word.startswith("very ") for word in words.values()):  # then the plain words stand half way
        found = {key: value if words[key].startswith("very ") else value / 2 for key, value in found.items()}
    return found


def _key_faults(keys: Sequence[str], families: Iterable[str]) -> list[str]:
    problems = [] if len(keys) >= 2 else [f"expected at least 2 labels, got {len(keys)}"]
    problems += [f"label {key!r} stands {count} times; keep one" for key, count in Counter(keys).items() if count > 1]
    for key in keys:
        parts = key.split("/")
        if len(parts) > 2 or not all(part.strip() for part in parts):
            problems.append(f"label {key!r}: expected 'label' or 'family/label'")
    plain = {key for key in keys if "/" not in key}
    used = {key.partition("/")[0] for key in keys if "/" in key}
    problems += [f"{key!r} is both a label and a family; rename one" for key in sorted(plain & used)]
    problems += [f"family {key!r} has no label; remove it" for key in sorted(set(families) - used)]
    return problems


def _hidden_faults(data: Mapping[str, Any]) -> list[str]:
    """Faults between the labels of a task, which pydantic does not reach while a field is faulty."""
    tasks = data.get("tasks")
    found = []
    for name, task in tasks.items() if isinstance(tasks, dict) else ():
        labels = task.get("labels") if isinstance(task, dict) else None
        if isinstance(labels, list):
            keys = [label["key"] for label in labels if isinstance(label, dict) and isinstance(label.get("key"), str)]
            families = task.get("families")
            faults = _key_faults(keys, families if isinstance(families, dict) else ())
            found += [f"tasks.{name}: {'; '.join(faults)}"] if faults and len(keys) == len(labels) else []
    return found


def _fault(detail: Mapping[str, object]) -> str:
    location = detail["loc"]
    place = ".".join(str(part) for part in location) if isinstance(location, tuple) else ""
    message = str(detail["msg"]).removeprefix("Value error, ")
    got = detail.get("input")
    shown = f" (got {got!r})" if isinstance(got, str | int | float | bool) else ""
    return f"{place or 'file'}: {message}{shown}"


def _fields(**fields: str) -> list[str]:
    return [f"{name} = {_quote(text)}" for name, text in fields.items() if text]


def _quote(text: str) -> str:
    # A JSON string is a TOML basic string, but for DEL, which TOML wants escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")
