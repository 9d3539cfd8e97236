"""Figures with their intervals, and two models on the same rows."""

import json
import subprocess
import sys

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score
from support import ROOT, STARTER, write_jsonl

from training.compare import compare
from training.resampling import figures, interval, resamples


def bools(rows, columns, share, seed):
    return np.random.default_rng(seed).random((rows, columns)) < share


def test_a_resample_draws_as_many_rows_as_there_are():
    drawn = resamples(150, seed=1)
    assert drawn.shape == (1000, 150)
    assert (drawn.sum(axis=1) == 150).all()
    assert drawn.mean() == 1
    assert (resamples(150, seed=1) == drawn).all()
    assert len(resamples(200_000, seed=1)) == 200


def test_the_figures_of_a_resample_are_those_of_the_rows_it_draws():
    truth, said = bools(60, 4, 0.4, 1), bools(60, 4, 0.4, 2)
    drawn = resamples(60, seed=3)[:20]
    found = figures(truth, said, drawn)
    for number, times in enumerate(drawn.astype(int)):
        rows = np.repeat(np.arange(60), times)
        assert found["accuracy"][number] == pytest.approx(accuracy_score(truth[rows], said[rows]))
        for average in ("macro", "micro"):
            expected = f1_score(truth[rows], said[rows], average=average, zero_division=0)
            assert found[f"{average}_f1"][number] == pytest.approx(expected, abs=1e-5)


def test_the_interval_holds_the_true_share_nineteen_times_in_twenty():
    held = 0
    for seed in range(200):
        right = np.random.default_rng(seed).random((300, 1)) < 0.8
        low, high = interval(figures(np.ones((300, 1), bool), right, resamples(300, seed))["accuracy"])
        held += low <= 0.8 <= high
    assert 0.90 <= held / 200 <= 0.99


def labels(rows):
    return [("a",) if row else ("b",) for row in rows]


def test_a_model_that_is_better_on_many_rows_is_so_beyond_chance():
    truth = labels([True, False] * 200)
    one = [label if number % 4 else ("c",) for number, label in enumerate(truth)]
    found = compare(truth, one, truth, seed=1)
    assert (found["n"], found["only_first_right"], found["only_second_right"]) == (400, 0, 100)
    assert found["accuracy"]["first"] == pytest.approx(0.75)
    assert found["accuracy"]["second"] == 1
    assert found["accuracy"]["difference"] == pytest.approx(0.25)
    low, high = found["macro_f1"]["interval"]
    assert 0 < low < found["macro_f1"]["difference"] < high


def test_a_model_that_errs_elsewhere_as_often_could_be_chance():
    truth = labels([True, False] * 200)
    one = [label if number % 10 else ("c",) for number, label in enumerate(truth)]
    other = [label if number % 10 != 5 else ("c",) for number, label in enumerate(truth)]
    found = compare(truth, one, other, seed=1)
    assert (found["only_first_right"], found["only_second_right"]) == (40, 40)
    low, high = found["accuracy"]["interval"]
    assert low < 0 < high


def test_a_model_compared_with_itself_differs_in_nothing():
    truth = labels([True, False, True, True])
    found = compare(truth, truth[::-1], truth[::-1], seed=1)
    assert {tuple(found[metric]["interval"]) for metric in ("accuracy", "macro_f1", "micro_f1")} == {(0, 0)}


def command(*arguments, cwd=ROOT):
    return subprocess.run(
        [sys.executable, "-m", "feedback", "compare", *map(str, arguments)], cwd=cwd, capture_output=True, text=True
    )


def test_the_command_says_which_model_is_better(linear_folder, model_folder):
    shown = command(linear_folder, model_folder, "--data", STARTER / "test.jsonl")
    assert shown.returncode == 0, shown.stderr
    assert "B less A" in shown.stdout
    machine = json.loads(command(linear_folder, model_folder, "--data", STARTER / "test.jsonl", "--json").stdout)
    assert set(machine) == {"category", "sentiment"}
    assert machine["sentiment"]["n"] == 345


def test_data_without_a_task_that_both_have_is_refused(linear_folder, tmp_path):
    data = write_jsonl(tmp_path / "data.jsonl", [{"text": "no label"}])
    done = command(linear_folder, linear_folder, "--data", data)
    assert done.returncode == 2
    assert "expected labels for a task that both models have" in done.stderr
