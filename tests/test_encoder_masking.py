"""Hidden pieces of monolingual text: which are hidden, and that guessing them is learned."""

import pytest
import torch
from support import STARTER, read_jsonl
from torch import nn

from training.encoder.masking import MaskedHead, MaskedTexts
from training.encoder.vocabulary import train_tokenizer

TEXTS = {
    language: [row["text"] for row in read_jsonl(STARTER / "train.jsonl") if row["language"] == language]
    for language in ("it", "pl")
}


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(TEXTS, size=800, lines=1000, max_length=64, seed=1)


@pytest.fixture(scope="module")
def masked(tokenizer):
    return MaskedTexts(TEXTS, tokenizer, tokens=200, max_length=64, seed=3)


def test_a_batch_is_the_same_each_time_and_another_at_the_next_step(masked):
    first, again, other = masked[7], masked[7], masked[8]
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["masked_ids"], other["masked_ids"])


def test_a_batch_keeps_to_its_tokens(masked):
    sizes = [masked[step]["masked_ids"].numel() for step in range(50)]
    assert max(sizes) <= 200
    assert min(sizes) > 100


def test_about_one_piece_in_seven_is_to_be_guessed_and_most_of_them_are_hidden(masked, tokenizer):
    batches = [masked[step] for step in range(200)]
    guessed = sum(int((batch["hidden_ids"] >= 0).sum()) for batch in batches)
    read = sum(int(batch["masked_mask"].sum()) - 2 * len(batch["masked_mask"]) for batch in batches)
    hidden = sum(int((batch["masked_ids"] == tokenizer.mask_token_id).sum()) for batch in batches)
    assert guessed / read == pytest.approx(0.15, abs=0.02)
    assert hidden / guessed == pytest.approx(0.8, abs=0.03)


def test_what_is_not_to_be_guessed_stands_as_it_was_and_padding_and_ends_never_are(masked, tokenizer):
    every = [text for texts in TEXTS.values() for text in texts]
    whole = {tuple(ids) for ids in tokenizer(every, truncation=True, max_length=64)["input_ids"]}
    for step in range(20):
        batch = masked[step]
        restored = torch.where(batch["hidden_ids"] >= 0, batch["hidden_ids"], batch["masked_ids"])
        for ids, mask, hidden in zip(restored, batch["masked_mask"], batch["hidden_ids"], strict=True):
            assert tuple(ids[mask.bool()].tolist()) in whole
            assert (hidden[~mask.bool()] < 0).all()
            assert hidden[0] < 0
            assert hidden[int(mask.sum()) - 1] < 0


def test_languages_have_the_square_root_of_their_texts(tokenizer):
    uneven = MaskedTexts({"it": TEXTS["it"][:100], "pl": TEXTS["pl"][:25]}, tokenizer, tokens=64, max_length=64, seed=1)
    assert len(uneven._ids) == 50 + 25


def test_guessing_is_learned_from_the_neighbours():
    torch.manual_seed(0)
    table = nn.Embedding(12, 8)
    head = MaskedHead(8, table)
    hidden_ids = torch.tensor([[-100, 4, -100], [-100, -100, 9]])
    hidden = torch.randn(2, 3, 8)
    optimizer = torch.optim.Adam([*head.parameters(), *table.parameters()], lr=0.05)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = head(hidden, table.weight, hidden_ids)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[0] > 1.5
    assert losses[-1] < 0.1


def test_nothing_to_guess_costs_nothing():
    table = nn.Embedding(12, 8)
    loss = MaskedHead(8, table)(torch.randn(1, 2, 8), table.weight, torch.full((1, 2), -100))
    assert loss.item() == 0
