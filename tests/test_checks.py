"""Checks of labelled feedback: each with data that must trigger it, and data that must not."""

import json
import os
import random
import subprocess
import sys

import pytest
from support import ROOT, STARTER, read_jsonl, write_jsonl

from models.errors import ConfigError, DataError
from models.labels import LabelSchema, derive_schema
from models.progress import Silent
from models.records import LabeledItem
from training.checks.check import CHECKS, check_file, check_rows, forbid, strict_checks
from training.checks.finding import Finding
from training.datasets import Row, derive

ENGLISH = [row["text"] for row in read_jsonl(STARTER / "train.jsonl") if row["language"] == "en"]
WORDS = sorted({word for text in ENGLISH for word in text.lower().split() if word.isalpha() and len(word) > 3})


def sentences(count, seed=0):
    """Different texts of twenty words."""
    chance = random.Random(seed)
    return [" ".join(chance.sample(WORDS, 20)) for _ in range(count)]


def rows(texts, labels, name="data", **fields):
    return [
        Row(f"{name}:{n}", LabeledItem(**{"text": text, "sentiment": label, "language": "en", **fields}))
        for n, (text, label) in enumerate(zip(texts, labels, strict=True), 1)
    ]


def plain(count=60, name="data", seed=0, **fields):
    return rows(sentences(count, seed), ["good", "bad", "so-so"] * (count // 3), name, **fields)


def found(data, dev=None, *, encoder=None, max_length=128):
    items = [row.item for row in (*data, *(dev or []))]
    labels = {label for item in items for label in item.labels("sentiment") or ()}
    # one label alone is a schema that somebody wrote
    schema = derive(items) if len(labels) != 1 else derive_schema({"sentiment": [("bad",), ("good",)]})
    findings = check_rows(
        data, dev, schema, encoder=encoder, max_length=max_length, judged=1000, seed=1, progress=Silent()
    )
    assert {finding.check for finding in findings} <= set(CHECKS)
    return {finding.check: finding for finding in findings}


def with_copy(of, text, **changes):
    data = plain()
    item = data[of].item.model_copy(update={"text": text, **changes})
    return [*data, Row("data:copy", item)]


def test_sound_data_has_no_finding():
    assert found(plain(), plain(30, "dev", seed=1)) == {}


def test_the_same_text_twice_is_found_whatever_its_case_and_signs():
    data = plain()
    finding = found([*data, Row("data:61", data[4].item.model_copy(update={"text": data[4].item.text.upper() + "!!"}))])
    assert set(finding) == {"duplicates"}
    assert finding["duplicates"].rows == 1
    assert finding["duplicates"].examples == [["data:5", "data:61"]]
    assert "1.6% of 61" in finding["duplicates"].message


def test_the_same_text_with_different_labels_is_a_contradiction():
    data = plain()
    other = data[0].item.model_copy(update={"sentiment": "bad"})
    finding = found([*data, Row("data:61", other)])
    assert set(finding) == {"duplicates", "contradictions"}
    assert finding["contradictions"].rows == 2
    assert finding["contradictions"].examples == [["data:1", "data:61"]]


def test_the_order_of_several_labels_is_no_contradiction():
    both = [
        Row(f"data:{n}", LabeledItem(text="the same text again", categories=labels))
        for n, labels in enumerate([("a", "b"), ("b", "a")])
    ]
    assert "contradictions" not in found([*both, Row("data:3", LabeledItem(text="another", categories=("a",)))])


def test_a_label_that_one_of_two_copies_lacks_is_no_contradiction():
    data = plain()
    unlabelled = data[0].item.model_copy(update={"sentiment": None, "category": "x"})
    another = data[1].item.model_copy(update={"text": "of another category", "category": "y"})
    assert "contradictions" not in found([*data, Row("data:61", unlabelled), Row("data:62", another)])


@pytest.mark.parametrize(
    ("changed", "near"),
    [
        (lambda words: [*words[:-1], "elsewhere"], True),
        (lambda words: ["so", *words], True),
        (lambda words: words[:5] + words[10:], False),
        (lambda words: words[10:] + words[:10], True),
        (lambda words: words[10:], False),
    ],
    ids=["another last word", "a word before", "five words less in the middle", "turned round", "the half"],
)
def test_texts_that_differ_in_little_are_near_duplicates(changed, near):
    data = plain()
    words = data[7].item.text.split()
    finding = found([*data, Row("data:61", data[7].item.model_copy(update={"text": " ".join(changed(words))}))])
    assert ("near-duplicates" in finding) == near
    if near:
        assert finding["near-duplicates"].examples == [["data:8", "data:61"]]


def test_short_texts_are_alike_by_chance_and_no_near_duplicates():
    data = rows(["very good tea", "very good teas", *sentences(20)], ["good", "bad"] * 11)
    assert "near-duplicates" not in found(data)


def test_texts_of_dev_that_are_learned_from_are_an_overlap():
    data, dev = plain(), plain(30, "dev", seed=1)
    words = data[9].item.text.split()
    copy = dev[0].item.model_copy(update={"text": data[3].item.text.title()})
    near = dev[0].item.model_copy(update={"text": " ".join([*words[:-1], "elsewhere"])})
    finding = found(data, [*dev, Row("dev:31", copy), Row("dev:32", near)])
    assert set(finding) == {"overlap", "near-overlap"}
    assert finding["overlap"].examples == [("data:4", "dev:31")]
    assert finding["near-overlap"].examples == [("data:10", "dev:32")]
    assert "3.1% of 32" in finding["overlap"].message


def test_one_label_alone_teaches_nothing():
    finding = found(rows(sentences(30), ["good"] * 30))
    assert set(finding) == {"one-label"}
    assert "'good'" in finding["one-label"].message


def test_labels_with_few_rows_are_named_with_their_number():
    data = rows(sentences(63), ["good", "bad"] * 30 + ["odd"] * 3)
    finding = found(data)
    assert set(finding) == {"rare-labels"}
    assert "odd (3)" in finding["rare-labels"].message
    assert finding["rare-labels"].details == {"task": "sentiment", "labels": {"odd": 3}}


def test_labels_that_dev_lacks_or_has_alone_are_named():
    dev = rows(sentences(24, seed=1), ["good", "bad"] * 10 + ["so-so", "so-so", "new", "new"], "dev")
    finding = found(plain(), dev)
    assert set(finding) == {"labels-not-in-dev", "labels-only-in-dev"}
    assert "so-so (2)" in finding["labels-not-in-dev"].message
    assert "new (2)" in finding["labels-only-in-dev"].message


@pytest.mark.parametrize("count", [12, 150])
def test_one_text_in_all_rows_is_told(count):
    assert "one-text" in found(rows(["the very same thing"] * count, ["good", "bad"] * (count // 2)))


def starter(language):
    return [row for row in read_jsonl(STARTER / "train.jsonl") if row["language"] == language]


def test_texts_in_another_language_than_they_say_are_found():
    polish = [LabeledItem(**row) for row in starter("pl")[:40]]
    long = [row for row in starter("it") if len(row["text"]) > 80]
    wrong = [LabeledItem(**{**row, "language": "pl"}) for row in long[:6]]
    finding = found([Row(f"data:{n}", item) for n, item in enumerate([*polish, *wrong], 1)])
    assert finding["languages"].rows >= 5
    assert ["data:41"] in finding["languages"].examples
    assert "languages" not in found([Row(f"data:{n}", item) for n, item in enumerate(polish, 1)])


def test_a_script_of_chinese_is_no_other_language():
    chinese = [LabeledItem(**{**row, "language": "zh-TW"}) for row in starter("zh-Hant")[:30]]
    assert "languages" not in found([Row(f"data:{n}", item) for n, item in enumerate(chinese, 1)])


def test_languages_with_few_rows_are_named():
    items = [LabeledItem(**row) for row in [*starter("pl")[:40], *starter("ro")[:5]]]
    finding = found([Row(f"data:{n}", item) for n, item in enumerate(items, 1)])
    assert "ro" in finding["rare-languages"].message
    assert finding["rare-languages"].details["languages"]["pl"] > 0.8


def test_texts_that_the_encoder_cuts_are_counted(bert):
    data = plain()
    assert "truncation" not in found(data, encoder=bert, max_length=512)
    finding = found(data, encoder=bert, max_length=16)["truncation"]
    assert finding.rows == 60
    assert "than the 16 tokens" in finding.message


def test_a_word_that_gives_the_label_away_is_found_in_any_script():
    data = [
        *rows([f"{text} verdict" for text in sentences(90)], ["bad"] * 90),
        *rows([f"{text} 客服" for text in sentences(90, 1)], ["good"] * 90),
        *rows(sentences(90, 2), ["so-so"] * 90),
    ]
    words = found(data)["revealing-words"].details["words"]
    assert ["bad", "verdict", 90] in words
    assert ["good", "客服", 90] in words
    assert {label for label, _, _ in words} == {"bad", "good"}


def test_words_as_frequent_as_each_other_are_told_in_the_order_of_the_alphabet():
    marks = ["theta", "eta", "zeta", "delta", "gamma", "beta"]
    data = [
        *rows([f"{text} {' '.join(marks)}" for text in sentences(90)], ["bad"] * 90),
        *rows(sentences(90, 1), ["good"] * 90),
    ]
    told = [word for _, word, _ in found(data)["revealing-words"].details["words"]]
    assert [word for word in told if word in marks] == sorted(marks)


def test_a_word_in_few_rows_or_of_several_labels_gives_nothing_away():
    data = plain(180)
    few = [Row(row.place, row.item.model_copy(update={"text": f"{row.item.text} rare"})) for row in data[:15]]
    common = [Row(row.place, row.item.model_copy(update={"text": f"{row.item.text} the"})) for row in data[15:]]
    assert "revealing-words" not in found([*few, *common])


def learnable(count, wrong):
    """Rows whose first word tells the label, but for the first ``wrong``."""
    chance = random.Random(5)
    signs = {"good": ["lovely", "great", "fine"], "bad": ["awful", "poor", "nasty"]}
    data = []
    for number, text in enumerate(sentences(count, 7)):
        told = "good" if number % 2 else "bad"
        label = told if number >= wrong else ("bad" if number % 2 else "good")
        hints = " ".join(chance.sample(signs[told], 2))
        data.append(Row(f"data:{number + 1}", LabeledItem(text=f"{hints} {text}", sentiment=label)))
    return data


def test_labels_that_are_likely_wrong_come_first_and_right_ones_not_at_all():
    doubts = found(learnable(300, 12))["doubtful-labels"].details["labels"]
    assert {doubt["place"] for doubt in doubts[:10]} <= {f"data:{n}" for n in range(1, 13)}
    assert len(doubts) < 20
    assert {(*doubt["given"], *doubt["likely"]) for doubt in doubts} == {("good", "bad"), ("bad", "good")}
    assert [doubt["margin"] for doubt in doubts] == sorted((doubt["margin"] for doubt in doubts), reverse=True)


def test_labels_that_fit_are_not_doubted():
    assert "doubtful-labels" not in found(learnable(300, 0))


def test_labels_of_several_are_judged_one_by_one():
    data = [
        Row(row.place, LabeledItem(text=row.item.text, categories=("praise",) if row.item.sentiment == "good" else ()))
        for row in learnable(300, 12)
    ]
    doubts = found([*data, Row("data:301", LabeledItem(text="both kinds of things", categories=("praise", "other")))])
    every = doubts["doubtful-labels"].details["labels"]
    assert {doubt["place"] for doubt in every[:10]} <= {f"data:{n}" for n in range(1, 13)}
    assert {(*doubt["given"], "or", *doubt["likely"]) for doubt in every} == {("praise", "or"), ("or", "praise")}


def test_a_task_without_labelled_rows_is_not_judged():
    data = learnable(300, 12)
    schema = LabelSchema.model_validate(
        {
            "tasks": {
                "sentiment": {"kind": "single", "labels": [{"key": "bad"}, {"key": "good"}]},
                "category": {"kind": "multi", "labels": [{"key": "a"}, {"key": "b"}]},
            }
        }
    )
    findings = check_rows(data, None, schema, encoder=None, max_length=128, judged=1000, seed=1, progress=Silent())
    doubts = [finding.details["task"] for finding in findings if finding.check == "doubtful-labels"]
    assert doubts == ["sentiment"]


def test_strict_checks_are_named_and_an_unknown_one_is_refused():
    assert strict_checks(["overlap", "duplicates"]) == {"overlap", "duplicates"}
    assert strict_checks(["all"]) == set(CHECKS)
    with pytest.raises(ConfigError, match="no check 'overlaps'; did you mean 'overlap'"):
        strict_checks(["overlaps"])


def test_what_strict_names_stops_and_nothing_else():
    findings = [Finding("overlap", "2 rows", 2), Finding("duplicates", "1 row", 1)]
    forbid(findings, {"contradictions"})
    with pytest.raises(DataError, match=r"faults that --strict does not allow\n  - overlap: 2 rows\Z"):
        forbid(findings, {"overlap"})


def test_every_check_is_documented():
    page = (ROOT / "training/README.md").read_text(encoding="utf-8")
    assert [check for check in CHECKS if f"`{check}`" not in page] == []


def test_the_starter_data_are_sound():
    findings, notes = check_file(
        str(STARTER / "train.jsonl"),
        ROOT / "never-written.jsonl",
        dev=str(STARTER / "dev.jsonl"),
        labels=ROOT / "models/labels.toml",
        columns=None,
        encoder=None,
        max_length=128,
        judged=100,
        seed=1,
        progress=Silent(),
    )
    assert notes == []
    rows = {finding.check: finding.rows for finding in findings}
    assert set(rows) <= {"duplicates", "languages", "doubtful-labels"}
    # the same word in two languages, and texts of names and numbers
    assert rows.get("duplicates", 0) < 6
    assert rows.get("languages", 0) < 6


def command(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", "feedback", "data", "check", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


def test_the_command_shows_findings_places_and_json_and_strict_is_an_error(tmp_path):
    texts = sentences(40)
    data = write_jsonl(
        tmp_path / "data.jsonl",
        [
            {"text": text, "sentiment": label, "language": "en"}
            for text, label in zip([*texts, texts[0]], ["a", "b"] * 20 + ["b"], strict=True)
        ],
    )
    shown = command("--data", data.name, "--encoder", "none", cwd=tmp_path)
    assert (shown.returncode, "line 1, line 41" in shown.stdout) == (0, True), shown.stderr
    machine = command("--data", data.name, "--encoder", "none", "--json", cwd=tmp_path)
    assert {found["check"] for found in json.loads(machine.stdout)} == {"duplicates", "contradictions"}
    strict = command("--data", data.name, "--encoder", "none", "--strict", "contradictions", cwd=tmp_path)
    assert strict.returncode == 2
    assert "--strict does not allow" in strict.stderr
    assert "Traceback" not in strict.stderr


def test_a_schema_that_lacks_a_label_is_told_before_any_check(tmp_path):
    labels = tmp_path / "labels.toml"
    labels.write_text(derive_schema({"sentiment": [("good",), ("bad",)]}).to_toml())
    data = write_jsonl(tmp_path / "data.jsonl", [{"text": "x y", "sentiment": "goood"}])
    done = command("--data", data.name, "--labels", labels.name, "--encoder", "none", cwd=tmp_path)
    assert done.returncode == 2
    assert "did you mean 'good'" in done.stderr
