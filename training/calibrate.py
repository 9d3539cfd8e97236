"""Choosing how the parts are combined and answers chosen, on rows that were not trained on."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from models.calibration import TaskCalibration
from models.labels import Task
from models.scores import Array, logits_of, probabilities_of

_WEIGHTS = np.linspace(0, 1, 11)
_THRESHOLDS = np.concatenate([np.linspace(0.04, 0.2, 9)[:-1], np.linspace(0.2, 0.7, 21)])
_TEMPERATURES = np.geomspace(0.3, 4, 40)

_UNTUNED_THRESHOLD = 0.35
#: Fewest labelled rows from which the settings of a task are read; with fewer the defaults stay.
FEWEST_ROWS = 20


def fit_task(
    task: Task, truth: Array, linear: Array, transformer: Array | None, *, at_least_one: bool, abstain_below: float
) -> TaskCalibration:
    """Settings of one task from rows that were not trained on.

    Args:
        task: the task.
        truth: (N, K), 1 where the label applies; every row is labelled.
        linear: probabilities (N, K) of the linear part.
        transformer: the same of the transformer part, or None if there is none.
        at_least_one: whether every training row of a multi task has a label.
        abstain_below: confidence below which the answer to a single task goes to a person. An answer
            to a multi task does where no label reaches the threshold.

    The weight is the one of best macro-F1, ties and near ties (a thousandth) going to the middle;
    the threshold that of the best sum of macro- and micro-F1; the temperature has the lowest
    negative log-likelihood.
    """
    setting = TaskCalibration(weight=0.5 if transformer is not None else 0.0, at_least_one=at_least_one)
    if len(truth) < FEWEST_ROWS:
        return _with_threshold(setting, task, _UNTUNED_THRESHOLD, abstain_below)
    if transformer is not None:
        quality = [_best_threshold(task, truth, w * transformer + (1 - w) * linear, at_least_one)[1] for w in _WEIGHTS]
        setting = setting.model_copy(update={"weight": _near_middle(_WEIGHTS, quality, 0.5)})
    mixed = setting.combine(task, linear, transformer)
    losses = [_loss(task, truth, probabilities_of(task, logits_of(task, mixed) / t)) for t in _TEMPERATURES]
    setting = setting.model_copy(update={"temperature": round(float(_TEMPERATURES[int(np.argmin(losses))]), 3)})
    threshold, _ = _best_threshold(task, truth, setting.combine(task, linear, transformer), at_least_one)
    return _with_threshold(setting, task, threshold, abstain_below)


def _with_threshold(setting: TaskCalibration, task: Task, threshold: float, abstain_below: float) -> TaskCalibration:
    doubt = threshold if task.kind == "multi" else abstain_below
    return setting.model_copy(update={"threshold": threshold, "abstain_below": doubt})


def best_f1(task: Task, truth: Array, probabilities: Array) -> float:
    """Macro-F1 in [0, 1] of (N, K) probabilities, at the best threshold for a multi task."""
    return _best_threshold(task, truth, probabilities)[1]


def _best_threshold(task: Task, truth: Array, probabilities: Array, at_least_one: bool = False) -> tuple[float, float]:
    if task.kind == "single":
        predicted = probabilities.argmax(axis=1)
        return 0.5, float(f1_score(truth.argmax(axis=1), predicted, average="macro", zero_division=0))
    best = probabilities == probabilities.max(axis=1, keepdims=True)
    answers = [(probabilities >= threshold) | (best & at_least_one) for threshold in _THRESHOLDS]
    macro = [float(f1_score(truth, answer, average="macro", zero_division=0)) for answer in answers]
    micro = [float(f1_score(truth, answer, average="micro", zero_division=0)) for answer in answers]
    threshold = _near_middle(_THRESHOLDS, [sum(both) for both in zip(macro, micro, strict=True)], 0.5)
    return threshold, macro[int(np.argmin(np.abs(_THRESHOLDS - threshold)))]


def _near_middle(grid: NDArray[np.floating[Any]], quality: list[float], middle: float) -> float:
    best = max(quality)
    near = [float(value) for value, got in zip(grid, quality, strict=True) if got >= best - 0.001]
    nearest = min(near, key=lambda value: abs(value - middle))
    return round(nearest, 4)


def _loss(task: Task, truth: Array, probabilities: Array) -> float:
    clipped = np.clip(probabilities, 1e-7, 1 - 1e-7)
    if task.kind == "single":
        return float(-np.log((clipped * truth).sum(axis=1)).mean())
    return float(-(truth * np.log(clipped) + (1 - truth) * np.log(1 - clipped)).mean())
