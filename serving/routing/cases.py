"""Cases beside the rules: items with what is expected of them, run before rules are taken into use."""

import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from models.errors import did_you_mean
from models.labels import LabelSchema
from models.records import FeedbackItem, ModelName, Moment, Prediction, TaskPrediction
from models.text import detect_language
from models.validation import describe
from serving.routing import faults
from serving.routing.compiled import Rules
from serving.routing.decide import decide
from serving.routing.decision import DEFAULT, OWNED, Decision, Deliver, Urgency
from serving.routing.faults import Finding
from serving.routing.lines import line_numbers, line_of
from serving.routing.load import place_of, read_text, shape_faults, unreadable
from serving.routing.rules import Names, Several

#: What a model says about items.
Classify = Callable[[Sequence[FeedbackItem]], Sequence[Prediction]]

#: When an item of a case came in, unless it says so: a Tuesday at noon.
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


class Expected(BaseModel):
    """What a decision has to be; what is not given may be anything."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    team: str | None = None
    rule: str | None = None
    urgency: Urgency | None = None
    due_at: Moment | None = None
    deliver: Deliver | None = None
    notify: Names | None = None
    tags: Several | None = None
    also: Names | None = None
    needs_review: bool | None = None

    @model_validator(mode="after")
    def _expects_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError(f"expected at least one of {', '.join(type(self).model_fields)}, got none")
        return self


class Predicted(BaseModel):
    """What the model is taken to have said; labels of further tasks stand under ``tasks``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    category: Several = ()
    sentiment: str | None = None
    tasks: Mapping[str, Several] = {}
    abstained: Several = ()
    confidence: float = 0.9
    score: float | None = None
    language: str | None = None
    out_of_scope: bool = False
    truncated: bool = False
    familiarity: float | None = None
    tier: Literal["linear", "combined"] = "combined"


class Case(BaseModel):
    """An item, what the model says about it (None: the model is asked), and what is expected."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    item: Mapping[str, Any]
    predicted: Predicted | None = None
    received_at: Moment = NOON
    similar: Annotated[int, Field(ge=0)] | None = None
    expect: Expected


class Cases(BaseModel):
    """All that stands in a file of cases."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cases: Annotated[
        tuple[Case, ...], BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)
    ]


class Outcome(NamedTuple):
    """How the cases went: those that ran, those left out for want of a model, and what was wrong."""

    ran: int
    left_out: int
    findings: list[Finding]


def beside(rules: Path) -> Path:
    """Where the cases of a rules file lie: `routing.cases.toml` for `routing.toml`."""
    return rules.with_name(f"{rules.stem}.cases.toml")


def run_cases(path: Path, rules: Rules, schema: LabelSchema, classify: Classify | None = None) -> Outcome:
    """Decide every case; each that comes out otherwise, or cannot be read, is a finding.

    Cases that only give a text need ``classify``; without it they are left out.
    """
    text = ""
    try:
        text = read_text(path)
        data = tomllib.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        return Outcome(0, 0, [_named(path, unreadable(error, text))])
    lines = line_numbers(text)
    try:
        cases = Cases.model_validate(data).cases
    except ValidationError as error:
        found = [
            Finding("error", "case", f"{place_of(fault.path)}: {fault.message}", line_of(lines, fault.path))
            for fault in shape_faults(error, Cases)
        ]
        return Outcome(0, 0, [_named(path, one) for one in found])
    findings: list[Finding] = []
    items: list[FeedbackItem | None] = []
    for number, case in enumerate(cases):
        item, wrong = _item(case, schema)
        wrong += _unknown_names(case.expect, rules)
        items.append(item)
        findings += [_finding(path, lines, number, case, one) for one in wrong]
    asked = [item for case, item in zip(cases, items, strict=True) if case.predicted is None and item is not None]
    answers = iter(classify(asked) if classify is not None and asked else ())
    ran = left_out = 0
    for number, (case, item) in enumerate(zip(cases, items, strict=True)):
        if item is None:
            continue
        if case.predicted is None and classify is None:
            left_out += 1
            continue
        prediction = next(answers) if case.predicted is None else _prediction(case.predicted, item, schema)
        ran += 1
        decision = decide(item, prediction, rules, case.received_at, case.similar)
        findings += [_finding(path, lines, number, case, one) for one in _differences(case.expect, decision)]
    return Outcome(ran, left_out, findings)


def _item(case: Case, schema: LabelSchema) -> tuple[FeedbackItem | None, list[str]]:
    try:
        item = FeedbackItem.model_validate(case.item)
    except ValidationError as error:
        return None, [f"item: {one}" for one in describe(error, FeedbackItem.model_fields)]
    wrong = list(_unknown_labels(case.predicted, schema)) if case.predicted else []
    return (None, wrong) if wrong else (item, [])


def _unknown_names(expected: Expected, rules: Rules) -> Iterator[str]:
    names = {rule.name for rule in rules.file.rules}
    places = [("team", expected.team, rules.file.teams), ("rule", expected.rule, {*names, OWNED, DEFAULT})]
    places += [("team", team, rules.file.teams) for team in expected.notify or ()]
    places += [("rule", rule, names) for rule in expected.also or ()]
    for kind, name, known in places:
        if name is not None and name not in known:
            yield f"expect: unknown {kind} {name!r}; {did_you_mean(name, sorted(known))}"


def _unknown_labels(predicted: Predicted, schema: LabelSchema) -> Iterator[str]:
    for task, labels in _labels(predicted).items():
        if task not in schema.tasks:
            yield f"predicted: the model has no task {task!r}; {did_you_mean(task, schema.tasks)}"
            continue
        keys = schema.tasks[task].keys
        for label in labels:
            if label not in keys:
                yield f"predicted: unknown {task} label {label!r}; {did_you_mean(label, keys)}"
    for task in predicted.abstained:
        if task not in schema.tasks:
            yield f"predicted: the model has no task {task!r}; {did_you_mean(task, schema.tasks)}"


def _labels(predicted: Predicted) -> dict[str, tuple[str, ...]]:
    given = dict(predicted.tasks)
    if predicted.category:
        given["category"] = predicted.category
    if predicted.sentiment is not None:
        given["sentiment"] = (predicted.sentiment,)
    return given


def _prediction(predicted: Predicted, item: FeedbackItem, schema: LabelSchema) -> Prediction:
    labels = _labels(predicted)
    tasks = {}
    for name, task in schema.tasks.items():
        chosen = labels.get(name, ())
        score = None
        if task.values is not None:
            score = predicted.score if predicted.score is not None and name == "sentiment" else None
            score = task.values[task.index[chosen[0]]] if score is None and chosen else score
        tasks[name] = TaskPrediction(
            labels=chosen,
            confidence=predicted.confidence,
            abstained=predicted.out_of_scope or name in predicted.abstained,
            probabilities={},
            score=score,
        )
    return Prediction(
        tasks=tasks,
        language=predicted.language or item.language or detect_language(item.text),
        familiarity=predicted.familiarity,
        out_of_scope=predicted.out_of_scope,
        truncated=predicted.truncated,
        tier=predicted.tier,
        model=ModelName(name="case", version="0"),
        label_schema=schema.digest,
    )


def _differences(expected: Expected, decision: Decision) -> Iterator[str]:
    for name in (one for one in Expected.model_fields if one in expected.model_fields_set):
        wanted, got = getattr(expected, name), getattr(decision, name)
        if isinstance(wanted, datetime) and isinstance(got, datetime):
            # where clocks are put back, times of two zones are never equal (PEP 495)
            wanted, got = wanted.astimezone(UTC), got.astimezone(UTC)
        if wanted != got:
            yield f"expected {name} {_said(wanted)}, got {_said(got)} (rule {decision.rule!r})"


def _said(value: object) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, tuple) else str(value)


def _finding(path: Path, lines: Mapping[faults.Path, int], number: int, case: Case, message: str) -> Finding:
    return _named(path, Finding("error", "case", f"case {case.name!r}: {message}", line_of(lines, ("cases", number))))


def _named(path: Path, finding: Finding) -> Finding:
    return finding._replace(file=path.name)
