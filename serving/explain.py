"""Which words carried a prediction: each is left out in turn, and what that does to the probability is its weight."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from models.classifier import Classifier
from models.records import FeedbackItem, Prediction

#: Longer texts are looked at in so many pieces of several words.
MAX_PIECES = 96
#: Chinese, Japanese and their like are written without blanks: two characters are about a word.
_PIECE = re.compile(r"[\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff]{1,2}|[^\W\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff]+")


class Word(NamedTuple):
    """A piece of a text from ``start`` to ``end``, and by how much the probability falls without it, in [-1, 1]."""

    start: int
    end: int
    weight: float


def carried(classifier: Classifier, item: FeedbackItem, prediction: Prediction) -> dict[str, dict[str, list[Word]]]:
    """Per task and chosen label the words of the text in their order, each with its weight.

    A word that holds the prediction up has a positive weight, one that speaks against it a negative one. The part
    that gave the prediction is asked for all (occlusion: Zeiler and Fergus, "Visualizing and Understanding
    Convolutional Networks", 2014).
    """
    spans = pieces(item.text)
    without = [item.text[:start] + item.text[end:] for start, end in spans]
    scores = classifier.probabilities([item.text, *without], prediction.tier)
    found: dict[str, dict[str, list[Word]]] = {}
    for name, answer in prediction.tasks.items():
        index = classifier.schema.tasks[name].index
        found[name] = {}
        for label in answer.labels:
            column = scores[name][:, index[label]]
            found[name][label] = [
                Word(start, end, round(float(column[0] - lower), 4))
                for (start, end), lower in zip(spans, column[1:], strict=True)
            ]
    return found


def pieces(text: str) -> list[tuple[int, int]]:
    """Where the words of a text are; of a long one, where groups of neighbouring words are."""
    words = [match.span() for match in _PIECE.finditer(text)]
    size = -(-len(words) // MAX_PIECES) or 1
    return [(group[0][0], group[-1][1]) for group in _groups(words, size)]


def strongest(words: Sequence[Word], most: int = 6, least: float = 0.01) -> list[Word]:
    """The words with the largest weights that matter, the largest first; those against it too."""
    ranked = sorted(words, key=lambda word: -abs(word.weight))
    return [word for word in ranked[:most] if abs(word.weight) >= least]


def _groups(words: Sequence[tuple[int, int]], size: int) -> list[Sequence[tuple[int, int]]]:
    return [words[start : start + size] for start in range(0, len(words), size)]
