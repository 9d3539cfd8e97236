"""Labels that are likely wrong, by confident learning (Northcutt, Jiang and Chuang 2021).

A model that never saw a row says how likely each label is. Where it is surer of another label than
it usually is of rows that have that label, the given one is doubtful.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.labels import LabelSchema, Task
from models.progress import Advance
from models.records import LIST_SEPARATOR
from models.scores import Array
from models.text import fingerprint
from training import datasets
from training.checks.finding import EXAMPLES, Finding
from training.datasets import Row
from training.linear import fit_linear

FOLDS = 4
#: Fewer labelled rows say too little.
_FEWEST_ROWS = 100
#: How many are kept in the report.
_KEPT = 200
#: How far, in probability, the other label must be ahead, and how sure of a label the model must be
#: on average for its not finding it to mean anything: a weak model doubts everything.
_AHEAD = 0.5
_KNOWN = 0.5
_BETTER = 0.1


def check_labels_by_model(
    rows: Sequence[Row], schema: LabelSchema, *, most: int, seed: int, advance: Advance
) -> Iterator[Finding]:
    """Doubtful labels of every task that has rows enough, the most doubtful first, judged by the linear part.

    At most ``most`` rows are looked at, chosen by chance. ``advance`` is called for each of the four folds.
    """
    if len(rows) < _FEWEST_ROWS:
        advance(FOLDS)
        return
    chosen = np.sort(np.random.default_rng(seed).permutation(len(rows))[:most])
    some = [rows[number] for number in chosen]
    data = datasets.build([row.item for row in some], schema, every_task=False)
    tasks = {name: task for name, task in schema.tasks.items() if len(data.labelled(name)) >= _FEWEST_ROWS}
    if not tasks or len(set(map(fingerprint, data.texts))) < 2:
        advance(FOLDS)
        return
    guesses = out_of_fold(data, LabelSchema(tasks=tasks), seed=seed, advance=advance)
    for name, task in tasks.items():
        labelled = data.labelled(name)
        truth, probabilities = data.targets[name][labelled], guesses[name][labelled]
        if task.kind == "single" and _is_guessing(truth, probabilities):
            continue
        doubts = (
            doubtful_single(truth, probabilities) if task.kind == "single" else doubtful_multi(truth, probabilities)
        )
        if doubts:
            described = [_described(doubt, name, task, some, labelled) for doubt in doubts[:_KEPT]]
            yield Finding(
                "doubtful-labels",
                f"{name}: of {len(labelled):,} label(s) looked at, {len(doubts)} are doubtful: a model that did not "
                "see the row is far surer of another; look at the first of them, the most doubtful",
                len({row for row, _, _ in doubts}),
                [
                    (found["place"], f"{_named(found['given'])} or {_named(found['likely'])}?")
                    for found in described[:EXAMPLES]
                ],
                {"task": name, "labels": described},
            )


def out_of_fold(data: datasets.Dataset, schema: LabelSchema, *, seed: int, advance: Advance) -> dict[str, Array]:
    """Probabilities (N, K) per task, for each row from a linear part that did not see it or a copy of it."""
    keys = {key: number for number, key in enumerate(dict.fromkeys(map(fingerprint, data.texts)))}
    folds = np.random.default_rng(seed).permutation(len(keys)) % FOLDS
    fold = np.array([folds[keys[fingerprint(text)]] for text in data.texts])
    result = {name: np.zeros_like(target) for name, target in data.targets.items()}
    for number in range(FOLDS):
        inside, outside = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
        seen = datasets.Dataset(
            [data.texts[row] for row in outside], {name: target[outside] for name, target in data.targets.items()}
        )
        model = fit_linear(seen, schema, strength=4.0, max_features=100_000, seed=seed, advance=lambda units: None)
        for name, found in model.probabilities([data.texts[row] for row in inside]).items():
            result[name][inside] = found
        advance(1)
    return result


def doubtful_single(truth: Array, probabilities: Array) -> list[tuple[int, int, float]]:
    """Doubtful rows of a single task: row, the label it likely has, and how far that one is ahead.

    A label's threshold is its mean probability over the rows that have it; a row is doubtful if
    another label reaches its threshold, is the most probable of those that do, and by far more
    probable than the given one.
    """
    given = truth.argmax(axis=1)
    thresholds = np.array(
        [
            probabilities[given == label, label].mean() if (given == label).any() else 1.0
            for label in range(truth.shape[1])
        ]
    )
    confident = np.where(probabilities >= thresholds, probabilities, 0)
    likely = confident.argmax(axis=1)
    every = np.arange(len(truth))
    ahead = probabilities[every, likely] - probabilities[every, given]
    rows = np.flatnonzero((confident.max(axis=1) > 0) & (likely != given) & (ahead >= _AHEAD))
    return _ranked(rows, likely[rows], ahead[rows])


def doubtful_multi(truth: Array, probabilities: Array) -> list[tuple[int, int, float]]:
    """Doubtful labels of a multi task, each judged as a question of its own: row, label, and how far
    its being otherwise is ahead."""
    found: list[tuple[int, int, float]] = []
    for label in range(truth.shape[1]):
        applies = truth[:, label] > 0.5
        if applies.all() or not applies.any():
            continue
        yes, no = probabilities[applies, label].mean(), (1 - probabilities[~applies, label]).mean()
        ahead = 2 * probabilities[:, label] - 1
        missing = np.flatnonzero(~applies & (probabilities[:, label] >= yes) & (ahead >= _AHEAD))
        found += _ranked(missing, np.full(len(missing), label), ahead[missing])
        if yes >= _KNOWN:
            surplus = np.flatnonzero(applies & (1 - probabilities[:, label] >= no) & (-ahead >= _AHEAD))
            found += _ranked(surplus, np.full(len(surplus), label), -ahead[surplus])
    return sorted(found, key=lambda doubt: -doubt[2])


def _is_guessing(truth: Array, probabilities: Array) -> bool:
    """Whether the model is right hardly more often than one that always gives the most frequent label."""
    right = float((truth.argmax(axis=1) == probabilities.argmax(axis=1)).mean())
    return right <= float(truth.mean(axis=0).max()) + _BETTER


def _ranked(rows: NDArray[np.intp], labels: NDArray[np.intp], ahead: Array) -> list[tuple[int, int, float]]:
    order = np.argsort(-ahead, kind="stable")
    return [(int(rows[place]), int(labels[place]), float(ahead[place])) for place in order]


def _described(
    doubt: tuple[int, int, float], name: str, task: Task, rows: Sequence[Row], labelled: NDArray[np.intp]
) -> dict[str, Any]:
    row, label, ahead = doubt
    item = rows[labelled[row]]
    given = list(item.item.labels(name) or ())
    key = task.keys[label]
    if task.kind == "single":
        likely = [key]
    else:
        likely = [other for other in given if other != key] if key in given else [*given, key]
    return {
        "place": item.place,
        "given": given,
        "likely": likely,
        "margin": round(ahead, 3),
    }


def _named(labels: Sequence[str]) -> str:
    return LIST_SEPARATOR.join(labels) or "none"
