"""Examples of the check as items that can be decided."""

from datetime import UTC, datetime, timedelta
from typing import Any

from models.labels import LabelSchema
from models.records import FeedbackItem, ModelName, Prediction, TaskPrediction
from serving.routing.decision import Situation
from serving.routing.fields import field
from serving.routing.formula import Value
from serving.routing.space import Example, Space


def situation_of(space: Space, example: Example) -> Situation:
    """An item, prediction and circumstances such as the example describes, its text excepted."""
    received = datetime(2026, 3, 10, 12, tzinfo=UTC)
    tasks = {name: _answer(space.schema, name, example) for name in space.schema.tasks}
    given: dict[str, Any] = {"text": "x", "meta": {}}
    for name, values in example.items():
        about = field(name)
        if about.kind == "any":
            given["meta"][name.removeprefix("meta.")] = [_plain(value) for value in values]
        elif name == "age_hours":
            given["created_at"] = received - timedelta(hours=float(values[0]))
        elif name in FeedbackItem.model_fields and name != "text":
            given[name] = _plain(values[0])
    prediction = Prediction(
        tasks=tasks,
        language=str(example.get("language", ("tlh",))[0]),
        familiarity=float(example["familiarity"][0]) if "familiarity" in example else None,
        out_of_scope=True in example["out_of_scope"],
        truncated=True in example.get("truncated", ()),
        tier="linear",
        model=ModelName(name="example", version="0"),
        label_schema=space.schema.digest,
    )
    similar = int(example["similar"][0]) if "similar" in example else None
    return Situation(FeedbackItem.model_validate(given), prediction, received, similar)


def _answer(schema: LabelSchema, task: str, example: Example) -> TaskPrediction:
    name = task if task in ("category", "sentiment") else f"tasks.{task}"
    labels = tuple(str(value) for value in example.get(name, ()))
    if not labels and schema.tasks[task].kind == "single":
        labels = schema.tasks[task].keys[:1]
    confidence = example.get(f"task_confidence.{task}", example.get("confidence", ()) if task == "category" else ())
    score = example.get("score", ()) if task == "sentiment" else ()
    return TaskPrediction(
        labels=labels,
        confidence=float(confidence[0]) if confidence else 0.5,
        abstained=task in example.get("abstained", ()),
        probabilities={},
        score=float(score[0]) if score else None,
    )


def _plain(value: Value) -> Value:
    return int(value) if isinstance(value, float) and value.is_integer() else value
