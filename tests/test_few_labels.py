"""Training on few labels: which way is taken, contrast, and rows that are left out in turn."""

import json
import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from support import STARTER, read_jsonl, write_jsonl

from models.artifact import TRANSFORMER
from models.classifier import Classifier
from models.errors import ConfigError, TrainingError
from models.progress import Silent
from models.records import FeedbackItem, LabeledItem
from models.transformer import TransformerModel
from training import datasets
from training.config import TrainConfig, load_config
from training.contrast import _batches, _likeness, contrasted, contrastive_loss, frozen, texts_seen
from training.crossing import FOLDS, folds_of
from training.datasets import Row
from training.gather import Rows
from training.regime import FEW, candidates, rows_per_label
from training.train import train

SUBJECTS = ("lid", "box", "bag", "jar", "cap", "tin", "cup", "lamp")
TEXTS = {
    "late": [f"the {what} came three days too late" for what in SUBJECTS],
    "broken": [f"the {what} was broken in two" for what in SUBJECTS],
    "thanks": [f"thank you for the lovely {what}" for what in SUBJECTS],
}
ROWS = [{"text": text, "category": label} for label, texts in TEXTS.items() for text in texts]
QUICK = {"contrast_epochs": 4, "max_length": 32, "threads": 1, "runtimes": ()}


def rows_of(raw):
    return [Row(f"data:{number}", LabeledItem.model_validate(row)) for number, row in enumerate(raw, start=1)]


def gathered_rows(raw):
    rows = rows_of(raw)
    schema = datasets.derive(row.item for row in rows)
    return Rows(rows, datasets.build([row.item for row in rows], schema)), schema


def test_the_loss_is_that_of_the_formula():
    chance = np.random.default_rng(0)
    vectors = torch.nn.functional.normalize(torch.tensor(chance.normal(size=(5, 4)), dtype=torch.float64), dim=1)
    labels = [0, 0, 1, 1, 1]
    alike = torch.tensor([[float(one == other) for other in labels] for one in labels], dtype=torch.float64)
    expected = []
    for one in range(5):
        others = [other for other in range(5) if other != one]
        whole = sum(np.exp(float(vectors[one] @ vectors[other]) / 0.1) for other in others)
        same = [other for other in others if labels[other] == labels[one]]
        each = [-np.log(np.exp(float(vectors[one] @ vectors[other]) / 0.1) / whole) for other in same]
        expected.append(np.mean(each))
    assert contrastive_loss(vectors, alike, 0.1).item() == pytest.approx(np.mean(expected), rel=1e-6)


def test_the_loss_leaves_out_what_is_alone_or_unlabelled():
    vectors = torch.nn.functional.normalize(torch.randn(4, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    vectors.requires_grad_()
    alike = torch.eye(4)
    assert contrastive_loss(vectors, alike, 0.1).item() == 0
    alike[0, 1] = alike[1, 0] = 1
    two = contrastive_loss(vectors, alike, 0.1)
    alike[3, :] = alike[:, 3] = torch.nan
    without = contrastive_loss(vectors, alike, 0.1)
    assert without < two
    without.backward()
    assert vectors.grad.isfinite().all()


def test_rows_are_alike_as_their_labels_overlap():
    targets = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0], [np.nan] * 3], np.float32)
    found = _likeness(targets)
    assert found[0, 1] == 0.5
    assert found[0, 2] == 0
    assert found[2, 3] == 1
    assert np.isnan(found[4]).all()
    assert np.isnan(found[:, 4]).all()


def test_every_step_has_labels_twice_and_its_texts_are_counted():
    learn, schema = gathered_rows(ROWS)
    config = TrainConfig(contrast_epochs=5)
    batches = list(_batches(learn.dataset, schema, config))
    assert sum(map(len, batches)) == texts_seen(len(ROWS), config)
    for rows in batches:
        assert len(set(rows)) == len(rows)
        counts = Counter(learn.items[row].category for row in rows)
        assert len(counts) >= 2
        assert min(counts.values()) >= 2


def test_folds_share_every_label_out_and_keep_copies_together():
    copies = [{"text": f"{row['text']}!!", "category": row["category"]} for row in ROWS[:6]]
    learn, schema = gathered_rows([*ROWS, *copies])
    folds = folds_of(learn, schema)
    assert sorted(row for fold in folds for row in fold.held) == list(range(len(learn.rows)))
    assert len(folds) == FOLDS
    for fold in folds:
        assert set(Counter(learn.items[row].category for row in fold.held)) == set(TEXTS)
        assert not set(fold.rest.texts) & {learn.dataset.texts[row] for row in fold.held}
    where = {row: number for number, fold in enumerate(folds) for row in fold.held}
    assert all(where[number] == where[len(ROWS) + number] for number in range(6))


def test_near_copies_are_left_out_together_unless_their_label_rests_on_them():
    learn, schema = gathered_rows(ROWS)
    broken = [number for number, row in enumerate(ROWS) if row["category"] == "broken"]
    pairs = [(0, 1), (2, 17), *((broken[0], other) for other in broken[1:])]
    folds = folds_of(replace(learn, near=pairs), schema)
    where = {row: number for number, fold in enumerate(folds) for row in fold.held}
    assert where[0] == where[1]
    assert where[2] == where[17]
    assert len({where[number] for number in broken}) == FOLDS
    assert len(where) == len(ROWS)


def test_fewer_rows_than_folds_are_dealt_one_by_one():
    learn, schema = gathered_rows(ROWS[:1] + ROWS[-2:])
    assert sorted(len(fold.held) for fold in folds_of(learn, schema)) == [1, 1, 1]


@pytest.mark.parametrize(
    ("rows", "names"), [(1, ("frozen",)), (2, ("frozen", "contrastive")), (FEW, ("full",)), (FEW * 9, ("full",))]
)
def test_the_number_of_rows_of_a_label_decides(rows, names):
    assert candidates(rows, TrainConfig())[0] == names
    assert candidates(rows, TrainConfig(regime="full"))[0] == ("full",)
    assert candidates(rows, TrainConfig(), search=True)[0] == ("full",)


def test_rows_of_a_label_are_those_in_the_middle_of_the_poorest_task():
    raw = [{"text": f"text {n}", "sentiment": "good" if n % 2 else "bad", "category": f"c{n % 5}"} for n in range(40)]
    learn, schema = gathered_rows(raw)
    assert rows_per_label(learn.dataset, schema) == 8


def test_an_unknown_way_is_refused():
    with pytest.raises(ConfigError, match="regime"):
        load_config(None, ["regime=magic"])


@pytest.fixture(scope="module")
def trained(bert, tmp_path_factory):
    folder = tmp_path_factory.mktemp("few")
    data = write_jsonl(folder / "data.jsonl", ROWS)
    config = TrainConfig(encoder=str(bert), **QUICK)
    return train(str(data), folder / "model", config, progress=Silent())


def test_each_row_is_measured_and_none_is_lost_to_it(trained):
    assert trained.report["crossed"]
    assert trained.report["tasks"]["category"]["n"] == len(ROWS)
    manifest = json.loads((trained.folder / "manifest.json").read_text())
    assert manifest["data"]["rows"] == len(ROWS)
    assert "held back" not in (trained.folder / "README.md").read_text()


def test_it_is_told_what_was_done_and_why(trained):
    regime = trained.report["regime"]
    assert regime["name"] in ("frozen", "contrastive")
    assert set(regime["tried"]) == {"frozen", "contrastive"}
    assert regime["name"] == max(regime["tried"], key=regime["tried"].get)
    assert "8 rows" in regime["why"]
    for file in ("README.md", "report.html"):
        assert regime["why"] in (trained.folder / file).read_text()


def right(model, rows):
    answers = model.predict([FeedbackItem(text=row["text"]) for row in rows])
    return sum(found.tasks["category"].labels == (row["category"],) for found, row in zip(answers, rows, strict=True))


def test_the_model_is_whole_when_it_is_read_back(trained):
    model = Classifier.load(trained.folder)
    assert right(model, ROWS) > 20
    transformer = TransformerModel.load(trained.folder / TRANSFORMER, model.schema)
    network = transformer.network
    assert network.unit_vectors
    vectors = torch.from_numpy(transformer.read([ROWS[0]["text"]]).vectors)
    assert torch.allclose(network.logits(vectors * 7)[0], network.logits(vectors)[0], atol=1e-3)


def test_no_row_is_answered_by_a_model_that_saw_it(tmp_path):
    # of labels by chance a model knows those it saw, and of others nothing
    chance = random.Random(0)
    rows = [{"text": f"about subject{n}", "category": chance.choice(["heads", "tails"])} for n in range(60)]
    config = TrainConfig(encoder="none")
    run = train(str(write_jsonl(tmp_path / "data.jsonl", rows)), tmp_path / "model", config, progress=Silent())
    assert run.report["crossed"]
    assert run.report["tasks"]["category"]["accuracy"] < 0.7
    assert right(Classifier.load(tmp_path / "model"), rows) > 54


def test_the_same_seed_gives_the_same_model(bert):
    learn, schema = gathered_rows(ROWS)
    config = TrainConfig(encoder=str(bert), **QUICK)
    one, two = (contrasted(learn.dataset, schema, config, bert, lambda texts: None) for _ in range(2))
    other = contrasted(learn.dataset, schema, config.model_copy(update={"seed": 5}), bert, lambda texts: None)
    texts = [row["text"] for row in ROWS]
    assert (one.read(texts).vectors == two.read(texts).vectors).all()
    assert not np.allclose(one.read(texts).vectors, other.read(texts).vectors, atol=1e-4)


def test_contrast_draws_texts_of_a_label_together(bert):
    learn, schema = gathered_rows(ROWS)
    config = TrainConfig(encoder=str(bert), **QUICK | {"contrast_epochs": 20, "contrast_rate": 5e-3})
    texts = [row["text"] for row in ROWS]
    labels = np.array([row["category"] for row in ROWS])
    same = labels[:, None] == labels[None, :]

    def apart(model):
        vectors = model.read(texts).vectors
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        likeness = unit @ unit.T
        return likeness[same].mean() - likeness[~same].mean()

    before = apart(frozen(learn.dataset, schema, config, bert))
    after = apart(contrasted(learn.dataset, schema, config, bert, lambda texts: None))
    assert after > before + 0.2


def test_a_training_that_diverges_says_what_to_lower(bert):
    learn, schema = gathered_rows(ROWS)
    config = TrainConfig(encoder=str(bert), **QUICK).model_copy(update={"contrast_rate": 1e30})
    with pytest.raises(TrainingError, match="contrast_rate lower than 1e"):
        contrasted(learn.dataset, schema, config, bert, lambda texts: None)


def test_dev_rows_that_are_given_are_what_it_is_tuned_by(bert, tmp_path):
    data = write_jsonl(tmp_path / "data.jsonl", ROWS)
    dev = write_jsonl(
        tmp_path / "dev.jsonl", [{**row, "text": row["text"].replace("the ", "my ")} for row in ROWS[::2]]
    )
    config = TrainConfig(encoder=str(bert), regime="frozen", **QUICK)
    run = train(str(data), tmp_path / "model", config, dev=str(dev), progress=Silent())
    assert not run.report["crossed"]
    assert run.report["n"] == len(ROWS) // 2
    assert run.report["regime"] == {"name": "frozen", "why": "as set", "tried": run.report["regime"]["tried"]}


def test_without_two_rows_of_a_label_the_encoder_stays_as_it_is(bert, tmp_path):
    rows = [{"text": row["text"], "category": f"label {number}"} for number, row in enumerate(ROWS[::3])]
    config = TrainConfig(encoder=str(bert), **QUICK)
    run = train(str(write_jsonl(tmp_path / "data.jsonl", rows)), tmp_path / "model", config, progress=Silent())
    assert run.report["regime"]["name"] == "frozen"
    assert right(Classifier.load(tmp_path / "model"), rows) >= 6


def test_of_two_tasks_a_row_may_lack_one(bert, tmp_path):
    rows = [{**row, "sentiment": "negative" if row["category"] != "thanks" else "positive"} for row in ROWS]
    for row in rows[::4]:
        del row["sentiment"]
    config = TrainConfig(encoder=str(bert), **QUICK)
    run = train(str(write_jsonl(tmp_path / "data.jsonl", rows)), tmp_path / "model", config, progress=Silent())
    assert run.report["tasks"]["sentiment"]["n"] == len(rows) - len(rows[::4])
    assert run.report["tasks"]["category"]["n"] == len(rows)


@pytest.mark.parametrize("encoder", ["none", "bert"])
def test_what_one_fold_alone_is_labelled_for_is_not_known_in_its_turn(encoder, request, tmp_path):
    # the two rows are one item, so that they are left out together
    rows = [*ROWS, {"text": "so so", "sentiment": "bad"}, {"text": "So so!", "sentiment": "good"}]
    chosen = encoder if encoder == "none" else str(request.getfixturevalue(encoder))
    config = TrainConfig(encoder=chosen, **QUICK)
    run = train(str(write_jsonl(tmp_path / "data.jsonl", rows)), tmp_path / "model", config, progress=Silent())
    assert run.report["crossed"]
    assert run.report["tasks"]["sentiment"]["n"] == 2


def test_starter_data_are_not_few():
    items = [LabeledItem.model_validate(row) for row in read_jsonl(STARTER / "train.jsonl")]
    schema = datasets.derive(items)
    assert rows_per_label(datasets.build(items, schema), schema) >= FEW


def test_of_models_in_turn_of_which_some_know_too_few_texts_none_tells_how_strange_a_text_is(bert, tmp_path):
    # three quarters of so many are 49 or 50, and from 50 on it is told
    rows = [{"text": f"{label} {number}", "category": label} for number in range(22) for label in TEXTS]
    config = TrainConfig(encoder=str(bert), regime="frozen", **QUICK)
    run = train(str(write_jsonl(tmp_path / "data.jsonl", rows)), tmp_path / "model", config, progress=Silent())
    assert run.report["tasks"]["category"]["n"] == len(rows) == 66
    assert run.report["scope"] is None
