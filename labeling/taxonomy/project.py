"""A Label Studio project, as a part of a migration: interface, answers, predictions, and what is known of it here."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from labeling.pull.annotations import Annotations
from labeling.push.remote import Remote
from labeling.state import State, alone
from labeling.studio.client import LabelStudioError
from labeling.studio.interface import TEXT, labeling_interface
from labeling.studio.project import check_interface, set_up_project
from labeling.studio.tasks import EXTERNAL_ID
from labeling.taxonomy.answers import Touched, change, change_predictions, check_use, predictions, touched
from labeling.taxonomy.beside import changes_beside
from labeling.taxonomy.known import change_known, known_changes, set_apart
from models.migration.moves import Migration
from models.migration.parts import Line, Plan
from models.progress import Progress
from models.records import UNSETTLED, LabeledItem

if TYPE_CHECKING:
    from label_studio_sdk.client import LabelStudio

#: How often answers are looked for that came in under old labels meanwhile.
_ROUNDS = 5
#: Answers that a message names.
_NAMED = 10


class Project:
    """A project of a Label Studio server.

    Args:
        client: from :func:`labeling.studio.client.connect`.
        project: its id.
        path: what is known of it, from :func:`labeling.push.queue.state_file`.
        migration: what becomes of labels.
    """

    def __init__(self, client: "LabelStudio", project: int, path: Path, migration: Migration) -> None:
        self._client, self._id, self._path, self._migration = client, project, path, migration

    def plan(self, progress: Progress) -> Plan:
        """How many answers and predictions change; the server checks the new interface.

        Raises:
            SchemaError: Label Studio cannot hold the new schema.
            LabelStudioError: the server is away or refuses, old labels stand in drafts, or answers that a split would
                remove were not pulled.
        """
        interface = labeling_interface(self._migration.new)
        remote = Remote(self._client, self._id)
        check_interface(self._client, interface)
        check_use(self._client, self._id, self._migration)
        changed = touched(self._tasks(progress), self._migration)
        self._check_pulled(changed)
        again = [one for one in changed if one.again]
        said = predictions(self._client, self._id, self._migration)
        where = f"project {self._id}"
        plan = Plan(
            [
                Line(where, "interface", int(remote.config.strip() != interface.strip())),
                Line(where, "annotations", len(changed), len({one.task["id"] for one in again})),
                Line(where, "predictions", len(said)),
            ]
        )
        if self._path.exists():
            with self._state() as state:
                rows = known_changes(state, self._migration).total(changes_beside(state, self._migration))
                plan.lines.append(Line(str(self._path), "rows", rows))
        for one in again:
            data = one.task["data"]
            if data.get(EXTERNAL_ID) is not None:
                labels = {task: list(given) for task, given in one.new.unsettled.items()}
                plan.queue.append({"id": data[EXTERNAL_ID], "text": data[TEXT], "meta": {UNSETTLED: labels}})
        old = self._migration.old
        if remote.config.strip() not in {labeling_interface(one).strip() for one in (old, self._migration.new) if one}:
            plan.notes.append(f"{where}: its interface is not that of the schema before; it is made anew")
        return plan

    def apply(self, queue: Sequence[dict[str, Any]], progress: Progress) -> list[str]:
        """Change answers and predictions one by one, then the interface, and what came in meanwhile; then what is known
        here. Last, what is to be labelled again is put to labelers."""
        with (
            alone(self._path.with_suffix(".lock"), "a push to this project", progress),
            alone(self._path.with_suffix(".pull.lock"), "a pull of this project", progress),
        ):
            if self._path.exists():
                with self._state() as state:
                    set_apart(state, self._migration)
            self._answers(progress)
            said = predictions(self._client, self._id, self._migration)
            with progress.stage("changing predictions", len(said), "predictions") as advance:
                change_predictions(self._client, said, advance)
            check_use(self._client, self._id, self._migration)
            set_up_project(self._client, self._migration.new, project=self._id)
            tasks = self._answers(progress)
            with self._state() as state:
                change_known(state, self._migration, tasks)
        return self._push(queue, progress) if queue else []

    def _push(self, queue: Sequence[dict[str, Any]], progress: Progress) -> list[str]:
        # loads what chooses items, which takes seconds
        from labeling.push.push import enqueue
        from labeling.push.sources import candidate_of

        candidates = []
        for row in queue:
            with suppress(ValidationError):  # of a row that no other command takes either
                candidates.append(candidate_of(LabeledItem.model_validate(row)))
        done = enqueue(self._client, self._id, self._path, candidates, "split", progress)
        shared = f", {done.apart:,} of them as ID#…, since their id has other texts too" if done.apart else ""
        added = f"project {self._id}: {done.added:,} task(s) added to be labelled again{shared}"
        return [added] if done.added else []

    def _answers(self, progress: Progress) -> list[dict[str, Any]]:
        """Bring all answers under new labels; the tasks with them, as they are then."""
        for _ in range(_ROUNDS):
            tasks = self._tasks(progress)
            changed = touched(tasks, self._migration)
            if not changed:
                return tasks
            self._check_pulled(changed)
            with progress.stage("changing answers", len(changed), "answers") as advance:
                change(self._client, changed, advance)
        raise LabelStudioError(
            f"project {self._id}: answers under old labels keep coming in; ask labelers to load the page anew, then run"
            " the same command again"
        )

    def _check_pulled(self, changed: Sequence[Touched]) -> None:
        """Raise LabelStudioError if answers are to be removed of which nobody here knows what else they say."""
        known: dict[int, str] = {}
        if self._path.exists():
            with self._state() as state:
                known = {row[0]: row[1] for row in state.rows("SELECT annotation_id, updated_at FROM annotations")}
        missing = [one for one in changed if one.again and known.get(one.id) != one.updated_at]
        if missing:
            places = ", ".join(f"{one.id} of task {one.task['id']}" for one in missing[:_NAMED])
            raise LabelStudioError(
                f"project {self._id}: expected every answer that has a split label to be pulled, since it is removed"
                f" and what it says of other tasks is kept here; {len(missing):,} were not: {places}; run `feedback"
                f" label pull --project {self._id}` with the labels from before, then the same command again"
            )

    def _tasks(self, progress: Progress) -> list[dict[str, Any]]:
        with progress.stage("reading annotations", None, "tasks") as advance:
            return list(Annotations(self._client, self._id).tasks(None, advance))

    @contextmanager
    def _state(self) -> Iterator[State]:
        state = State(self._path)
        try:
            yield state
        finally:
            state.close()
