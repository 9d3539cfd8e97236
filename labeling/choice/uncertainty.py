"""How unsure predictions are."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from models.records import Prediction, TaskPrediction
from models.scores import Array


def uncertainties(predictions: Sequence[Prediction | None]) -> Array:
    """How unsure each of N predictions is beside the others, (N,) in [0, 1]: 1 without a prediction.

    It is the share of predictions that are no less sure, on the task on which that share is the largest. By shares
    every task counts alike: of ten labels the two most probable are nearer to each other than of two, and by the
    margins themselves that task would get everything.
    """
    found = np.array([said is None or not said.tasks for said in predictions], np.float32)
    for task in dict.fromkeys(name for said in predictions if said is not None for name in said.tasks):
        rows = [row for row, said in enumerate(predictions) if said is not None and task in said.tasks]
        unsure = [task_uncertainty(said.tasks[task]) for row in rows if (said := predictions[row]) is not None]
        found[rows] = np.maximum(found[rows], rankdata(unsure, method="max") / len(rows))
    return found


def task_uncertainty(answer: TaskPrediction) -> float:
    """How unsure the answer to a task is, in [0, 1].

    Of a task with one answer it is one minus the margin between the two most probable labels (Scheffer et al. 2001);
    of one with several, how near its most doubtful label is to one half. Probabilities are calibrated. Where a
    migration has left less than two labels nothing is known, and it is 1.
    """
    values = sorted(answer.probabilities.values(), reverse=True)
    if len(values) < 2:
        return 1.0
    # a prediction does not say which kind a task is; those of several answers sum to one by rare accident only
    if abs(sum(values) - 1) < 1e-4 and len(answer.labels) == 1:
        return 1 - (values[0] - values[1])
    return 1 - min(abs(2 * value - 1) for value in values)
