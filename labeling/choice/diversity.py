"""Texts that are far from each other: greedy k-centre.

Sener and Savarese (2018), "Active Learning for Convolutional Neural Networks: A Core-Set Approach": take, again and
again, the one that is farthest from all taken. The radius within which every text has a taken one is then at most
twice the best there is (Gonzalez 1985).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

from models.text import plain

#: Columns of the hashed n-grams; so many that two seldom share one.
_COLUMNS = 2**18
#: Rows of which the similarity to all others is computed at a time.
_CHUNK = 256


def gram_rows(texts: Sequence[str]) -> csr_matrix:
    """TF-IDF of hashed character 1–4-grams within words, (N, D) float32 of unit length: for any language and script,
    without a model. What every text has counts little."""
    hashed = HashingVectorizer(
        analyzer="char_wb", ngram_range=(1, 4), n_features=_COLUMNS, alternate_sign=False, norm=None, dtype=np.float32
    )
    counts = hashed.transform([plain(text) for text in texts])
    rows = TfidfTransformer(sublinear_tf=True).fit_transform(counts)
    return csr_matrix(rows, dtype=np.float32)


def k_centre(rows: csr_matrix, k: int, taken: Sequence[int] = ()) -> list[int]:
    """Which ``k`` of N rows to take, each the farthest from all taken before it; ties go to the first.

    Args:
        rows: (N, D), of unit length; the distance is one minus the cosine.
        k: how many; all that are left if there are fewer.
        taken: rows that are taken before. Without any the first row is the first centre.
    """
    size = rows.shape[0]
    free = np.ones(size, bool)
    free[list(taken)] = False
    k = min(k, int(free.sum()))
    if k == int(free.sum()):
        all_free: list[int] = np.flatnonzero(free).tolist()
        return all_free
    distance = _distances(rows, taken)
    centre = np.zeros(rows.shape[1], np.float32)
    found: list[int] = []
    while len(found) < k:
        nearest = int(np.argmax(np.where(free, distance, -1.0)))
        found.append(nearest)
        free[nearest] = False
        own = slice(rows.indptr[nearest], rows.indptr[nearest + 1])
        centre[rows.indices[own]] = rows.data[own]
        distance = np.minimum(distance, 1 - rows @ centre)
        centre[rows.indices[own]] = 0
    return found


def _distances(rows: csr_matrix, taken: Sequence[int]) -> NDArray[np.float32]:
    """How far each row is from the nearest taken one, (N,); all alike if none is."""
    nearest = np.full(rows.shape[0], 2.0, np.float32)
    for start in range(0, len(taken), _CHUNK):
        some = _similarity(rows, rows[list(taken[start : start + _CHUNK])])
        nearest = np.minimum(nearest, 1 - some.max(axis=1))
    return nearest


def _similarity(rows: csr_matrix, others: csr_matrix) -> NDArray[np.float32]:
    """Cosines (N, M) of rows (N, D) and others (M, D)."""
    found: NDArray[np.float32] = (rows @ others.T).toarray()
    return found
