"""Leaving rows out in turn, so that each is answered by a model that did not see it."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.classifier import Classifier, PartScores
from models.labels import LabelSchema
from models.progress import Silent
from training.datasets import Dataset
from training.evaluate import joined, score
from training.gather import Rows
from training.identity import inseparable

#: Parts that rows are left out in, each in turn.
FOLDS = 4


@dataclass(frozen=True)
class Fold:
    """Rows that are left out, and the ``rest``, which is learned from meanwhile."""

    held: NDArray[np.intp]
    rest: Dataset


def folds_of(learn: Rows, schema: LabelSchema) -> list[Fold]:
    """At most :data:`FOLDS` parts of the rows, those of the same labels dealt evenly, the rows of an item in one, and
    near copies, too, as far as the rest still has rows of their labels."""
    task = max(schema.tasks, key=lambda name: len(schema.tasks[name].labels))
    copies: dict[str, list[int]] = defaultdict(list)
    for row, key in enumerate(inseparable(learn.items, learn.near, tuple(schema.tasks))):
        copies[key].append(row)

    def rank(text: str) -> tuple[bytes, str]:
        return learn.dataset.targets[task][copies[text][0]].tobytes(), hashlib.sha256(text.encode()).hexdigest()

    ranked = sorted(copies, key=rank)
    dealt = [[row for text in ranked[fold::FOLDS] for row in copies[text]] for fold in range(FOLDS)]
    parts = [np.array(rows) for rows in dealt if rows]
    return [Fold(held, _without(learn.dataset, held)) for held in parts]


def answered_in_turn(learn: Rows, folds: Sequence[Fold], models: Iterable[Classifier]) -> PartScores:
    """What is said of every row, in the order of the rows, by the model that learned from the rest of its fold.

    ``models`` has one for each fold; they are taken one by one, so that no two need be in memory.
    """
    items = learn.items
    pairs = zip(folds, models, strict=True)
    found = joined([score(model, [items[row] for row in fold.held], Silent()) for fold, model in pairs])
    order = np.argsort(np.concatenate([fold.held for fold in folds]))
    transformer, distance = found.transformer, found.distance
    return PartScores(
        linear={name: scores[order] for name, scores in found.linear.items()},
        transformer=None if transformer is None else {name: scores[order] for name, scores in transformer.items()},
        truncated=[found.truncated[row] for row in order],
        unknown=found.unknown[order],
        distance=None if distance is None else distance[order],
    )


def _without(dataset: Dataset, held: NDArray[np.intp]) -> Dataset:
    rows = np.setdiff1d(np.arange(len(dataset.texts)), held)
    return Dataset([dataset.texts[row] for row in rows], {name: found[rows] for name, found in dataset.targets.items()})
