"""How long a command takes that has hardly anything to do: the start of Python, of the program, and of a model."""

import json
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

from models import artifact
from models.figures import Figure, at_most
from models.processes import Watched, watch_python
from models.progress import Progress

#: Seconds that the project allows itself, for each model with and without a transformer.
HELP, LINEAR, TRANSFORMER = 0.5, 1.5, 4.0


def bench_start(model: Path, progress: Progress, *, repeats: int = 5) -> list[dict[str, Any]]:
    """Seconds of each command, in turns: what it is, all that was measured, the median, the median of what it used of
    processors (other work on the machine does not lengthen that), and the bound or None.

    Args:
        model: which classifies one text.
        progress: is told how far it is.
        repeats: how often each is run, after a first time that fills the caches of the disk.

    Raises:
        FeedbackError: a command failed.
    """
    bound = TRANSFORMER if (model / artifact.TRANSFORMER).is_dir() else LINEAR
    found: dict[str, list[Watched]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="feedback-bench-") as name:
        folder = Path(name)
        (folder / "in.jsonl").write_text(json.dumps({"text": "The parcel came late"}), encoding="utf-8")
        files = ["--in", str(folder / "in.jsonl"), "--out", str(folder / "out.jsonl")]
        commands: dict[str, tuple[list[str], float | None]] = {
            "python -c pass": (["-c", "pass"], None),
            "feedback --help": (["-m", "feedback", "--help"], HELP),
            "feedback classify, one text": (["-m", "feedback", "classify", "--model", str(model), *files], bound),
        }
        with progress.stage("starting commands", repeats + 1, "rounds") as advance:
            for turn in range(repeats + 1):
                for what, (arguments, _) in commands.items():
                    ran = watch_python(arguments, folder / "log")
                    if turn:
                        found[what].append(ran)
                advance(1)
    return [
        {
            "command": what,
            "seconds": [round(run.seconds, 3) for run in runs],
            "median": round(median(run.seconds for run in runs), 3),
            "cpu": round(median(run.cpu for run in runs), 3),
            "bound": commands[what][1],
        }
        for what, runs in found.items()
    ]


def bars(found: list[dict[str, Any]]) -> list[Figure]:
    """Medians beside their bounds."""
    return [at_most(one["command"], "s", [one["median"]], one["bound"]) for one in found if one["bound"] is not None]


def row_of(one: dict[str, Any]) -> list[str]:
    """A command for people: median, lowest to highest, of processors, the bound and whether the median keeps it."""
    low, middle, high, bound = min(one["seconds"]), one["median"], max(one["seconds"]), one["bound"]
    kept = ["", ""] if bound is None else [f"< {bound}", "kept" if middle < bound else "missed"]
    return [one["command"], f"{middle:.2f}", f"{low:.2f}–{high:.2f}", f"{one['cpu']:.2f}", *kept]
