"""What changed on a Label Studio server beside what is known of it: new, edited and deleted annotations."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from labeling.pull.annotations import Annotations, as_utc
from models.progress import Progress

#: A change that began before the mark may have ended after it.
_OVERLAP = timedelta(minutes=2)


class Known(NamedTuple):
    """An annotation in the state."""

    task_id: int
    updated_at: str
    state: str


@dataclass
class View:
    """What the server has: annotations with their times by task, of all tasks if ``complete``; of some the content.

    ``newest`` is when the last of these tasks changed.
    """

    tasks: dict[int, dict[int, str]]
    complete: bool
    newest: str | None
    content: list[dict[str, Any]] = field(default_factory=list)
    people: Mapping[int, str] = field(default_factory=dict)


def look(source: Annotations, known: Mapping[int, Known], mark: str | None, progress: Progress) -> View:
    """What changed since ``mark``, or all; with the content of what is not known."""
    if not known:
        # most is new: everything is read at once
        with progress.stage("reading annotations", None, "tasks") as advance:
            content = list(source.tasks(None, advance))
        view = View({}, True, max((as_utc(task["updated_at"]) for task in content), default=None), content)
    else:
        with progress.stage("looking for what changed"):
            listed = source.listed(None if mark is None else _before(mark))
        newest = max((task.updated_at for task in listed), default=None)
        view = View({task.id: dict(task.annotations) for task in listed}, mark is None, newest)
        unread = {task for task, annotations in view.tasks.items() if _differ(annotations, known)}
        # what could not be used may have become usable by another schema
        unread |= {one.task_id for one in known.values() if one.state == "unreadable"}
        if unread:
            with progress.stage("reading annotations", len(unread), "tasks") as advance:
                view.content = list(source.tasks(unread, advance))
    for task in view.content:
        view.tasks[task["id"]] = {one["id"]: as_utc(one["updated_at"]) for one in task["annotations"]}
    if view.content:
        view.people = source.people()
    return view


def _differ(annotations: Mapping[int, str], known: Mapping[int, Known]) -> bool:
    return any(is_news(one, as_utc(at), known) for one, at in annotations.items())


def is_news(annotation: int, at: str, known: Mapping[int, Known]) -> bool:
    """Whether this version of an annotation was never seen."""
    before = known.get(annotation)
    return before is None or before.updated_at != at or before.state == "deleted"


def gone_from(view: View, known: Mapping[int, Known]) -> list[int]:
    """Known annotations that the server does not have any more."""
    return [
        annotation
        for annotation, one in known.items()
        if one.state != "deleted"
        and (one.task_id in view.tasks or view.complete)
        and annotation not in view.tasks.get(one.task_id, {})
    ]


def count_after(view: View, known: Mapping[int, Known]) -> int:
    """How many annotations there are if nothing happened that the view does not show."""
    others = sum(one.state != "deleted" and one.task_id not in view.tasks for one in known.values())
    return others + sum(map(len, view.tasks.values()))


def _before(mark: str) -> str:
    return as_utc(datetime.fromisoformat(mark) - _OVERLAP)
