"""Taking in what labelers answered: each version of an annotation once, edits and deletions followed.

The server is asked for what changed since the last pull, a little before that again, and what is known is told by
annotation and time of its last change. All that a pull found is written in one step together with how far it came, so
that one that is stopped at any moment has changed nothing. Nothing depends on being told by the server: hints may be
lost, come twice or out of order.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labeling.pull.annotations import Annotations, as_utc
from labeling.pull.answers import asked_tasks, explain, read_answer
from labeling.pull.asked import asked_since, note_asked
from labeling.pull.changes import Known, View, count_after, gone_from, is_news, look
from labeling.state import State, alone
from models.labels import LabelSchema
from models.progress import Progress
from models.rejects import Reject

if TYPE_CHECKING:
    from label_studio_sdk.client import LabelStudio

#: How far the last pull came: the time of the last change that it saw, by the server's clock.
MARK = "pulled_until"


@dataclass
class Pulled:
    """What a pull found: annotations that are ``new``, ``edited`` or ``deleted`` since the last; how many of the first
    two are ``skipped``. ``rejects`` are those that cannot be used, of this pull or an earlier one; ``notes`` are for a
    person."""

    new: int = 0
    edited: int = 0
    deleted: int = 0
    skipped: int = 0
    rejects: list[Reject] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def pull(
    client: "LabelStudio", project: int, path: Path, schema: LabelSchema, progress: Progress, *, full: bool = False
) -> Pulled:
    """Take in what changed in a project since the last pull; a second pull waits for the first.

    Args:
        client: from :func:`labeling.studio.client.connect`.
        project: id of the project.
        path: its state.
        schema: what labels are read by.
        progress: told of every batch.
        full: compare everything, not only what changed.

    Raises:
        LabelStudioError: the project or the server is away; nothing was written.
    """
    with pulling(path, progress) as state:
        return take_in(client, project, state, schema, progress, full=full)


@contextmanager
def pulling(path: Path, progress: Progress) -> Iterator[State]:
    """The state of a project for a pull and what follows from it; others wait until the block ends."""
    with alone(path.with_suffix(".pull.lock"), "another pull of this project", progress):
        state = State(path)
        try:
            yield state
        finally:
            state.close()


def take_in(
    client: "LabelStudio", project: int, state: State, schema: LabelSchema, progress: Progress, *, full: bool = False
) -> Pulled:
    """What :func:`pull` does, with a state from :func:`pulling`."""
    source = Annotations(client, project)
    known = _known(state)
    asked, notes = asked_tasks(source.about()[0], schema)
    view = look(source, known, None if full else _mark(state), progress)
    if not view.complete and source.about()[1] != count_after(view, known):
        # of many that are deleted at once nothing is told by their tasks
        view = look(source, known, None, progress)
    found = Pulled(notes=notes)
    since = asked_since(state, asked, schema, view.newest or _mark(state))
    rows = list(_read(view, known, schema, {task: since[task] for task in asked}, found))
    gone = gone_from(view, known)
    found.deleted = len(gone)
    _write(state, rows, gone, view.newest, since)
    found.notes += _strangers(state)
    return found


def _known(state: State) -> dict[int, Known]:
    rows = state.rows("SELECT annotation_id, task_id, updated_at, state FROM annotations")
    return {row["annotation_id"]: Known(row["task_id"], row["updated_at"], row["state"]) for row in rows}


def _mark(state: State) -> str | None:
    return next((str(row["value"]) for row in state.rows("SELECT value FROM marks WHERE name = ?", MARK)), None)


def _read(
    view: View, known: Mapping[int, Known], schema: LabelSchema, since: Mapping[str, str], found: Pulled
) -> Iterator[tuple[object, ...]]:
    """Rows of the state for what is new or edited, or can be used now; ``since`` when each task has been asked for."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    for task in view.content:
        for one in task["annotations"]:
            number, at = one["id"], as_utc(one["updated_at"])
            before = known.get(number)
            news = is_news(number, at, known)
            if before is not None and not news and before.state != "unreadable":
                continue
            asked = [task for task, moment in since.items() if at > moment]
            answer = read_answer(one.get("result") or [], schema, asked)
            state = "skipped" if one.get("was_cancelled") else "unreadable" if answer.faults else "live"
            if state == "unreadable":
                place = f"annotation {number} of task {task['id']}"
                found.rejects.append(Reject(place, explain(answer.faults), one["result"]))
            if before is None or before.state == "deleted":
                found.new += 1
            elif news or state != "unreadable":
                found.edited += 1
            else:
                continue
            found.skipped += state == "skipped"
            labels = {} if state == "skipped" else answer.labels
            who = _annotator(one.get("completed_by"), view.people)
            said = json.dumps(labels, ensure_ascii=False)
            shown = _shown(one.get("prediction"), schema, asked)
            yield (
                *(number, at, task["id"], who, state, said, answer.set_aside, answer.note, one.get("lead_time"), now),
                shown,
            )


def _shown(prediction: Any, schema: LabelSchema, asked: list[str]) -> str | None:
    """What the server says that the annotator was shown, as JSON: its model and labels; None where it does not say."""
    model = prediction.get("model_version") if isinstance(prediction, dict) else None
    if not model:
        return None
    said = read_answer(prediction.get("result") or [], schema, asked)
    return None if said.faults else json.dumps({"model": model, "labels": said.labels}, ensure_ascii=False)


def _annotator(user: Any, people: Mapping[int, str]) -> str:
    number = user.get("id") if isinstance(user, dict) else user
    return "unknown" if number is None else people.get(number, f"user {number}")


_UPSERT = """
INSERT INTO annotations
    (annotation_id, updated_at, task_id, annotator, state, labels, set_aside, note, seconds, seen_at, shown)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (annotation_id) DO UPDATE SET
    updated_at = excluded.updated_at, task_id = excluded.task_id, annotator = excluded.annotator,
    state = excluded.state, labels = excluded.labels, set_aside = excluded.set_aside, note = excluded.note,
    seconds = excluded.seconds, seen_at = excluded.seen_at, shown = excluded.shown, unsettled = NULL
"""
#: An answer that is new takes the place of those to its task of which a label was split.
_ANSWERED_ANEW = """
UPDATE annotations SET unsettled = NULL WHERE task_id = ?
AND NOT EXISTS (SELECT 1 FROM annotations WHERE annotation_id = ? AND state = 'live')
"""


def _write(
    state: State, rows: list[tuple[object, ...]], gone: list[int], newest: str | None, since: Mapping[str, str]
) -> None:
    with state.changing() as connection:
        note_asked(connection, since)
        connection.executemany(_ANSWERED_ANEW, [(row[2], row[0]) for row in rows if row[4] == "live"])
        connection.executemany(_UPSERT, rows)
        connection.executemany(
            "UPDATE annotations SET state = 'deleted' WHERE annotation_id = ?", [(one,) for one in gone]
        )
        if newest is not None:
            connection.execute(
                "INSERT INTO marks VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)",
                (MARK, newest),
            )


def _strangers(state: State) -> list[str]:
    (row,) = state.rows(
        "SELECT count(DISTINCT task_id) FROM annotations WHERE state != 'deleted'"
        " AND task_id NOT IN (SELECT task_id FROM items WHERE task_id IS NOT NULL)"
    )
    if not row[0]:
        return []
    return [
        f"{row[0]} answered task(s) are of no item that was pushed from here: they are kept and make no corrections; if"
        " a push was stopped, run it again, and pull"
    ]
