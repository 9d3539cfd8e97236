"""What corrections are worth: train, push, answer, pull, train again, measure, as a user does it, against chance."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from labeling.bench.labeler import answer_tasks
from labeling.bench.material import DEV, TRAIN, Size, draw
from labeling.bench.run import Run
from labeling.studio.client import connect
from labeling.studio.project import set_up_project
from labeling.studio.server import Studio
from models.errors import FeedbackError
from models.labels import LabelSchema
from models.progress import Advance, Progress

if TYPE_CHECKING:
    from label_studio_sdk.client import LabelStudio

Figures = dict[str, Any]

#: What is trained on beside the first rows: what the product chose, and what chance did.
_ARMS = ("chosen", "chance")
#: Steps of one run that are told.
_STEPS = 9


def measure(
    sets: Sequence[Path],
    seeds: Sequence[int],
    size: Size,
    encoder: str,
    studio: Studio,
    folder: Path,
    progress: Progress,
) -> list[Figures]:
    """Every set with every seed.

    A run trains on ``size.base`` rows, lets the product choose ``size.answers`` of the pool, has them answered with
    their true labels in Label Studio, pulls, trains on both and measures on the set's dev rows; and it trains once
    more on as many rows by chance in place of those chosen.

    Args:
        sets: folders with train and dev rows.
        seeds: each decides another choice of rows.
        size: how many rows.
        encoder: as `feedback train` takes it.
        studio: the Label Studio in which is answered.
        folder: where files lie; it is empty.
        progress: told of every step.

    Returns:
        A row a set, seed and task: ``set``, ``seed``, ``task``, macro-F1 ``before``, ``chosen`` and ``chance``;
        ``why``, what was chosen for which reason; and the ``commands`` in their order.

    Raises:
        FeedbackError: a command failed, with the last that it said.
        DataError: a set has too few rows.
        LabelStudioError: the server is away or refuses.
    """
    rows: list[Figures] = []
    client = connect(studio.url, studio.key)
    with progress.stage("correction loop", len(sets) * len(seeds) * _STEPS, "steps") as advance:
        for source in sets:
            for seed in seeds:
                run = Run(folder / f"{source.name}-{seed}", studio, folder / "commands.log")
                rows += _run(run, source.absolute(), seed, size, encoder, client, advance)
    return rows


def _run(
    run: Run, source: Path, seed: int, size: Size, encoder: str, client: "LabelStudio", advance: Advance
) -> list[Figures]:
    run.feedback("labels", "init", "--data", str(source / TRAIN), "--out", "labels.toml")
    schema = LabelSchema.load(run.folder / "labels.toml")
    drawn = draw(source, schema, size, seed, run.folder)
    common = ["--labels", "labels.toml", "--encoder", encoder, "--set", f"seed={seed}", "--set", "threads=1"]

    def trained(model: str, *data: str) -> dict[str, float]:
        files = [part for name in data for part in ("--data", name)]
        run.feedback("train", *files, *common, "--out", model)
        advance(1)
        figures = f"{model}.json"
        run.feedback("evaluate", "--model", model, "--data", str(source / DEV), "--threads", "1", "--json", figures)
        advance(1)
        found = json.loads((run.folder / figures).read_text(encoding="utf-8"))
        return {task: each["macro_f1"] for task, each in found["tasks"].items()}

    before = trained("before", drawn.base.name)
    project = set_up_project(client, schema, title=f"{source.name} {seed}").id
    wanted = ["--project", str(project), "--from", drawn.pool.name, "--n", str(size.answers)]
    pushed = json.loads(run.feedback("label", "push", *wanted, "--model", "before", "--json").output)
    advance(1)
    answered = answer_tasks(client, project, drawn.truth, None, lambda units: None)
    advance(1)
    run.feedback("label", "pull", "--project", str(project), "--labels", "labels.toml", "--out", "corrections.jsonl")
    came = len((run.folder / "corrections.jsonl").read_text(encoding="utf-8").splitlines())
    if not answered == came == pushed["added"]:
        raise FeedbackError(f"expected as many corrections as were pushed, {pushed['added']}, got {came} of {answered}")
    advance(1)
    chosen = trained("chosen", drawn.base.name, "corrections.jsonl")
    chance = trained("chance", drawn.base.name, drawn.chance.name)
    return [
        {
            "set": source.name,
            "seed": seed,
            "task": task,
            "before": before[task],
            "chosen": chosen[task],
            "chance": chance[task],
            "answers": came,
            "why": pushed["why"],
            "commands": run.commands,
        }
        for task in before
    ]


def gain(row: Mapping[str, Any], arm: str) -> float:
    """How much macro-F1 rose for every hundred answers."""
    return float((row[arm] - row["before"]) / row["answers"] * 100)


def summary(rows: Sequence[Mapping[str, Any]]) -> list[Figures]:
    """By set, and in it by task and over all tasks: the means over the seeds.

    ``gain_chosen`` and ``gain_chance`` are those for every hundred answers, ``spread_…`` their standard deviation over
    the seeds (None of one seed); ``reached`` tells whether the choice gained, and more than chance did.
    """
    found = []
    for name in dict.fromkeys(row["set"] for row in rows):
        of_set = [row for row in rows if row["set"] == name]
        tasks = list(dict.fromkeys(row["task"] for row in of_set))
        for task in [*tasks, *(["all"] if len(tasks) > 1 else [])]:
            seeds: dict[int, list[Mapping[str, Any]]] = {}
            for row in of_set:
                if task in (row["task"], "all"):
                    seeds.setdefault(row["seed"], []).append(row)
            gains = {arm: [mean(gain(row, arm) for row in some) for some in seeds.values()] for arm in _ARMS}
            means = {arm: mean(each) for arm, each in gains.items()}
            found.append(
                {
                    "set": name,
                    "task": task,
                    **{
                        arm: mean(mean(row[arm] for row in some) for some in seeds.values())
                        for arm in ("before", *_ARMS)
                    },
                    **{f"gain_{arm}": value for arm, value in means.items()},
                    **{f"spread_{arm}": stdev(each) if len(each) > 1 else None for arm, each in gains.items()},
                    "reached": means["chosen"] > max(0, means["chance"]),
                }
            )
    return found
