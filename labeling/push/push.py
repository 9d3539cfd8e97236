"""Giving items to labelers: chosen, written down, sent; whatever happens in between, each is there once.

Label Studio recognises nothing that is sent twice. So what was chosen is on disk before it is sent, and is sent only
while no task of it is known; after a crash between sending and writing that down, the tasks that are there are found
by the id of their item. Of two pushes to a project the second waits for the first.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from labeling.choice.apart import told_apart
from labeling.choice.selection import Candidate, Chosen, Mix, Selection, Why, choose
from labeling.push import queue
from labeling.push.remote import BATCH, Remote
from labeling.push.settle import look
from labeling.push.sources import Source
from labeling.push.update import Updated, update
from labeling.state import State, alone
from labeling.studio.client import LabelStudioError
from labeling.studio.tasks import check_predictions, shown_prediction, task_data
from models.progress import Progress
from models.text import fingerprint

if TYPE_CHECKING:
    from label_studio_sdk.client import LabelStudio


@dataclass(frozen=True)
class Pushed:
    """What a push came to.

    ``added`` tasks in all, newly chosen ones by ``why``, ``blind`` of them without a prediction; ``resumed``, which an
    earlier push had chosen and not sent; ``found``, which it had sent without writing that down; ``removed``, which
    were there twice; ``updated``, which show another model now; ``without`` a prediction, since the source does not
    tell the present model's; ``open``, which wait for an answer; ``apart``, newly chosen ones whose id was made of one
    that other texts have too.
    """

    added: int
    why: Mapping[str, int]
    blind: int
    resumed: int
    found: int
    removed: int
    updated: int
    without: int
    open: int
    apart: int


def push(
    client: "LabelStudio",
    project: int,
    path: Path,
    source: Source,
    n: int,
    mix: Mix,
    progress: Progress,
    *,
    seed: int | None = None,
    batch: int = BATCH,
) -> Pushed:
    """Fill a project up to ``n`` open tasks.

    A second push therefore adds nothing until labelers have answered and their answers were pulled.

    Args:
        client: from :func:`labeling.studio.client.connect`.
        project: id of the project.
        path: its state, from :func:`labeling.push.queue.state_file`.
        source: where the items come from; it is read after what was left over has been sent.
        n: how many tasks shall be open.
        mix: what is chosen; its seed is that of the project's first push.
        progress: told of every batch.
        seed: that of ``mix`` if a person gave one.
        batch: tasks of one request.

    Raises:
        LabelStudioError: the project or the server is away; what was done stays, and the same call goes on.
        SchemaError: the project's interface has not the labels of a prediction; nothing was sent.
        ConfigError: ``seed`` is another than that of the project.
    """
    with alone(path.with_suffix(".lock"), "another push to this project", progress):
        remote = Remote(client, project)
        state = State(path)
        try:
            mix = mix.model_copy(update={"seed": queue.settle_seed(state, seed, mix.seed)})
            return _push(remote, state, source, n, mix, progress, batch)
        except LabelStudioError as error:
            left = len(queue.unsent(state))
            kept = f"; {left:,} chosen item(s) are kept, the same command sends them" if left else ""
            raise LabelStudioError(f"{error}{kept}", error.status) from None
        finally:
            state.close()


class Enqueued(NamedTuple):
    """How many tasks were added; ``apart``, new ones whose id was made of one that other texts have too."""

    added: int
    apart: int


def enqueue(
    client: "LabelStudio", project: int, path: Path, candidates: Sequence[Candidate], why: Why, progress: Progress
) -> Enqueued:
    """Give all of these to labelers, whatever the model says of them, those excepted that are there already.

    They are in no audit, and nothing that is measured on one counts them.

    Raises:
        LabelStudioError: as :func:`push`; the same call goes on.
    """
    with alone(path.with_suffix(".lock"), "another push to this project", progress):
        remote = Remote(client, project)
        state = State(path)
        try:
            there = look(remote, state, progress)
            _send(remote, state, progress, BATCH)
            known = there.foreign | queue.known_texts(state)
            texts = {fingerprint(text) for text in known.values()}
            fresh = {
                mark: one for one in told_apart(candidates, known) if (mark := fingerprint(one.item.text)) not in texts
            }
            chosen = [Chosen(one, why, None, blind=False) for one in fresh.values()]
            queue.add(state, Selection(chosen, 0.0, []), list(fresh.values()))
            return Enqueued(_send(remote, state, progress, BATCH), sum(one.apart for one in fresh.values()))
        finally:
            state.close()


def preview(path: Path, source: Source, n: int, mix: Mix) -> Selection:
    """What :func:`push` would choose, as far as it is known without the server; nothing is written."""
    candidates = source.read()
    if not path.exists():
        return choose(candidates, n, mix)
    state = State(path)
    try:
        mix = mix.model_copy(update={"seed": queue.seed_of(state, mix.seed)})
        return choose(candidates, n - len(queue.open_items(state)), mix, queue.known_texts(state))
    finally:
        state.close()


def _push(remote: Remote, state: State, source: Source, n: int, mix: Mix, progress: Progress, batch: int) -> Pushed:
    left = queue.unsent(state)
    there = look(remote, state, progress)
    found = len(left) - len(queue.unsent(state))
    resumed = _send(remote, state, progress, batch)
    known = there.foreign | queue.known_texts(state)
    candidates = told_apart(source.read(), known)
    version = source.version(candidates)
    changed = update(remote, state, source, candidates, version, there.gone, progress) if version else Updated(0, 0)
    add = n - len(queue.open_items(state, there.gone))
    selection = choose(candidates, add, mix, known)
    chosen = source.up_to_date([one.candidate for one in selection.chosen], version)
    check_predictions(
        remote.interface,
        ((one.id, shown_prediction(one.prediction)) for one in chosen if one.prediction is not None),
    )
    queue.add(state, selection, chosen)
    added = _send(remote, state, progress, batch)
    if resumed:
        # the server may have finished what it was sent before the crash only now
        there = look(remote, state, progress, removed=there.removed)
    still_open = queue.open_items(state, there.gone)
    _face(remote, version, still_open)
    return Pushed(
        added=added,
        why=dict(Counter(one.why for one in selection.chosen)),
        blind=sum(one.blind for one in selection.chosen),
        resumed=resumed,
        found=found,
        removed=there.removed,
        updated=changed.updated,
        without=changed.without + sum(one.prediction is None for one in chosen),
        open=len(still_open),
        apart=sum(one.candidate.apart for one in selection.chosen),
    )


def _send(remote: Remote, state: State, progress: Progress, size: int) -> int:
    """Send what is waiting; how many that were."""
    waiting = queue.unsent(state)
    if not waiting:
        return 0
    shown = [None if one.shown is None else shown_prediction(one.shown) for one in waiting]
    check_predictions(
        remote.interface, ((one.item_id, said) for one, said in zip(waiting, shown, strict=True) if said is not None)
    )
    with progress.stage(f"sending to project {remote.id}", len(waiting), "tasks") as advance:
        for start in range(0, len(waiting), size):
            batch = waiting[start : start + size]
            tasks = [
                {"data": task_data(one.item_id, one.item, blind=one.blind)} | ({"predictions": [said]} if said else {})
                for one, said in zip(batch, shown[start : start + size], strict=True)
            ]
            ids = remote.send(tasks)
            if len(ids) != len(batch):
                raise LabelStudioError(
                    f"adding tasks to project {remote.id}: expected the ids of {len(batch):,} tasks, got {len(ids):,}"
                )
            queue.set_tasks(state, {one.item_id: task_id for one, task_id in zip(batch, ids, strict=True)})
            advance(len(batch))
    return len(waiting)


def _face(remote: Remote, version: str | None, still_open: Iterable[queue.Chosen]) -> None:
    """Let the project show the present model, if no open task shows another."""
    shown = {one.model_version for one in still_open if one.shown is not None}
    if version is not None and shown == {version} and remote.model_version != version:
        remote.show_version(version)
