"""How good answers are: counts of right and wrong, and whether probabilities mean what they say."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.labels import Task
from models.scores import Array

#: Bins of the calibration error, each with the same number of answers.
ECE_BINS = 15

LabelSet = tuple[str, ...]


def quality(truth: Sequence[LabelSet], chosen: Sequence[LabelSet]) -> dict[str, Any]:
    """Agreement of the chosen labels with the true ones, row by row.

    Returns ``accuracy`` (all labels of a row right), ``macro_f1`` (mean over the labels that occur
    in truth or answers), ``weighted_f1`` (mean weighted by support), ``micro_f1`` (over all
    decisions together), and ``per_label`` with precision, recall, f1 and support. All in [0, 1].
    A true label that no answer can hold counts as missed.
    """
    labels = sorted({label for row in (*truth, *chosen) for label in row})
    column = {label: number for number, label in enumerate(labels)}
    true, said = indicators(truth, column), indicators(chosen, column)
    right = (true & said).sum(axis=0)
    support, answers = true.sum(axis=0), said.sum(axis=0)
    f1 = _ratio(2 * right, support + answers)
    precision, recall = _ratio(right, answers), _ratio(right, support)
    return {
        "accuracy": float((true == said).all(axis=1).mean()),
        "macro_f1": float(f1.mean()) if labels else 0.0,
        "weighted_f1": float(_ratio((f1 * support).sum(), support.sum())),
        "micro_f1": float(_ratio(2 * right.sum(), support.sum() + answers.sum())),
        "per_label": {
            label: {
                "precision": float(precision[n]),
                "recall": float(recall[n]),
                "f1": float(f1[n]),
                "support": int(support[n]),
            }
            for label, n in column.items()
        },
    }


def indicators(rows: Sequence[LabelSet], column: Mapping[str, int]) -> NDArray[np.bool_]:
    """Sets of labels as (N, K), each label in its ``column``."""
    matrix = np.zeros((len(rows), len(column)), bool)
    for number, row in enumerate(rows):
        matrix[number, [column[label] for label in row]] = True
    return matrix


def _ratio(part: ArrayLike, whole: ArrayLike) -> NDArray[np.float64]:
    above, below = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    return np.asarray(np.divide(above, below, out=np.zeros_like(above), where=below > 0))


def calibration_error(task: Task, truth: Sequence[LabelSet], probabilities: Array) -> float:
    """Expected calibration error in [0, 1] of probabilities (N, K): how far what is stated is from what held,
    on average over the bins of :func:`calibration_bins`."""
    return _distance(calibration_bins(task, truth, probabilities))


def confidence_error(confidence: NDArray[np.floating[Any]], right: NDArray[np.bool_]) -> float:
    """The same of the confidence (N) of answers, of which these are right: what they are kept or not by."""
    return _distance(_bins(confidence, right))


def _distance(bins: Sequence[tuple[float, float, int]]) -> float:
    return sum(abs(stated - held) * number for stated, held, number in bins) / sum(number for *_, number in bins)


def calibration_bins(task: Task, truth: Sequence[LabelSet], probabilities: Array) -> list[tuple[float, float, int]]:
    """Bins of equal mass of probabilities (N, K): the mean that was stated, the share that held, the number.

    For a single task the probability of the answer against whether it is right; for a multi task
    every label's probability against whether it applies (Guo et al. 2017; equal-mass bins as in
    Nixon et al. 2019).
    """
    applies = np.array([[key in row for key in task.keys] for row in truth], bool)
    if task.kind == "single":
        best = probabilities.argmax(axis=1)
        stated, held = probabilities.max(axis=1), applies[np.arange(len(best)), best]
    else:
        stated, held = probabilities.ravel(), applies.ravel()
    return _bins(stated, held)


def _bins(stated: NDArray[np.floating[Any]], held: NDArray[np.bool_]) -> list[tuple[float, float, int]]:
    order = np.argsort(stated, kind="stable")
    said, held = stated[order].astype(np.float64), held[order]
    edges = np.linspace(0, len(order), ECE_BINS + 1)[1:-1].astype(int)
    # equal probabilities stand in one bin, or the order of rows would decide
    edges = np.unique(np.searchsorted(said, said[edges], side="right"))
    bins = zip(np.split(said, edges), np.split(held, edges), strict=True)
    return [(float(near.mean()), float(hit.mean()), len(near)) for near, hit in bins if len(near)]


def majority_labels(task: Task, counts: Mapping[str, int]) -> LabelSet:
    """What the majority baseline always answers, from the label counts of the training rows.

    The most frequent label; for a multi task every label that more than half of the rows have,
    or the most frequent one.
    """
    rows = counts[""]
    ranked = sorted(task.keys, key=lambda key: -counts.get(key, 0))
    if task.kind == "multi":
        return tuple(key for key in ranked if counts.get(key, 0) * 2 > rows) or (ranked[0],)
    return (ranked[0],)
