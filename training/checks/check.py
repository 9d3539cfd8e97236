"""All checks of labelled feedback, before a model learns from it."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from models.errors import ConfigError, DataError, as_list, did_you_mean
from models.labels import LabelSchema
from models.progress import Progress
from training import datasets
from training.checks.copies import Pairs, check_copies, check_overlap, near_copies
from training.checks.doubted import write_doubted
from training.checks.finding import Finding
from training.checks.labels import check_labels
from training.checks.leaks import check_leaks
from training.checks.mislabelled import FOLDS, check_labels_by_model
from training.checks.texts import check_texts
from training.datasets import Row

#: Every check, and what it finds.
CHECKS: Mapping[str, str] = {
    "duplicates": "the same text twice",
    "contradictions": "the same text with different labels",
    "near-duplicates": "texts that differ in little",
    "overlap": "texts of dev that the training data has too",
    "near-overlap": "texts of dev that differ in little from one of the training data",
    "one-label": "a task with one label alone",
    "rare-labels": "labels with too few rows to learn",
    "labels-not-in-dev": "labels with too few rows in dev to be measured",
    "labels-only-in-dev": "labels of dev that no training row has",
    "one-text": "all texts the same",
    "languages": "texts in another language than they say",
    "rare-languages": "languages with too few rows",
    "truncation": "texts longer than the encoder reads",
    "revealing-words": "words that give the label away",
    "doubtful-labels": "labels that are likely wrong",
}
EVERY = "all"


@dataclass(frozen=True)
class Divided:
    """How the rows of one file were divided, by their numbers.

    ``held`` are measured by and not learned from, None if each is both, in its turn. ``near`` are all near copies,
    ``across`` those that the division does not keep together, one to learn from before one to measure by.
    """

    held: Set[int] | None
    near: Pairs
    across: Pairs


def check_rows(
    rows: Sequence[Row],
    dev: Sequence[Row] | None,
    schema: LabelSchema,
    *,
    divided: Divided | None = None,
    encoder: Path | None,
    max_length: int,
    judged: int,
    seed: int,
    progress: Progress,
) -> list[Finding]:
    """Every finding in ``rows``, and where they meet ``dev`` if it is a file of its own.

    Args:
        rows: the data to learn from, one at least.
        dev: the data to measure by, or None.
        schema: its tasks are what is checked.
        divided: without ``dev``, which of the rows are measured by, if that is known.
        encoder: folder of the encoder that will read the texts, or None.
        max_length: tokens that it will read.
        judged: most rows whose labels are judged by a model.
        seed: of the choice of these.
        progress: shows the stages.
    """
    tasks = list(schema.tasks)
    both = [*rows, *(dev or [])]
    if divided is None:
        near = look_for_copies(both, progress)
        divided = Divided(
            None if dev is None else set(range(len(rows), len(both))),
            [pair for pair in near if pair[1] < len(rows)],
            [pair for pair in near if pair[0] < len(rows) <= pair[1]],
        )
    held = divided.held
    found = [*check_copies(rows, tasks, divided.near)]
    found += check_overlap(both, set(range(len(rows))) if held is None else held, divided.across)
    learned = [row for number, row in enumerate(both) if held is None or number not in held]
    found += check_labels(learned, None if held is None else [both[number] for number in sorted(held)], tasks)
    with progress.stage("reading languages and lengths", None, "texts") as advance:
        found += check_texts(rows, encoder=encoder, max_length=max_length, advance=advance)
        found += check_leaks(rows, tasks)
    with progress.stage("judging the labels", FOLDS, "folds") as advance:
        found += check_labels_by_model(rows, schema, most=judged, seed=seed, advance=advance)
    return found


def look_for_copies(rows: Sequence[Row], progress: Progress) -> Pairs:
    """The near copies among ``rows``."""
    with progress.stage("looking for copies", len(rows), "texts") as advance:
        return near_copies([row.item.text for row in rows], advance)


def check_file(
    data: str,
    rejects: Path,
    *,
    dev: str | None,
    labels: Path | None,
    columns: Mapping[str, str] | None,
    encoder: Path | None,
    max_length: int,
    judged: int,
    seed: int,
    doubted: Path | None = None,
    progress: Progress,
) -> tuple[list[Finding], list[str]]:
    """Findings in the file ``data``, and notes a person should read; see :func:`check_rows`.

    The rows of ``data`` whose labels are doubted are written to the file ``doubted``, if there is one.

    Raises:
        InputError: a file cannot be read, or the data does not fit the schema.
    """
    notes: list[str] = []
    rows = datasets.read_rows(data, rejects, columns, notes, progress)
    measured = None
    if dev is not None:
        measured = datasets.read_rows(dev, rejects.with_name(f"dev-{rejects.name}"), columns, notes, progress)
    items = [row.item for row in (*rows, *(measured or []))]
    schema = LabelSchema.load(labels) if labels else datasets.derive(items)
    datasets.build(items, schema, every_task=False)  # names labels that the schema does not have
    found = check_rows(
        rows,
        measured,
        schema,
        encoder=encoder,
        max_length=max_length,
        judged=judged,
        seed=seed,
        progress=progress,
    )
    if doubted is not None:
        count = write_doubted(doubted, rows, found)
        after = f"; next: feedback label push --from {doubted}" if count else ""
        notes.append(f"{count} row(s) with doubted labels are in {doubted}{after}")
    return found, notes


def strict_checks(names: Sequence[str]) -> set[str]:
    """The checks that ``--strict`` names; ConfigError for one that there is not."""
    chosen: set[str] = set()
    for name in names:
        if name == EVERY:
            chosen |= set(CHECKS)
        elif name in CHECKS:
            chosen.add(name)
        else:
            raise ConfigError(f"--strict: no check {name!r}; {did_you_mean(name, [*CHECKS, EVERY])}")
    return chosen


def forbid(findings: Sequence[Finding], strict: Set[str]) -> None:
    """Raise DataError with every finding of the checks in ``strict``."""
    if faults := [f"{found.check}: {found.message}" for found in findings if found.check in strict]:
        raise DataError(f"the data has faults that --strict does not allow{as_list(faults)}")
