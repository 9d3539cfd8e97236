"""What is known of a Label Studio project under new labels."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from labeling.pull.annotations import as_utc
from labeling.state import State
from labeling.taxonomy.answers import rewritten
from labeling.taxonomy.beside import Beside, change_beside, changes_beside
from models.labels import LabelSchema
from models.migration.moves import Migration

_ITEMS = "SELECT item_id, prediction FROM items WHERE prediction IS NOT NULL"
_ANSWERS = """
SELECT annotation_id, state, labels, unsettled FROM annotations
WHERE state IN ('live', 'unreadable') OR unsettled IS NOT NULL
"""


class Left(NamedTuple):
    """What is left of an annotation of which a label was split, as JSON: labels of other tasks, and those that it had
    in the tasks that are to be answered anew; None in place of the latter where it cannot be used."""

    labels: str
    unsettled: str | None


class KnownChanges(NamedTuple):
    """Rows of a state that change: predictions by item; labels by annotation; and annotations of which a label was
    split, which the server has no more."""

    predictions: dict[str, str]
    labels: dict[int, str]
    split: dict[int, Left]

    def total(self, beside: Beside) -> int:
        """All of them and of what changes beside them, each row once."""
        return len(self.predictions) + len({*self.labels, *self.split, *beside.shown}) + len(beside.reports)


def known_changes(state: State, migration: Migration) -> KnownChanges:
    """What changes in a state."""
    found = KnownChanges({}, {}, {})
    for item, said in state.rows(_ITEMS):
        before = json.loads(said)
        if (after := migration.prediction(before)) != before:
            found.predictions[item] = json.dumps(after, ensure_ascii=False)
    for number, how, said, earlier in state.rows(_ANSWERS):
        before = json.loads(said)
        after, unsettled = migration.answers(before)
        if unsettled:
            counts = how != "unreadable" or _readable(after, migration.new)
            left = json.dumps({**json.loads(earlier or "{}"), **unsettled}, ensure_ascii=False) if counts else None
            found.split[number] = Left(json.dumps(after, ensure_ascii=False), left)
        elif after != before:
            found.labels[number] = json.dumps(after, ensure_ascii=False)
    return found


def _readable(labels: Mapping[str, Sequence[str]], schema: LabelSchema) -> bool:
    return all(
        task in schema.tasks
        and all(key in schema.tasks[task].index for key in keys)
        and (schema.tasks[task].kind == "multi" or len(keys) == 1)
        for task, keys in labels.items()
    )


def set_apart(state: State, migration: Migration) -> None:
    """Keep what is left of annotations of which a label was split; to be called before the server loses them, so that a
    pull after a migration that was stopped there has it too."""
    with state.changing() as connection:
        _set_apart(connection, known_changes(state, migration))


def change_known(state: State, migration: Migration, tasks: list[dict[str, Any]]) -> None:
    """Change it in one step.

    An annotation that the server has under its new labels is known from now on by the time of that change, so that the
    next pull does not take it for one that somebody edited.

    Args:
        state: what is known.
        migration: what becomes of labels.
        tasks: those with annotations, as the server has them now.
    """
    on_server = {one["id"]: one for task in tasks for one in task["annotations"]}
    with state.changing() as connection:
        change_beside(connection, changes_beside(state, migration))
        changes = known_changes(state, migration)
        connection.executemany(
            "UPDATE items SET prediction = ? WHERE item_id = ?",
            [(said, item) for item, said in changes.predictions.items()],
        )
        for number, said in changes.labels.items():
            connection.execute("UPDATE annotations SET labels = ? WHERE annotation_id = ?", (said, number))
            if _is_same(on_server.get(number), json.loads(said), migration):
                at = as_utc(on_server[number]["updated_at"])
                connection.execute("UPDATE annotations SET updated_at = ? WHERE annotation_id = ?", (at, number))
        _set_apart(connection, changes)


def _is_same(annotation: Mapping[str, Any] | None, labels: Mapping[str, list[str]], migration: Migration) -> bool:
    """Whether an annotation says nothing else than these labels in the tasks that the migration is about."""
    if annotation is None or rewritten(annotation["result"], migration) is not None:
        return False
    said: dict[str, set[str]] = {task: set() for task in labels}
    for region in annotation["result"]:
        if region.get("from_name") in said:
            said[region["from_name"]].update(region["value"].get("choices", ()))
    return said == {task: set(keys) for task, keys in labels.items()}


def _set_apart(connection: sqlite3.Connection, changes: KnownChanges) -> None:
    connection.executemany(
        "UPDATE annotations SET state = 'deleted', labels = ?, unsettled = ? WHERE annotation_id = ?",
        [(left.labels, left.unsettled, number) for number, left in changes.split.items()],
    )
