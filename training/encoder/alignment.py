"""First embeddings of a new vocabulary, from what its pieces stand beside in the pairs.

Artetxe, Ruder and Yogatama (2020) keep the body of an encoder and learn new embeddings for it.
Here they do not begin at random: which of the teacher's word pieces a new piece translates is
estimated by the first model of Brown et al. (1993), whose expectation maximisation lets the
likelier translation of a word explain the others away, and the embedding is their mean.
"""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from scipy import sparse

from training.encoder.vocabulary import WORD_START

Floats = np.ndarray[Any, np.dtype[np.float32]]
Ints = np.ndarray[Any, np.dtype[np.int32]]
#: Ids of the teacher's pieces that spell a text, none where it cannot.
Speller = Callable[[str], list[int]]

#: Sentences whose links are looked up at once.
_CHUNK = 20_000
#: Translations that make up the embedding of a piece.
_KEPT = 8


@dataclass(frozen=True)
class _Links:
    """Of some sentences: which entry of the table each link uses (L), and the old piece it explains (L)."""

    entry: Ints
    explained: Ints


def associate(
    new: Sequence[Sequence[int]], old: Sequence[Sequence[int]], new_size: int, old_size: int, rounds: int
) -> sparse.csr_matrix:
    """Association (new_size, old_size) in [0, 1] of new pieces with the old ones they translate.

    Args:
        new: piece ids of each sentence in the new vocabulary.
        old: ids of its translation in the old vocabulary.
        new_size: size of the new vocabulary.
        old_size: size of the old one.
        rounds: rounds of expectation maximisation, which begins with the Dice coefficient.

    Each piece counts once a sentence. The result is the Dice coefficient of the expected counts.
    """
    left, right = _incidence(new, new_size), _incidence(old, old_size)
    together = (left.T @ right).tocsr()
    together.sort_indices()
    often_new, often_old = np.asarray(left.sum(0)).ravel(), np.asarray(right.sum(0)).ravel()
    row = np.repeat(np.arange(new_size), np.diff(together.indptr))
    size = often_new[row] + often_old[together.indices]
    counts = together.data
    chances = 2 * counts / size
    links = list(_links(left, right, together))
    for _ in range(rounds):
        counts = np.zeros(len(chances))
        for found in links:
            weight = chances[found.entry]
            whole = np.bincount(found.explained, weight)
            counts += np.bincount(found.entry, weight / whole[found.explained], minlength=len(chances))
        chances = counts / np.maximum(np.bincount(row, counts, new_size), 1e-9)[row]
    return sparse.csr_matrix((2 * counts / size, together.indices, together.indptr), together.shape)


def _incidence(sentences: Sequence[Sequence[int]], size: int) -> sparse.csr_matrix:
    distinct = [sorted(set(sentence)) for sentence in sentences]
    bounds = np.concatenate([[0], np.cumsum([len(sentence) for sentence in distinct])])
    columns = np.fromiter(chain.from_iterable(distinct), np.int32, bounds[-1])
    return sparse.csr_matrix((np.ones(len(columns), np.float32), columns, bounds), (len(distinct), size))


def _links(left: sparse.csr_matrix, right: sparse.csr_matrix, table: sparse.csr_matrix) -> list[_Links]:
    """Every (new piece, old piece) of every sentence that the table has an entry for."""
    keys = np.repeat(np.arange(table.shape[0]), np.diff(table.indptr)) * table.shape[1] + table.indices
    found = []
    for start in range(0, left.shape[0], _CHUNK):
        ours, theirs = left[start : start + _CHUNK], right[start : start + _CHUNK]
        sentence = np.repeat(np.arange(ours.shape[0]), np.diff(ours.indptr))
        width = np.diff(theirs.indptr)[sentence]
        first = np.repeat(theirs.indptr[sentence] - np.concatenate([[0], np.cumsum(width)[:-1]]), width)
        explained = first + np.arange(width.sum())
        wanted = np.repeat(ours.indices.astype(np.int64), width) * table.shape[1] + theirs.indices[explained]
        entry = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        known = keys[entry] == wanted
        found.append(_Links(entry[known].astype(np.int32), explained[known].astype(np.int32)))
    return found


@dataclass(frozen=True)
class Start:
    """Embeddings (V, E) of a new vocabulary, and how many of its pieces began in which way."""

    embeddings: Floats
    counts: dict[str, int]


def first_embeddings(
    pieces: Sequence[str],
    association: sparse.csr_matrix,
    teacher: Floats,
    spell: Speller,
    special: dict[int, int],
    seed: int,
) -> Start:
    """An embedding for every new piece.

    In this order: special tokens as the teacher's; pieces that translate old ones as the mean of
    the ``_KEPT`` most associated, weighted by the square of the association; any other as the mean
    of the old pieces that spell it (a picture: its name in Unicode); else random, with the
    teacher's mean and spread.

    Args:
        pieces: the new pieces (V).
        association: (V, old V), as of :func:`associate`.
        teacher: embeddings (old V, E).
        spell: ids of the old pieces that spell a text.
        special: new id → old id of special tokens.
        seed: of the random ones.
    """
    chance = np.random.default_rng(seed)
    result = chance.normal(teacher.mean(0), teacher.std(0), (len(pieces), teacher.shape[1])).astype(np.float32)
    counts = dict.fromkeys(("special", "aligned", "spelled", "random"), 0)
    for new, piece in enumerate(pieces):
        span = slice(association.indptr[new], association.indptr[new + 1])
        weight, columns = association.data[span], association.indices[span]
        if new in special:
            result[new] = teacher[special[new]]
            counts["special"] += 1
        elif len(weight):
            best = np.argsort(-weight)[:_KEPT]
            share = weight[best] ** 2
            result[new] = (share[:, None] * teacher[columns[best]]).sum(0) / share.sum()
            counts["aligned"] += 1
        elif spelled := spell(_name(piece)):
            result[new] = teacher[spelled].mean(0)
            counts["spelled"] += 1
        else:
            counts["random"] += 1
    return Start(result, counts)


def _name(piece: str) -> str:
    text = piece.replace(WORD_START, " ").strip()
    if len(text) == 1 and unicodedata.category(text) in ("So", "Sk", "Sm"):
        return unicodedata.name(text, "").lower()
    return text
