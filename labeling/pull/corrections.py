"""Corrections: what labelers settled, as records to train with that tell who said what, when, of which prediction."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from labeling.pull.handed import is_taken, taken_contents
from labeling.pull.joining import Given, Joined, Rule, join
from labeling.state import State
from models.errors import did_you_mean
from models.files import atomic_write
from models.labels import LabelSchema
from models.records import CORRECTION, SET_ASIDE, UNSETTLED, LabeledItem
from models.rejects import Reject
from models.text import UNKNOWN


@dataclass(frozen=True)
class Answered:
    """An item that labelers answered: what it is, why and how it was shown, and what they said together.

    ``predicted`` are the labels by task that were shown, or, if ``blind``, would have been; None without a prediction.
    ``probability`` in (0, 1] is that with which chance chose it for the audit, None if it is not in that.
    ``language`` is the one it says, else the one that was detected.
    ``unsettled`` are labels by task of which one was split since, where nobody has answered anew.
    ``reported`` tells that the service has taken it as it is.
    """

    item_id: str
    record: LabeledItem
    why: str
    blind: bool
    probability: float | None
    predicted: dict[str, tuple[str, ...]] | None
    model_version: str | None
    language: str
    given: tuple[Given, ...]
    joined: Joined
    notes: tuple[str, ...]
    seconds: tuple[tuple[str, float], ...]
    unsettled: dict[str, tuple[str, ...]]
    reported: bool

    @property
    def changed(self) -> list[str]:
        """Tasks of which the settled labels are not those that were predicted."""
        if self.predicted is None:
            return []
        return [
            task
            for task, labels in self.joined.labels.items()
            if task in self.predicted and set(labels) != set(self.predicted[task])
        ]


class Answers(NamedTuple):
    """Items with answers that can be used, and answers that cannot."""

    items: list[Answered]
    rejects: list[Reject]


_ITEMS = """
SELECT item_id, task_id, record, why, probability, blind, prediction, model_version FROM items
WHERE task_id IN (SELECT task_id FROM annotations WHERE state = 'live' OR unsettled IS NOT NULL) ORDER BY rowid
"""


def answered(state: State, schema: LabelSchema, rule: Rule = "majority", adjudicators: Collection[str] = ()) -> Answers:
    """Every item with live answers, and what its annotators say together; see :func:`labeling.pull.joining.join`."""
    by_task: dict[int, list[Any]] = {}
    for row in state.rows("SELECT * FROM annotations ORDER BY annotation_id"):
        by_task.setdefault(row["task_id"], []).append(row)
    taken = taken_contents(state)
    found, rejects = [], []
    for row in state.rows(_ITEMS):
        annotations = by_task[row["task_id"]]
        live = [one for one in annotations if one["state"] == "live" or one["unsettled"] is not None]
        given = [_given(one) for one in live]
        if faults := [fault for one in given for fault in _faults(one, schema)]:
            place = f"item {row['item_id']} (task {row['task_id']})"
            rejects.append(Reject(place, "; ".join(faults), [json.loads(one["labels"]) for one in live]))
            continue
        record = LabeledItem.model_validate_json(row["record"])
        prediction = json.loads(row["prediction"] or "{}")
        predicted, model = _predicted(prediction), row["model_version"]
        # an answer that was given while its task was brought to another model is to what the server says
        shown = [told for one in live if one["shown"] and (told := json.loads(one["shown"]))["model"] != model]
        if shown and len(shown) == len(live):
            predicted, model = {task: tuple(keys) for task, keys in shown[-1]["labels"].items()}, shown[-1]["model"]
        joined = join(given, schema, rule, adjudicators)
        found.append(
            Answered(
                item_id=row["item_id"],
                record=record,
                why=row["why"],
                blind=bool(row["blind"]),
                probability=row["probability"],
                predicted=predicted,
                model_version=model,
                language=record.language or prediction.get("language", UNKNOWN),
                given=tuple(given),
                joined=joined,
                notes=tuple(one["note"] for one in live if one["note"]),
                seconds=tuple((one["annotator"], one["seconds"]) for one in live if one["seconds"] is not None),
                unsettled=_unsettled(live),
                reported=is_taken(row["item_id"], joined, taken),
            )
        )
    return Answers(found, rejects)


def _given(row: Any) -> Given:
    labels = {task: tuple(keys) for task, keys in json.loads(row["labels"]).items()}
    return Given(row["annotation_id"], row["annotator"], row["updated_at"], labels, row["set_aside"])


def _unsettled(rows: Sequence[Any]) -> dict[str, tuple[str, ...]]:
    said = [json.loads(row["unsettled"]) for row in rows if row["unsettled"] is not None]
    return {task: tuple(keys) for labels in said for task, keys in labels.items()}


def _faults(given: Given, schema: LabelSchema) -> list[str]:
    """Labels of an earlier schema, which must not vanish without a word."""
    return [
        f"annotation {given.annotation_id} has the {task} label {key!r}, which is not in the label schema;"
        f" {did_you_mean(key, schema.tasks[task].keys if task in schema.tasks else schema.tasks)}"
        for task, keys in given.labels.items()
        for key in keys
        if task not in schema.tasks or key not in schema.tasks[task].index
    ]


def _predicted(prediction: Mapping[str, Any]) -> dict[str, tuple[str, ...]] | None:
    if not prediction:
        return None
    return {task: tuple(answer["labels"]) for task, answer in prediction["tasks"].items()}


def record_of(item: Answered, schema: LabelSchema) -> dict[str, Any]:
    """A settled item as a record that `feedback train` reads: its fields, the labels, and how they came about.

    ``category`` is a list where its task may have several labels; labels of other tasks than category and sentiment
    stand in ``meta``. An item that was set aside has no labels and ``set_aside`` in ``meta``.
    """
    record = item.record.model_dump(mode="json", exclude_unset=True)
    labels: dict[str, Any] = {}
    meta: dict[str, Any] = dict(record.pop("meta", {}))
    for field in ("category", "categories", "sentiment"):
        record.pop(field, None)
    for task, keys in item.joined.labels.items():
        value = keys[0] if schema.tasks[task].kind == "single" else list(keys)
        if task == "category" and isinstance(value, list):
            labels["categories"] = value
        elif task in ("category", "sentiment"):
            labels[task] = value
        else:
            meta[task] = value
    # what was to be given anew is given
    unsettled = {**item.record.unsettled, **item.unsettled}
    open_tasks = {task: keys for task, keys in unsettled.items() if task not in item.joined.labels}
    meta.pop(UNSETTLED, None)
    if open_tasks:
        meta[UNSETTLED] = {task: list(keys) for task, keys in open_tasks.items()}
    if item.joined.set_aside is not None:
        meta[SET_ASIDE] = item.joined.set_aside
    shown = None if item.predicted is None else {task: list(keys) for task, keys in item.predicted.items()}
    meta[CORRECTION] = {
        "by": [one.annotator for one in item.joined.by],
        "at": max(one.updated_at for one in item.joined.by),
        "annotations": [{"id": one.annotation_id, "updated_at": one.updated_at} for one in item.joined.by],
        "blind": item.blind,
        "shown": None if item.blind else shown,
        "predicted": shown,
        "model": item.model_version,
        "changed": item.changed,
        "why": item.why,
        "probability": item.probability,
        "seconds": round(sum(seconds for _, seconds in item.seconds), 1),
        "notes": list(item.notes),
    }
    return {"id": item.item_id, **record, **labels, "meta": meta}


def write_corrections(path: Path, items: Sequence[Answered], schema: LabelSchema) -> int:
    """Write the settled items to ``path`` as JSON Lines, in place of what stood there; how many there are."""
    settled = [item for item in items if not item.joined.open]
    with atomic_write(path) as file:
        for item in settled:
            file.write(json.dumps(record_of(item, schema), ensure_ascii=False, allow_nan=False) + "\n")
    return len(settled)
