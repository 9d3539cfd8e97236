"""Fitting the linear part: logistic regression per task over n-gram features."""

import warnings

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from models.labels import LabelSchema, Task
from models.linear import Features, Head, LinearModel
from models.progress import Advance
from models.scores import Array
from training.datasets import Dataset

#: From this many texts on, an n-gram must stand in two of them to count.
_MANY_TEXTS = 200
#: Logit of a label that no training row has: about one in 20,000.
_NEVER = -10.0


def fit_linear(
    dataset: Dataset,
    schema: LabelSchema,
    *,
    strength: float,
    max_features: int,
    seed: int,
    advance: Advance,
) -> LinearModel:
    """Fit features and heads.

    Args:
        dataset: training rows; rows without a label for a task do not count for it.
        schema: tasks and class order.
        strength: inverse of the regularisation, C of LogisticRegression.
        max_features: bound on word and on character n-grams each.
        seed: for the solver.
        advance: called once for the features and once for each head.
    """
    min_df = 2 if len(dataset.texts) >= _MANY_TEXTS else 1
    features, rows = Features.fit(dataset.texts, min_df=min_df, max_features=max_features)
    advance(1)
    heads = {}
    for name, task in schema.tasks.items():
        labelled = dataset.labelled(name)
        heads[name] = fit_head(task, rows[labelled], dataset.targets[name][labelled], strength, seed)
        advance(1)
    return LinearModel(schema, features, heads)


def fit_head(task: Task, rows: csr_matrix | Array, targets: Array, strength: float, seed: int) -> Head:
    """Logistic regression from features (N, D) to the labels of a task, of which targets (N, K) say which apply.

    A label that no row has becomes one that is never chosen; without any row all are as likely as not.
    """
    if not len(targets):
        # rows that are left out in turn may be the only ones that are labelled for the task
        return Head(np.zeros((targets.shape[1], rows.shape[1]), np.float32), np.zeros(targets.shape[1], np.float32))
    fit = _fit_single if task.kind == "single" else _fit_multi
    with warnings.catch_warnings():
        # with few rows of many labels that is so, and labels they are
        warnings.filterwarnings("ignore", "The number of unique classes is greater than 50%", UserWarning)
        return fit(rows, targets, strength, seed)


def _fit_single(rows: csr_matrix | Array, targets: Array, strength: float, seed: int) -> Head:
    labels = targets.argmax(axis=1)
    weights = np.zeros((targets.shape[1], rows.shape[1]), np.float32)
    bias = np.full(targets.shape[1], _NEVER, np.float32)
    present = np.unique(labels)
    if len(present) == 1:
        bias[present] = -_NEVER
        return Head(weights, bias)
    model = _regression(strength, seed).fit(rows, labels)
    if len(present) == 2:  # one row of weights, for the second class against the first
        weights[present[1]], bias[present] = model.coef_[0], [0.0, model.intercept_[0]]
    else:
        weights[present], bias[present] = model.coef_, model.intercept_
    return Head(weights, bias)


def _fit_multi(rows: csr_matrix | Array, targets: Array, strength: float, seed: int) -> Head:
    weights = np.zeros((targets.shape[1], rows.shape[1]), np.float32)
    bias = np.zeros(targets.shape[1], np.float32)
    for column in range(targets.shape[1]):
        applies = targets[:, column]
        if applies.min() == applies.max():
            bias[column] = -_NEVER if applies.min() else _NEVER
            continue
        model = _regression(strength, seed).fit(rows, applies)
        weights[column], bias[column] = model.coef_[0], model.intercept_[0]
    return Head(weights, bias)


def _regression(strength: float, seed: int) -> LogisticRegression:
    return LogisticRegression(C=strength, max_iter=300, random_state=seed)
