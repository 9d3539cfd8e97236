"""The linear part answers alone where that costs next to nothing, and only there."""

from dataclasses import replace

import numpy as np
import pytest

from models.calibration import Cascade, Settings, TaskCalibration
from models.labels import Task
from models.records import FeedbackItem
from training.cascade import COST, FEWEST_ROWS, fit_cascade

SINGLE = Task.model_validate({"kind": "single", "labels": [{"key": key} for key in "abc"]})
MULTI = Task.model_validate({"kind": "multi", "labels": [{"key": key} for key in "abc"]})
PLAIN = TaskCalibration(), TaskCalibration()


def answers(right, confidence, size=2000, seed=0):
    """Truth (N, 3), and probabilities that are right with the chance ``right`` of each row."""
    chance = np.random.default_rng(seed)
    true = chance.integers(0, 3, size)
    said = np.where(chance.random(size) < right, true, (true + 1) % 3)
    probabilities = np.repeat((1 - np.asarray(confidence, np.float32)[:, None]) / 2, 3, axis=1)
    probabilities[np.arange(size), said] = confidence
    return np.eye(3, dtype=np.float32)[true], probabilities.astype(np.float32)


def test_a_linear_part_that_knows_when_it_is_right_answers_what_it_is_sure_of():
    sure = np.linspace(0.4, 1, 2000)
    truth, linear = answers(np.where(sure > 0.7, 1.0, 0.5), sure)
    found = fit_cascade(SINGLE, truth, linear, truth, PLAIN, seed=1)
    assert found.share == pytest.approx(0.5, abs=0.03)
    assert found.sure_from == pytest.approx(0.7, abs=0.02)
    assert found.cost <= COST


def test_one_that_errs_as_often_when_it_is_sure_never_answers_alone():
    truth, linear = answers(0.8, np.linspace(0.4, 1, 2000))
    assert fit_cascade(SINGLE, truth, linear, truth, PLAIN, seed=1) is None


def test_one_that_is_as_good_as_the_whole_answers_nearly_everything():
    truth, linear = answers(0.9, np.linspace(0.4, 1, 2000))
    assert fit_cascade(SINGLE, truth, linear, linear, PLAIN, seed=1).share == pytest.approx(0.95, abs=0.01)


def test_few_rows_prove_nothing():
    truth, linear = answers(1.0, np.linspace(0.4, 1, FEWEST_ROWS - 1), FEWEST_ROWS - 1)
    assert fit_cascade(SINGLE, truth, linear, linear, PLAIN, seed=1) is None


def test_several_labels_are_counted_one_by_one():
    truth, sure = answers(1.0, np.full(2000, 0.9))
    missing = sure.copy()
    missing[:100, 0] = 0.2  # the first label is missed in a twentieth of the rows
    settings = TaskCalibration(threshold=0.5), TaskCalibration(threshold=0.5)
    assert fit_cascade(MULTI, truth, sure, sure, settings, seed=1) is not None
    found = fit_cascade(MULTI, truth, missing, sure, settings, seed=1)
    assert found is None or found.cost <= COST


def sure_of_all(classifier, bound):
    cascade = {name: Cascade(sure_from=bound, share=0.5, cost=0.001) for name in classifier.schema.tasks}
    # whatever the text: which words the linear part must know is another matter
    settings = Settings(**{**classifier.settings.model_dump(), "cascade": cascade, "scope": None})
    return replace(classifier, settings=settings)


class Counting:
    """The transformer of a model, and how many texts it was given."""

    def __init__(self, model):
        self._model = model
        self.seen = 0

    def read(self, texts):
        self.seen += len(texts)
        return self._model.read(texts)


def test_what_the_linear_part_is_sure_of_never_reaches_the_transformer(classifier, texts):
    items = [FeedbackItem(text=text) for text in texts[:60]]
    sure = classifier.settings.linear["sentiment"]
    linear = classifier.part_scores(texts[:60]).linear
    confidence = np.minimum.reduce(
        [
            classifier.settings.linear[name].confidence(
                task, classifier.settings.linear[name].combine(task, linear[name], None)
            )
            for name, task in classifier.schema.tasks.items()
        ]
    )
    bound = float(np.median(confidence))
    counting = Counting(classifier.transformer)
    found = replace(sure_of_all(classifier, bound), transformer=counting).predict(items)
    alone = [prediction.tier == "linear" for prediction in found]
    assert alone == (confidence >= bound).tolist()
    assert counting.seen == len(items) - sum(alone)
    assert 0 < sum(alone) < len(items)
    whole = classifier.predict(items)
    for row, prediction in enumerate(found):
        if alone[row]:
            expected = sure.combine(classifier.schema.tasks["sentiment"], linear["sentiment"][row : row + 1], None)[0]
            assert list(prediction.tasks["sentiment"].probabilities.values()) == pytest.approx(expected, abs=1e-5)
            assert not prediction.truncated
        else:
            assert prediction.tasks["sentiment"].labels == whole[row].tasks["sentiment"].labels


def test_an_answer_is_measured_as_it_is_given(classifier, texts):
    sure = sure_of_all(classifier, 0.5)
    measured = sure.answers(sure.part_scores(texts[:40]), ["en"] * 40)
    given = sure.predict([FeedbackItem(text=text) for text in texts[:40]])
    assert measured.tiers == [prediction.tier for prediction in given]
    for name, found in measured.tasks.items():
        assert [answer.labels for answer in found] == [prediction.tasks[name].labels for prediction in given]


def test_a_task_that_may_not_be_answered_alone_keeps_all_from_it(classifier, texts):
    some = sure_of_all(classifier, 0.0)
    settings = some.settings.model_copy(update={"cascade": {"sentiment": some.settings.cascade["sentiment"]}})
    found = replace(some, settings=settings).predict([FeedbackItem(text=texts[0])])
    assert found[0].tier == "combined"
    assert some.predict([FeedbackItem(text=texts[0])])[0].tier == "linear"
