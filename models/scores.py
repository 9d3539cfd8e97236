"""Arrays of scores: per task (N, K), columns in the class order of the schema."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, softmax

from models.labels import Task

Array = NDArray[np.float32]
Scores = dict[str, Array]


def probabilities_of(task: Task, logits: Array) -> Array:
    """Logits (N, K) to probabilities (N, K): softmax over a single task, a sigmoid each for multi."""
    probabilities: Array = softmax(logits, axis=1) if task.kind == "single" else expit(logits)
    return probabilities


def logits_of(task: Task, probabilities: Array) -> Array:
    """The inverse of :func:`probabilities_of`, up to the constant a softmax does not see."""
    clipped = np.clip(probabilities, 1e-7, 1 - 1e-7)
    logits: Array = np.log(clipped) if task.kind == "single" else logit(clipped)
    return logits
