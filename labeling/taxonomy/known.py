"""What is known of a Label Studio project under new labels."""

import json
import sqlite3
from collections.abc import Mapping
from typing import Any, NamedTuple

from labeling.pull.annotations import as_utc
from labeling.state import State
from labeling.taxonomy.answers import rewritten
from labeling.taxonomy.beside import Beside, change_beside, changes_beside
from models.migration.moves import Migration

_ITEMS = "SELECT item_id, prediction FROM items WHERE prediction IS NOT NULL"
_ANSWERS = "SELECT annotation_id, labels FROM annotations WHERE state IN ('live', 'unreadable')"


class KnownChanges(NamedTuple):
    """Rows of a state that change: predictions by item; labels by annotation; and annotations of which a label was
    split, which are none any more."""

    predictions: dict[str, str]
    labels: dict[int, str]
    gone: list[int]

    def total(self, beside: Beside) -> int:
        """All of them and of what changes beside them, each row once."""
        return len(self.predictions) + len({*self.labels, *self.gone, *beside.shown}) + len(beside.reports)


def known_changes(state: State, migration: Migration) -> KnownChanges:
    """What changes in a state."""
    found = KnownChanges({}, {}, [])
    for item, said in state.rows(_ITEMS):
        before = json.loads(said)
        if (after := migration.prediction(before)) != before:
            found.predictions[item] = json.dumps(after, ensure_ascii=False)
    for number, said in state.rows(_ANSWERS):
        before = json.loads(said)
        after, unsettled = migration.answers(before)
        if unsettled:
            found.gone.append(number)
        elif after != before:
            found.labels[number] = json.dumps(after, ensure_ascii=False)
    return found


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
        _forget(connection, changes.gone)


def _is_same(annotation: Mapping[str, Any] | None, labels: Mapping[str, list[str]], migration: Migration) -> bool:
    """Whether an annotation says nothing else than these labels in the tasks that the migration is about."""
    if annotation is None or rewritten(annotation["result"], migration) is not None:
        return False
    said: dict[str, set[str]] = {task: set() for task in labels}
    for region in annotation["result"]:
        if region.get("from_name") in said:
            said[region["from_name"]].update(region["value"].get("choices", ()))
    return said == {task: set(keys) for task, keys in labels.items()}


def _forget(connection: sqlite3.Connection, annotations: list[int]) -> None:
    connection.executemany(
        "UPDATE annotations SET state = 'deleted' WHERE annotation_id = ?", [(one,) for one in annotations]
    )
