"""What lies behind the figures, the page for people and the model card."""

from html.parser import HTMLParser

import numpy as np
import pytest
from support import ROOT, STARTER, read_jsonl, write_jsonl

from models.labels import Task
from models.progress import Silent
from models.records import TaskPrediction
from training.details import details, is_first_right, risk_coverage
from training.evaluate import evaluate_file
from training.metrics import calibration_bins, calibration_error

TASK = Task.model_validate({"kind": "single", "labels": [{"key": key} for key in "abc"]})


def answer(label, confidence, abstained=False):
    return TaskPrediction(
        labels=(label,) if label else (), confidence=confidence, abstained=abstained, probabilities={}
    )


def test_risk_is_the_share_of_wrong_among_the_surest():
    confidence = np.linspace(1, 0, 100)
    right = np.arange(100) < 60
    curve = dict(map(tuple, risk_coverage(confidence, right)))
    assert curve[0.6] == 0
    assert curve[0.8] == pytest.approx(0.25)
    assert curve[1.0] == pytest.approx(0.4)
    assert len(curve) == 25


def test_a_curve_of_few_answers_has_a_point_for_each():
    assert risk_coverage(np.array([0.9, 0.1, 0.5]), np.array([True, False, True])) == [
        [pytest.approx(1 / 3), 0],
        [pytest.approx(2 / 3), 0],
        [1, pytest.approx(1 / 3)],
    ]


@pytest.mark.parametrize(
    ("said", "truth", "right"),
    [(("a", "b"), ("b", "a"), True), (("a",), ("b",), False), ((), (), True), ((), ("a",), False), (("a",), (), False)],
)
def test_an_answer_is_right_by_its_first_label(said, truth, right):
    answer = TaskPrediction(labels=said, confidence=0.5, abstained=False, probabilities={})
    assert is_first_right(answer, truth) is right


def test_the_error_is_the_mean_distance_of_the_bins():
    chance = np.random.default_rng(0)
    probabilities = chance.dirichlet([1, 1, 1], 600).astype(np.float32)
    truth = [("abc"[n],) for n in chance.integers(0, 3, 600)]
    bins = calibration_bins(TASK, truth, probabilities)
    assert sum(number for *_, number in bins) == 600
    assert len(bins) == 15
    expected = sum(abs(stated - held) * number for stated, held, number in bins) / 600
    assert calibration_error(TASK, truth, probabilities) == pytest.approx(expected)


def test_details_tell_intervals_confusions_and_the_worst_errors_by_place():
    truth = [("a",)] * 30 + [("b",)] * 30
    answers = [answer("a", 0.9)] * 28 + [answer("b", 0.95), answer("c", 0.6)] + [answer("b", 0.8, True)] * 30
    probabilities = np.full((60, 3), 1 / 3, np.float32)
    found = details(TASK, truth, answers, probabilities, [f"d:{n}" for n in range(60)])
    assert found["worst"] == [
        {"place": "d:28", "given": ["a"], "said": ["b"], "confidence": 0.95},
        {"place": "d:29", "given": ["a"], "said": ["c"], "confidence": 0.6},
    ]
    assert found["confusion"] == [["b", "b", 30], ["a", "a", 28], ["a", "b", 1], ["a", "c", 1]]
    low, high = found["intervals"]["accuracy"]
    assert low < 58 / 60 < high <= 1
    assert found["first_labels"]["b"]["coverage"] == pytest.approx(1 / 31)
    assert found["first_labels"]["b"]["kept_precision"] == 0
    assert found["first_labels"]["a"]["kept_precision"] == 1
    assert found["first_labels"]["c"]["risk_coverage"] is None


def test_a_task_of_several_has_no_confusion():
    several = TASK.model_copy(update={"kind": "multi"})
    found = details(several, [("a", "b")], [answer("a", 0.9)], np.full((1, 3), 0.5, np.float32), ["d:1"])
    assert found["confusion"] is None


def test_what_is_taken_for_what_is_told_by_the_first_label():
    several = TASK.model_copy(update={"kind": "multi"})
    truth = [("a", "b"), ("b",), ("b",), (), ("a",)]
    answers = [answer(label, 0.9) for label in ("c", "c", "b", "a", "")]
    found = details(several, truth, answers, np.full((5, 3), 0.5, np.float32), [f"d:{n}" for n in range(5)])
    assert found["mistaken"] == [("b", "c", 2), ("", "a", 1), ("a", "", 1), ("a", "c", 1)]


class Page(HTMLParser):
    """What a page loads, and whether its elements are closed."""

    VOID = frozenset({"meta", "link", "img", "br", "hr", "input", "use", "path", "image"})

    def __init__(self, text):
        super().__init__()
        self.tags, self.loaded, self._open = [], [], []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.loaded += [
            value for name, value in attributes if name in ("src", "href", "xlink:href") and value[0] != "#"
        ]
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self._open.pop() == tag


@pytest.fixture(scope="module")
def written(linear_folder, tmp_path_factory):
    """A page on data that tries to break out of it."""
    folder = tmp_path_factory.mktemp("report")
    rows = read_jsonl(STARTER / "test.jsonl")
    for row in rows:
        row["text"] = f"</td><script>alert('{row['text'][:30]}')</script> $x_1$ & so"
        row["channel"] = '"><img src=http://example.org/x>'
    data = write_jsonl(folder / "data.jsonl", rows)
    evaluate_file(linear_folder, str(data), html=folder / "report.html", progress=Silent())
    return (folder / "report.html").read_text(encoding="utf-8")


def test_a_page_stands_by_itself_and_what_stands_in_data_stays_text(written):
    page = Page(written)
    assert page.loaded == []
    assert "script" not in page.tags
    assert "img" not in page.tags
    assert "&lt;script&gt;alert(" in written
    assert "default-src 'none'" in written


def test_a_page_shows_both_tasks_with_pictures_and_the_worst_errors(written):
    assert written.count("<svg") >= 7  # three of each task, and what was taken for what
    for shown in (
        "of these, first label right",
        "calibration error of the confidence",
        'id="category"',
        'id="sentiment"',
        "data.jsonl:",
        "macro-F1",
        "Errors it was surest of",
    ):
        assert shown in written


def test_a_page_of_rows_that_chose_nothing_says_no_such_thing_and_names_confusions_of_a_task_of_several(written):
    assert "The same rows chose" not in written
    assert "Taken for another" in written


def test_a_model_brings_its_page_and_card_without_any_text_of_a_customer(linear_folder):
    page = (linear_folder / "report.html").read_text(encoding="utf-8")
    card = (linear_folder / "README.md").read_text(encoding="utf-8")
    Page(page)
    texts = [row["text"] for row in read_jsonl(STARTER / "dev.jsonl") if len(row["text"]) > 25]
    assert len(texts) > 100
    assert not [text for text in texts if text in page or text in card]
    assert "dev.jsonl:" in page
    assert "The same rows chose weights, temperature, thresholds, bounds and scope" in page
    for told in ("## Figures", "| sentiment |", "product/defect", "fingerprint", "linear_strength"):
        assert told in card
    assert "{{" not in card


def test_more_labels_than_can_be_read_are_not_drawn():
    from training.report.pictures import confusion

    few = [[str(n), str(n), 3] for n in range(25)]
    assert confusion(few, []) is not None
    assert confusion([*few, ["x", "y", 1]], []) is None


def test_a_label_with_a_dollar_sign_is_drawn_as_it_is():
    from training.report.pictures import confusion

    assert "cost $5 to $9" in confusion([["cost $5 to $9", "<b>", 2]], [])


def test_templates_are_part_of_the_package():
    assert {path.name for path in (ROOT / "training/report").glob("*.j2")} == {"page.html.j2", "card.md.j2"}
