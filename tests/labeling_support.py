"""The state of a labelling project, filled for tests as pushing and pulling fill it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from labeling.state import State
from models.labels import LabelSchema
from models.records import FeedbackItem, ModelName, Prediction, TaskPrediction

SCHEMA = LabelSchema.load()
DEFECT, QUALITY, OTHER = "product/defect", "product/quality", "other"


def result(*categories: str, sentiment: str = "negative") -> list[dict[str, Any]]:
    """What Label Studio sends for an answer to both tasks."""

    def region(name: str, *choices: str) -> dict[str, Any]:
        return {"from_name": name, "to_name": "text", "type": "choices", "value": {"choices": list(choices)}}

    return [region("category", *categories), region("sentiment", sentiment)]


def predicted(category: Sequence[str], sentiment: str) -> Prediction:
    """What a model said."""

    def of(*labels: str) -> TaskPrediction:
        return TaskPrediction(labels=labels, confidence=0.9, abstained=False, probabilities=dict.fromkeys(labels, 0.9))

    return Prediction(
        tasks={"category": of(*category), "sentiment": of(sentiment)},
        language="en",
        truncated=False,
        tier="linear",
        model=ModelName(name="m", version="1"),
        label_schema=SCHEMA.digest,
    )


def add_item(
    state: State,
    item_id: str,
    task: int | None,
    *,
    text: str = "",
    why: str = "uncertain",
    probability: float | None = None,
    blind: bool = False,
    prediction: Prediction | None = None,
    **record: Any,
) -> None:
    """An item as a push writes it."""
    item = FeedbackItem(text=text or f"feedback {item_id}", **record)
    said = None if prediction is None else prediction.model_dump_json()
    with state.changing() as connection:
        connection.execute(
            "INSERT INTO items"
            " (item_id, task_id, record, why, probability, blind, prediction, model_version, chosen_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, '2026-01-01')",
            (item_id, task, item.model_dump_json(exclude_unset=True), why, probability, blind, said, said and "m-1"),
        )


def add_answer(
    state: State,
    task: int,
    labels: Mapping[str, Iterable[str]],
    *,
    who: str = "ana@example.com",
    at: str = "2026-03-10T09:30:00.000001Z",
    how: str = "live",
    set_aside: str | None = None,
    note: str | None = None,
    seconds: float | None = 4.0,
) -> int:
    """An annotation as a pull writes it; its number."""
    said = json.dumps({name: list(keys) for name, keys in labels.items()})
    with state.changing() as connection:
        done = connection.execute(
            "INSERT INTO annotations (updated_at, task_id, annotator, state, labels, set_aside, note, seconds, seen_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, '2026-03-10')",
            (at, task, who, how, said, set_aside, note, seconds),
        )
        return int(done.lastrowid or 0)
