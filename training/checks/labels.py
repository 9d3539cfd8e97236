"""Labels that cannot be learned or measured: too rare, missing from dev, or the only one."""

from collections import Counter
from collections.abc import Iterator, Sequence

from training.checks.finding import Finding
from training.datasets import Row

#: With fewer rows a label is learned badly, and with fewer in dev its figures are chance.
FEWEST_TO_LEARN = 10
FEWEST_TO_MEASURE = 5
_SHOWN = 12


def check_labels(rows: Sequence[Row], dev: Sequence[Row] | None, tasks: Sequence[str]) -> Iterator[Finding]:
    """For each task: labels with few rows, labels that dev lacks, one label alone, rows without any."""
    for task in tasks:
        counts, labelled = _counts(rows, task)
        if not labelled:
            continue
        if len(counts) == 1:
            (only,) = counts
            yield Finding(
                "one-label",
                f"{task}: every labelled row says {only!r}; a model can learn nothing from that, add rows of another",
                labelled,
            )
        rare = {label: count for label, count in sorted(counts.items()) if count < FEWEST_TO_LEARN}
        if rare:
            yield Finding(
                "rare-labels",
                f"{task}: {len(rare)} of {len(counts)} label(s) have fewer than {FEWEST_TO_LEARN} rows: "
                f"{_listed(rare)}; add rows, or join them with a related label",
                sum(rare.values()),
                details={"task": task, "labels": rare},
            )
        if dev is None:
            continue
        measured, _ = _counts(dev, task)
        unmeasured = {label: measured[label] for label in sorted(counts) if measured[label] < FEWEST_TO_MEASURE}
        if unmeasured:
            yield Finding(
                "labels-not-in-dev",
                f"{task}: {len(unmeasured)} label(s) have fewer than {FEWEST_TO_MEASURE} rows in dev: "
                f"{_listed(unmeasured)}; their figures and thresholds are chance",
                sum(unmeasured.values()),
                details={"task": task, "labels": unmeasured},
            )
        unlearned = {label: count for label, count in sorted(measured.items()) if label not in counts}
        if unlearned:
            yield Finding(
                "labels-only-in-dev",
                f"{task}: {len(unlearned)} label(s) of dev stand in no training row: {_listed(unlearned)}; "
                "they will always be answered wrong",
                sum(unlearned.values()),
                details={"task": task, "labels": unlearned},
            )


def _counts(rows: Sequence[Row], task: str) -> tuple[Counter[str], int]:
    given = [labels for row in rows if (labels := row.item.labels(task)) is not None]
    return Counter(label for labels in given for label in labels), len(given)


def _listed(counts: dict[str, int]) -> str:
    shown = ", ".join(f"{label} ({count})" for label, count in list(counts.items())[:_SHOWN])
    return shown + (f" and {len(counts) - _SHOWN} more" if len(counts) > _SHOWN else "")
