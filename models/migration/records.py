"""Labels in a row of data, wherever a record may hold some."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from models.migration.moves import Migration, Unsettled
from models.records import LIST_SEPARATOR, UNSETTLED

#: Under these names of `meta.correction` stand labels by task.
_CORRECTION, _SAID = "correction", ("shown", "predicted")


class RowChange(NamedTuple):
    """What changes in a row: new values by field, None for one that goes; and the labels by task that are to be given
    anew."""

    fields: dict[str, Any]
    unsettled: Unsettled


def row_change(row: Mapping[str, Any], migration: Migration) -> RowChange | None:
    """What a migration changes in a row of data; None if nothing.

    Looked at are ``category``, ``categories``, ``sentiment``, a field or an entry of ``meta`` for each further task,
    the ``prediction`` that `feedback classify` writes, and what `meta.correction` tells. Where one of several labels
    was split the task loses all of them: the others alone would say that the split one does not apply.
    """
    fields: dict[str, Any] = {}
    unsettled: Unsettled = {}
    meta = row.get("meta")
    new_meta = dict(meta) if isinstance(meta, dict) else {}
    for task in migration.tasks:
        names = ("categories", "category") if task == "category" else (task,)
        for name in names:
            _move(migration, task, row, name, fields, unsettled)
        if task not in ("category", "sentiment"):
            changed: dict[str, Any] = {}
            _move(migration, task, new_meta, task, changed, unsettled)
            new_meta = {name: value for name, value in (new_meta | changed).items() if value is not None}
    for where, holder in ((fields, row), (new_meta, new_meta)):
        said = holder.get("prediction")
        if isinstance(said, dict) and (moved := _prediction(migration, said)) != said:
            where["prediction"] = moved
    if isinstance(about := new_meta.get(_CORRECTION), dict):
        new_meta[_CORRECTION] = _correction(migration, about)
    if unsettled:
        before = new_meta.get(UNSETTLED)
        named = {task: list(labels) for task, labels in unsettled.items()}
        new_meta[UNSETTLED] = {**(before if isinstance(before, dict) else {}), **named}
    if new_meta and new_meta != meta:
        fields["meta"] = new_meta
    return RowChange(fields, unsettled) if fields else None


def _move(
    migration: Migration,
    task: str,
    row: Mapping[str, Any],
    name: str,
    fields: dict[str, Any],
    unsettled: Unsettled,
) -> None:
    value = row.get(name)
    labels = _labels(value)
    if not migration.touches(task, labels):
        return
    moved = migration.move(task, labels)
    if moved.unsettled:
        unsettled[task] = tuple(labels)
        fields[name] = None
    elif isinstance(value, list):
        fields[name] = list(moved.labels) if moved.labels or not migration.tasks[task].single else None
    else:  # words cannot say that nothing applies
        fields[name] = LIST_SEPARATOR.join(moved.labels) or None


def _labels(value: object) -> list[str]:
    if isinstance(value, list):
        return [str(label).strip() for label in value]
    return [label.strip() for label in value.split(LIST_SEPARATOR)] if isinstance(value, str) else []


def _prediction(migration: Migration, said: dict[str, Any]) -> dict[str, Any]:
    try:
        return migration.prediction(said)
    except (KeyError, TypeError, AttributeError):  # a column of the same name that means something else
        return said


def _correction(migration: Migration, about: dict[str, Any]) -> dict[str, Any]:
    said = {name: about[name] for name in _SAID if isinstance(about.get(name), dict)}
    return about | {name: migration.answers(labels)[0] for name, labels in said.items()}


def without_labels(row: Mapping[str, Any], migration: Migration, unsettled: Unsettled) -> dict[str, Any]:
    """A row as it is put to labelers: without labels and predictions, with those before in ``meta``."""
    dropped = {"category", "categories", "sentiment", "prediction", "meta", *migration.new.tasks}
    kept = {name: value for name, value in row.items() if name not in dropped and value is not None}
    meta = row.get("meta")
    own = meta if isinstance(meta, dict) else {}
    own = {name: value for name, value in own.items() if name not in (_CORRECTION, "prediction", *migration.new.tasks)}
    return kept | {"meta": own | {UNSETTLED: {task: list(labels) for task, labels in unsettled.items()}}}


def as_line(row: Mapping[str, Any]) -> str:
    """A row as a line of JSON."""
    return json.dumps(row, ensure_ascii=False) + "\n"
