"""Why an item went where it went: the words that carried the prediction, and the way through the rules."""

import json
import re
import subprocess
import sys

import pytest
from support import ROOT

from models.classifier import Classifier
from models.records import FeedbackItem
from serving.explain import MAX_PIECES, Word, carried, pieces, strongest

TEXT = "The delivery was late and the lid is cracked"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't, please!", ["Don", "t", "please"]),
        ("è già rotto", ["è", "già", "rotto"]),
        ("包裹来晚了，很失望", ["包裹", "来晚", "了", "很失", "望"]),
        ("用了iPhone充电", ["用了", "iPhone", "充电"]),
        ("?!", []),
    ],
)
def test_words_are_found_in_every_script(text, words):
    assert [text[start:end] for start, end in pieces(text)] == words


def test_a_long_text_is_looked_at_in_few_pieces_that_hold_every_word():
    text = " ".join(f"w{number}" for number in range(1000))
    found = pieces(text)
    assert len(found) <= MAX_PIECES
    assert " ".join(text[start:end] for start, end in found) == text


def test_the_strongest_words_matter_on_either_side():
    words = [Word(0, 1, 0.3), Word(2, 3, -0.4), Word(4, 5, 0.001)]
    assert strongest(words) == [Word(2, 3, -0.4), Word(0, 1, 0.3)]
    assert strongest(words, most=1) == [Word(2, 3, -0.4)]


def test_the_weight_of_a_word_is_what_leaving_it_out_takes_from_the_probability(classifier):
    item = FeedbackItem(text=TEXT)
    prediction = classifier.predict([item])[0]
    found = carried(classifier, item, prediction)
    assert set(found) == {"category", "sentiment"}
    for task, labels in found.items():
        assert tuple(labels) == prediction.tasks[task].labels
        for label, words in labels.items():
            assert [TEXT[word.start : word.end] for word in words] == TEXT.split()
            column = classifier.schema.tasks[task].index[label]
            texts = [TEXT, TEXT[: words[1].start] + TEXT[words[1].end :]]
            whole, without = classifier.probabilities(texts, prediction.tier)[task][:, column]
            assert words[1].weight == pytest.approx(whole - without, abs=1e-3)
            assert whole == pytest.approx(prediction.tasks[task].probabilities[label], abs=1e-3)


def test_a_word_that_only_one_label_knows_carries_it(linear_folder):
    model = Classifier.load(linear_folder)
    item = FeedbackItem(text="refund refund refund")
    prediction = model.predict([item])[0]
    for words in carried(model, item, prediction)["category"].values():
        assert all(abs(word.weight) <= 1 for word in words)


def explain(*options: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "feedback", "rules", "explain", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_the_command_says_prediction_words_way_and_owner(linear_folder):
    done = explain(TEXT, "--model", str(linear_folder), "--set", "nps=2", "--set", "meta.plan=gold")
    assert done.returncode == 0
    assert re.search(r"category: \S+ \(0\.\d\d", done.stderr)
    assert "carried by" in done.stderr
    assert "the way through the rules" in done.stdout
    assert re.search(r"owner \w+, urgency \w+", done.stderr)
    assert "rules version" in done.stderr
    found = json.loads(explain(TEXT, "--model", str(linear_folder), "--json").stdout)
    assert set(found) == {"prediction", "decision", "words"}
    assert found["words"]["category"]
    assert found["decision"]["passed_over"] is not None


def test_a_faulty_item_is_refused(linear_folder):
    done = explain(TEXT, "--model", str(linear_folder), "--set", "nps=12", "--set", "chanel=email")
    assert done.returncode == 2
    assert "nps: input should be less than or equal to 10" in done.stderr
    assert "did you mean 'channel'" in done.stderr
    assert explain(TEXT, "--model", str(linear_folder), "--set", "nps").returncode == 2
