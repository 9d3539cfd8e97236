"""Leaving rows out in turn, so that each is answered by a model that did not see it."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.classifier import Classifier, PartScores
from models.labels import LabelSchema
from models.progress import Silent
from models.text import fingerprint
from training.datasets import Dataset
from training.evaluate import joined, score
from training.gather import Rows

#: Parts that rows are left out in, each in turn.
FOLDS = 4


def folds_of(learn: Rows, schema: LabelSchema) -> list[NDArray[np.intp]]:
    """The rows in :data:`FOLDS` parts, those of the same labels dealt evenly, copies of a text in one."""
    task = max(schema.tasks, key=lambda name: len(schema.tasks[name].labels))
    copies: dict[str, list[int]] = defaultdict(list)
    for row, item in enumerate(learn.items):
        copies[fingerprint(item.text)].append(row)

    def rank(text: str) -> tuple[bytes, str]:
        return learn.dataset.targets[task][copies[text][0]].tobytes(), hashlib.sha256(text.encode()).hexdigest()

    ranked = sorted(copies, key=rank)
    dealt = [[row for text in ranked[fold::FOLDS] for row in copies[text]] for fold in range(FOLDS)]
    return [np.array(rows) for rows in dealt if rows]


def without(dataset: Dataset, held: NDArray[np.intp]) -> Dataset:
    """The rows but those held out."""
    rows = np.setdiff1d(np.arange(len(dataset.texts)), held)
    return Dataset([dataset.texts[row] for row in rows], {name: found[rows] for name, found in dataset.targets.items()})


def answers_to(classifier: Classifier, learn: Rows, held: NDArray[np.intp]) -> PartScores:
    """What a model says of the rows held out."""
    items = learn.items
    return score(classifier, [items[row] for row in held], Silent())


def in_order(parts: Sequence[PartScores], folds: Sequence[NDArray[np.intp]]) -> PartScores:
    """What was said of the rows of each fold, in the order of the rows."""
    order = np.argsort(np.concatenate(folds))
    found = joined(parts)
    return PartScores(
        linear={name: scores[order] for name, scores in found.linear.items()},
        transformer=None
        if found.transformer is None
        else {name: scores[order] for name, scores in found.transformer.items()},
        truncated=[found.truncated[row] for row in order],
        unknown=found.unknown[order],
        distance=None if found.distance is None else found.distance[order],
    )
