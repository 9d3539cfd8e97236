"""From scores to an answer, and whether the answers are as good as they say."""

import json

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.special import softmax
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support
from sklearn.preprocessing import MultiLabelBinarizer

from models.calibration import FILE, Settings, TaskCalibration, load, save
from models.errors import ArtifactError
from models.labels import Task
from models.scores import logits_of, probabilities_of
from training.calibrate import fit_task
from training.metrics import calibration_error, confidence_error, majority_labels, quality

LAW = settings(deadline=None, derandomize=True)


def task(kind, keys="abc", values=()):
    value = dict(zip(keys, values, strict=True)) if values else {}
    return Task.model_validate({"kind": kind, "labels": [{"key": key, "value": value.get(key)} for key in keys]})


SINGLE, MULTI, SCALE = task("single"), task("multi"), task("single", values=(-1, 0, 1))
TASKS = st.sampled_from([SINGLE, MULTI])


@st.composite
def probabilities(draw, kind, rows=4):
    shape = (rows, 3)
    found = draw(arrays.arrays(np.float32, shape, elements=st.floats(0.015625, 0.984375, width=32)))
    return found / found.sum(axis=1, keepdims=True) if kind == "single" else found


# --- scores


@LAW
@given(data=st.data(), of=TASKS)
def test_probabilities_come_back_from_their_logits(data, of):
    given_ = data.draw(probabilities(of.kind))
    np.testing.assert_allclose(probabilities_of(of, logits_of(of, given_)), given_, atol=1e-5)


@LAW
@given(of=TASKS, logits=arrays.arrays(np.float32, (3, 3), elements=st.floats(-1e4, 1e4, width=32)))
def test_any_logits_give_probabilities(of, logits):
    found = probabilities_of(of, logits)
    assert ((found >= 0) & (found <= 1)).all()
    if of.kind == "single":
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("of", [SINGLE, MULTI], ids=["single", "multi"])
def test_certainty_has_finite_logits(of):
    assert np.isfinite(logits_of(of, np.array([[1, 0, 0]], np.float32))).all()


# --- combine


@LAW
@given(data=st.data(), of=TASKS, weight=st.floats(0, 1))
def test_parts_are_averaged_by_weight(data, of, weight):
    linear, transformer = data.draw(probabilities(of.kind)), data.draw(probabilities(of.kind))
    setting = TaskCalibration(weight=weight)
    expected = (1 - weight) * linear + weight * transformer
    np.testing.assert_allclose(setting.combine(of, linear, transformer), expected, atol=1e-6)
    np.testing.assert_array_equal(setting.combine(of, linear, None), linear)


@LAW
@given(data=st.data(), of=TASKS, temperature=st.floats(0.3, 4))
def test_temperature_keeps_the_order_of_labels(data, of, temperature):
    given_ = data.draw(probabilities(of.kind, rows=1))
    found = TaskCalibration(temperature=temperature).combine(of, given_, None)
    assert (np.diff(found[0][np.argsort(given_[0])]) >= -1e-6).all()


@pytest.mark.parametrize(
    ("of", "row", "cooled"),
    [(SINGLE, [16 / 21, 4 / 21, 1 / 21], [4 / 7, 2 / 7, 1 / 7]), (MULTI, [0.9, 0.5, 0.1], [0.75, 0.5, 0.25])],
    ids=["single", "multi"],
)
def test_temperature_divides_the_logits(of, row, cooled):
    found = TaskCalibration(temperature=2).combine(of, np.array([row], np.float32), None)
    np.testing.assert_allclose(found[0], cooled, atol=1e-6)


# --- choose

CHOICES = {
    "single": (SINGLE, {}, [0.2, 0.5, 0.3], [1]),
    "single, all below the threshold": (SINGLE, {"threshold": 0.9}, [0.2, 0.5, 0.3], [1]),
    "several, most probable first": (MULTI, {}, [0.6, 0.1, 0.9], [2, 0]),
    "exactly the threshold": (MULTI, {"threshold": 0.7}, [0.7, 0.69, 0.1], [0]),
    "none": (MULTI, {}, [0.4, 0.1, 0.2], []),
    "at least one": (MULTI, {"at_least_one": True}, [0.4, 0.1, 0.2], [0]),
    "at least one, several reach it": (MULTI, {"at_least_one": True}, [0.6, 0.7, 0.2], [1, 0]),
}


@pytest.mark.parametrize(("of", "setting", "row", "columns"), CHOICES.values(), ids=CHOICES)
def test_labels_are_chosen_by_threshold(of, setting, row, columns):
    rows = np.array([row, row], np.float32)
    assert TaskCalibration(**setting).choose(of, rows) == [columns, columns]


# --- answer

ANSWERS = {
    "single": (SCALE, {}, [0.2, 0.3, 0.5], ("c",), 0.5, False, 0.3),
    "unsure": (SCALE, {"abstain_below": 0.51}, [0.2, 0.3, 0.5], ("c",), 0.5, True, 0.3),
    "just sure enough": (SCALE, {"abstain_below": 0.5}, [0.2, 0.3, 0.5], ("c",), 0.5, False, 0.3),
    "just sure enough, no binary fraction": (SCALE, {"abstain_below": 0.7}, [0.1, 0.2, 0.7], ("c",), 0.7, False, 0.6),
    "several": (MULTI, {}, [0.9, 0.1, 0.6], ("a", "c"), 0.9, False, None),
    "none applies": (MULTI, {}, [0.1, 0.2, 0.05], (), 0.8, False, None),
    "none applies, unsure": (MULTI, {"abstain_below": 0.7}, [0.1, 0.4, 0.05], (), 0.6, True, None),
    "the best although below": (
        MULTI,
        {"at_least_one": True, "abstain_below": 0.5},
        [0.1, 0.4, 0],
        ("b",),
        0.4,
        True,
        None,
    ),
}


@pytest.mark.parametrize(
    ("of", "setting", "row", "labels", "confidence", "abstained", "score"), ANSWERS.values(), ids=ANSWERS
)
def test_answer_tells_labels_confidence_and_score(of, setting, row, labels, confidence, abstained, score):
    answer = TaskCalibration(**setting).answer(of, np.array(row, np.float32))
    assert (answer.labels, answer.abstained) == (labels, abstained)
    assert answer.confidence == pytest.approx(confidence)
    assert answer.score == (None if score is None else pytest.approx(score))
    assert answer.probabilities == pytest.approx(dict(zip("abc", row, strict=True)))


@pytest.mark.parametrize("sign", [-1, 1])
def test_score_never_leaves_its_scale(sign):
    row = np.full(3, np.float32(1) / 3, np.float32) * np.float32(1.000001)
    answer = TaskCalibration().answer(task("single", values=(sign,) * 3), row)
    assert answer.score == sign


def test_settings_read_back_equal(tmp_path):
    tasks = {"a": TaskCalibration(weight=0.3, temperature=1.7), "b": TaskCalibration(at_least_one=True)}
    settings_ = Settings(combined=tasks, linear=Settings.untuned(tasks).linear)
    save(settings_, tmp_path)
    assert load(tmp_path) == settings_


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"combined": {"a": {"weight": 2}}, "linear": {}}',
        '{"combined": {"a": {"temperature": 0}}, "linear": {}}',
        '{"combined": {"a": {"colour": 1}}, "linear": {}}',
        '{"combined": {"a": {"threshold": NaN}}, "linear": {}}',
    ],
)
def test_settings_of_another_kind_are_refused(tmp_path, content):
    (tmp_path / FILE).write_text(content, encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"calibration.json: not a calibration of this version"):
        load(tmp_path)


# --- quality

label_sets = st.sets(st.sampled_from("abcde")).map(lambda labels: tuple(sorted(labels)))


@LAW
@given(rows=st.lists(st.tuples(label_sets, label_sets), min_size=1, max_size=30))
def test_quality_is_that_of_scikit_learn(rows):
    truth, chosen = zip(*rows, strict=True)
    labels = sorted({label for row in (*truth, *chosen) for label in row})
    assume(len(labels) > 1)
    true, said = (MultiLabelBinarizer(classes=labels).fit_transform(side) for side in (truth, chosen))
    found = quality(truth, chosen)
    assert found["accuracy"] == pytest.approx(accuracy_score(true, said))
    for average in ("macro", "micro", "weighted"):
        assert found[f"{average}_f1"] == pytest.approx(f1_score(true, said, average=average, zero_division=0))
    each = np.transpose(precision_recall_fscore_support(true, said, zero_division=0))
    assert list(found["per_label"]) == labels
    for label, expected in zip(labels, each, strict=True):
        np.testing.assert_allclose(list(found["per_label"][label].values()), expected)


@LAW
@given(rows=st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from("abcde")), min_size=1, max_size=30))
def test_quality_of_single_labels_is_that_of_scikit_learn(rows):
    truth, chosen = zip(*rows, strict=True)
    found = quality([(label,) for label in truth], [(label,) for label in chosen])
    assert found["accuracy"] == pytest.approx(accuracy_score(truth, chosen)) == pytest.approx(found["micro_f1"])
    assert found["macro_f1"] == pytest.approx(f1_score(truth, chosen, average="macro", zero_division=0))


@pytest.mark.parametrize(
    ("truth", "chosen", "accuracy", "micro"),
    [([()], [()], 1, 0), ([("a",)], [("a",)], 1, 1), ([("a",)], [()], 0, 0), ([("unknown",)], [("a",)], 0, 0)],
    ids=["nothing applies", "one label right", "one label missed", "a label the model does not know"],
)
def test_quality_of_a_row(truth, chosen, accuracy, micro):
    found = quality(truth, chosen)
    assert (found["accuracy"], found["micro_f1"], found["macro_f1"]) == (accuracy, micro, micro)


# --- calibration error


def stated(*first):
    """Probabilities (N, 2) of a single task, of its first label."""
    return np.array([[value, 1 - value] for value in first], np.float32)


RIGHT, WRONG = ("a",), ("b",)
TWO, TWO_MULTI = task("single", "ab"), task("multi", "ab")
ERRORS = {
    "sure and right": (TWO, [RIGHT] * 20, stated(*[1.0] * 20), 0),
    "sure and wrong": (TWO, [WRONG] * 20, stated(*[1.0] * 20), 1),
    "a bin for each of a few rows": (TWO, [RIGHT, WRONG], stated(0.9, 0.6), (0.1 + 0.6) / 2),
    "the second label answers": (TWO, [WRONG, WRONG], stated(0.1, 0.3), (0.1 + 0.3) / 2),
    "unknown label is an error": (TWO, [("zzz",)], stated(0.9), 0.9),
    "as often right as stated": (TWO, [RIGHT, RIGHT, RIGHT, WRONG] * 15, stated(*[0.75] * 60), 0),
    "the same, wrong ones last": (TWO, [RIGHT] * 45 + [WRONG] * 15, stated(*[0.75] * 60), 0),
    "every label of a multi task": (TWO_MULTI, [("a",), ()], np.array([[0.9, 0.1], [0.2, 0.3]], np.float32), 0.175),
    "multi, as often as stated": (TWO_MULTI, [("a",), ("b",)] * 15, np.full((30, 2), 0.5, np.float32), 0),
}


@pytest.mark.parametrize(("of", "truth", "rows", "error"), ERRORS.values(), ids=ERRORS)
def test_calibration_error_of_a_constructed_case(of, truth, rows, error):
    assert calibration_error(of, truth, rows) == pytest.approx(error, abs=1e-6)


@LAW
@given(data=st.data(), of=TASKS)
def test_calibration_error_does_not_depend_on_the_order_of_rows(data, of):
    rows = data.draw(arrays.arrays(np.float32, (17, 3), elements=st.sampled_from([0.1, 0.25, 0.5, 0.75])))
    truth = [tuple(row) for row in data.draw(st.lists(st.sampled_from("abc"), min_size=17, max_size=17))]
    order = data.draw(st.permutations(range(17)))
    error = calibration_error(of, truth, rows)
    assert 0 <= error <= 1
    assert calibration_error(of, [truth[row] for row in order], rows[order]) == pytest.approx(error)


def test_the_error_of_the_confidence_is_that_of_answers_alone():
    confidence = np.repeat([0.9, 0.6], 20)
    right = np.array([True] * 19 + [False] + [True] * 14 + [False] * 6)
    assert confidence_error(confidence, right) == pytest.approx((0.05 + 0.1) / 2)


# --- the majority baseline


@pytest.mark.parametrize(
    ("of", "counts", "labels"),
    [
        (SINGLE, {"": 9, "a": 2, "b": 4, "c": 3}, ("b",)),
        (SINGLE, {"": 4, "b": 2, "c": 2}, ("b",)),
        (MULTI, {"": 9, "a": 5, "b": 8, "c": 1}, ("b", "a")),
        (MULTI, {"": 8, "a": 4, "b": 1}, ("a",)),
        (MULTI, {"": 0}, ("a",)),
    ],
    ids=["most frequent", "tie goes to class order", "more than half", "half is not more", "nothing counted"],
)
def test_majority_baseline_answers_what_is_most_frequent(of, counts, labels):
    assert majority_labels(of, counts) == labels


def test_written_settings_are_plain_json(tmp_path):
    save(Settings.untuned(["a"]), tmp_path)
    assert json.loads((tmp_path / FILE).read_text(encoding="utf-8"))["combined"]["a"]["temperature"] == 1


def test_a_rare_label_is_preferred_as_far_as_both_figures_gain():
    chance = np.random.default_rng(0)
    size = 3000
    true = np.where(chance.random(size) < 0.06, 2, chance.integers(0, 2, size))
    # what the rare label says for itself is drowned by how seldom it is
    logits = chance.normal(size=(size, 3)) + 2.2 * np.eye(3)[true] + np.log([0.47, 0.47, 0.06])
    probabilities = softmax(logits, axis=1).astype(np.float32)
    truth = np.eye(3, dtype=np.float32)[true]
    shares = truth.mean(axis=0)
    half = size // 2
    setting = fit_task(SCALE, truth[:half], probabilities[:half], None, shares, at_least_one=True, abstain_below=0.4)
    assert setting.factors[2] == 1
    assert setting.factors[0] < 0.7
    plain = setting.model_copy(update={"factors": ()})

    def figures(chosen):
        said = [columns[0] for columns in chosen.choose(SCALE, chosen.combine(SCALE, probabilities[half:], None))]
        return f1_score(true[half:], said, average="macro"), np.mean(said == true[half:])

    assert figures(setting)[0] > figures(plain)[0] + 0.01
    assert sum(figures(setting)) > sum(figures(plain))


def test_labels_as_frequent_as_each_other_are_treated_alike():
    chance = np.random.default_rng(1)
    true = chance.integers(0, 3, 600)
    truth = np.eye(3, dtype=np.float32)[true]
    probabilities = softmax(chance.normal(size=(600, 3)) + 2 * truth, axis=1).astype(np.float32)
    setting = fit_task(SCALE, truth, probabilities, None, np.full(3, 1 / 3), at_least_one=True, abstain_below=0.4)
    assert setting.factors == (1, 1, 1)


def test_the_confidence_is_the_probability_of_what_was_chosen():
    setting = TaskCalibration(factors=(0.2, 0.2, 1))
    row = np.array([[0.5, 0.2, 0.3]], np.float32)
    answer = setting.answer(SCALE, row[0])
    assert answer.labels == ("c",)
    assert answer.confidence == pytest.approx(0.3)
    assert setting.ahead(row) == pytest.approx([(0.3 - 0.1) / (0.3 + 0.1 + 0.04)])


def test_the_better_part_weighs_more():
    chance = np.random.default_rng(2)
    true = chance.integers(0, 3, 900)
    truth = np.eye(3, dtype=np.float32)[true]
    good, poor = (softmax(chance.normal(size=(900, 3)) + by * truth, axis=1).astype(np.float32) for by in (3.0, 0.3))
    options = {"at_least_one": True, "abstain_below": 0.4}
    assert fit_task(SCALE, truth, poor, good, truth.mean(axis=0), **options).weight >= 0.8
    assert fit_task(SCALE, truth, good, poor, truth.mean(axis=0), **options).weight <= 0.2


FEW = {
    "a label that is hardly sure": (False, [0.6, 0.1, 0.1], ("a",), True),
    "a label that is sure": (False, [0.8, 0.1, 0.1], ("a",), False),
    "none applies, hardly sure": (False, [0.34, 0.1, 0.1], (), True),
    "none applies, sure": (False, [0.2, 0.1, 0.1], (), False),
    "the best although below": (True, [0.2, 0.1, 0.1], ("a",), True),
}


@pytest.mark.parametrize(("at_least_one", "row", "labels", "abstained"), FEW.values(), ids=FEW)
def test_with_few_rows_the_confidence_that_was_set_decides_for_tasks_of_several_too(
    at_least_one, row, labels, abstained
):
    none = np.zeros((0, 3), np.float32)
    options = {"at_least_one": at_least_one, "abstain_below": 0.7}
    setting = fit_task(MULTI, none, none, None, np.full(3, 1 / 3), **options)
    answer = setting.answer(MULTI, np.array(row, np.float32))
    assert (answer.labels, answer.abstained) == (labels, abstained)


def test_an_answer_that_has_to_have_a_label_goes_to_a_person_where_none_reaches_the_threshold():
    none = np.zeros((0, 3), np.float32)
    setting = fit_task(MULTI, none, none, None, np.full(3, 1 / 3), at_least_one=True, abstain_below=0.1)
    assert setting.answer(MULTI, np.array([setting.threshold - 0.05, 0.1, 0.1], np.float32)).abstained
    assert not setting.answer(MULTI, np.array([setting.threshold + 0.05, 0.1, 0.1], np.float32)).abstained
