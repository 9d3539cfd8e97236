"""Since when a project asks for each task: that an earlier answer has no label of it does not say that none applies."""

import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from labeling.pull.annotations import Annotations
from labeling.pull.answers import asked_tasks
from labeling.state import State, alone
from models.labels import LabelSchema
from models.progress import Progress

if TYPE_CHECKING:
    from label_studio_sdk.client import LabelStudio

#: Tasks that the project asks for, as JSON: with each the time of the last answer from before, empty if there is none.
_ASKED = "asked_since"


def asked_since(state: State, asked: Collection[str], schema: LabelSchema, newest: str | None) -> dict[str, str]:
    """The time after which answers are to each task that is asked for now.

    Args:
        state: what is known of the project.
        asked: tasks that it asks for now.
        schema: the tasks that are looked at; others stay as they are known.
        newest: when the last thing changed that is seen now: before it, a task may not have been asked for that was not
            when this was last noted.
    """
    rows = state.rows("SELECT value FROM marks WHERE name = ?", _ASKED)
    if not rows:
        return dict.fromkeys(asked, "")
    known: dict[str, str] = json.loads(rows[0]["value"])
    others = {task: at for task, at in known.items() if task not in schema.tasks}
    return others | {task: known.get(task, newest or "") for task in asked}


def note_asked(connection: sqlite3.Connection, since: Mapping[str, str]) -> None:
    """Write it."""
    connection.execute("INSERT OR REPLACE INTO marks VALUES (?, ?)", (_ASKED, json.dumps(since)))


@contextmanager
def changing_interface(
    client: "LabelStudio", project: int, path: Path, schema: LabelSchema, progress: Progress
) -> Iterator[None]:
    """Note in the state of a project which tasks its interface gets in the block.

    It is noted before, too, so that a pull after one that was stopped in between sees that there are new ones.
    """
    source = Annotations(client, project)
    with alone(path.with_suffix(".pull.lock"), "a pull of this project", progress):
        state = State(path)
        try:
            _look(state, source, schema, None)
            yield
            with progress.stage("looking for answers from before"):
                newest = max((task.updated_at for task in source.listed()), default=None)
            _look(state, source, schema, newest)
        finally:
            state.close()


def _look(state: State, source: Annotations, schema: LabelSchema, newest: str | None) -> None:
    since = asked_since(state, asked_tasks(source.about()[0], schema)[0], schema, newest)
    with state.changing() as connection:
        note_asked(connection, since)
