"""From labelled items to arrays: schema, targets, split."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.errors import DataError, SchemaError, as_list, did_you_mean
from models.labels import LabelSchema, derive_schema
from models.progress import Progress
from models.readers import read_placed
from models.records import LabeledItem
from models.rejects import Reject, RejectLog
from models.scores import Array
from models.text import normalise
from training.identity import indispensable, item_keys

#: Tasks that a schema is derived for; further ones are declared in labels.toml.
DERIVED_TASKS = ("category", "sentiment")


@dataclass(frozen=True)
class Row:
    """A row of the data: where it stands, as ``file:line``, and what it holds.

    ``sample`` is False where a later file added it because it is hard: nothing is measured by such rows.
    """

    place: str
    item: LabeledItem
    sample: bool = True


@dataclass(frozen=True)
class Dataset:
    """Normalised texts and targets of labelled items.

    ``targets`` holds per task an array (N, K) in class order, 1 where the label applies; a row of
    NaN was not labelled for the task.
    """

    texts: list[str]
    targets: dict[str, Array]

    def labelled(self, task: str) -> NDArray[np.intp]:
        """Indices of the rows that are labelled for ``task``."""
        return np.flatnonzero(~np.isnan(self.targets[task][:, 0]))


def read_rows(
    source: str, rejects: Path, columns: Mapping[str, str] | None, notes: list[str], progress: Progress
) -> list[Row]:
    """The rows of ``source`` that can be used; the others go to the file ``rejects``, with a word in ``notes``.

    Raises:
        DataError: the source cannot be read, or no row of it can be used.
    """
    rows = []
    with RejectLog(rejects, source) as log, progress.stage(f"reading {source}", None, "rows") as advance:
        for place, item in read_placed(source, columns):
            if isinstance(item, Reject):
                log.add(item)
                continue
            rows.append(Row(place, item))
            advance(1)
    if not rows:
        raise DataError(f"{source}: no row can be used; {log.summary()}")
    if log.count:
        notes.append(log.summary())
    return rows


def derive(items: Iterable[LabeledItem]) -> LabelSchema:
    """The schema of the labels that stand in ``items``; DataError if there are none."""
    rows: dict[str, list[tuple[str, ...]]] = {task: [] for task in DERIVED_TASKS}
    for item in items:
        for task in DERIVED_TASKS:
            labels = item.labels(task)
            if labels is not None:
                rows[task].append(labels)
    labelled = {task: found for task, found in rows.items() if found}
    if not labelled:
        raise DataError(
            "no labels in the data: expected a field 'category', 'categories' or 'sentiment' in some row, got none; "
            "if they have other names, say which with --column category=NAME"
        )
    return derive_schema(labelled)


def build(items: Sequence[LabeledItem], schema: LabelSchema, *, every_task: bool = True) -> Dataset:
    """Texts and targets of ``items``; ``every_task`` wants rows labelled for each task.

    Raises:
        SchemaError: labels that the schema does not know, all of them, each with its count and
            the nearest known one; or several labels in a row of a single task.
        DataError: no row is labelled for some task.
    """
    targets: dict[str, Array] = {
        name: np.full((len(items), len(task.labels)), np.nan, np.float32) for name, task in schema.tasks.items()
    }
    problems: Counter[str] = Counter()
    for row, item in enumerate(items):
        for name, task in schema.tasks.items():
            labels = item.labels(name)
            if labels is None:
                continue
            if task.kind == "single" and len(labels) != 1:
                problems[
                    f"{name}: expected one label a row, got {len(labels)}; declare the task multi in labels.toml"
                ] += 1
                continue
            targets[name][row] = 0
            for label in labels:
                if label in task.index:
                    targets[name][row, task.index[label]] = 1
                else:
                    problems[f"unknown {name} label {label!r}; {did_you_mean(label, task.keys)}"] += 1
    if problems:
        faults = [f"{problem} ({count} row(s))" for problem, count in problems.most_common()]
        raise SchemaError(f"the data does not fit the label schema; correct the data or the schema{as_list(faults)}")
    for name, target in targets.items():
        if every_task and np.isnan(target).all():
            raise DataError(f"no row is labelled for task {name!r}; label some, or take the task out of labels.toml")
    return Dataset([normalise(item.text) for item in items], targets)


def split(
    rows: Sequence[Row], dev_share: float, near: Sequence[tuple[int, int]] = (), tasks: Sequence[str] = ()
) -> tuple[list[int], list[int]]:
    """Numbers of the rows in train and in dev, by a hash of the text: an item, be it known by its text or by its id,
    never stands on both sides.

    The same row falls on the same side in every run, whatever else is in the file; but an item with a row that is no
    sample stands in train, so that bounds are not chosen by harder texts than will come. If nothing else is left for
    dev, all rows are divided.

    Near copies, which are given as the pairs ``near``, stand on one side: in train where they are most of the rows of a
    label of ``tasks``. Only if nothing were left for dev are they divided as if they were none.
    """
    items = [row.item for row in rows]
    alone = item_keys(items)
    if near:
        keys = item_keys(items, near)
        joined = Counter(key for key, _ in set(zip(keys, alone, strict=True)))
        most = {key for key in indispensable(items, keys, tasks) if joined[key] > 1}
        train, dev = _divided(keys, most | _no_samples(rows, keys), dev_share)
        if dev and train:
            return train, dev
    train, dev = _divided(alone, _no_samples(rows, alone), dev_share)
    if not dev:
        train, dev = _divided(alone, set(), dev_share)
    return (train, dev) if train else (dev, [])


def _no_samples(rows: Sequence[Row], keys: Sequence[str]) -> set[str]:
    return {key for row, key in zip(rows, keys, strict=True) if not row.sample}


def _divided(keys: Sequence[str], kept: Set[str], dev_share: float) -> tuple[list[int], list[int]]:
    train: list[int] = []
    dev: list[int] = []
    for number, key in enumerate(keys):
        # salted: data that was split by a plain hash before must not fall on one side again
        digest = hashlib.sha256(f"dev:{key}".encode()).digest()
        share = int.from_bytes(digest[:8], "big") / 2**64
        (dev if share < dev_share and key not in kept else train).append(number)
    return train, dev


def ranked(items: Iterable[LabeledItem], seed: int | None = None) -> list[LabeledItem]:
    """Items in the order of a hash of their text, whatever theirs was; another one for each seed."""
    salt = "" if seed is None else f"{seed} "
    return sorted(items, key=lambda item: hashlib.sha256(f"{salt}{item.text}".encode()).digest())


def of_each(items: Iterable[LabeledItem], task: str, size: int) -> list[LabeledItem]:
    """The first ``size`` items of each combination of labels for ``task``."""
    groups: dict[tuple[str, ...], list[LabeledItem]] = defaultdict(list)
    for item in items:
        groups[item.labels(task) or ()].append(item)
    return [item for _, group in sorted(groups.items()) for item in group[:size]]


def data_fingerprint(items: Sequence[LabeledItem], schema: LabelSchema) -> str:
    """Hash over texts and labels in order: which data a model has seen."""
    digest = hashlib.sha256()
    for item in items:
        digest.update(json.dumps([item.text, *(item.labels(task) for task in schema.tasks)]).encode())
    return digest.hexdigest()[:16]


def digest(dataset: Dataset) -> str:
    """Hash over texts and targets in order."""
    result = hashlib.sha256(json.dumps(dataset.texts).encode())
    for name, target in dataset.targets.items():
        result.update(name.encode() + target.tobytes())
    return result.hexdigest()[:16]


def label_counts(dataset: Dataset, schema: LabelSchema) -> dict[str, dict[str, int]]:
    """Per task the rows of each label, and under "" the labelled rows."""
    counts = {}
    for name, task in schema.tasks.items():
        totals = np.nansum(dataset.targets[name], axis=0)
        counts[name] = {
            "": len(dataset.labelled(name)),
            **{key: int(n) for key, n in zip(task.keys, totals, strict=True)},
        }
    return counts
