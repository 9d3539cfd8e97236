"""Trainings that are killed, diverge or find work of another lying there."""

import json
import shutil
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file as torch_file
from safetensors.torch import save_file as save_torch_file
from support import ROOT, write_jsonl
from training_support import run, small_rows

from models.errors import InputError, TrainingError


def training_command(data, out, encoder, **settings):
    chosen = {"epochs": 6, "max_length": 32, "learning_rate": 2e-3, "threads": 1, "runtimes": "", **settings}
    return [
        *(sys.executable, "-m", "feedback", "train", "--data", str(data), "--out", str(out)),
        *("--encoder", str(encoder), "--json"),
        *(part for key, value in chosen.items() for part in ("--set", f"{key}={value}")),
    ]


def kill_at_first_checkpoint(command, work):
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(work.glob("checkpoint-*/complete.json")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.wait()


def finished(command):
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def test_after_kill_9_the_same_command_goes_on_and_ends_the_same(bert, tmp_path):
    data = write_jsonl(tmp_path / "data.jsonl", small_rows() * 3)
    whole, _ = finished(training_command(data, tmp_path / "whole", bert))
    command = training_command(data, tmp_path / "model", bert)
    kill_at_first_checkpoint(command, tmp_path / "model.work")
    assert not (tmp_path / "model").exists()
    resumed, told = finished(command)
    assert resumed["tasks"] == whole["tasks"]
    assert "fine-tuning" in told
    assert not (tmp_path / "model.work").exists()


def test_a_training_stopped_and_given_other_settings_starts_anew(bert, tmp_path):
    data = write_jsonl(tmp_path / "data.jsonl", small_rows())
    kill_at_first_checkpoint(training_command(data, tmp_path / "model", bert), tmp_path / "model.work")
    other, _ = finished(training_command(data, tmp_path / "model", bert, learning_rate=1e-3, epochs=2))
    fresh, _ = finished(training_command(data, tmp_path / "fresh", bert, learning_rate=1e-3, epochs=2))
    assert other["tasks"] == fresh["tasks"]


@pytest.mark.parametrize("part", ["encoder", "none"])
def test_a_folder_that_is_somebody_s_own_is_never_taken_for_unfinished_work(part, bert, tmp_path):
    data = write_jsonl(tmp_path / "data.jsonl", small_rows())
    (tmp_path / "model.work").mkdir()
    (tmp_path / "model.work/thesis.txt").write_text("mine")
    if part == "none":
        run(data, tmp_path / "model")
    else:
        with pytest.raises(InputError, match=r"model\.work: expected no such folder"):
            run(data, tmp_path / "model", bert, epochs=1)
    assert [path.name for path in (tmp_path / "model.work").iterdir()] == ["thesis.txt"]


def test_a_training_that_diverges_stops_with_the_cause_and_leaves_nothing(bert, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(bert, broken)
    weights = torch_file(broken / "model.safetensors")
    weights["embeddings.LayerNorm.weight"] = torch.full_like(weights["embeddings.LayerNorm.weight"], 3e38)
    save_torch_file(weights, broken / "model.safetensors", {"format": "pt"})
    data = write_jsonl(tmp_path / "data.jsonl", small_rows())
    message = r"diverged at step 1: the loss is nan; set learning_rate lower than 0\.0001"
    with pytest.raises(TrainingError, match=message):
        run(data, tmp_path / "model", broken)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken", "data.jsonl"]
