"""The comparison of trainings runs, at a small size; and all that is wanted stands in one table."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT, STARTER, read_jsonl, write_jsonl

from models.errors import ConfigError
from models.figures import at_least, at_most
from models.labels import LabelSchema
from models.progress import Silent
from training.bench.bars import picture, read_bars
from training.bench.learning import Reached, bench_learning
from training.config import TrainConfig


def test_both_train_to_the_same_and_with_few_labels(bert: Path, tmp_path: Path) -> None:
    rows = read_jsonl(STARTER / "train.jsonl")[:90]
    data, dev = write_jsonl(tmp_path / "data.jsonl", rows[:60]), write_jsonl(tmp_path / "dev.jsonl", rows[60:])
    settings = {"encoder": bert, "threads": 1, "epochs": 2, "contrast_epochs": 1, "max_length": 16}
    command = [sys.executable, "-m", "feedback", "bench", "training", "--seeds", "1", "--data", str(data)]
    command += [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    files = ["--dev", str(dev), "--out", str(tmp_path / "training.json")]
    done = subprocess.run([*command, *files], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "training.json").read_text())
    assert report["task"] == "sentiment"
    (whole,), (few,) = report["whole"], report["few"]
    assert len(whole["epochs"]["ours"]["seconds"]) == len(whole["epochs"]["ours"]["macro_f1"]) == 2
    assert whole["epochs"]["trainer"]["seconds"] == sorted(whole["epochs"]["trainer"]["seconds"])
    assert len(whole["epochs"]["trainer"]["macro_f1"]) == 3
    assert whole["trainer"] in whole["epochs"]["trainer"]["seconds"]
    assert few["ours"]["seconds"] > 0
    assert 0 <= few["setfit"]["macro_f1"] <= 1
    assert len(report["bars"]) == 3
    assert "SetFit" in done.stdout


def test_seconds_count_until_it_is_as_good() -> None:
    reached = Reached([1.0, 2.0, 3.0], [0.4, 0.6, 0.5])
    assert [reached.until(wanted) for wanted in (0.3, 0.5, 0.6, 0.61)] == [1.0, 2.0, 2.0, None]


def test_a_schema_without_a_task_of_one_answer_is_refused(schema: LabelSchema) -> None:
    several = schema.model_copy(update={"tasks": {"category": schema.tasks["category"]}})
    with pytest.raises(ConfigError, match="a task of one answer"):
        bench_learning([], [], several, TrainConfig(encoder="minilm"), [1], Silent())


def test_all_that_is_wanted_stands_in_one_table_and_one_picture(tmp_path: Path) -> None:
    speed = [at_least("a", "×", [3.0, 2.0, 4.0], 6), at_most("b", "s", [0.25], 0.5)]
    (tmp_path / "speed.json").write_text(json.dumps({"bars": [figure.as_dict() for figure in speed]}))
    service = at_most("c", "ms", [50.0, 55.0, 70.0], 60)
    (tmp_path / "service.json").write_text(json.dumps({"bars": [service.as_dict()]}))
    found = read_bars(tmp_path)
    assert found == [*(("a model on one core", figure) for figure in speed), ("the service", service)]
    assert [figure.score for _, figure in found] == [0.5, 2.0, 60 / 70]
    assert [figure.reached for _, figure in found] == [False, True, False]
    picture(found, tmp_path / "summary.png")
    assert (tmp_path / "summary.png").read_bytes().startswith(b"\x89PNG")
    command = [sys.executable, "-m", "feedback", "bench", "summary", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "a model on one core" in done.stdout
    assert json.loads((tmp_path / "summary.json").read_text())[2]["about"] == "the service"


def test_a_folder_without_figures_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="make bench measures them"):
        read_bars(tmp_path)
