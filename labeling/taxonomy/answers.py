"""Answers and predictions of a Label Studio project under new labels."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from labeling.pull.annotations import as_utc
from labeling.pull.answers import key_of
from labeling.studio.client import LabelStudioError, explained
from labeling.studio.interface import CONTEXT
from labeling.studio.tasks import BETWEEN, labelled_before
from models.labels import LabelSchema
from models.migration.moves import Migration, Unsettled
from models.progress import Advance

if TYPE_CHECKING:
    from label_studio_sdk.client import LabelStudio

Result = list[dict[str, Any]]


class Rewritten(NamedTuple):
    """A result under new labels; and the labels by task, as they were, of which one was split."""

    result: Result
    unsettled: Unsettled


def rewritten(result: Sequence[Mapping[str, Any]], migration: Migration) -> Rewritten | None:
    """What a result of Label Studio becomes; None if it stays."""
    found: Result = []
    unsettled: Unsettled = {}
    for region in result:
        task, value = region.get("from_name"), region.get("value")
        choices = value.get("choices") if isinstance(value, Mapping) else None
        labels = [choices] if isinstance(choices, str) else choices
        if task in migration.tasks and isinstance(labels, list):
            keys = [_key(str(one), str(task), migration.old) for one in labels]
            if migration.touches(str(task), keys):
                moved = migration.move(str(task), keys)
                if moved.unsettled:
                    unsettled[str(task)] = tuple(keys)
                if moved.labels:
                    found.append({**region, "value": {**(value or {}), "choices": list(moved.labels)}})
                continue
        found.append(dict(region))
    return None if found == list(result) else Rewritten(found, unsettled)


def _key(choice: str, task: str, schema: LabelSchema | None) -> str:
    # an interface that lost its aliases sends titles
    return (key_of(choice, schema.tasks[task]) if schema else None) or choice


class Touched(NamedTuple):
    """An annotation that changes: its id, when it was changed last, its task, and what becomes of it; ``again`` tells
    that the task is to be answered anew."""

    id: int
    updated_at: str
    task: Mapping[str, Any]
    new: Rewritten

    @property
    def again(self) -> bool:
        """Whether nobody can say any more what was answered."""
        return bool(self.new.unsettled)


def touched(tasks: Sequence[Mapping[str, Any]], migration: Migration) -> list[Touched]:
    """Annotations of exported tasks that change; what was skipped is no answer, and only loses its old labels."""
    found = []
    for task in tasks:
        for one in task["annotations"]:
            new = rewritten(one.get("result") or [], migration)
            if new is not None:
                new = Rewritten(new.result, {}) if one.get("was_cancelled") else new
                found.append(Touched(one["id"], as_utc(one["updated_at"]), task, new))
    return found


def change(client: "LabelStudio", annotations: Sequence[Touched], advance: Advance) -> None:
    """Write annotations anew. One whose label was split is removed, so that its task waits for an answer, and what it
    said of others is left to those who pulled it; before, what was answered is written into the line under the text."""
    for one in annotations:
        with explained(f"changing annotation {one.id}"):
            if one.again:
                data = dict(one.task["data"])
                before = labelled_before(one.new.unsettled) or ""
                if before not in str(data.get(CONTEXT) or ""):
                    data[CONTEXT] = BETWEEN.join(part for part in (data.get(CONTEXT), before) if part)
                    client.tasks.update(id=str(one.task["id"]), data=data)
                client.annotations.delete(id=one.id)
            else:
                client.annotations.update(id=one.id, result=_any(one.new.result))
        advance(1)


def predictions(client: "LabelStudio", project: int, migration: Migration) -> dict[int, Result]:
    """New results of the predictions of a project that change, by their id."""
    with explained(f"reading the predictions of project {project}"):
        listed: list[Any] = client.predictions.list(project=project)
        found = {one.id: rewritten(one.result or [], migration) for one in listed}
    return {number: new.result for number, new in found.items() if new is not None and number is not None}


def change_predictions(client: "LabelStudio", changed: Mapping[int, Result], advance: Advance) -> None:
    """Write predictions anew."""
    for number, result in changed.items():
        with explained(f"changing prediction {number}"):
            client.predictions.update(id=number, result=_any(result))
        advance(1)


def check_use(client: "LabelStudio", project: int, migration: Migration) -> None:
    """Let the server count which labels are in use, which it does not follow when answers change; and see that no old
    one is in a draft, which only its labeler can change.

    Raises:
        LabelStudioError: drafts hold labels that there are no more.
    """
    ask = client._client_wrapper.httpx_client.request
    with explained(f"counting the labels of project {project}"):
        ask(f"api/projects/{project}/summary/reset/", method="POST", json={}).raise_for_status()
        answer = ask(f"api/projects/{project}/summary/", method="GET")
        answer.raise_for_status()
        in_drafts = answer.json().get("created_labels_drafts") or {}
    found = [
        f"{label} ({in_drafts[task][label]})"
        for task, moves in migration.tasks.items()
        for label in sorted(moves.gone & set(in_drafts.get(task, {})))
    ]
    if found:
        raise LabelStudioError(
            f"project {project}: drafts hold labels that there are no more: {', '.join(found)}; have them submitted or"
            " thrown away by those who began them, then run the same command again"
        )


def _any(value: object) -> Any:
    # the client takes plain dictionaries, too, which its annotations do not say
    return value
