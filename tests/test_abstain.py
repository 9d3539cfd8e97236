"""Answers that are kept are right as often as was asked for; the others go to a person."""

import numpy as np
import pytest

from models.calibration import NO_LABEL, TaskCalibration
from models.labels import Task
from training.abstain import FEWEST_OF_LABEL, FEWEST_OF_TASK, bound, fit_bounds

SINGLE = Task.model_validate({"kind": "single", "labels": [{"key": key} for key in "abc"]})
MULTI = Task.model_validate({"kind": "multi", "labels": [{"key": key} for key in "abc"]})


def rows(size, right, seed=0):
    """Truth (N, 3), probabilities (N, 3) and which are right; ``right`` gives the chance for a confidence."""
    chance = np.random.default_rng(seed)
    said = chance.integers(0, 3, size)
    confidence = chance.uniform(0.4, 1, size).astype(np.float32)
    true = np.where(chance.random(size) < right(confidence, said), said, (said + 1) % 3)
    probabilities = np.repeat((1 - confidence)[:, None] / 2, 3, axis=1)
    probabilities[np.arange(size), said] = confidence
    return np.eye(3, dtype=np.float32)[true], probabilities


def kept(task, truth, probabilities, languages, setting):
    answers = [setting.answer(task, row, tag) for row, tag in zip(probabilities, languages, strict=True)]
    keeps = np.array([not answer.abstained for answer in answers])
    hits = np.array([bool(truth[n, task.index[answer.labels[0]]]) for n, answer in enumerate(answers)])
    return keeps, hits


@pytest.mark.parametrize("precision", [0.8, 0.9, 0.97])
def test_what_is_kept_of_new_rows_is_as_precise_as_asked_for(precision):
    def chance(confidence, said):
        return confidence

    truth, probabilities = rows(3000, chance)
    setting = fit_bounds(SINGLE, truth, probabilities, ["en"] * 3000, TaskCalibration(), precision)
    truth, probabilities = rows(3000, chance, seed=1)
    keeps, right = kept(SINGLE, truth, probabilities, ["en"] * 3000, setting)
    assert right[keeps].mean() == pytest.approx(precision, abs=0.02)
    assert 0.05 < keeps.mean() < 0.9


def test_a_label_that_is_less_reliable_has_a_higher_bound():
    truth, probabilities = rows(
        3000, lambda confidence, said: np.where(said == 0, confidence - 0.15, confidence + 0.05)
    )
    setting = fit_bounds(SINGLE, truth, probabilities, ["en"] * 3000, TaskCalibration(), 0.9)
    assert setting.bound("a", "en") > setting.bound("b", "en") + 0.05


def test_a_language_has_bounds_of_its_own_where_it_has_rows_enough():
    truth, probabilities = rows(2400, lambda confidence, said: np.ones_like(confidence))
    languages = ["ro"] * 600 + ["en"] * 1780 + ["it"] * 20
    wrong = np.random.default_rng(1).random(600) > probabilities[:600].max(axis=1)
    truth[:600][wrong] = np.roll(truth[:600][wrong], 1, axis=1)
    setting = fit_bounds(SINGLE, truth, probabilities, languages, TaskCalibration(), 0.9)
    assert setting.bound("a", "ro") > 0.7
    assert setting.bound("a", "en") < 0.5
    assert setting.bound("a", "it") == setting.bound("a", "")
    assert "it" not in setting.bounds


@pytest.mark.parametrize(
    ("learned", "asked"),
    [("fr", "fr-FR"), ("fr-FR", "fr"), ("fr-FR", "fr-CA"), ("zh-Hans", "zh"), ("zh-Hant", "zh-TW"), ("zh", "zh-Hans")],
)
def test_bounds_of_a_language_hold_however_closely_a_text_tells_its_own(learned, asked):
    truth, probabilities = rows(2400, lambda confidence, said: np.ones_like(confidence))
    truth[600:] = np.roll(truth[600:], 1, axis=1)
    languages = [learned] * 600 + ["en"] * 1800
    setting = fit_bounds(SINGLE, truth, probabilities, languages, TaskCalibration(), 0.9)
    assert setting.bound("a", asked) < 0.5
    assert setting.bound("a", "it") == 1


def test_few_rows_of_a_label_fall_back_to_the_task_and_few_of_all_to_what_was_set():
    truth, probabilities = rows(900, lambda confidence, said: np.ones_like(confidence))
    few = probabilities.argmax(axis=1) == 2
    keep = np.flatnonzero(~few | (np.cumsum(few) < FEWEST_OF_LABEL))
    truth, probabilities = truth[keep], probabilities[keep]
    setting = fit_bounds(SINGLE, truth, probabilities, ["en"] * len(keep), TaskCalibration(abstain_below=0.7), 0.9)
    assert "c" not in setting.bounds[""]
    assert setting.bound("c", "en") == setting.abstain_below < 0.5
    little = FEWEST_OF_TASK - 1
    unfitted = TaskCalibration(abstain_below=0.7)
    assert fit_bounds(SINGLE, truth[:little], probabilities[:little], ["en"] * little, unfitted, 0.9) == unfitted


def test_a_model_that_is_never_right_keeps_nothing():
    truth, probabilities = rows(500, lambda confidence, said: np.full_like(confidence, 0.3))
    setting = fit_bounds(SINGLE, truth, probabilities, ["en"] * 500, TaskCalibration(), 0.95)
    keeps, _ = kept(SINGLE, truth, probabilities, ["en"] * 500, setting)
    assert keeps.mean() < 0.05


def test_no_label_at_all_is_an_answer_with_a_bound_too():
    chance = np.random.default_rng(3)
    probabilities = chance.uniform(0, 0.49, (400, 3)).astype(np.float32)
    truth = np.zeros((400, 3), np.float32)
    truth[:, 0] = chance.random(400) < probabilities[:, 0]
    setting = fit_bounds(MULTI, truth, probabilities, ["en"] * 400, TaskCalibration(threshold=0.5), 0.9)
    assert 0 < setting.bounds[""][NO_LABEL] <= 1
    answer = setting.answer(MULTI, np.array([0.48, 0.4, 0.4], np.float32), "en")
    assert (answer.labels, answer.abstained) == ((), True)


def test_two_labels_that_are_as_likely_go_to_a_person_however_precise_the_first_is():
    answer = TaskCalibration(gap=0.1).answer(SINGLE, np.array([0.47, 0.43, 0.1], np.float32))
    assert answer.abstained
    assert not TaskCalibration(gap=0.1).answer(SINGLE, np.array([0.6, 0.3, 0.1], np.float32)).abstained


def test_a_gap_is_chosen_where_the_first_label_is_no_better_than_a_coin():
    def rows_with(doubtful):
        chance = np.random.default_rng(1)
        first = chance.uniform(0.5, 0.95, 1000).astype(np.float32)
        probabilities = np.stack([first, 1 - first, np.zeros_like(first)], axis=1)
        close = first - (1 - first) < 0.1
        wrong = (close & (chance.random(1000) < 0.5)) if doubtful else np.zeros(1000, bool)
        return np.eye(3, dtype=np.float32)[np.where(wrong, 1, 0)], probabilities

    with_doubt = fit_bounds(SINGLE, *rows_with(True), ["en"] * 1000, TaskCalibration(), 0.9)
    without = fit_bounds(SINGLE, *rows_with(False), ["en"] * 1000, TaskCalibration(), 0.9)
    assert with_doubt.gap == pytest.approx(0.1, abs=0.03)
    assert without.gap == 0


BOUNDS = {
    "all right": ([0.9, 0.8, 0.7], [True, True, True], 0.7),
    "none right": ([0.9, 0.8, 0.7], [False, False, False], 1.0),
    "equal ones are kept or not together": ([0.9] * 30 + [0.5] * 30, [True] * 30 + [True, False] * 15, 0.9),
    "a slip among many": ([0.9] * 40 + [0.6] * 40, [True] * 79 + [False], 0.6),
}


@pytest.mark.parametrize(("confidence", "right", "expected"), BOUNDS.values(), ids=BOUNDS)
def test_a_bound_is_the_lowest_confidence_that_keeps_the_precision(confidence, right, expected):
    assert bound(np.array(confidence), np.array(right), 0.9) == pytest.approx(expected)


def sure(value, right):
    """Truth and probabilities of answers of one confidence, of which these are right."""
    stated = np.tile(np.array([value, 1 - value, 0], np.float32), (len(right), 1))
    return np.eye(3, dtype=np.float32)[np.where(right, 0, 1)], stated


@pytest.mark.parametrize("value", [0.9123456, 0.9123454, 1.0])
def test_answers_that_are_as_sure_as_their_bound_are_kept(value):
    truth, probabilities = sure(value, np.ones(100, bool))
    setting = fit_bounds(SINGLE, truth, probabilities, ["en"] * 100, TaskCalibration(), 0.9)
    assert kept(SINGLE, truth, probabilities, ["en"] * 100, setting)[0].all()


@pytest.mark.parametrize("value", [0.7, 1 - 5e-8, 1.0])
def test_where_no_bound_reaches_the_precision_no_answer_is_kept_however_sure(value):
    truth, probabilities = sure(value, np.arange(100) % 2 == 0)
    setting = fit_bounds(SINGLE, truth, probabilities, ["en"] * 100, TaskCalibration(), 0.9)
    assert not kept(SINGLE, truth, probabilities, ["en"] * 100, setting)[0].any()
