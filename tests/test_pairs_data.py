"""The feedback pairs keep what their datasheet says."""

from collections import Counter, defaultdict

import pytest
from support import ROOT, STARTER, grams, read_jsonl

from models.labels import LabelSchema
from models.text import chinese_script, fingerprint

FEEDBACK = ("en", "it", "pl", "ro", "zh-Hans", "zh-Hant")
LANGUAGES = (*FEEDBACK, "de", "fr", "es", "pt", "vi", "nl")


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    return read_jsonl(ROOT / "training/data/pairs/feedback.jsonl")


def test_every_line_has_every_language_and_known_labels(rows: list[dict]) -> None:
    schema = LabelSchema.load()
    keys = {"name", *LANGUAGES, "categories", "sentiment", "source", "licence"}
    for row in rows:
        assert set(row) == keys, row["name"]
        assert all(row[language].strip() for language in LANGUAGES), row["name"]
        assert row["sentiment"] in schema.tasks["sentiment"].index
        assert set(row["categories"]) <= set(schema.tasks["category"].index)


def test_the_counts_are_those_of_the_datasheet(rows: list[dict]) -> None:
    assert len(rows) == 2845
    assert Counter(row["sentiment"] for row in rows) == {"negative": 1159, "positive": 1013, "neutral": 673}
    assert len({row["name"] for row in rows}) == len({fingerprint(row["en"]) for row in rows}) == len(rows)
    assert min(Counter(label for row in rows for label in row["categories"]).values()) >= 30


def test_chinese_is_written_in_the_script_it_says(rows: list[dict]) -> None:
    for script, other in (("zh-Hans", "zh-Hant"), ("zh-Hant", "zh-Hans")):
        wrong = [row["name"] for row in rows if chinese_script(row[script]) == other]
        assert len(wrong) <= len(rows) / 500, wrong


def test_no_line_is_nearly_one_of_the_starter_data(rows: list[dict]) -> None:
    starter = [row for split in ("train", "dev", "test") for row in read_jsonl(STARTER / f"{split}.jsonl")]
    for language in FEEDBACK:
        known = [grams(row["text"]) for row in starter if row["language"] == language]
        having: dict[str, list[int]] = defaultdict(list)
        for number, found in enumerate(known):
            for gram in found:
                having[gram].append(number)
        for row in rows:
            ours = grams(row[language])
            for number, shared in Counter(number for gram in ours for number in having[gram]).items():
                assert shared / len(ours | known[number]) <= 0.35, (language, row["name"])
