"""Texts to be measured on: of a length, all different, made of what stands in a file."""

from collections.abc import Sequence
from typing import NamedTuple

from models.reading import Tokenise

#: Letters of the longest word that is taken, and lengths of the texts beside the longest.
_LONGEST = 20
_LENGTHS = (1.0, 0.9, 0.8, 1.0, 0.95, 0.75, 0.85)


class Texts(NamedTuple):
    """Normalised texts, and how many tokens they have on average."""

    name: str
    texts: list[str]
    tokens: float


def of_length(name: str, given: Sequence[str], tokens: int, count: int, tokenise: Tokenise) -> Texts:
    """``count`` texts of about ``tokens`` tokens each, some a quarter shorter: runs of the words of ``given``.

    Each begins at another place, so that no two are alike.
    """
    # what is longer is a sentence of a language that has no spaces
    words = [word for text in given for word in text.split() if len(word) <= _LONGEST]
    each = tokens * len(words) / (sum(map(len, tokenise(words))) - 2 * len(words))
    # the same in every run
    lengths = [max(1, round(each * _LENGTHS[number % len(_LENGTHS)])) for number in range(count)]
    step = max(1, len(words) // count)
    made = []
    for number, length in enumerate(lengths):
        start = number * step % max(1, len(words) - length)
        made.append(" ".join(words[start : start + length]))
    return as_they_are(name, made, tokenise)


def as_they_are(name: str, texts: Sequence[str], tokenise: Tokenise) -> Texts:
    """Texts as they stand, without those that are there already."""
    different = list(dict.fromkeys(texts))
    return Texts(name, different, sum(map(len, tokenise(different))) / len(different))
