"""Training by several processes, as torchrun starts them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT, write_jsonl
from training_support import small_rows

from models.classifier import Classifier
from models.records import FeedbackItem

SETTINGS = ("epochs=6", "learning_rate=3e-3", "threads=1", "runtimes=")
TRAIN = ("-m", "feedback", "train", *(part for setting in SETTINGS for part in ("--set", setting)))
TWO = ("-m", "torch.distributed.run", "--nproc-per-node", "2")


def trained(out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments, "--out", str(out)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_two_processes_train_as_one_does(tmp_path: Path, bert: Path) -> None:
    data = write_jsonl(tmp_path / "data.jsonl", [*small_rows(), {"text": "", "sentiment": "positive"}])
    arguments = [*TRAIN, "--data", str(data), "--encoder", str(bert)]
    done = trained(tmp_path / "two", *TWO, *arguments, "--set", "regime=full")
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr.count("model written to") == 1
    assert done.stderr.count("rejects.jsonl") == 1  # one row has no text
    one = trained(tmp_path / "one", *arguments, "--set", "regime=full")
    assert one.returncode == 0, one.stderr[-3000:]
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"data.jsonl", *(f"{name}{end}" for name in ("one", "two") for end in ("", ".rejects.jsonl"))}
    told = [json.loads((tmp_path / name / "report.json").read_text()) for name in ("one", "two")]
    first, second = (report["parts"]["transformer"]["sentiment"]["macro_f1"] for report in told)
    assert first == pytest.approx(second, abs=0.1)
    answers = Classifier.load(tmp_path / "two", 1).predict([FeedbackItem(text="really happy and wonderful")])
    assert answers[0].tasks["sentiment"].labels == ("positive",)


def test_what_one_process_can_do_alone_the_others_leave_to_it(tmp_path: Path, bert: Path) -> None:
    data = write_jsonl(tmp_path / "data.jsonl", small_rows())
    done = trained(
        tmp_path / "two", *TWO, *TRAIN, "--data", str(data), "--encoder", str(bert), "--set", "regime=frozen"
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr.count("model written to") == 1


def test_a_search_is_for_one_process(tmp_path: Path, bert: Path) -> None:
    data = write_jsonl(tmp_path / "data.jsonl", small_rows())
    done = trained(tmp_path / "two", *TWO, *TRAIN, "--data", str(data), "--encoder", str(bert), "--search", "2")
    assert done.returncode != 0
    assert "search without torchrun" in done.stderr
