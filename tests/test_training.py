"""Training runs from file to artifact, with real small encoders."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from support import ROOT, STARTER, read_jsonl, write_jsonl
from training_support import run, small_rows

from models.artifact import verify
from models.classifier import Classifier
from models.errors import ArtifactError, DataError, InputError, SchemaError
from models.labels import LabelSchema
from models.progress import Silent
from models.records import FeedbackItem, LabeledItem
from training.config import TrainConfig
from training.datasets import build, derive
from training.evaluate import evaluate_file
from training.train import train
from training.trainer import multi_task_loss


@pytest.mark.parametrize("kind", ["bert", "xlmr"])
def test_a_model_with_an_encoder_learns_is_saved_and_answers_the_same_after_loading(kind, request, tmp_path):
    encoder = request.getfixturevalue(kind)
    data = write_jsonl(tmp_path / "data.jsonl", small_rows())
    result = run(data, tmp_path / "model", encoder, epochs=6, learning_rate=3e-3)
    assert result.report["tasks"]["sentiment"]["macro_f1"] > 0.9
    assert {"majority", "linear", "transformer"} == set(result.report["parts"])
    first, second = (Classifier.load(tmp_path / "model") for _ in range(2))
    items = [FeedbackItem(text="really happy and wonderful"), FeedbackItem(text="broken, terrible waste " * 60)]
    answers = first.predict(items)
    assert answers == second.predict(items)
    assert [answer.tasks["sentiment"].labels for answer in answers] == [("positive",), ("negative",)]
    assert [answer.truncated for answer in answers] == [False, True]
    assert answers[0].tier == "combined"


def test_the_linear_part_alone_is_trained_without_torch(tmp_path):
    data = write_jsonl(tmp_path / "data.jsonl", small_rows())
    code = (
        "import sys; from pathlib import Path; from training.train import train; "
        "from training.config import TrainConfig; from models.progress import Silent; "
        f"out = Path({str(tmp_path / 'model')!r}); "
        f"train({str(data)!r}, out, TrainConfig(encoder='none'), progress=Silent()); "
        "from models.classifier import Classifier; from models.records import FeedbackItem; "
        "print(Classifier.load(out).predict([FeedbackItem(text='great')])[0].tier); "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.split() == ["linear", "False"]


def test_the_same_seed_gives_the_same_model(tmp_path, bert):
    data = write_jsonl(tmp_path / "data.jsonl", small_rows())
    for name in "ab":
        run(data, tmp_path / name, bert, epochs=2, seed=7)
    first, second = (verify(tmp_path / name) for name in "ab")
    assert first.version == second.version


def test_a_missing_label_counts_for_no_task(tmp_path):
    rows = [{**row, "sentiment": None} if n % 2 else row for n, row in enumerate(small_rows())]
    result = run(write_jsonl(tmp_path / "data.jsonl", rows), tmp_path / "model")
    counts = verify(tmp_path / "model").label_counts
    assert counts["category"][""] > counts["sentiment"][""] > 0
    assert result.report["tasks"]["sentiment"]["n"] < result.report["tasks"]["category"]["n"]


def test_unlabelled_rows_are_masked_out_of_the_loss():
    schema = LabelSchema.load()
    width = [len(task.labels) for task in schema.tasks.values()]
    logits = [torch.randn(2, k) for k in width]
    labels = torch.zeros(2, sum(width))
    labels[:, -1] = 1
    whole = multi_task_loss(schema, logits, labels)
    masked = labels.clone()
    masked[1] = float("nan")
    alone = multi_task_loss(schema, [output[:1] for output in logits], labels[:1])
    assert torch.isclose(multi_task_loss(schema, logits, masked), alone)
    assert not torch.isclose(whole, alone)
    nothing = multi_task_loss(schema, logits, torch.full_like(labels, float("nan")))
    assert nothing.item() == 0


def test_a_task_is_multi_if_any_row_has_several_labels(tmp_path):
    rows = [{"text": row["text"], "categories": [row["category"]]} for row in small_rows()]
    rows.append({"text": "both at once", "categories": ["taste", "defect"]})
    run(write_jsonl(tmp_path / "data.jsonl", rows), tmp_path / "model")
    assert Classifier.load(tmp_path / "model").schema.tasks["category"].kind == "multi"


def test_a_further_task_is_declared_in_the_schema_without_code(tmp_path):
    schema = '[tasks.urgency]\nkind = "single"\nlabels = [{key = "now"}, {key = "later"}]\n'
    (tmp_path / "labels.toml").write_text(schema)
    rows = [{"text": row["text"], "urgency": "now" if row["category"] == "defect" else "later"} for row in small_rows()]
    data = write_jsonl(tmp_path / "data.jsonl", rows)
    run(data, tmp_path / "model", labels=tmp_path / "labels.toml")
    prediction = Classifier.load(tmp_path / "model").predict([FeedbackItem(text="broken, terrible")])[0]
    assert prediction.tasks["urgency"].labels == ("now",)


def test_columns_may_have_other_names(tmp_path):
    lines = ["Review;Topic"] + [f"{row['text']};{row['category']}" for row in small_rows()]
    (tmp_path / "data.csv").write_text("\n".join(lines))
    run(tmp_path / "data.csv", tmp_path / "model", columns={"text": "Review", "category": "Topic"})
    assert set(Classifier.load(tmp_path / "model").schema.tasks["category"].keys) == {"defect", "taste"}


def test_an_unknown_label_is_refused_with_the_nearest_known_and_nothing_is_left(tmp_path):
    rows = [{"text": "typo in the label", "category": "product/defct", "sentiment": "negative"}]
    data = write_jsonl(tmp_path / "data.jsonl", rows * 3)
    with pytest.raises(SchemaError, match=r"label 'product/defct'; did you mean 'product/defect'\? .* \(3 row\(s\)\)"):
        run(data, tmp_path / "model", labels=ROOT / "models/labels.toml")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.jsonl"]


def test_a_bad_row_is_left_out_named_and_kept(tmp_path):
    data = write_jsonl(tmp_path / "data.jsonl", small_rows())
    data.write_text(data.read_text() + '{"text": "half a li\n', encoding="utf-8")
    result = run(data, tmp_path / "model")
    assert "1 row(s) left out" in result.notes[0]
    assert f"{data}:81" in result.notes[0]
    assert read_jsonl(tmp_path / "model.rejects.jsonl")[0]["place"] == f"{data}:81"


def test_data_without_any_label_is_refused(tmp_path):
    data = write_jsonl(tmp_path / "data.jsonl", [{"text": "no label at all"}])
    with pytest.raises(DataError, match="no labels in the data"):
        run(data, tmp_path / "model")


def test_a_model_is_replaced_only_when_told(tmp_path):
    data = write_jsonl(tmp_path / "data.jsonl", small_rows())
    run(data, tmp_path / "model")
    with pytest.raises(InputError, match="replace it with --overwrite"):
        run(data, tmp_path / "model")
    before = verify(tmp_path / "model").version
    run(data, tmp_path / "model", overwrite=True, linear_strength=1.0)
    assert verify(tmp_path / "model").version != before


def test_a_few_rows_are_enough_to_get_a_model(tmp_path):
    rows = [{"text": "good", "sentiment": "positive"}, {"text": "bad", "sentiment": "negative"}]
    run(write_jsonl(tmp_path / "data.jsonl", rows * 2), tmp_path / "model")
    assert Classifier.load(tmp_path / "model").predict([FeedbackItem(text="good")])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda f: (f / "linear/linear.safetensors").write_bytes(b"x"),
            r"linear/linear\.safetensors: expected SHA-256",
        ),
        (lambda f: (f / "calibration.json").unlink(), r"calibration\.json: .* got no such file"),
        (lambda f: (f / "manifest.json").write_text("{"), "not a readable manifest"),
        (lambda f: (f / "manifest.json").unlink(), "expected a model"),
    ],
    ids=["other bytes", "missing file", "broken manifest", "no manifest"],
)
def test_a_damaged_model_is_never_loaded(change, message, linear_folder, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(linear_folder, folder)
    change(folder)
    with pytest.raises(ArtifactError, match=message):
        Classifier.load(folder)


def test_one_flipped_bit_is_found(linear_folder, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(linear_folder, folder)
    weights = folder / "linear/linear.safetensors"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ArtifactError, match="the model is damaged"):
        Classifier.load(folder)


def test_no_file_of_a_model_is_pickled(model_folder):
    suffixes = {path.suffix for path in model_folder.rglob("*") if path.is_file()}
    assert suffixes <= {".json", ".toml", ".safetensors", ".txt", ".model", ".html", ".md", ".onnx"}
    assert load_file(model_folder / "transformer/heads.safetensors")


def test_evaluate_gives_every_figure_of_the_contract(model_folder):
    figures, notes = evaluate_file(model_folder, str(STARTER / "test.jsonl"), progress=Silent())
    assert notes == []
    assert figures["n"] == 345
    wanted = {"n", "accuracy", "macro_f1", "weighted_f1", "micro_f1", "ece", "coverage", "per_label", "unknown_labels"}
    wanted |= {"kept_precision", "answered_by_linear", "intervals", "reliability", "risk_coverage", "first_labels"}
    wanted |= {"confidence_ece", "confusion", "mistaken", "worst"}
    assert set(figures["tasks"]) == {"category", "sentiment"}
    for task in figures["tasks"].values():
        assert set(task) == wanted
    assert set(figures["slices"]["language"]) == {"en", "it", "pl", "ro", "zh-Hans", "zh-Hant"}
    json.dumps(figures, allow_nan=False)


def test_texts_that_say_no_language_are_measured_by_the_one_they_look_like(linear_folder, tmp_path):
    rows = [row for row in read_jsonl(STARTER / "test.jsonl") if row["language"] == "it"]
    data = write_jsonl(tmp_path / "data.jsonl", [{**row, "language": None} for row in rows])
    figures, _ = evaluate_file(linear_folder, str(data), progress=Silent())
    assert figures["slices"]["language"]["it"]["category"]["n"] > len(rows) / 2


def test_the_trained_model_beats_the_majority(model_folder):
    figures, _ = evaluate_file(model_folder, str(STARTER / "test.jsonl"), progress=Silent())
    for task in ("category", "sentiment"):
        assert figures["tasks"][task]["macro_f1"] > figures["parts"]["majority"][task]["macro_f1"] + 0.1


def test_a_label_the_model_does_not_know_counts_as_an_error_and_is_named(linear_folder, tmp_path):
    rows = [{"text": "fine", "sentiment": "positive"}, {"text": "fine", "sentiment": "furious"}]
    figures, _ = evaluate_file(linear_folder, str(write_jsonl(tmp_path / "d.jsonl", rows)), progress=Silent())
    assert figures["tasks"]["sentiment"]["unknown_labels"] == {"furious": 1}
    assert figures["tasks"]["sentiment"]["accuracy"] <= 0.5
    assert "category" not in figures["tasks"]


def test_scores_of_all_parts_are_probabilities_in_class_order(classifier):
    parts = classifier.part_scores(["great coffee", "nicht gut", "差"])
    combined = classifier.answers(parts, ["en"] * 3).probabilities
    assert parts.transformer is not None
    for scores in (parts.linear, parts.transformer, combined):
        assert scores["category"].shape == (3, 19)
        assert scores["sentiment"].shape == (3, 3)
        assert np.allclose(scores["sentiment"].sum(axis=1), 1, atol=1e-5)
        assert all(((found >= 0) & (found <= 1)).all() for found in scores.values())


def test_an_answer_does_not_depend_on_its_neighbours(classifier, texts):
    together = classifier.predict([FeedbackItem(text=text) for text in texts[:24]])
    for text, answer in zip(texts[:24:6], together[::6], strict=True):
        alone = classifier.predict([FeedbackItem(text=text)])[0]
        for task in ("category", "sentiment"):
            assert alone.tasks[task].labels == answer.tasks[task].labels
            for label, share in alone.tasks[task].probabilities.items():
                assert share == pytest.approx(answer.tasks[task].probabilities[label], abs=1e-4)


def test_targets_follow_the_schema_order():
    schema = LabelSchema.load()
    items = [LabeledItem(text="a", categories=["other", "product/defect"], sentiment="neutral"), LabeledItem(text="b")]
    dataset = build(items, schema)
    assert dataset.targets["category"][0].tolist() == [1.0] + [0.0] * 17 + [1.0]
    assert dataset.targets["sentiment"][0].tolist() == [0.0, 1.0, 0.0]
    assert np.isnan(dataset.targets["sentiment"][1]).all()
    assert dataset.labelled("category").tolist() == [0]


def test_dev_rows_without_labels_are_refused_before_the_training(tmp_path):
    data = write_jsonl(tmp_path / "data.jsonl", small_rows())
    dev = write_jsonl(tmp_path / "dev.jsonl", [{"text": "no label"}])
    with pytest.raises(DataError, match=r"dev\.jsonl: expected labels for category, sentiment in some row"):
        train(str(data), tmp_path / "model", TrainConfig(encoder="none"), dev=str(dev), progress=Silent())


def test_a_text_in_both_training_and_dev_is_told_and_not_learned_from(tmp_path):
    data = write_jsonl(tmp_path / "data.jsonl", small_rows())
    dev = write_jsonl(tmp_path / "dev.jsonl", small_rows()[:20])
    result = train(str(data), tmp_path / "model", TrainConfig(encoder="none"), dev=str(dev), progress=Silent())
    overlap = [note for note in result.notes if note.startswith("overlap: ")]
    assert "20 row(s) of dev have a text that the training data has too" in overlap[0]
    assert {found["check"] for found in result.report["data_checks"]} >= {"overlap"}


def test_settings_count_without_rows_to_tune_them_on(tmp_path):
    rows = [{"text": "good", "sentiment": "positive"}, {"text": "bad", "sentiment": "negative"}]
    run(write_jsonl(tmp_path / "data.jsonl", rows * 2), tmp_path / "model", abstain_below=0.9)
    assert Classifier.load(tmp_path / "model").settings.combined["sentiment"].abstain_below == 0.9


def test_a_task_may_not_be_called_as_a_field_of_a_record():
    with pytest.raises(ValueError, match="task 'product' has the name of a field"):
        LabelSchema.model_validate({"tasks": {"product": {"kind": "single", "labels": [{"key": "a"}, {"key": "b"}]}}})


def test_words_of_sentiment_are_put_on_a_scale_in_their_order():
    words = ["Positive", "very negative", "Neutral", "Negative", "Very_Positive"]
    task = derive([LabeledItem(text="x", sentiment=word) for word in words]).tasks["sentiment"]
    assert task.keys == ("very negative", "Negative", "Neutral", "Positive", "Very_Positive")
    assert task.values == (-1.0, -0.5, 0.0, 0.5, 1.0)


def test_a_label_that_only_dev_has_is_part_of_a_derived_schema(tmp_path):
    data = write_jsonl(tmp_path / "data.jsonl", small_rows())
    rows = [{"text": "neither nor", "sentiment": "neutral", "category": "taste"}]
    dev = write_jsonl(tmp_path / "dev.jsonl", rows * 3)
    train(str(data), tmp_path / "model", TrainConfig(encoder="none"), dev=str(dev), progress=Silent())
    assert Classifier.load(tmp_path / "model").schema.tasks["sentiment"].keys == ("negative", "neutral", "positive")


@pytest.mark.parametrize("encoder", ["none", "bert"])
def test_the_same_text_in_every_row_teaches_nothing_and_is_refused(encoder, request, tmp_path):
    rows = [{"text": "the very same", "sentiment": "good" if n % 2 else "bad"} for n in range(20)]
    chosen = encoder if encoder == "none" else str(request.getfixturevalue(encoder))
    with pytest.raises(DataError, match=r"expected texts that differ, got the same in all 20 rows; say with --column"):
        run(write_jsonl(tmp_path / "data.jsonl", rows), tmp_path / "model", encoder=chosen)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("texts", [["late again"], ["late again", "late once more"]], ids=["one row", "one id"])
def test_one_item_alone_is_refused(texts, tmp_path):
    rows = [{"id": "7", "text": text, "category": label} for text, label in zip(texts, "ab", strict=False)]
    labels = tmp_path / "labels.toml"
    labels.write_text(derive([LabeledItem(text="x", category=label) for label in "ab"]).to_toml())
    data = write_jsonl(tmp_path / "data.jsonl", rows)
    with pytest.raises(DataError, match=rf"expected two items or more, got {len(texts)} row\(s\) of one; add rows"):
        run(data, tmp_path / "model", labels=labels)


def test_a_task_with_one_answer_alone_is_refused(tmp_path):
    labels = tmp_path / "labels.toml"
    labels.write_text(derive(LabeledItem(**row) for row in small_rows()).to_toml())
    rows = [{**row, "sentiment": "positive"} for row in small_rows()]
    data = write_jsonl(tmp_path / "data.jsonl", rows)
    message = (
        r"expected rows to learn from with two different answers .* add rows .*\n  - sentiment: every .* positive\Z"
    )
    with pytest.raises(DataError, match=message):
        run(data, tmp_path / "model", labels=labels)
    assert not (tmp_path / "model").exists()


def test_two_hundred_labels_make_a_model_that_knows_them_all(tmp_path):
    rows = [{"text": f"about subject{n} {word}", "category": f"label {n}"} for n in range(200) for word in ("a", "b")]
    run(write_jsonl(tmp_path / "data.jsonl", rows), tmp_path / "model")
    model = Classifier.load(tmp_path / "model")
    assert len(model.schema.tasks["category"].labels) == 200
    assert model.predict([FeedbackItem(text="about subject77 a")])[0].tasks["category"].labels == ("label 77",)
