"""Whether sentences that mean the same lie together: each finds its translation among many."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import nn
from transformers import PreTrainedTokenizerBase

from models.encoding import Vectors, vectors
from training.encoder.pairs import ENGLISH, Pairs


def accuracy(questions: Vectors, answers: Vectors) -> float:
    """Share of ``questions`` (N, H) whose most similar (cosine) of ``answers`` (N, H) is the one of the same row."""
    similar = _unit(questions) @ _unit(answers).T
    return float((similar.argmax(1) == np.arange(len(questions))).mean())


def _unit(rows: Vectors) -> Vectors:
    result: Vectors = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    return result


class Retrieval:
    """Accuracy of retrieval on held-back pairs; the English side's vectors are those of ``reference``."""

    def __init__(self, held_back: Mapping[str, Pairs], reference: Mapping[str, Vectors], max_length: int) -> None:
        self._held_back = held_back
        self._reference = reference
        self._max_length = max_length

    def __call__(self, encoder: nn.Module, tokenizer: PreTrainedTokenizerBase) -> dict[str, float]:
        """Per language the share of translations that find their English sentence."""
        return {
            language: accuracy(
                vectors(encoder, tokenizer, pairs.translations[language], max_length=self._max_length),
                self._reference[language],
            )
            for language, pairs in self._held_back.items()
        }


def both_ways(
    encoder: nn.Module, tokenizer: PreTrainedTokenizerBase, pairs: Pairs, language: str, max_length: int
) -> dict[str, Any]:
    """Retrieval with this encoder on both sides: from the language to English, and back."""
    theirs = vectors(encoder, tokenizer, pairs.translations[language], max_length=max_length)
    english = vectors(encoder, tokenizer, pairs.english, max_length=max_length)
    return {
        "pairs": len(pairs),
        f"to {ENGLISH}": accuracy(theirs, english),
        f"from {ENGLISH}": accuracy(english, theirs),
    }
