"""Guessing hidden pieces of monolingual text, beside the distillation.

Words that no pair holds are learned from their neighbours, as in BERT (Devlin et al. 2019); Artetxe
et al. (2020) learn the embeddings of a new language in this way alone.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedTokenizerBase

from models.encoding import padded, padding_of

#: Of the pieces of a text, how many are to be guessed; of these, how many are hidden and how many replaced.
_GUESSED, _HIDDEN, _REPLACED = 0.15, 0.8, 0.1
#: At a piece that is not to be guessed.
_KNOWN = -100


class MaskedTexts:
    """Batches of monolingual text with hidden pieces, for any step the same each time.

    Of each language as many texts are read as goes with the square root of their number; a batch
    is of texts of like length. ``texts`` by language, one of them at least.
    """

    def __init__(
        self,
        texts: Mapping[str, Sequence[str]],
        tokenizer: PreTrainedTokenizerBase,
        *,
        tokens: int,
        max_length: int,
        seed: int,
    ) -> None:
        chance = random.Random(seed)
        fewest = min(len(found) for found in texts.values() if found)
        chosen: list[str] = []
        for _, found in sorted(texts.items()):
            chosen += chance.sample(found, round((len(found) * fewest) ** 0.5))
        ids = tokenizer(chosen, truncation=True, max_length=max_length, verbose=False)["input_ids"]
        chance.shuffle(ids)
        self._ids = sorted(ids, key=len)
        self._tokenizer, self._tokens, self._seed = tokenizer, tokens, seed

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        """``masked_ids``, ``masked_mask`` and ``hidden_ids`` (B, T) of one step; of the last, -100 where nothing
        is to be guessed."""
        chance = random.Random(f"{self._seed} masked {step}")
        first = chance.randrange(len(self._ids))
        width = len(self._ids[first])
        rows = self._ids[max(0, first + 1 - max(1, self._tokens // width)) : first + 1]
        given, hidden = zip(*(self._hide(row, chance) for row in rows), strict=True)
        batch = padded(given, padding_of(self._tokenizer))
        wanted = [[*row, *[_KNOWN] * (width - len(row))] for row in hidden]
        return {
            "masked_ids": batch["input_ids"],
            "masked_mask": batch["attention_mask"],
            "hidden_ids": torch.tensor(wanted),
        }

    def _hide(self, row: Sequence[int], chance: random.Random) -> tuple[list[int], list[int]]:
        given, hidden = list(row), [_KNOWN] * len(row)
        inner = range(1, len(row) - 1)  # not what marks beginning and end
        for place in chance.sample(inner, min(len(inner), max(1, round(_GUESSED * len(inner))))):
            hidden[place] = row[place]
            lot = chance.random()
            if lot < _HIDDEN:
                given[place] = int(self._tokenizer.mask_token_id)
            elif lot < _HIDDEN + _REPLACED:
                given[place] = chance.randrange(len(self._tokenizer))
        return given, hidden


class MaskedHead(nn.Module):
    """Scores of the pieces of the vocabulary, by the encoder's own embeddings; thrown away after training."""

    def __init__(self, width: int, table: nn.Embedding) -> None:
        super().__init__()
        size = table.embedding_dim
        self.turn = nn.Sequential(nn.Linear(width, size), nn.GELU(), nn.LayerNorm(size))
        self.bias = nn.Parameter(torch.zeros(table.num_embeddings))

    def forward(self, hidden: Tensor, table: Tensor, hidden_ids: Tensor) -> Tensor:
        """Mean cross-entropy of the guesses.

        Args:
            hidden: token vectors (B, T, H).
            table: embeddings (V, E).
            hidden_ids: the pieces to be guessed (B, T), -100 elsewhere.
        """
        guessed = hidden_ids != _KNOWN
        scores: Any = functional.linear(self.turn(hidden[guessed]), table, self.bias)  # (guessed, V)
        return functional.cross_entropy(scores.float(), hidden_ids[guessed], reduction="sum") / guessed.sum().clamp(1)
