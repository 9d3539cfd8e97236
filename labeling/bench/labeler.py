"""A labeler that knows the right answer to every task and gives it, through the API of Label Studio."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from labeling.pull.answers import Labels
from labeling.push.remote import Remote
from labeling.studio.client import explained
from labeling.studio.interface import TEXT
from models.progress import Advance

if TYPE_CHECKING:
    from label_studio_sdk.client import LabelStudio

#: Answers that are given at a time.
_HANDS = 4
#: Seconds that an answer is said to have taken.
_SECONDS = 5.0


def answer_tasks(
    client: "LabelStudio", project: int, truth: Mapping[str, Labels], most: int | None, advance: Advance
) -> int:
    """Answer the tasks of a project that nobody has answered; how many these were.

    Args:
        client: from :func:`labeling.studio.client.connect`.
        project: its id.
        truth: the right labels of every item by its id.
        most: how many are answered at most; None: all.
        advance: told of every answer.

    Raises:
        LabelStudioError: the server is away or refuses.
    """
    waiting = [task for task in Remote(client, project).tasks() if not task.answered and task.external_id in truth]

    def answer(task: int, labels: Labels) -> None:
        with explained(f"answering task {task}"):
            client.annotations.create(id=task, result=regions(labels), lead_time=_SECONDS)
        advance(1)

    chosen = [(task.id, truth[str(task.external_id)]) for task in waiting[:most]]
    with ThreadPoolExecutor(_HANDS) as hands:
        list(hands.map(lambda pair: answer(*pair), chosen))
    return len(chosen)


def regions(labels: Labels) -> list[dict[str, Any]]:
    """Labels by task as the result of an annotation; a task to which none applies has no region."""
    return [
        {"from_name": task, "to_name": TEXT, "type": "choices", "value": {"choices": list(keys)}}
        for task, keys in labels.items()
        if keys
    ]
