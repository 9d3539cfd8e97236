"""What stands beside the answers in a state, under new labels: what labelers were shown, and what was handed on."""

import json
import sqlite3
from typing import NamedTuple

from labeling.pull.handed import content_of
from labeling.state import State
from models.migration.moves import Migration

_SHOWN = "SELECT annotation_id, shown FROM annotations WHERE shown IS NOT NULL"
_REPORTS = "SELECT item_id, content FROM reports WHERE content IS NOT NULL"


class Beside(NamedTuple):
    """What changes: what was shown by annotation, what was handed on by item."""

    shown: dict[int, str]
    reports: dict[str, str]


def changes_beside(state: State, migration: Migration) -> Beside:
    """What changes in a state."""
    found = Beside({}, {})
    for number, said in state.rows(_SHOWN):
        before = json.loads(said)
        # as in a prediction: of a label that was split nothing is left
        labels = {task: list(migration.move(task, keys).labels) for task, keys in before["labels"].items()}
        if labels != before["labels"]:
            found.shown[number] = json.dumps({**before, "labels": labels}, ensure_ascii=False)
    for item, content in state.rows(_REPORTS):
        before = json.loads(content)
        # the service has it under the new labels by a migration of its own: it is no other correction
        after, _ = migration.answers(before["labels"])
        if (changed := content_of(after, before["annotations"])) != content:
            found.reports[item] = changed
    return found


def change_beside(connection: sqlite3.Connection, changes: Beside) -> None:
    """Change it, in the transaction that changes the answers too."""
    connection.executemany(
        "UPDATE annotations SET shown = ? WHERE annotation_id = ?",
        [(said, number) for number, said in changes.shown.items()],
    )
    connection.executemany(
        "UPDATE reports SET content = ? WHERE item_id = ?",
        [(content, item) for item, content in changes.reports.items()],
    )
