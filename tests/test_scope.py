"""Which texts are of the kind that a model learned from."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from support import STARTER, read_jsonl, write_jsonl

from models.calibration import Cascade
from models.classifier import Classifier
from models.linear import Features
from models.progress import Silent
from models.records import FeedbackItem, LabeledItem
from models.scope import Centres, Scope, Strangeness, familiarity
from training.compare import compare_files
from training.config import TrainConfig
from training.evaluate import evaluate_file
from training.scope import fit_scope, is_out_of_scope, scope_figures
from training.train import train

GIBBERISH = ["qzxv kjwq zzxqj vvkq", "xkcd qwrtpz ljhgfdk", "jjjq wwxz kkqv pzpz", "ꓘꓤꓢ ꓒꓵꓩ ꓬꓮꓰ"]


def test_a_text_is_as_familiar_as_those_in_scope_are_at_most():
    measured = np.arange(1000, dtype=np.float32)
    known = Strangeness.of(measured)
    found = known.familiarity(np.array([-5, 0, 500, 950, 2000], np.float32))
    assert found == pytest.approx([1, 1, 0.5, 0.05, 0], abs=0.006)


def test_of_texts_in_scope_that_share_is_mistaken():
    chance = np.random.default_rng(0)
    known = Strangeness.of(chance.gamma(2, size=2000).astype(np.float32))
    for share in (0.02, 0.05, 0.2):
        mistaken = (known.familiarity(chance.gamma(2, size=5000).astype(np.float32)) < share).mean()
        assert mistaken == pytest.approx(share, abs=0.02)


def test_equal_measures_are_in_scope_together():
    known = Strangeness.of(np.array([0.0] * 95 + [0.5] * 5, np.float32))
    assert known.familiarity(np.zeros(3, np.float32)).tolist() == [1, 1, 1]
    assert known.familiarity(np.array([0.5], np.float32)) == pytest.approx([0.05], abs=0.01)


def test_a_language_with_texts_enough_is_measured_by_its_own(classifier):
    parts = classifier.part_scores(["good"])
    languages = ["en"] * 200 + ["zh-Hans"] * 200 + ["it"] * 20
    measured = np.array([0.1] * 200 + [0.6] * 200 + [0.9] * 20, np.float32)
    scope = fit_scope(replace(parts, unknown=measured, distance=None), languages, 0.02)
    assert set(scope.unknown) == {"", "en", "zh", "zh-Hans"}
    found = familiarity(scope.unknown, np.full(6, 0.5, np.float32), ["en", "zh-Hans", "pl", "en-GB", "zh", "zh-CN"])
    assert found == pytest.approx([0, 1, 220 / 420, 0, 1, 1], abs=0.01)


def test_distances_count_less_where_texts_spread():
    chance = np.random.default_rng(0)
    spread = np.array([10.0, 1.0])
    around = chance.normal(size=(4000, 2)) * spread
    scale = np.linalg.cholesky(np.linalg.inv(np.cov(around.T)))
    centres = Centres(np.zeros((1, 2), np.float32), scale.astype(np.float32))
    far = centres.distance(np.array([[20, 0], [0, 2], [0, 20]], np.float32))
    assert far == pytest.approx([2, 2, 20], rel=0.1)


def test_the_nearest_centre_counts(tmp_path):
    centres = Centres(np.array([[0, 0], [100, 0]], np.float32), np.eye(2, dtype=np.float32))
    centres.save(tmp_path)
    found = Centres.load(tmp_path)
    assert found.distance(np.array([[99, 0], [3, 4]], np.float32)) == pytest.approx([1, 5], abs=1e-3)
    assert Centres.load(tmp_path / "elsewhere") is None


def test_rows_are_those_of_scikit_learn_and_the_unknown_is_counted(texts):
    features, fitted = Features.fit(texts[:200], min_df=2, max_features=5000)
    rows, unknown = features.rows(texts[:200])
    assert abs(rows - fitted).max() < 1e-6
    words = {"analyzer": "word", "ngram_range": (1, 2), "token_pattern": r"\w+|[^\w\s]", "sublinear_tf": True}
    theirs = TfidfVectorizer(**words, min_df=2, max_features=5000).fit(texts[:200])
    new = texts[200:260]
    assert abs(features.rows(new)[0][:, : len(theirs.vocabulary_)] - theirs.transform(new)).max() < 1e-5
    assert ((unknown >= 0) & (unknown < 1)).all()
    assert features.rows(["ꓘꓤꓢ"])[1] == pytest.approx([1.0], abs=0.2)


def test_gibberish_is_less_familiar_to_the_linear_part_than_feedback(linear_folder):
    classifier = Classifier.load(linear_folder)
    feedback = [row["text"] for row in read_jsonl(STARTER / "test.jsonl")][:100]
    known, odd = (
        np.array([found.familiarity for found in classifier.predict([FeedbackItem(text=text) for text in texts])])
        for texts in (feedback, GIBBERISH)
    )
    assert odd.max() < np.median(known)
    assert odd.max() < 0.1


def test_what_is_out_of_scope_goes_to_a_person_in_every_task(classifier):
    scope = Scope(
        share=0.02, unknown={"": Strangeness(quantiles=(0, 1))}, distance={"": Strangeness(quantiles=(0.0, 0.1))}
    )
    strict = replace(classifier, settings=classifier.settings.model_copy(update={"scope": scope}))
    found = strict.predict([FeedbackItem(text="the lid of the jar was broken")])[0]
    assert found.out_of_scope
    assert found.familiarity == 0
    assert all(task.abstained and task.labels for task in found.tasks.values())


def test_without_texts_enough_nothing_is_said_of_scope(classifier):
    untold = replace(classifier, settings=classifier.settings.model_copy(update={"scope": None}))
    found = untold.predict([FeedbackItem(text=GIBBERISH[0])])[0]
    assert found.familiarity is None
    assert not found.out_of_scope
    parts = classifier.part_scores([GIBBERISH[0]] * 49)
    assert fit_scope(parts, ["en"] * 49, 0.02) is None


def test_the_linear_part_answers_alone_only_what_it_knows_the_words_of(classifier):
    cascade = {name: Cascade(sure_from=0, share=1, cost=0) for name in classifier.schema.tasks}
    scope = classifier.settings.scope.model_copy(update={"share": 0.2})
    settings = classifier.settings.model_copy(update={"cascade": cascade, "scope": scope})
    sure = replace(classifier, settings=settings)
    known, odd = sure.predict([FeedbackItem(text="the delivery was late again"), FeedbackItem(text=GIBBERISH[0])])
    assert known.tier == "linear"
    assert odd.tier == "combined"


def test_a_label_says_that_an_item_is_out_of_scope():
    item = LabeledItem(text="heads or tails", category="oos")
    assert is_out_of_scope(item, ["category", "sentiment"], ["oos"])
    assert not is_out_of_scope(item, ["sentiment"], ["oos"])
    assert not is_out_of_scope(item, ["category"], [])


def test_figures_of_scope():
    shares = [0.9, 0.5, 0.3, 0.01, 0.0, 0.4]
    found = scope_figures(shares, [False, False, False, True, True, False], [False] * 4 + [True] * 2)
    assert found["in_scope"] == 4
    assert found["out_of_scope"] == 2
    assert found["mistaken"] == 0.25
    assert found["recall"] == 0.5
    assert found["auroc"] == pytest.approx(6 / 8)
    assert dict(map(tuple, found["recall_at"]))[0.2] == 0.5
    assert scope_figures(None, [], []) is None
    alone = scope_figures([0.5], [False], [False])
    assert (alone["recall"], alone["auroc"], alone["recall_at"]) == (None, None, None)


def test_rows_labelled_out_of_scope_are_not_learned_but_measured(tmp_path):
    keys = ("text", "sentiment", "language")
    starter = [row for row in read_jsonl(STARTER / "train.jsonl") if not row["language"].startswith("zh")]
    rows = [{key: row[key] for key in keys} for row in starter]
    odd = [{"text": f"{text} {n}", "sentiment": "none-of-ours"} for n, text in enumerate(GIBBERISH * 10)]
    data = write_jsonl(tmp_path / "data.jsonl", [*rows, *odd])
    config = TrainConfig(encoder="none", out_of_scope=("none-of-ours",))
    run = train(str(data), tmp_path / "model", config, progress=Silent())
    model = Classifier.load(tmp_path / "model")
    assert "none-of-ours" not in model.schema.tasks["sentiment"].index
    assert run.report["scope"]["out_of_scope"] > 0
    assert run.report["scope"]["recall"] > 0.8
    assert run.report["tasks"]["sentiment"]["n"] == run.report["scope"]["in_scope"]
    figures, _ = evaluate_file(tmp_path / "model", str(data), html=tmp_path / "report.html", progress=Silent())
    assert figures["scope"]["out_of_scope"] == len(odd)
    assert figures["tasks"]["sentiment"]["unknown_labels"] == {}
    assert f"of {len(odd)} texts out of scope found" in (tmp_path / "report.html").read_text()
    compared, _ = compare_files(
        tmp_path / "model",
        tmp_path / "model",
        str(data),
        rejects=tmp_path / "r",
        columns=None,
        threads=1,
        progress=Silent(),
    )
    assert compared["sentiment"]["n"] == len(rows)


def test_a_row_out_of_scope_by_one_task_is_compared_in_none(tmp_path):
    rows = [
        {"text": f"{text} {n}", "category": "ab"[n % 2], "sentiment": "cd"[n % 2]}
        for n, text in enumerate(GIBBERISH * 4)
    ]
    odd = {"text": "nothing", "category": "spam", "sentiment": "c"}
    data = write_jsonl(tmp_path / "data.jsonl", [*rows, odd])
    model = tmp_path / "model"
    train(str(data), model, TrainConfig(encoder="none", out_of_scope=("spam",)), progress=Silent())
    compared, _ = compare_files(model, model, str(data), rejects=tmp_path / "r", threads=1, progress=Silent())
    measured, _ = evaluate_file(model, str(data), progress=Silent())
    for task in ("category", "sentiment"):
        assert compared[task]["n"] == measured["tasks"][task]["n"] == len(rows)


def test_a_label_out_of_scope_that_no_row_has_is_told(tmp_path):
    rows = [{"text": f"{text} {n}", "category": "ab"[n % 2]} for n, text in enumerate(GIBBERISH * 4)]
    data = write_jsonl(tmp_path / "data.jsonl", [*rows, {"text": "nothing", "category": "spam"}])
    config = TrainConfig(encoder="none", out_of_scope=("spam", "spma"))
    notes = train(str(data), tmp_path / "model", config, progress=Silent()).notes
    told = [note for note in notes if note.startswith("out_of_scope: ")]
    assert len(told) == 1
    assert "got spma, of which no row is" in told[0]
