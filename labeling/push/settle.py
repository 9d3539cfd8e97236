"""Making the state of a project and what is on the server agree."""

from dataclasses import dataclass

from labeling.push import queue
from labeling.push.remote import Remote, RemoteTask
from labeling.state import State
from models.progress import Progress


@dataclass(frozen=True)
class There:
    """What was found on the server: texts that others put there, by their id; tasks that are gone; and how many were
    removed because they were there twice."""

    foreign: dict[str, str]
    gone: frozenset[int]
    removed: int


def look(remote: Remote, state: State, progress: Progress, removed: int = 0) -> There:
    """Find the tasks of items of which none is known, and remove those that are there twice.

    The server is asked only if it has another number of tasks than are known, or items wait to be sent. Of tasks of one
    item an answered one is kept, and no answered one is ever removed.

    Raises:
        LabelStudioError: the server is away or refuses.
    """
    ours, waiting = queue.task_ids(state), {one.item_id for one in queue.unsent(state)}
    if remote.count == len(ours) and not waiting:
        return There({}, frozenset(), removed)
    if not remote.count:
        return There({}, frozenset(ours.values()), removed)
    with progress.stage("looking for what is there already"):
        listed = list(remote.tasks())
    by_item: dict[str, list[RemoteTask]] = {}
    foreign = {}
    for task in listed:
        if task.external_id in ours or task.external_id in waiting:
            by_item.setdefault(str(task.external_id), []).append(task)
        elif task.external_id is not None:
            foreign[task.external_id] = task.text
    kept, twice = {}, []
    for item_id, tasks in by_item.items():
        # an answer is kept whatever was written down
        best, *others = sorted(tasks, key=lambda task: (not task.answered, task.id != ours.get(item_id), task.id))
        if best.id != ours.get(item_id):
            kept[item_id] = best.id
        twice += [task.id for task in others if not task.answered]
    queue.set_tasks(state, kept)
    if twice:
        remote.remove(twice)
        remote.count -= len(twice)
    gone = set(queue.task_ids(state).values()) - {task.id for task in listed}
    return There(foreign, frozenset(gone), removed + len(twice))
