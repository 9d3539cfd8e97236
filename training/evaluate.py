"""Measuring a model on labelled feedback, whole and part by part."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.artifact import read_manifest
from models.calibration import TaskCalibration
from models.classifier import Classifier, PartScores, language_of
from models.errors import DataError
from models.files import atomic_write
from models.labels import Task
from models.progress import Progress
from models.records import LabeledItem, TaskPrediction
from models.runtimes.runtime import REFERENCE
from models.scores import Array, Scores
from training import datasets
from training.details import details, is_first_right
from training.metrics import LabelSet, calibration_error, confidence_error, majority_labels, quality
from training.scope import is_out_of_scope, scope_figures

Figures = dict[str, Any]

#: What the figures are split by, beside the language that an item says it is in or looks like.
SLICES: Mapping[str, Callable[[LabeledItem], str | None]] = {
    "channel": lambda item: item.channel,
    "product": lambda item: item.product,
    "length": lambda item: _length_band(len(item.text)),
}
#: Smaller slices are left out: their figures would be chance.
FEWEST_IN_SLICE = 10
_CHUNK = 256


def evaluate_file(
    model: Path,
    data: str,
    *,
    columns: Mapping[str, str] | None = None,
    threads: int | None = None,
    html: Path | None = None,
    progress: Progress,
) -> tuple[Figures, list[str]]:
    """Figures of the model in folder ``model`` on a file, and notes a person should read.

    Rows that cannot be read go to ``DATA.rejects.jsonl`` in the working folder. ``threads`` of
    None means the free cores. ``html`` is where a report for people is written, with the texts of
    the worst errors.

    Raises:
        ArtifactError: the model is missing or damaged.
        DataError: the file cannot be read, or has no label for any task of the model.
    """
    with progress.stage("loading the model"):
        classifier = Classifier.load(model, threads, REFERENCE)
    notes: list[str] = []
    rows = datasets.read_rows(data, Path(f"{Path(data).name}.rejects.jsonl"), columns, notes, progress)
    items, places = [row.item for row in rows], [row.place for row in rows]
    manifest = read_manifest(model)
    figures = report(classifier, items, score(classifier, items, progress), manifest.label_counts, places)
    if html is not None:
        # imported here: only a page needs what draws pictures
        from training.report.page import page

        about = {"model": f"{manifest.name}, version {manifest.version}", "encoder": manifest.encoder}
        texts = {row.place: row.item.text for row in rows}
        with atomic_write(html) as file:
            file.write(page(figures, title=f"{manifest.name} on {Path(data).name}", model=about, texts=texts))
    return figures, notes


def score(classifier: Classifier, items: Sequence[LabeledItem], progress: Progress) -> PartScores:
    """Run both parts over ``items`` once; every figure is computed from the result."""
    if not items:
        none: Scores = {
            name: np.zeros((0, len(task.labels)), np.float32) for name, task in classifier.schema.tasks.items()
        }
        nothing = np.zeros(0, np.float32)
        distance = None if classifier.centres is None else nothing
        return PartScores(none, None if classifier.transformer is None else none, [], nothing, distance)
    chunks: list[PartScores] = []
    with progress.stage("scoring", len(items), "texts") as advance:
        for start in range(0, len(items), _CHUNK):
            chunk = items[start : start + _CHUNK]
            chunks.append(classifier.part_scores([item.text for item in chunk]))
            advance(len(chunk))
    return joined(chunks)


def report(
    classifier: Classifier,
    items: Sequence[LabeledItem],
    parts: PartScores,
    label_counts: Mapping[str, Mapping[str, int]],
    places: Sequence[str] | None = None,
) -> Figures:
    """All figures of a model on labelled items.

    Args:
        classifier: the model.
        items: N labelled items; one without a label for a task does not count for it.
        parts: what :func:`score` gave for them.
        label_counts: of the training rows, for the majority baseline.
        places: where the items stand (N), to name the worst errors by; their number if not given.

    Returns:
        ``n``; ``tasks``: per task the figures of the whole model, which are those of
        :func:`training.metrics.quality` and of :func:`training.details.details`, ``n``, ``ece``, the
        calibration error of the probabilities, ``confidence_ece``, that of the confidence of the answers,
        ``coverage``, the share that is not marked for a person, ``kept_precision``, how many of these
        have the first label right, ``unknown_labels``, and ``answered_by_linear``, the share that the
        linear part answered alone; ``parts``: the same, shorter, for majority, linear and
        transformer; ``slices``: by language, channel, product and length; ``scope``: what
        :func:`training.scope.scope_figures` gives. Items that a label says are out of scope count for
        that alone.

    Raises:
        DataError: no item is labelled for any task of the model.
    """
    places = places or [f"row {number}" for number in range(1, len(items) + 1)]
    languages = [language_of(item) for item in items]
    answers = classifier.answers(parts, languages)
    outside = [is_out_of_scope(item, classifier.schema.tasks, classifier.settings.out_of_scope) for item in items]
    tasks: Figures = {}
    shares: dict[str, Figures] = defaultdict(dict)
    slices: dict[str, dict[str, Figures]] = {by: defaultdict(dict) for by in ("language", *SLICES)}
    for name, task in classifier.schema.tasks.items():
        rows = [row for row, item in enumerate(items) if not outside[row] and item.labels(name) is not None]
        if not rows:
            continue
        truth = [items[row].labels(name) or () for row in rows]
        spoken = [languages[row] for row in rows]
        given, probabilities = [answers.tasks[name][row] for row in rows], answers.probabilities[name][rows]
        tasks[name] = _figures(task, truth, given, probabilities)
        tasks[name] |= details(task, truth, given, probabilities, [places[row] for row in rows])
        if parts.transformer is not None:
            tasks[name]["answered_by_linear"] = sum(answers.tiers[row] == "linear" for row in rows) / len(rows)
        tasks[name]["unknown_labels"] = dict(Counter(key for keys in truth for key in keys if key not in task.index))
        shares["majority"][name] = quality(truth, [majority_labels(task, label_counts[name])] * len(rows))
        if parts.transformer is not None:
            for part, scores in (("linear", parts.linear), ("transformer", parts.transformer)):
                setting = getattr(classifier.settings, part)[name]
                shares[part][name] = _alone(task, setting, truth, scores[name][rows], spoken)
        for by, value, members in _slices([items[row] for row in rows], spoken):
            slices[by][value][name] = _figures(
                task, [truth[n] for n in members], [given[n] for n in members], probabilities[members]
            )
    if not tasks:
        expected = ", ".join(classifier.schema.tasks)
        raise DataError(f"nothing to measure: expected labels for {expected} in some row, got none")
    for figures in (*shares.values(), *(value for by in slices.values() for value in by.values())):
        for brief in figures.values():
            brief.pop("per_label", None)
    scope = scope_figures(answers.familiarity, answers.out_of_scope, outside)
    return {"n": len(items), "tasks": tasks, "parts": dict(shares), "slices": slices, "scope": scope}


def _figures(task: Task, truth: Sequence[LabelSet], answers: Sequence[TaskPrediction], probabilities: Array) -> Figures:
    right = np.array([is_first_right(answer, labels) for answer, labels in zip(answers, truth, strict=True)])
    kept = right[[not answer.abstained for answer in answers]]
    return {
        "n": len(truth),
        **quality(truth, [answer.labels for answer in answers]),
        "ece": calibration_error(task, truth, probabilities),
        "confidence_ece": confidence_error(np.array([answer.confidence for answer in answers]), right),
        "coverage": len(kept) / len(answers),
        "kept_precision": float(kept.mean()) if len(kept) else None,
    }


def _alone(
    task: Task, setting: TaskCalibration, truth: Sequence[LabelSet], probabilities: Array, languages: Sequence[str]
) -> Figures:
    """Figures of a part as it would answer by itself, with thresholds and bounds of its own."""
    calibrated = setting.combine(task, probabilities, None)
    return _figures(task, truth, setting.answers(task, calibrated, languages), calibrated)


def _slices(items: Sequence[LabeledItem], languages: Sequence[str]) -> list[tuple[str, str, list[int]]]:
    found = []
    values = {by: [value_of(item) for item in items] for by, value_of in SLICES.items()}
    for by, those in {"language": languages, **values}.items():
        groups: dict[str, list[int]] = defaultdict(list)
        for row, value in enumerate(those):
            if value is not None:
                groups[value].append(row)
        found += [(by, value, rows) for value, rows in sorted(groups.items()) if len(rows) >= FEWEST_IN_SLICE]
    return found


def _length_band(length: int) -> str:
    bands = ((40, "1-40 characters"), (160, "41-160 characters"), (640, "161-640 characters"))
    return next((name for bound, name in bands if length <= bound), "over 640 characters")


def joined(chunks: Sequence[PartScores]) -> PartScores:
    """What was said of several lots of texts, one after the other."""

    def join(parts: Sequence[Scores]) -> Scores:
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    transformers = [chunk.transformer for chunk in chunks if chunk.transformer is not None]
    # of rows left out in turn some may be answered by a model of too few texts to tell
    distances = [chunk.distance for chunk in chunks if chunk.distance is not None]
    return PartScores(
        linear=join([chunk.linear for chunk in chunks]),
        transformer=join(transformers) if transformers else None,
        truncated=[cut for chunk in chunks for cut in chunk.truncated],
        unknown=np.concatenate([chunk.unknown for chunk in chunks]),
        distance=np.concatenate(distances) if len(distances) == len(chunks) else None,
    )
