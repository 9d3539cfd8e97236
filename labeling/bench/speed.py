"""How long pushing and pulling take, as commands against a real Label Studio."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from labeling.bench.labeler import answer_tasks
from labeling.bench.run import Run
from labeling.pull.answers import Labels
from labeling.studio.client import connect
from labeling.studio.project import set_up_project
from labeling.studio.server import Studio
from models.errors import FeedbackError
from models.files import atomic_write
from models.labels import LabelSchema
from models.progress import Progress
from models.records import ModelName, Prediction, TaskPrediction

_WORDS = ("late", "broken", "refund", "battery", "parcel", "invoice", "login", "kind", "cheap", "again", "never", "app")


class Speed(NamedTuple):
    """How many items were pushed and how many corrections pulled, and the seconds of both commands as a whole."""

    pushed: int
    push_seconds: float
    pulled: int
    pull_seconds: float


def time_commands(
    items: int, answers: int, schema: LabelSchema, studio: Studio, folder: Path, progress: Progress
) -> Speed:
    """Push made-up items with predictions, answer some, pull the corrections; what the commands take.

    Args:
        items: how many are pushed.
        answers: how many of them are answered.
        schema: the labels; the one that comes with the project.
        studio: the Label Studio.
        folder: where files lie; it is empty.
        progress: told of every answer.

    Raises:
        FeedbackError: a command failed, or not everything arrived.
        LabelStudioError: the server is away or refuses.
    """
    run = Run(folder / "speed", studio, folder / "commands.log")
    truth: dict[str, Labels] = {}
    with atomic_write(run.folder / "items.jsonl") as file:
        for row, labels in _made_up(items, schema):
            truth[row["id"]] = labels
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    client = connect(studio.url, studio.key)
    project = str(set_up_project(client, schema, title="speed").id)
    with progress.stage(f"pushing {items:,} items"):
        push = run.feedback(
            *("label", "push", "--project", project, "--from", "items.jsonl", "--n", str(items)), "--json"
        )
    pushed = json.loads(push.output)["added"]
    with progress.stage("answering", answers, "tasks") as advance:
        answer_tasks(client, int(project), truth, answers, advance)
    with progress.stage(f"pulling {answers:,} corrections"):
        pull = run.feedback("label", "pull", "--project", project, "--out", "corrections.jsonl")
    pulled = len((run.folder / "corrections.jsonl").read_text(encoding="utf-8").splitlines())
    if (pushed, pulled) != (items, answers):
        raise FeedbackError(f"expected {items:,} items and {answers:,} corrections, got {pushed:,} and {pulled:,}")
    return Speed(pushed, push.seconds, pulled, pull.seconds)


def _made_up(count: int, schema: LabelSchema) -> Iterator[tuple[dict[str, Any], Labels]]:
    """Items with what a model said of them, and what is right, which is something else for one in three."""
    chance = random.Random(13)
    for number in range(count):
        tasks, labels = {}, {}
        for name, task in schema.tasks.items():
            first, second = chance.sample(task.keys, 2)
            confidence = chance.uniform(0.5, 0.99)
            others = (1 - confidence) / (len(task.keys) - 1)
            tasks[name] = TaskPrediction(
                labels=(first,),
                confidence=confidence,
                abstained=confidence < 0.6,
                probabilities={key: confidence if key == first else others for key in task.keys},
            )
            labels[name] = (second if number % 3 == 0 else first,)
        said = Prediction(
            tasks=tasks,
            language="en",
            truncated=False,
            tier="linear",
            model=ModelName(name="made-up", version="1"),
            label_schema=schema.digest,
        )
        text = f"{' '.join(chance.choices(_WORDS, k=chance.randint(5, 40)))} {number}"
        yield {"id": f"item-{number}", "text": text, "prediction": said.model_dump(mode="json")}, labels
