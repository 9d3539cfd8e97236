"""From which confidence on the linear part answers without the transformer, and what that costs."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.calibration import Cascade, TaskCalibration
from models.labels import Task
from models.scores import Array
from training.resampling import macro_f1, resamples

#: Macro-F1 that the cascade may cost.
COST = 0.002
#: With fewer rows nothing can be said of a cost so small.
FEWEST_ROWS = 300
_SHARES = np.linspace(0.95, 0.05, 19)


def fit_cascade(
    task: Task,
    truth: Array,
    linear: Array,
    combined: Array,
    settings: tuple[TaskCalibration, TaskCalibration],
    seed: int,
) -> Cascade | None:
    """The largest share of texts that the linear part may answer alone, or None if it may none.

    Args:
        task: the task.
        truth: (N, K) of rows that were not trained on, 1 where the label applies.
        linear, combined: calibrated probabilities (N, K) of the linear part, and of the whole.
        settings: how the one and the other are answered.
        seed: of the resampling.

    A share is allowed if the macro-F1 lost by it is at most :data:`COST` at the upper end of a
    one-sided 95 % interval, by the bootstrap over rows, with the same resamples for both.
    """
    if len(truth) < FEWEST_ROWS:
        return None
    ours, whole = (_chosen(task, found, setting) for found, setting in zip((linear, combined), settings, strict=True))
    confidence = settings[0].confidence(task, linear)
    drawn = resamples(len(truth), seed)
    before = macro_f1(truth > 0.5, whole, drawn)
    for share in _SHARES:
        bound = float(np.quantile(confidence, 1 - share))
        alone = confidence >= bound
        lost = before - macro_f1(truth > 0.5, np.where(alone[:, None], ours, whole), drawn)
        cost = float(np.quantile(lost, 0.95))
        if cost <= COST:
            return Cascade(sure_from=bound, share=float(alone.mean()), cost=cost)
    return None


def _chosen(task: Task, probabilities: Array, setting: TaskCalibration) -> NDArray[np.bool_]:
    chosen: Sequence[Sequence[int]] = setting.choose(task, probabilities)
    result = np.zeros(probabilities.shape, bool)
    for row, columns in enumerate(chosen):
        result[row, columns] = True
    return result
