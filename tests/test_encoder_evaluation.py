"""`feedback encoder evaluate`: what it measures, on small encoders and few rows."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT, STARTER, read_jsonl, write_jsonl

from models.errors import ConfigError, DataError
from models.progress import Silent
from training.encoder.evaluate import Measures, Report, evaluate, tables
from training.encoder.quality import Result
from training.encoder.speed import Footprint, Speed
from training.encoder.suite import Task, load_suite, rows_of, sample

SUITE = """
train_rows = 60
test_rows = 30

[[task]]
name = "from English"
train = "starter.jsonl"
test = "starter.jsonl"
task = "sentiment"
train_language = "en"
test_languages = ["it", "pl"]
settings = { epochs = 1, max_length = 32 }

[[task]]
name = "few"
train = "starter.jsonl"
test = "starter.jsonl"
task = "sentiment"
metric = "accuracy"
per_label = 4
first_only = true
"""


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, pairs and a suite."""
    folder = tmp_path_factory.mktemp("evaluation")
    write_jsonl(folder / "starter.jsonl", read_jsonl(STARTER / "train.jsonl")[:600])
    rows = [
        {key: row[key] for key in ("en", "it", "pl")} for row in read_jsonl(ROOT / "training/data/pairs/feedback.jsonl")
    ]
    write_jsonl(folder / "pairs.jsonl", rows[:200])
    (folder / "suite.toml").write_text(SUITE, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def report(folder: Path, bert: Path, xlmr: Path) -> dict:
    """What the command prints as JSON."""
    finished = subprocess.run(
        [
            *(sys.executable, "-m", "feedback", "encoder", "evaluate", "--encoder", str(bert), "--encoder", str(xlmr)),
            *("--pairs", folder / "pairs.jsonl", "--languages", "it,pl", "--held-back", "20"),
            *("--suite", folder / "suite.toml", "--data", folder, "--seeds", "2", "--threads", "1"),
            *("--out", folder / "out", "--json"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


def test_retrieval_is_measured_both_ways_for_every_language(report: dict, bert: Path, xlmr: Path) -> None:
    assert set(report["retrieval"]) == {str(bert), str(xlmr)}
    for languages in report["retrieval"].values():
        assert set(languages) == {"it", "pl"}
        for found in languages.values():
            assert found["pairs"] == 20
            assert {0 <= found[way] <= 1 for way in ("to en", "from en")} == {True}


def test_quality_has_every_part_language_and_seed(report: dict, bert: Path, xlmr: Path) -> None:
    found = {(r["task"], r["language"], r["part"], r["seed"]) for r in report["quality"] if r["encoder"] == str(bert)}
    tuned = {
        ("from English", language, part, seed)
        for language in ("it", "pl")
        for part in ("transformer", "combined")
        for seed in (1, 2)
    }
    assert found == tuned | {("few", "", part, seed) for part in ("probe", "SetFit") for seed in (1, 2)}
    others = {r["task"] for r in report["quality"] if r["encoder"] == str(xlmr)}
    assert others == {"from English"}  # the other task is for the first alone
    linear = [r for r in report["quality"] if r["part"] == "linear"]
    assert {r["encoder"] for r in linear} == {""}
    assert {r["rows"] for r in report["quality"]} == {30}


def test_every_runtime_says_nearly_the_same(report: dict) -> None:
    assert {"torch-fp32", "onnx-fp32", "onnx-int8"} <= {speed["runtime"] for speed in report["speed"]}
    for speed in report["speed"]:
        assert speed["slowest"] <= speed["texts_per_second"] <= speed["fastest"]
        # random weights are harder on few bits than those of a trained encoder
        assert speed["likeness"] > {"int8": 0.9, "bf16": 0.95, "fp32": 0.99}[speed["runtime"].partition("-")[2]]


def test_size_start_and_tokens_are_told(report: dict, bert: Path) -> None:
    (found,) = [each for each in report["footprints"] if each["encoder"] == str(bert)]
    assert found["weight_bytes"] == (bert / "model.safetensors").stat().st_size
    assert found["cold_start_seconds"] > 0
    assert set(found["tokens_per_text"]) == {"en", "it", "pl"}


def test_runs_that_were_made_are_not_made_again(report: dict, folder: Path, bert: Path, xlmr: Path) -> None:
    before = (folder / "out/results.jsonl").read_text(encoding="utf-8")
    what = Measures([str(bert), str(xlmr)], [], [], 20, folder / "suite.toml", folder, 2)
    again = evaluate(what, folder / "out", threads=1, progress=Silent())
    assert (folder / "out/results.jsonl").read_text(encoding="utf-8") == before
    assert [result.value for result in again.quality] == [result["value"] for result in report["quality"]]


def test_tables_show_means_over_seeds_and_ratios() -> None:
    quality = [
        Result("t", "it", "a", "transformer", seed, "macro_f1", value, 9) for seed, value in ((1, 0.5), (2, 0.7))
    ]
    report = Report(
        retrieval={name: {"it": {"pairs": 9, "to en": 0.75, "from en": 1.0}} for name in ("a", "b")},
        quality=[*quality, Result("t", "it", "", "linear", 1, "macro_f1", 0.25, 9)],
        footprints=[Footprint(name, 60_000_000, 1.5, {"it": 12.0}) for name in ("a", "b")],
        speed=[Speed("a", "torch-fp32", 300, 290, 310, 1.0), Speed("b", "torch-fp32", 200, 190, 210, 1.0)],
    )
    shown = {title: [columns, *rows] for title, columns, rows in tables(report)}
    assert [len(table) for table in shown.values()] == [2, 2, 2, 3]
    retrieval, figures, speed, cost = shown.values()
    assert retrieval[1] == ["it", "9", "0.750", "1.000", "0.750", "1.000"]
    assert figures[0] == ["task", "language", "figure", "linear", "a transformer"]
    assert figures[1] == ["t", "it", "macro_f1", "0.250", "0.600 ± 0.141"]
    assert speed[1] == ["torch-fp32", "300 (290-310)", "200 (190-210)", "1.50", "1.000", "1.000"]
    assert cost[1] == ["a", "60.0", "1.5", "12.0"]


TASK = Task(name="t", train="starter.jsonl", test="starter.jsonl", task="sentiment")


def test_a_sample_differs_by_seed_and_keeps_to_its_size(folder: Path) -> None:
    rows = rows_of(folder / "starter.jsonl", TASK, ["en"])
    assert {row.language for row in rows} == {"en"}
    first, again, other = (sample(rows, TASK, 20, seed) for seed in (1, 1, 2))
    assert len(first) == 20
    assert first == again
    assert {row.text for row in first} != {row.text for row in other}


def test_few_labels_are_as_many_of_each(folder: Path) -> None:
    rows = rows_of(folder / "starter.jsonl", TASK, [])
    few = sample(rows, TASK.model_copy(update={"per_label": 5}), 1000, 1)
    assert sorted(row.sentiment or "" for row in few) == ["negative"] * 5 + ["neutral"] * 5 + ["positive"] * 5


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("train_rows = 0\n[[task]]\nname = 't'\ntrain = 'a'\ntest = 'b'\ntask = 'mood'\n", "train_rows.*\n.*task"),
        ("train_rows = 5\n", "task"),
        ("colour = 1\n", "colour"),
        ("[[task]\n", "not a readable TOML file"),
    ],
)
def test_a_faulty_suite_is_refused_with_every_fault(tmp_path: Path, content: str, error: str) -> None:
    file = tmp_path / "suite.toml"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=re.compile(error, re.DOTALL)):
        load_suite(file)


def test_nothing_to_measure_is_refused(tmp_path: Path, bert: Path) -> None:
    with pytest.raises(ConfigError, match="give --pairs"):
        evaluate(Measures([str(bert)], [], [], 20, None, tmp_path, 1), tmp_path, threads=1, progress=Silent())


def test_a_missing_data_file_is_named_with_the_places_looked_at(tmp_path: Path, bert: Path) -> None:
    (tmp_path / "suite.toml").write_text(SUITE, encoding="utf-8")
    what = Measures([str(bert)], [], [], 20, tmp_path / "suite.toml", tmp_path / "data", 1)
    with pytest.raises(DataError, match=r"starter\.jsonl: no such file; looked for .*data/starter\.jsonl"):
        evaluate(what, tmp_path / "out", threads=1, progress=Silent())


def test_the_projects_suite_is_sound() -> None:
    assert len(load_suite(ROOT / "training/encoder/suite.toml").tasks) >= 12
