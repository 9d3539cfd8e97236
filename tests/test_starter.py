"""The starter data keep what their datasheet says."""

from collections import Counter
from datetime import date
from statistics import median

import pytest
from support import STARTER, grams, read_jsonl

from models.labels import LabelSchema
from models.readers import read_items
from models.records import LabeledItem
from models.text import fingerprint
from training.datasets import build

LANGUAGES = {"en", "it", "pl", "ro", "zh-Hans", "zh-Hant"}
SPLITS = ("train", "dev", "test")


@pytest.fixture(scope="module")
def rows() -> dict[str, list[dict]]:
    return {split: read_jsonl(STARTER / f"{split}.jsonl") for split in SPLITS}


@pytest.mark.parametrize("split", [*SPLITS, "samples"])
def test_every_row_is_a_record(split):
    items = list(read_items(STARTER / f"{split}.jsonl"))
    assert all(isinstance(item, LabeledItem) for item in items)
    if split != "samples":
        build(items, LabelSchema.load())


def test_there_are_enough_items_in_each_language(rows):
    counts = Counter(row["language"] for split in SPLITS for row in rows[split])
    assert set(counts) == LANGUAGES
    assert min(counts.values()) >= 250
    assert sum(counts.values()) >= 1800


def test_ids_are_unique(rows):
    ids = [row["id"] for split in SPLITS for row in rows[split]]
    assert len(ids) == len(set(ids))


def test_no_near_duplicate_stands_on_both_sides_of_the_split(rows):
    for language in LANGUAGES:
        sides = [(grams(row["text"]), split) for split in SPLITS for row in rows[split] if row["language"] == language]
        for number, (first, split) in enumerate(sides):
            for second, other in sides[:number]:
                if split != other:
                    assert len(first & second) / len(first | second) <= 0.35


def test_every_label_is_met_in_every_split(rows):
    for split in SPLITS:
        seen = {label for row in rows[split] for label in row["categories"]}
        assert seen == set(LabelSchema.load().tasks["category"].keys)
        assert {row["sentiment"] for row in rows[split]} == {"negative", "neutral", "positive"}


def test_the_incident_of_march_is_visible_in_the_dates(rows):
    days = Counter(date.fromisoformat(row["created_at"][:10]) for split in SPLITS for row in rows[split])
    assert min(days) >= date(2025, 11, 1)
    assert max(days) <= date(2026, 4, 30)
    incident = sum(days[date(2026, 3, day)] for day in range(10, 17)) / 7
    assert incident > 2.5 * median(days.values())


def test_the_samples_are_one_in_each_language_and_not_trained_on(rows):
    samples = read_jsonl(STARTER / "samples.jsonl")
    assert len(samples) == 6
    known = {fingerprint(row["text"]) for split in SPLITS for row in rows[split]}
    assert not known & {fingerprint(row["text"]) for row in samples}
