"""Two models on the same rows: which is better, and whether that could be chance."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from models.classifier import Classifier, language_of
from models.errors import DataError
from models.progress import Progress
from models.runtimes.runtime import REFERENCE
from training import datasets, resampling
from training.evaluate import score
from training.metrics import LabelSet, indicators
from training.scope import is_out_of_scope

METRICS = ("accuracy", "macro_f1", "micro_f1")


def compare_files(
    one: Path,
    other: Path,
    data: str,
    *,
    rejects: Path,
    columns: Mapping[str, str] | None = None,
    threads: int | None = None,
    seed: int = 13,
    progress: Progress,
) -> tuple[dict[str, Any], list[str]]:
    """The models in the folders ``one`` and ``other`` on the labelled rows of ``data``, and notes for a person.

    Returns per task that both models have: see :func:`compare`.

    Raises:
        ArtifactError: a model is missing or damaged.
        DataError: the data cannot be read, or has no label for a task that both models have.
    """
    notes: list[str] = []
    rows = datasets.read_rows(data, rejects, columns, notes, progress)
    items = [row.item for row in rows]
    languages = [language_of(item) for item in items]
    answers = []
    beyond: set[str] = set()
    tasks: set[str] = set()
    for folder in (one, other):
        with progress.stage(f"loading {folder}"):
            # by the same runtime: it is the models that are compared
            classifier = Classifier.load(folder, threads, REFERENCE)
        answers.append(classifier.answers(score(classifier, items, progress), languages).tasks)
        beyond |= set(classifier.settings.out_of_scope)
        tasks |= set(classifier.schema.tasks)
    # whatever task says so, as where one model is measured
    inside = [not is_out_of_scope(item, tasks, tuple(beyond)) for item in items]
    result = {}
    for task in answers[0]:
        labelled = [row for row, item in enumerate(items) if inside[row] and item.labels(task) is not None]
        if task in answers[1] and labelled:
            truth = [items[row].labels(task) or () for row in labelled]
            first, second = ([found[task][row].labels for row in labelled] for found in answers)
            result[task] = compare(truth, first, second, seed=seed)
    if not result:
        raise DataError(
            f"{data}: expected labels for a task that both models have, got none; "
            f"tasks: {', '.join(answers[0])} and {', '.join(answers[1])}"
        )
    return result, notes


def compare(
    truth: Sequence[LabelSet], one: Sequence[LabelSet], other: Sequence[LabelSet], *, seed: int
) -> dict[str, Any]:
    """Two answers to the same rows.

    Returns:
        ``n``; ``only_first_right`` and ``only_second_right``, rows that one alone answers right;
        and for accuracy, macro- and micro-F1 the figure of ``first`` and ``second``, their
        ``difference`` (second less first) and its ``interval``: the middle 95 % over paired
        resamples of the rows. A difference whose interval holds 0 could be chance.
    """
    labels = sorted({label for rows in (truth, one, other) for row in rows for label in row})
    column = {label: number for number, label in enumerate(labels)}
    true, first, second = (indicators(rows, column) for rows in (truth, one, other))
    drawn = resampling.resamples(len(truth), seed)
    once = drawn[:1] * 0 + 1
    right = [(true == said).all(axis=1) for said in (first, second)]
    result: dict[str, Any] = {
        "n": len(truth),
        "only_first_right": int((right[0] & ~right[1]).sum()),
        "only_second_right": int((right[1] & ~right[0]).sum()),
    }
    spread = [resampling.figures(true, said, drawn) for said in (first, second)]
    whole = [resampling.figures(true, said, once) for said in (first, second)]
    for metric in METRICS:
        found = [float(each[metric][0]) for each in whole]
        result[metric] = {
            "first": found[0],
            "second": found[1],
            "difference": found[1] - found[0],
            "interval": resampling.interval(spread[1][metric] - spread[0][metric]),
        }
    return result
