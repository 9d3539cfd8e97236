"""Below which confidence an answer goes to a person, so that those that are kept are right often enough.

Selective classification (El-Yaniv and Wiener 2010): every label has a bound of its own, because a
model is not equally reliable on all; a language too, where there are rows enough; where there are
not, the bound of the label holds, and then that of the task.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.calibration import NO_LABEL, TaskCalibration
from models.labels import Task
from models.scores import Array
from training.languages import rows_under

#: Fewest answers from which a bound is read: of the task, of a label, of a label in a language.
FEWEST_OF_TASK, FEWEST_OF_LABEL, FEWEST_OF_LANGUAGE = 40, 40, 60
#: A bound must keep so many, or its precision is chance.
_FEWEST_KEPT = 10
#: The highest bound that keeps an answer, with as many digits as a confidence has; 1 keeps none.
_HIGHEST = 0.999999
#: Caution towards what is true beyond dev: standard errors by which the precision must exceed the target; and
#: of fewer answers than that, of which the best bound flatters more.
_CAUTION, _MORE_CAUTION, _FEW = 0.5, 1.0, 300
_GAPS = np.linspace(0.2, 0.02, 10)
_COIN = 0.55
_FEWEST_AMBIGUOUS = 20


def fit_bounds(
    task: Task,
    truth: Array,
    probabilities: Array,
    languages: Sequence[str],
    setting: TaskCalibration,
    precision: float,
) -> TaskCalibration:
    """``setting`` with the bounds that keep answers of at least this precision.

    Args:
        task: the task.
        truth: (N, K) of rows that were not trained on, 1 where the label applies.
        probabilities: calibrated ones (N, K).
        languages: of the rows (N).
        setting: how the task is answered; its ``abstain_below`` stays where rows are too few.
        precision: share of kept answers that are to be right, by their first label.
    """
    if len(truth) < FEWEST_OF_TASK:
        return setting
    chosen = setting.choose(task, probabilities)
    first = np.array([columns[0] if columns else -1 for columns in chosen])
    every = np.arange(len(truth))
    right = np.where(first >= 0, truth[every, first] > 0.5, ~(truth > 0.5).any(axis=1))
    confidence = setting.confidence(task, probabilities)
    bounds: dict[str, dict[str, float]] = {}
    under = rows_under(languages)
    for column in np.unique(first):
        label = NO_LABEL if column < 0 else task.keys[column]
        of_label = first == column
        if of_label.sum() >= FEWEST_OF_LABEL:
            bounds.setdefault("", {})[label] = bound(confidence[of_label], right[of_label], precision)
        for tag, spoken in under.items():
            there = of_label & spoken
            if there.sum() >= FEWEST_OF_LANGUAGE:
                bounds.setdefault(tag, {})[label] = bound(confidence[there], right[there], precision)
    changes: dict[str, object] = {
        "abstain_below": bound(confidence, right, precision),
        "bounds": bounds,
        "gap": _gap(setting.ahead(probabilities), right) if task.kind == "single" else 0.0,
    }
    return setting.model_copy(update=changes)


def bound(confidence: NDArray[np.float64], right: NDArray[np.bool_], precision: float) -> float:
    """The lowest confidence from which on answers are right as often as ``precision``; 1, which keeps no
    answer, if there is none.

    The precision counts less half a standard error, of few answers a whole one: dev flatters a bound that was
    chosen on it.
    """
    caution = _CAUTION if len(right) >= _FEW else _MORE_CAUTION
    order = np.argsort(-confidence, kind="stable")
    kept = np.arange(1, len(order) + 1)
    share = np.cumsum(right[order]) / kept
    cautious = share - caution * np.sqrt(share * (1 - share) / kept)
    # equal confidences are kept or not together
    last = np.append(np.diff(confidence[order]) != 0, True)
    good = np.flatnonzero((cautious >= precision) & (kept >= min(_FEWEST_KEPT, len(order))) & last)
    return min(float(confidence[order][good[-1]]), _HIGHEST) if len(good) else 1.0


def _gap(ahead: Array, right: NDArray[np.bool_]) -> float:
    """The widest gap between the first two labels, of which these are, within which the first is hardly better
    than a coin."""
    for gap in _GAPS:
        near = ahead < gap
        if near.sum() >= _FEWEST_AMBIGUOUS and right[near].mean() <= _COIN:
            return round(float(gap), 3)
    return 0.0
