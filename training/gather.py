"""The rows of a training run: read, checked, with their schema, in those to learn from and those to tune by."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from models.errors import DataError, as_list
from models.labels import LabelSchema
from models.progress import Progress
from models.records import CANNOT_TELL, LabeledItem
from models.text import fingerprint
from training import datasets
from training.checks.check import Divided, check_rows, forbid, look_for_copies
from training.checks.copies import Pairs
from training.checks.finding import Finding
from training.config import TrainConfig
from training.corrections import Changes, apart, correct
from training.datasets import Dataset, Row
from training.identity import inseparable, item_keys
from training.regime import FEW, Name, candidates, rows_per_label
from training.scope import is_out_of_scope

#: Rows whose labels a training run has judged; `feedback data check` looks at more.
_JUDGED = 4_000


@dataclass(frozen=True)
class Rows:
    """Rows in their order, and as arrays; ``near`` are near copies among them, if they were looked for."""

    rows: list[Row]
    dataset: Dataset
    near: Pairs = ()

    @property
    def items(self) -> list[LabeledItem]:
        """What the rows hold."""
        return [row.item for row in self.rows]


@dataclass(frozen=True)
class Gathered:
    """What a run has to go by.

    ``learn`` is what it learns from, ``dev`` what it is tuned and measured by. With ``crossed`` these are the same
    rows, each to be answered by a model that did not see it. ``ways`` are those to train an encoder that are worth
    trying on them, and ``why``. ``outside`` are rows that a label or a person says are out of scope. ``changes`` are
    those that corrections made. ``findings`` are those of the checks, ``notes`` what a person should read.
    """

    schema: LabelSchema
    learn: Rows
    dev: Rows
    crossed: bool
    ways: tuple[Name, ...]
    why: str
    outside: list[Row]
    changes: Changes | None
    findings: list[Finding]
    notes: list[str]


def gather(
    data: str,
    out: Path,
    config: TrainConfig,
    *,
    dev: str | None,
    corrections: Sequence[str],
    schema: LabelSchema | None,
    columns: Mapping[str, str] | None,
    strict: Set[str],
    encoder: Path | None,
    search: bool,
    progress: Progress,
) -> Gathered:
    """Read, check and divide the rows; see :func:`training.train.train` for the arguments.

    Without ``dev`` a share of the rows is held back by a hash of the text, or, of few rows, all are used for both;
    near copies stay together.

    Raises:
        InputError: the rows cannot be used.
    """
    notes: list[str] = []
    rows = datasets.read_rows(data, out.with_name(f"{out.name}.rejects.jsonl"), columns, notes, progress)
    given = []
    if dev is not None:
        given = datasets.read_rows(dev, out.with_name(f"{out.name}.dev-rejects.jsonl"), columns, notes, progress)
    tasks = datasets.DERIVED_TASKS if schema is None else tuple(schema.tasks)
    changes = None
    if corrections:
        later = [
            (
                name,
                datasets.read_rows(name, out.with_name(f"{out.name}.rejects-{number}.jsonl"), columns, notes, progress),
            )
            for number, name in enumerate(corrections, 2)
        ]
        rows, given, changes = correct(rows, given, later, tasks, notes)
        notes.append(changes.in_words())
    rows, given = ([row for row in some if row.item.set_aside != CANNOT_TELL] for some in (rows, given))
    outside = [row for row in (*rows, *given) if is_out_of_scope(row.item, tasks, config.out_of_scope)]
    inside, known = (
        [row for row in some if not is_out_of_scope(row.item, tasks, config.out_of_scope)] for some in (rows, given)
    )
    every = [labels for row in (*rows, *given) for task in tasks if (labels := row.item.labels(task)) is not None]
    if absent := sorted(set(config.out_of_scope).difference(*every)):
        notes.append(
            f"out_of_scope: expected labels that stand in the data, got {', '.join(absent)}, of which no row is; "
            "correct the spelling, or leave it out"
        )
    if not inside:
        raise DataError(f"{data}: expected rows in scope, got {len(rows)} that are labelled out of scope")
    # what is measured by is not learned from, but the checks see it
    as_given = inside
    if dev is not None:
        inside = apart(inside, known, notes)
        if not inside:
            raise DataError(
                f"{data}: expected rows beside those of --dev, got none: every item stands in {dev}, too; give others"
            )
    # from dev as well: a rare label that only dev has is no reason to stop
    schema = schema or datasets.derive(row.item for row in (*inside, *known))
    whole = Rows(inside, datasets.build([row.item for row in inside], schema))
    if len(inside) > 1 and len({fingerprint(row.item.text) for row in inside}) == 1:
        raise DataError(
            f"{data}: expected texts that differ, got the same in all {len(inside)} rows; "
            "say with --column text=NAME which column is the text"
        )
    if dev is None and len(set(item_keys(whole.items))) < 2:
        raise DataError(
            f"{data}: expected two items or more, got {len(inside)} row(s) of one; add rows with other texts, and "
            "with other ids if they have any"
        )
    of_label = rows_per_label(whole.dataset, schema)
    ways, why = candidates(of_label, config, search=search)
    crossed = dev is None and "full" not in ways and of_label < FEW
    divided = None
    if dev is None:
        learn, held, divided = _divided(whole, schema, None if crossed else config.dev_share, progress)
    else:
        learn = whole
        held = Rows(known, datasets.build([row.item for row in known], schema, every_task=False))
    _refuse_one_answer(learn.dataset, schema, data)
    if not any(len(held.dataset.labelled(task)) for task in schema.tasks):
        if dev is not None:
            raise DataError(f"{dev}: expected labels for {', '.join(schema.tasks)} in some row, got none")
        held = Rows([], datasets.build([], schema, every_task=False))
        notes.append("no labelled rows to hold back: every epoch is run and nothing is measured; give --dev")
    findings = check_rows(
        as_given,
        held.rows if dev is not None else None,
        schema,
        divided=divided,
        encoder=encoder,
        max_length=config.max_length,
        judged=_JUDGED,
        seed=config.seed,
        progress=progress,
    )
    forbid(findings, strict)
    notes += [f"{found.check}: {found.message}" for found in findings]
    return Gathered(schema, learn, held, crossed, ways, why, outside, changes, findings, notes)


def _refuse_one_answer(learn: Dataset, schema: LabelSchema, data: str) -> None:
    """DataError for tasks of which every row to learn from has the same answer: a model would give it to all, and be
    sure of it."""
    alike = []
    for name, task in schema.tasks.items():
        given = np.unique(learn.targets[name][learn.labelled(name)], axis=0)
        if len(given) == 1:
            only = ", ".join(key for key, applies in zip(task.keys, given[0], strict=True) if applies) or "no label"
            alike.append(f"{name}: every labelled row says {only}")
    if alike:
        raise DataError(
            f"{data}: expected rows to learn from with two different answers for each task, got one alone; add rows of "
            f"another, or take the task out of labels.toml{as_list(alike)}"
        )


def _divided(whole: Rows, schema: LabelSchema, share: float | None, progress: Progress) -> tuple[Rows, Rows, Divided]:
    """Rows to learn from and those to tune by, which are this share of them; with None each is both, in its turn."""
    tasks = tuple(schema.tasks)
    near = look_for_copies(whole.rows, progress)
    if share is None:
        keys = inseparable(whole.items, near, tasks)
        both = replace(whole, near=near)
        return both, both, Divided(None, near, [(one, other) for one, other in near if keys[one] != keys[other]])
    train, dev = datasets.split(whole.rows, share, near, tasks)
    held = set(dev)
    across = [(one, other) for pair in near for one, other in (pair, pair[::-1]) if other in held and one not in held]
    learn, back = ([whole.rows[number] for number in numbers] for numbers in (train, dev))
    return (
        Rows(learn, datasets.build([row.item for row in learn], schema)),
        Rows(back, datasets.build([row.item for row in back], schema, every_task=False)),
        Divided(held, near, across),
    )
