"""How unsure a prediction is."""

from models.records import Prediction, TaskPrediction


def uncertainty(prediction: Prediction | None) -> float:
    """How unsure a prediction is, in [0, 1]: that of its least sure task; 1 without a prediction.

    Of a task with one answer it is one minus the margin between the two most probable labels (Scheffer et al. 2001);
    of one with several, how near its most doubtful label is to one half. Probabilities are calibrated.
    """
    if prediction is None:
        return 1.0
    return max((_task_uncertainty(answer) for answer in prediction.tasks.values()), default=1.0)


def _task_uncertainty(answer: TaskPrediction) -> float:
    values = sorted(answer.probabilities.values(), reverse=True)
    # a prediction does not say which kind a task is; those of several answers sum to one by rare accident only
    if abs(sum(values) - 1) < 1e-4 and len(answer.labels) == 1:
        return 1 - (values[0] - values[1])
    return 1 - min(abs(2 * value - 1) for value in values)
