"""What lies behind the figures of a task: intervals, curves, confusions, the worst errors."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.labels import Task
from models.records import TaskPrediction
from models.scores import Array
from training import resampling
from training.metrics import LabelSet, calibration_bins, indicators

#: Points of a curve, and how many of the worst errors and confusions are kept.
_POINTS, _WORST = 25, 20
#: Fewest answers a curve is drawn of.
_FEWEST = 20


def details(
    task: Task,
    truth: Sequence[LabelSet],
    answers: Sequence[TaskPrediction],
    probabilities: Array,
    places: Sequence[str],
    seed: int = 13,
) -> dict[str, Any]:
    """Of N answers to one task:

    - ``intervals``: the middle 95 % of accuracy, macro- and micro-F1 over resamples of the rows;
    - ``reliability``: per bin of the calibration error the stated probability, the share that held
      and the number;
    - ``risk_coverage``: pairs of the share of answers kept, surest first, and the share of these
      whose first label is wrong;
    - ``per_label``: for each label answered first ``coverage``, ``kept_precision`` and, where it is
      answered often enough, ``risk_coverage``;
    - ``confusion``: for a single task ``[given, said, count]``, the most frequent first;
    - ``mistaken``: ``[given, said, count]`` of the answers whose first label is wrong, for each label that was
      given in its place, the 20 most frequent;
    - ``worst``: errors by confidence, the surest first: place, given, said, confidence.
    """
    said = [answer.labels for answer in answers]
    column = {label: n for n, label in enumerate(sorted({label for row in (*truth, *said) for label in row}))}
    drawn = resampling.resamples(len(truth), seed)
    spread = resampling.figures(indicators(truth, column), indicators(said, column), drawn)
    right = np.array([is_first_right(answer, labels) for answer, labels in zip(answers, truth, strict=True)])
    confidence = np.array([answer.confidence for answer in answers])
    kept = np.array([not answer.abstained for answer in answers])
    return {
        "intervals": {metric: resampling.interval(values) for metric, values in spread.items()},
        "reliability": calibration_bins(task, truth, probabilities),
        "risk_coverage": risk_coverage(confidence, right),
        "first_labels": _by_label(said, confidence, right, kept),
        "confusion": _confusion(truth, said) if task.kind == "single" else None,
        "mistaken": _mistaken(truth, said, right),
        "worst": [
            {
                "place": places[row],
                "given": list(truth[row]),
                "said": list(said[row]),
                "confidence": answers[row].confidence,
            }
            for row in np.argsort(-np.where(right, -1, confidence), kind="stable")[:_WORST]
            if not right[row]
        ],
    }


def is_first_right(answer: TaskPrediction, truth: LabelSet) -> bool:
    """Whether the most probable label of an answer applies, or none where none was chosen."""
    return answer.labels[0] in truth if answer.labels else not truth


def risk_coverage(confidence: NDArray[np.floating[Any]], right: NDArray[np.bool_]) -> list[list[float]]:
    """Up to 25 pairs of coverage and risk (El-Yaniv and Wiener 2010): of the surest answers of that
    share, how many are wrong."""
    order = np.argsort(-confidence, kind="stable")
    wrong = np.cumsum(~right[order]) / np.arange(1, len(order) + 1)
    ends = np.unique(np.linspace(len(order) / _POINTS, len(order), _POINTS).round().astype(int)) - 1
    return [[float((end + 1) / len(order)), float(wrong[end])] for end in ends if end >= 0]


def _by_label(
    said: Sequence[LabelSet],
    confidence: NDArray[np.floating[Any]],
    right: NDArray[np.bool_],
    kept: NDArray[np.bool_],
) -> dict[str, dict[str, Any]]:
    first = np.array([labels[0] if labels else "" for labels in said])
    found = {}
    for label in sorted(set(first)):
        rows = first == label
        found[str(label)] = {
            "answers": int(rows.sum()),
            "coverage": float(kept[rows].mean()),
            "kept_precision": float(right[rows & kept].mean()) if (rows & kept).any() else None,
            "risk_coverage": risk_coverage(confidence[rows], right[rows]) if rows.sum() >= _FEWEST else None,
        }
    return found


def _confusion(truth: Sequence[LabelSet], said: Sequence[LabelSet]) -> list[list[object]]:
    pairs = Counter((given[0] if given else "", told[0]) for given, told in zip(truth, said, strict=True))
    return [[given, told, count] for (given, told), count in pairs.most_common()]


def _mistaken(
    truth: Sequence[LabelSet], said: Sequence[LabelSet], right: NDArray[np.bool_]
) -> list[tuple[str, str, int]]:
    pairs: Counter[tuple[str, str]] = Counter()
    for row in np.flatnonzero(~right):
        pairs.update((given, (said[row] or ("",))[0]) for given in truth[row] or ("",))
    found = sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))
    return [(given, told, count) for (given, told), count in found[:_WORST]]
