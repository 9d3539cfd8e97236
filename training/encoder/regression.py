"""First embeddings made to agree over whole sentences.

What the pieces of a translation mean together should be what the English ones mean together: the
mean of the new embeddings over a sentence is to be the mean of the teacher's over its
translation. Over all pairs this is a least-squares problem with one solution, which the
conjugate gradient method finds in a few passes over the pairs, before any gradient goes through
the encoder. It is held near the embeddings that the word alignment gave, as ridge regression
holds weights near zero.
"""

from collections.abc import Sequence
from itertools import chain

import numpy as np
from scipy import sparse

from models.progress import Advance
from training.encoder.alignment import Floats

#: Sentences multiplied at once.
_CHUNK = 50_000


def agree(
    start: Floats,
    new: Sequence[Sequence[int]],
    old: Sequence[Sequence[int]],
    teacher: Floats,
    *,
    strength: float,
    rounds: int,
    advance: Advance,
) -> Floats:
    """Embeddings (V, E) near ``start`` whose means over sentences are the teacher's over their translations.

    Args:
        start: embeddings (V, E) to stay near, and to begin from.
        new: piece ids of each sentence in the new vocabulary.
        old: ids of its translation in the teacher's.
        teacher: its embeddings (old V, E).
        strength: how strongly to stay near ``start``, as so many tokens would hold it there.
        rounds: of the conjugate gradient method, with a diagonal preconditioner.
        advance: called once a round.

    Sentences count by their length.
    """
    pairs = [
        (_means(new[first : first + _CHUNK], len(start)), _means(old[first : first + _CHUNK], len(teacher)))
        for first in range(0, len(new), _CHUNK)
    ]
    ours = [mean for mean, _ in pairs]
    diagonal = np.full((len(start), 1), strength, np.float32)
    for mean in ours:
        diagonal += np.asarray(mean.multiply(mean).sum(0)).reshape(-1, 1)
    change = np.zeros_like(start)
    rest = np.zeros_like(start)
    for mean, theirs in pairs:
        rest += mean.T @ (theirs @ teacher - mean @ start)
    scaled = rest / diagonal
    direction = scaled.copy()
    size = (rest * scaled).sum(0)  # (E,): each dimension is a problem of its own
    for _ in range(rounds):
        image = strength * direction
        for mean in ours:
            image += mean.T @ (mean @ direction)
        step = size / np.maximum((direction * image).sum(0), 1e-20)
        change += step * direction
        rest -= step * image
        scaled = rest / diagonal
        before, size = size, (rest * scaled).sum(0)
        direction = scaled + size / np.maximum(before, 1e-20) * direction
        advance(1)
    return start + change


def _means(sentences: Sequence[Sequence[int]], size: int) -> sparse.csr_matrix:
    """The matrix (N, V) that takes the mean of embeddings over each sentence, times the root of its length."""
    lengths = np.array([len(sentence) for sentence in sentences], np.int64)
    bounds = np.concatenate([[0], np.cumsum(lengths)])
    columns = np.fromiter(chain.from_iterable(sentences), np.int32, bounds[-1])
    weights = np.repeat(1 / np.sqrt(np.maximum(lengths, 1)), lengths).astype(np.float32)
    matrix = sparse.csr_matrix((weights, columns, bounds), (len(sentences), size))
    matrix.sum_duplicates()
    return matrix
