"""How long a command takes that has hardly anything to do: the start of Python, of the program, and of a model."""

import json
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

from models import artifact
from models.processes import watch_python
from models.progress import Progress

#: Seconds that the project allows itself, for each model with and without a transformer.
HELP, LINEAR, TRANSFORMER = 0.5, 1.5, 4.0


def bench_start(model: Path, progress: Progress, *, repeats: int = 5) -> list[dict[str, Any]]:
    """Seconds of each command, in turns: what it is, all that was measured, the median, the bound or None.

    Args:
        model: which classifies one text.
        progress: is told how far it is.
        repeats: how often each is run, after a first time that fills the caches of the disk.

    Raises:
        FeedbackError: a command failed.
    """
    bound = TRANSFORMER if (model / artifact.TRANSFORMER).is_dir() else LINEAR
    found = defaultdict(list)
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
                    seconds = watch_python(arguments, folder / "log").seconds
                    if turn:
                        found[what].append(round(seconds, 3))
                advance(1)
    return [
        {"command": what, "seconds": found[what], "median": median(found[what]), "bound": most}
        for what, (_, most) in commands.items()
    ]


def row_of(one: dict[str, Any]) -> list[str]:
    """A command for people: median, lowest to highest, the bound and whether the median keeps it."""
    low, middle, high, bound = min(one["seconds"]), one["median"], max(one["seconds"]), one["bound"]
    kept = ["", ""] if bound is None else [f"< {bound}", "kept" if middle < bound else "missed"]
    return [one["command"], f"{middle:.2f}", f"{low:.2f}–{high:.2f}", *kept]
