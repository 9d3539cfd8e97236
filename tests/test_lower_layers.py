"""Layers that a fine-tuning leaves as they are."""

from pathlib import Path

import numpy as np
import pytest
import torch
from support import write_jsonl
from training_support import run, small_rows

from models.classifier import Classifier
from models.encoding import load_encoder, padded, padding_of, positions
from models.errors import ConfigError
from models.progress import Silent
from models.reading import ENCODER
from models.records import FeedbackItem
from training.config import TrainConfig
from training.lower_layers import LowerLayers
from training.train import train

TEXTS = ["late", "the parcel is late and nobody answers", "包裹坏了"]


@pytest.mark.parametrize("kind", ["bert", "xlmr"])
def test_what_was_kept_and_the_layers_above_say_what_the_whole_says(kind: str, request: pytest.FixtureRequest) -> None:
    tokenizer, encoder = load_encoder(request.getfixturevalue(kind))
    encoder.eval()
    ids = tokenizer(TEXTS, truncation=True, max_length=positions(encoder))["input_ids"]
    batch = padded(ids, padding_of(tokenizer))
    lower = LowerLayers(encoder, 1, padding_of(tokenizer), bf16=False)
    told = []
    numbers = lower.keep(ids, told.append)
    assert sum(told) == len(TEXTS)
    with torch.inference_mode():
        expected = encoder(**batch).last_hidden_state
        with lower.above() as upper:
            given = lower.inputs([{"number": number} for number in numbers])
            found = upper(**given).last_hidden_state
    mask = batch["attention_mask"].bool()
    assert (given["attention_mask"].bool() == mask).all()
    # what is kept is kept in bfloat16
    assert np.abs((found - expected)[mask].numpy()).max() < 0.05
    with torch.inference_mode():
        assert torch.equal(encoder(**batch).last_hidden_state, expected)


def test_frozen_layers_stay_and_the_others_learn(bert: Path, tmp_path: Path) -> None:
    data = write_jsonl(tmp_path / "data.jsonl", small_rows())
    result = run(
        data, tmp_path / "model", bert, epochs=20, patience=20, learning_rate=3e-3, regime="full", frozen_layers=1
    )
    assert result.report is not None
    assert result.report["parts"]["transformer"]["sentiment"]["macro_f1"] > 0.9
    before, after = (load_encoder(path)[1].state_dict() for path in (bert, tmp_path / "model/transformer" / ENCODER))
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith("encoder.layer.1.") for name in changed)
    answers = Classifier.load(tmp_path / "model", 1).predict([FeedbackItem(text="really happy and wonderful")])
    assert answers[0].tasks["sentiment"].labels == ("positive",)


def test_more_layers_than_there_are_cannot_be_frozen(bert: Path, tmp_path: Path) -> None:
    data = write_jsonl(tmp_path / "data.jsonl", small_rows())
    with pytest.raises(ConfigError, match="at most 1, the encoder has 2 layers"):
        run(data, tmp_path / "model", bert, regime="full", frozen_layers=2)


def test_an_encoder_of_another_kind_has_none_to_freeze() -> None:
    from transformers import DistilBertConfig, DistilBertModel

    encoder = DistilBertModel(DistilBertConfig(vocab_size=9, dim=8, n_layers=2, n_heads=2, hidden_dim=8))
    with pytest.raises(ConfigError, match="got distilbert; set it to 0"):
        LowerLayers(encoder, 1, 0, bf16=False)


def test_a_search_trains_all_layers(bert: Path, tmp_path: Path) -> None:
    data = write_jsonl(tmp_path / "data.jsonl", small_rows())
    config = TrainConfig(encoder=str(bert), frozen_layers=1)
    with pytest.raises(ConfigError, match="trials train all"):
        train(str(data), tmp_path / "model", config, search=1, progress=Silent())
