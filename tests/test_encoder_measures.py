"""Retrieval, and the log of a run."""

import json

import numpy as np
import pytest
from support import read_jsonl, write_jsonl

from training.encoder.retrieval import accuracy
from training.encoder.runlog import RunLog

# retrieval

FOUND = {
    "all": ([[1, 0], [0, 1]], [[2, 0], [0, 3]], 1.0),
    "none": ([[1, 0], [0, 1]], [[0, 1], [1, 0]], 0.0),
    "three of four": ([[1, 0], [0, 1], [-1, 0], [1, 0.2]], [[1, 0], [0, 1], [-1, 0.1], [0, -1]], 0.75),
    "the angle counts, not the length": ([[1, 0], [1, 1]], [[1, 0.1], [100, 100]], 1.0),
    "opposite is far": ([[1, 0], [0, 1]], [[-1, 0], [0, 1]], 0.5),
    "a question of nothing": ([[0, 0], [0, 0]], [[1, 0], [0, 1]], 0.5),
    "one alone": ([[1, 0]], [[-1, 0]], 1.0),
}


@pytest.mark.parametrize(("questions", "answers", "share"), FOUND.values(), ids=FOUND)
def test_accuracy_is_the_share_of_questions_nearest_to_their_own_answer(questions, answers, share):
    assert accuracy(np.array(questions, np.float32), np.array(answers, np.float32)) == share


def test_accuracy_from_one_side_may_differ_from_that_of_the_other():
    one, other = (
        np.array([(np.cos(turn), np.sin(turn)) for turn in np.radians(degrees)], np.float32)
        for degrees in ([0, 80], [50, 90])
    )
    assert (accuracy(one, other), accuracy(other, one)) == (1.0, 0.5)


# log of a run

LINES = [
    {"step": 0, "seconds": 5.0, "retrieval": {"it": 0.1}},
    {"step": 10, "seconds": 100.0, "loss": 2.0},
    {"step": 20, "seconds": 200.0, "retrieval": {"it": 0.5}},
    {"step": 30, "seconds": 300.0, "loss": 1.0},
]


@pytest.fixture
def log(tmp_path):
    return RunLog(write_jsonl(tmp_path / "log.jsonl", LINES))


@pytest.mark.parametrize(("step", "kept"), [(0, 1), (9, 1), (10, 2), (20, 3), (29, 3), (30, 4), (99, 4)])
def test_what_was_logged_after_the_step_is_forgotten(log, step, kept):
    log.keep_until(step)
    assert read_jsonl(log.path) == LINES[:kept]


@pytest.mark.parametrize("length", [1, 12, 40, -2, -1], ids=["brace", "step", "middle", "two short", "one short"])
def test_a_line_that_was_cut_off_is_forgotten(log, length):
    half = json.dumps({"step": 20, "seconds": 250.0, "retrieval": {"it": 0.5, "pl": 0.7}})[:length]
    log.path.write_text(log.path.read_text(encoding="utf-8") + half, encoding="utf-8")
    log.keep_until(99)
    assert read_jsonl(log.path) == LINES
    log.add(40, loss=0.5)
    assert [line["step"] for line in read_jsonl(log.path)] == [0, 10, 20, 30, 40]


@pytest.mark.parametrize(("step", "before"), [(10, 100.0), (20, 200.0), (99, 300.0)])
def test_seconds_go_on_from_the_last_line_that_was_kept(log, step, before):
    log.keep_until(step)
    log.add(step + 1, loss=0.5, note="größer")
    *_, last = read_jsonl(log.path)
    assert before <= last.pop("seconds") < before + 60
    assert last == {"step": step + 1, "loss": 0.5, "note": "größer"}


def test_a_log_begins_at_nought(tmp_path):
    log = RunLog(tmp_path / "log.jsonl")
    log.keep_until(0)
    assert log.path.read_text(encoding="utf-8") == ""
    log.add(1, loss=0.5)
    log.add(1, retrieval={"it": 0.5})
    one, two = read_jsonl(log.path)
    assert 0 <= one.pop("seconds") <= two.pop("seconds") < 60
    assert (one, two) == ({"step": 1, "loss": 0.5}, {"step": 1, "retrieval": {"it": 0.5}})
