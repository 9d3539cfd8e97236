"""Rows to learn from and rows to measure by: what never stands on both sides."""

import random

import pytest
from support import STARTER, read_jsonl, write_jsonl
from training_support import BAD, GOOD, small_rows

from models.errors import DataError
from models.progress import Silent
from models.records import LabeledItem
from models.text import fingerprint
from training.config import TrainConfig
from training.datasets import Row, split
from training.train import train


def test_equal_texts_never_stand_on_both_sides_of_a_split():
    items = [LabeledItem(text=f"{text}{end}") for text in GOOD + BAD for end in ("", "!", " ?", "  ")]
    items += [LabeledItem(text=item.text.upper()) for item in items]
    rows = [Row("", item) for item in items * 3]
    train_side, dev_side = ([rows[number] for number in side] for side in split(rows, 0.3))
    assert train_side
    assert dev_side
    assert not {fingerprint(row.item.text) for row in train_side} & {fingerprint(row.item.text) for row in dev_side}


def test_held_back_rows_are_a_share_of_data_that_was_split_before():
    items = [LabeledItem(**row) for row in read_jsonl(STARTER / "train.jsonl")]
    _, dev_side = split([Row("", item) for item in items], 0.15)
    assert 0.1 < len(dev_side) / len(items) < 0.2


def nearly_the_same(count: int) -> list[dict]:
    """Texts of which each has a near copy, with labels that chance drew for both."""
    chance = random.Random(3)
    words = sorted({word for row in read_jsonl(STARTER / "train.jsonl") for word in row["text"].split()})
    texts = [" ".join(chance.sample(words, 15)) for _ in range(count)]
    labels = [chance.choice(["heads", "tails"]) for _ in texts]
    return [
        {"text": text + end, "category": label} for text, label in zip(texts, labels, strict=True) for end in ("", " z")
    ]


def test_near_copies_never_stand_on_both_sides_of_a_split():
    rows = [Row("", LabeledItem(**row)) for row in nearly_the_same(100)]
    near = [(number, number + 1) for number in range(0, 200, 2)]
    train_side, dev_side = split(rows, 0.3, near, ["category"])
    assert len(train_side) > 100
    assert len(dev_side) > 30
    assert all((one in dev_side) == (other in dev_side) for one, other in near)


def test_near_copies_that_are_most_of_a_label_are_learned_from():
    rows = [Row("", LabeledItem(**row)) for row in nearly_the_same(100)]
    for number in range(20):
        labels = ["rare", "rare"] if number % 2 else ["rare", "heads"]
        own = [row.item.model_copy(update={"category": label}) for row, label in zip(rows, labels, strict=False)]
        own += [row.item for row in rows[2:]]
        salted = [Row("", item.model_copy(update={"text": f"{item.text} {number}"})) for item in own]
        train_side, _ = split(salted, 0.5, [(0, 1)], ["category"])
        assert {0, 1} <= set(train_side)


def test_of_near_copies_alone_some_are_held_back_all_the_same():
    rows = [Row("", LabeledItem(**row)) for row in nearly_the_same(40)]
    one_of_all = [(0, number) for number in range(1, 80)]
    assert split(rows, 0.3, one_of_all, ["category"]) == split(rows, 0.3)


def test_nothing_is_measured_by_what_was_nearly_learned(tmp_path):
    data = write_jsonl(tmp_path / "data.jsonl", nearly_the_same(200))
    strict = {"near-overlap"}
    result = train(str(data), tmp_path / "model", TrainConfig(encoder="none"), strict=strict, progress=Silent())
    assert not result.report["crossed"]
    assert result.report["tasks"]["category"]["accuracy"] < 0.7
    assert [note.partition(":")[0] for note in result.notes if "near-" in note] == ["near-duplicates"]


@pytest.mark.parametrize("held", [True, False])
def test_a_label_that_stands_on_one_side_of_a_split_alone_is_told(held, tmp_path):
    rows = [*small_rows(), {"text": "odd", "category": "rare"}]
    # a text for which chance chooses this side
    for number in range(100):
        rows[-1]["text"] = f"odd number {number}"
        items = [Row("", LabeledItem(**row)) for row in rows]
        if (len(rows) - 1 in split(items, 0.15)[1]) == held:
            break
    check = "labels-only-in-dev" if held else "labels-not-in-dev"
    data = write_jsonl(tmp_path / "data.jsonl", rows)
    config = TrainConfig(encoder="none", regime="full")
    assert any(
        note.startswith(f"{check}: category: 1 label(s)")
        for note in train(str(data), tmp_path / "model", config, progress=Silent()).notes
    )
    with pytest.raises(DataError, match=rf"--strict does not allow\n  - {check}: category: .* rare"):
        train(str(data), tmp_path / "strict", config, strict={check}, progress=Silent())
