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
#: By which power of their rareness labels are preferred; which one is taken where dev does not tell, and how much
#: better another must be.
_POWERS = np.linspace(0, 0.7, 8)
_USUAL_POWER, _POWER_TIES = 0.3, 0.004

_UNTUNED_THRESHOLD = 0.35
#: Fewest labelled rows from which the settings of a task are read; with fewer the defaults stay.
FEWEST_ROWS = 20


def fit_task(
    task: Task,
    truth: Array,
    linear: Array,
    transformer: Array | None,
    shares: Array,
    *,
    at_least_one: bool,
    abstain_below: float,
) -> TaskCalibration:
    """Settings of one task from rows that were not trained on.

    Args:
        task: the task.
        truth: (N, K), 1 where the label applies; every row is labelled.
        linear: probabilities (N, K) of the linear part.
        transformer: the same of the transformer part, or None if there is none.
        shares: of the training rows that have each label (K).
        at_least_one: whether every training row of a multi task has a label.
        abstain_below: confidence below which an answer goes to a person. One to a multi task that has to have a label
            does too where none reaches the threshold.

    Weight and temperature are those of the lowest negative log-likelihood, which few rows of a rare label move less
    than they move macro-F1; the threshold, or the power of rareness that a label of a single task is preferred
    by, has the best sum of macro- and micro-F1, near ties going to what is usual.
    """
    setting = TaskCalibration(weight=0.5 if transformer is not None else 0.0, at_least_one=at_least_one)
    if len(truth) < FEWEST_ROWS:
        return _with_threshold(setting, task, _UNTUNED_THRESHOLD, abstain_below)
    if transformer is not None:
        losses = [_best_temperature(task, truth, w * transformer + (1 - w) * linear)[1] for w in _WEIGHTS]
        setting = setting.model_copy(update={"weight": round(float(_WEIGHTS[int(np.argmin(losses))]), 2)})
    temperature, _ = _best_temperature(task, truth, setting.combine(task, linear, transformer))
    setting = setting.model_copy(update={"temperature": temperature})
    calibrated = setting.combine(task, linear, transformer)
    if task.kind == "single":
        factors = _factors(shares, _best_power(truth, calibrated, shares))
        setting = setting.model_copy(update={"factors": tuple(round(float(factor), 6) for factor in factors)})
    threshold, _ = _best_threshold(task, truth, calibrated, at_least_one)
    return _with_threshold(setting, task, threshold, abstain_below)


def _best_temperature(task: Task, truth: Array, mixed: Array) -> tuple[float, float]:
    """The temperature of the lowest loss, and that loss."""
    logits = logits_of(task, mixed)
    losses = [_loss(task, truth, probabilities_of(task, logits / temperature)) for temperature in _TEMPERATURES]
    best = int(np.argmin(losses))
    return round(float(_TEMPERATURES[best]), 3), losses[best]


def _factors(shares: Array, power: float) -> NDArray[np.float64]:
    """What the probability of each label is multiplied by: its rareness to a power, at most 1."""
    # as rare as the rarest that occurs is rare enough
    lowest = shares[shares > 0].min() if (shares > 0).any() else 1.0
    factors = np.maximum(shares.astype(np.float64), lowest) ** -power
    found: NDArray[np.float64] = factors / factors.max()
    return found


def _best_power(truth: Array, probabilities: Array, shares: Array) -> float:
    true = truth.argmax(axis=1)
    quality = []
    for power in _POWERS:
        said = (probabilities * _factors(shares, power)).argmax(axis=1)
        macro = f1_score(true, said, average="macro", zero_division=0)
        quality.append(float(macro) + float((said == true).mean()))
    return _near_middle(_POWERS, quality, _USUAL_POWER, _POWER_TIES)


def _with_threshold(setting: TaskCalibration, task: Task, threshold: float, abstain_below: float) -> TaskCalibration:
    # without `at_least_one` labels that are said reach the threshold anyway; that none applies is not measured by it
    doubt = max(threshold, abstain_below) if task.kind == "multi" and setting.at_least_one else abstain_below
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


def _near_middle(grid: NDArray[np.floating[Any]], quality: list[float], middle: float, ties: float = 0.001) -> float:
    best = max(quality)
    near = [float(value) for value, got in zip(grid, quality, strict=True) if got >= best - ties]
    nearest = min(near, key=lambda value: abs(value - middle))
    return round(nearest, 4)


def _loss(task: Task, truth: Array, probabilities: Array) -> float:
    clipped = np.clip(probabilities, 1e-7, 1 - 1e-7)
    if task.kind == "single":
        return float(-np.log((clipped * truth).sum(axis=1)).mean())
    return float(-(truth * np.log(clipped) + (1 - truth) * np.log(1 - clipped)).mean())
