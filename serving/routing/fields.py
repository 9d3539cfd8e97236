"""The fields that conditions can ask about: what they hold, how they are read, how they compare."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from models.languages import spelled, with_script
from models.records import Prediction, TaskPrediction
from serving.routing.decision import Situation
from serving.routing.formula import Atom, Between, OneOf, Value

#: ``label``: labels chosen, `family/*` for all of a family; ``tag``: a language, which stands for its scripts and
#: regions too; ``word``: one of an open set; ``any``: whatever the sender put there.
Kind = Literal["label", "tag", "word", "number", "flag", "pattern", "any"]
Read = Callable[[Situation], tuple[Value, ...]]

#: Fields by name whose further names the model or the sender chose: `tasks.intent`, `meta.plan`.
GROUPS = ("tasks", "task_confidence", "meta")
#: Where promoters, passives and detractors begin and end (Reichheld, "The One Number You Need to Grow", 2003).
NPS_GROUPS = {"detractor": (0, 6), "passive": (7, 8), "promoter": (9, 10)}

_NUMBERS: Mapping[str, tuple[float, float, bool]] = {
    "confidence": (0, 1, False),
    "task_confidence": (0, 1, False),
    "score": (-1, 1, False),
    "familiarity": (0, 1, False),
    "rating": (1, 5, False),
    "nps": (0, 10, True),
    "csat": (1, 7, False),
    "ces": (1, 7, False),
    "age_hours": (float("-inf"), float("inf"), False),
    "similar": (0, float("inf"), True),
}
_WORDS = ("channel", "country", "product", "customer_tier", "source")
_FLAGS = ("out_of_scope", "truncated")


@dataclass(frozen=True)
class Field:
    """One field: its kind and, for numbers, the smallest and largest value and whether they are whole."""

    name: str
    kind: Kind
    low: float = float("-inf")
    high: float = float("inf")
    whole: bool = False

    @property
    def task(self) -> str | None:
        """The task whose labels it holds."""
        if self.kind != "label" or self.name == "abstained":
            return None
        return self.name.removeprefix("tasks.")

    @property
    def several(self) -> bool:
        """Whether one item may have several values of it."""
        return self.kind in ("label", "pattern", "any")


#: Fields that have two names.
_SAME = {"tasks.category": "category", "tasks.sentiment": "sentiment", "task_confidence.category": "confidence"}


def tag_of(language: str) -> str:
    """A language tag as it is compared: small letters, and for Chinese the script that its place writes."""
    return with_script(spelled(language)).casefold()


def known_fields() -> list[str]:
    """Every field a condition may name; of groups the part before the dot."""
    fields = ["category", "sentiment", *GROUPS, "abstained", "text", "language", *_WORDS, *_NUMBERS, *_FLAGS]
    return list(dict.fromkeys(fields))


def field(name: str) -> Field:
    """The field called ``name``; KeyError if there is none."""
    name = _SAME.get(name, name)
    group = name.partition(".")[0]
    if name in ("category", "sentiment", "abstained") or (group == "tasks" and name != group):
        return Field(name, "label")
    if group == "meta" and name != group:
        return Field(name, "any")
    if name in _NUMBERS or (group == "task_confidence" and name != group):
        return Field(name, "number", *_NUMBERS[group])
    if name in _WORDS:
        return Field(name, "word")
    if name in _FLAGS:
        return Field(name, "flag")
    return {"language": Field("language", "tag"), "text": Field("text", "pattern")}[name]


def same(kind: Kind, value: Value) -> Value:
    """How a value is written for comparing: words without regard to case, what looks like a number as one."""
    if kind == "tag" and isinstance(value, str):
        return tag_of(value.strip())
    if kind in ("word", "any") and isinstance(value, str):
        value = value.strip().casefold()
    if kind == "any" and isinstance(value, bool):
        return "true" if value else "false"  # as tables write it; and Python takes True for 1
    if kind == "any" and isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    if isinstance(value, bool) or not isinstance(value, int):
        return value
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def answers(kind: Kind, atom: Atom, value: Value) -> bool:
    """Whether one value of a field, written by :func:`same`, makes the atom true."""
    if isinstance(atom, Between):
        return isinstance(value, float) and atom.holds(value)
    if not isinstance(atom, OneOf):
        return True
    if value in atom.values:
        return True
    if not isinstance(value, str):
        return False
    if kind == "label":
        family = value.partition("/")[0]
        return f"{family}/*" in atom.values and family != value
    # "zh" stands for zh-Hans and zh-Hant too (BCP 47, basic filtering)
    return kind == "tag" and any(value.startswith(f"{own}-") for own in atom.values)


def reader(found: Field) -> Read:
    """The function that reads a field, patterns of the text excepted."""
    name, kind = found.name, found.kind
    if name == "category" or name == "sentiment" or name.startswith("tasks."):
        return _labels(name.removeprefix("tasks."))
    if name == "abstained":
        return lambda s: tuple(task for task, answer in s.prediction.tasks.items() if answer.abstained)
    if name in ("confidence", "score") or name.startswith("task_confidence."):
        task = {"confidence": "category", "score": "sentiment"}.get(name, name.removeprefix("task_confidence."))
        return _of_answer(task, "score" if name == "score" else "confidence")
    if name == "age_hours":
        return _age
    if name == "similar":
        return lambda s: () if s.similar is None else (float(s.similar),)
    if name.startswith("meta."):
        return _meta(name.removeprefix("meta."))
    if name == "language":
        return lambda s: (tag_of(s.prediction.language),)
    if kind == "flag" or name == "familiarity":
        return _of_prediction(name)
    return _of_item(name, kind)


def _labels(task: str) -> Read:
    def read(s: Situation) -> tuple[Value, ...]:
        answer = s.prediction.tasks.get(task)
        return () if answer is None else answer.labels

    return read


def _of_answer(task: str, attribute: str) -> Read:
    def read(s: Situation) -> tuple[Value, ...]:
        answer: TaskPrediction | None = s.prediction.tasks.get(task)
        value = None if answer is None else getattr(answer, attribute)
        return () if value is None else (value,)

    return read


def _of_prediction(name: str) -> Read:
    def read(s: Situation) -> tuple[Value, ...]:
        prediction: Prediction = s.prediction
        value = getattr(prediction, name)
        return () if value is None else (value,)

    return read


def _of_item(name: str, kind: Kind) -> Read:
    def read(s: Situation) -> tuple[Value, ...]:
        value = getattr(s.item, name)
        if value is None:
            return ()
        return (value.casefold(),) if kind == "word" else (float(value),)

    return read


def _meta(key: str) -> Read:
    def read(s: Situation) -> tuple[Value, ...]:
        value: Any = s.item.meta.get(key)
        found = value if isinstance(value, list) else [value]
        return tuple(same("any", one) for one in found if isinstance(one, str | int | float))

    return read


def _age(s: Situation) -> tuple[Value, ...]:
    if s.item.created_at is None:
        return ()
    return ((s.received_at - s.item.created_at).total_seconds() / 3600,)
