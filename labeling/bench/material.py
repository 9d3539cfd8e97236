"""A labelled set as a project would meet it: few labels at first, many texts without, and rows that nobody touches."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from labeling.choice.chance import lot
from labeling.pull.answers import Labels
from models.errors import DataError
from models.files import atomic_write
from models.labels import LabelSchema
from models.readers import read_items
from models.records import LabeledItem
from models.rejects import Reject
from models.text import fingerprint

TRAIN, DEV = "train.jsonl.gz", "dev.jsonl.gz"
#: Fields that tell a label.
_LABELS = frozenset({"category", "categories", "sentiment"})


class Size(NamedTuple):
    """How many rows are labelled at first, how many texts there are to choose from, and how many are answered."""

    base: int
    pool: int
    answers: int


class Material(NamedTuple):
    """Files of one run, and what a labeler knows.

    ``base`` is labelled, ``pool`` is not, ``chance`` is as many of the pool as are answered, drawn by chance, with
    their labels. ``truth`` are the labels of every row of the pool, by its id.
    """

    base: Path
    pool: Path
    chance: Path
    truth: dict[str, Labels]


def draw(source: Path, schema: LabelSchema, size: Size, seed: int, folder: Path) -> Material:
    """Draw the rows of a run by chance from a set; no text is drawn twice, and none that is measured by.

    Args:
        source: folder of the set, with TRAIN to draw from and DEV, which is measured by.
        schema: its labels.
        size: how many rows.
        seed: decides the chance.
        folder: where the files are written.

    Raises:
        DataError: the set is not there, or has too few rows.
    """
    measured = {fingerprint(item.text) for item in _items(source / DEV)}
    texts = {fingerprint(item.text): item for item in _items(source / TRAIN)}
    drawn = [texts[mark] for mark in sorted(texts.keys() - measured, key=lambda mark: lot("bench", seed, mark))]
    base, pool = drawn[: size.base], drawn[size.base : size.base + size.pool]
    if len(pool) <= size.answers:
        raise DataError(
            f"{source / TRAIN}: expected more than {size.base + size.answers:,} different texts that are not in {DEV},"
            f" got {len(drawn):,}; ask for fewer"
        )
    # ids of their own, so that no row of the base has that of one in the pool
    numbered = {f"row-{number}": item for number, item in enumerate(pool)}
    by_chance = list(numbered.items())[: size.answers]
    return Material(
        base=_write(folder / "base.jsonl", map(_row, base)),
        pool=_write(
            folder / "pool.jsonl",
            ({"id": name, **_row(item, labels=False)} for name, item in numbered.items()),
        ),
        chance=_write(folder / "chance.jsonl", ({"id": name, **_row(item)} for name, item in by_chance)),
        truth={
            name: {task: labels for task in schema.tasks if (labels := item.labels(task)) is not None}
            for name, item in numbered.items()
        },
    )


def _items(file: Path) -> Iterator[LabeledItem]:
    return (item for item in read_items(file) if not isinstance(item, Reject))


def _row(item: LabeledItem, *, labels: bool = True) -> dict[str, Any]:
    # no other field, which might tell a label, and none that one part has alone
    fields = {"text", "language"} | (_LABELS if labels else set())
    return item.model_dump(mode="json", include=fields, exclude_none=True)


def _write(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    with atomic_write(path) as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return path


def sets_of(data: Path, names: Sequence[str]) -> list[Path]:
    """The folders of these sets in the folder ``data``.

    Raises:
        DataError: one is not there.
    """
    found = [data / name for name in names]
    for folder in found:
        for file in (TRAIN, DEV):
            if not (folder / file).is_file():
                raise DataError(f"{folder / file}: no such file; --data is the folder that holds the sets, by name")
    return found
