"""Showing open tasks what a new model says."""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from labeling.choice.selection import Candidate
from labeling.push import queue
from labeling.push.remote import PREDICTIONS, Remote
from labeling.push.sources import Source
from labeling.state import State
from labeling.studio.tasks import check_predictions, shown_prediction
from models.progress import Progress


class Updated(NamedTuple):
    """How many tasks show another prediction, and how many none, since nobody could tell the new one."""

    updated: int
    without: int


def update(
    remote: Remote,
    state: State,
    source: Source,
    candidates: Sequence[Candidate],
    version: str,
    gone: Collection[int],
    progress: Progress,
) -> Updated:
    """Bring open tasks to the predictions of a model, since a project shows those of one.

    Blind tasks stay without one, and finished tasks keep, in the state, what they were answered with. One that waits
    for a further annotator is open, too: what an answer of before was given with, the server says. An update that was
    interrupted is done again from its beginning, so that no task has two predictions of a model.

    Args:
        remote: the project.
        state: what is known of it.
        source: tells what the model says of items that are not among the candidates.
        candidates: all items of the source.
        version: the model.
        gone: tasks that the server does not have any more.
        progress: told of every batch.

    Raises:
        SchemaError: the project's interface has not the labels of a prediction; nothing was changed.
        LabelStudioError: the server is away or refuses.
    """
    again = queue.interrupted_update(state)
    sent = [one for one in queue.open_items(state, gone) if one.task_id is not None and not one.blind]
    begun = [
        one
        for one in (queue.answered_items(state, gone) if remote.annotators > 1 else [])
        if not one.blind and (again is not None or one.model_version not in (None, version))
    ]
    if not _others(sent, version) and not begun and again is None:
        return Updated(0, 0)
    finished = remote.finished()
    sent += [one for one in begun if one.task_id not in finished]
    old = _others(sent, version)
    if not old and again is None:
        return Updated(0, 0)
    wanted = [one for one in sent if one.task_id not in finished and (again is not None or one.model_version in old)]
    listed = {one.id: one.prediction for one in candidates}
    known = [Candidate(one.item_id, one.item, listed.get(one.item_id) or one.prediction) for one in wanted]
    said = [one.prediction for one in source.up_to_date(known, version)]
    new = list(zip(wanted, said, strict=True))
    shown = [(one, shown_prediction(prediction)) for one, prediction in new if prediction is not None]
    check_predictions(remote.interface, ((one.item_id, prediction) for one, prediction in shown))
    if again is not None:
        remote.drop_version(again)
    queue.begin_update(state, version)
    with progress.stage(f"showing {version}", len(shown), "tasks") as advance:
        for start in range(0, len(shown), PREDICTIONS):
            batch = shown[start : start + PREDICTIONS]
            remote.add_predictions([{"task": one.task_id, **prediction} for one, prediction in batch])
            advance(len(batch))
    if shown:
        remote.show_version(version)
    queue.set_predictions(state, new)
    # last, since it takes long and is no more than tidy: a project shows one version
    for name in sorted(old):
        with progress.stage(f"removing {name}"):
            remote.drop_version(name)
    return Updated(len(shown), len(new) - len(shown))


def _others(items: Iterable[queue.Chosen], version: str) -> set[str]:
    """Models other than this that items show."""
    return {one.model_version for one in items if one.model_version not in (None, version)}
