"""What classifying a file costs as it grows: seconds and memory, each run in a process of its own."""

import json
import math
import random
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import linear_regression, median
from typing import Any

from models.errors import ConfigError
from models.formats import json_rows
from models.processes import Watched, watch_python
from models.progress import Progress

#: Rows of the files.
ROWS = (10_000, 30_000, 100_000, 300_000, 1_000_000)
#: Files of more rows than these are classified once.
REPEATED = 30_000
#: Real texts, of which others are made.
_TEXTS = Path(__file__).parent.parent / "data/starter/train.jsonl"

#: As :func:`bench_files` gives it.
Growth = dict[str, Any]


def bench_files(
    model: Path, progress: Progress, *, rows: Sequence[int] = ROWS, repeats: int = 3, threads: int | None = None
) -> Growth:
    """Time and memory of `feedback classify` over files of so many rows, from the start of the command to its end.

    Returns ``sizes``, for each what was measured and the medians; ``start``, the same of a file of one row;
    ``exponent``, the power of the rows by which the seconds beyond those of the start grow (1 is linear), and
    ``cpu_exponent``, the same of the seconds of processors, which other work on the machine does not lengthen; and
    ``memory_growth``, the memory at the most rows by that at the fewest.

    Args:
        model: which classifies.
        progress: is told how far it is.
        rows: of each file, two sizes at least.
        repeats: of files of up to REPEATED rows; larger ones are run once.
        threads: compute threads; None for the free cores.

    Raises:
        ConfigError: there are too few sizes.
        FeedbackError: the command failed.
    """
    sizes = sorted(set(rows))
    if len(sizes) < 2 or sizes[0] < 2:
        raise ConfigError(f"--rows: expected at least two sizes, each of at least 2 rows, got {sizes}")
    often = {size: repeats if size <= REPEATED else 1 for size in (1, *sizes)}
    options = [] if threads is None else ["--threads", str(threads)]
    found: dict[int, list[Watched]] = defaultdict(list)
    with (
        tempfile.TemporaryDirectory(prefix="feedback-bench-") as folder,
        progress.stage("classifying files", sum(size * times for size, times in often.items()), "texts") as advance,
    ):
        for size, times in often.items():
            data = _written(Path(folder) / "in.jsonl", size)
            for _ in range(times):
                found[size].append(_classified(model, data, options))
                advance(size)
    one, *measured = [_medians(size, runs) for size, runs in found.items()]
    return {
        "model": str(model),
        "start": one,
        "sizes": measured,
        "exponent": _exponent(measured, one, "seconds"),
        "cpu_exponent": _exponent(measured, one, "cpu_seconds"),
        "memory_growth": round(measured[-1]["memory_mb"] / measured[0]["memory_mb"], 3),
    }


def varied_texts(count: int, seed: int = 0) -> Iterator[tuple[str, str]]:
    """So many distinct texts with their language: the beginning of one real text, the end of another of the same
    language, and a number, so that nothing that remembers texts is of use."""
    chance = random.Random(seed)
    by_language = defaultdict(list)
    for _, row in json_rows(_TEXTS):
        if isinstance(row, dict):
            by_language[row["language"]].append(row["text"])
    languages = [language for language, texts in by_language.items() for _ in texts]
    for number in range(count):
        language = chance.choice(languages)
        begin, end = (chance.choice(by_language[language]) for _ in range(2))
        between = "" if language.startswith("zh") else " "  # Chinese is written without blanks
        first, second = (text.split(between) if between else list(text) for text in (begin, end))
        words = [*first[: (len(first) + 1) // 2], *second[len(second) // 2 :]]
        yield f"{between.join(words)} ({number})", language


def _written(path: Path, rows: int) -> Path:
    with path.open("w", encoding="utf-8") as file:
        for number, (text, _) in enumerate(varied_texts(rows)):
            file.write(json.dumps({"id": str(number), "text": text}, ensure_ascii=False) + "\n")
    return path


def _classified(model: Path, data: Path, options: list[str]) -> Watched:
    out = data.with_name("out.jsonl")
    own = ["classify", "--model", str(model), "--in", str(data), "--out", str(out), *options]
    ran = watch_python(["-m", "feedback", *own], data.with_name("log"))
    out.unlink()
    return ran


def _medians(rows: int, runs: list[Watched]) -> dict[str, Any]:
    told = [
        {"seconds": round(run.seconds, 3), "cpu_seconds": round(run.cpu, 3), "memory_mb": round(run.memory, 1)}
        for run in runs
    ]
    return {"rows": rows, **{name: median(run[name] for run in told) for name in told[0]}, "runs": told}


def _exponent(measured: list[dict[str, Any]], start: dict[str, Any], name: str) -> float:
    """The slope of seconds against rows, both as logarithms."""
    seconds = [math.log(max(size[name] - start[name], 1e-3)) for size in measured]
    return round(linear_regression([math.log(size["rows"]) for size in measured], seconds).slope, 3)
