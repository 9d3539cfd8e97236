"""The linear part: word and character n-grams, one linear head per task.

It needs no download, knows no language in advance and answers in a tenth of a millisecond, so it
carries what the encoder does not know, and is the baseline the encoder has to beat.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from scipy.sparse import csr_matrix, hstack

from models.files import write_json
from models.labels import LabelSchema
from models.scores import Array, Scores, probabilities_of

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import TfidfVectorizer

VOCABULARY = "vocabulary.json"
WEIGHTS = "linear.safetensors"

#: Words are runs of letters and digits; every other sign (emoji, "!") is a word of its own.
_WORD = re.compile(r"\w+|[^\w\s]")
_WORDS: Mapping[str, object] = {"analyzer": "word", "ngram_range": (1, 2), "token_pattern": _WORD.pattern}
#: Inside word boundaries; single characters carry Chinese, longer runs carry stems and typos.
_LONGEST_RUN = 5
_CHARACTERS: Mapping[str, object] = {"analyzer": "char_wb", "ngram_range": (1, _LONGEST_RUN)}
#: Words of which the n-grams are remembered (all of them take 24 MB), and the longest such word: a run of Chinese is a
#: sentence.
_REMEMBERED, _LONGEST_WORD = 50_000, 24


class Features:
    """Texts to TF-IDF rows over word 1–2-grams and character 1–5-grams, each part of unit length."""

    def __init__(self, words: "_Grams", characters: "_Grams") -> None:
        self._parts = (words, characters)

    @classmethod
    def fit(cls, texts: Sequence[str], *, min_df: int, max_features: int) -> tuple["Features", csr_matrix]:
        """Choose the vocabulary: n-grams of at least ``min_df`` texts, or of one where no n-gram of a kind stands in so
        many; the most frequent ``max_features`` of each kind. Returns the features and the rows (N, D) of ``texts``."""
        parts, rows = [], []
        for kind in (_WORDS, _CHARACTERS):
            vectorizer = _vectorizer(kind, min_df=min_df, max_features=max_features)
            try:
                found = vectorizer.fit_transform(texts)
            except ValueError:
                # Chinese without signs: every text is one word
                vectorizer = _vectorizer(kind, min_df=1, max_features=max_features)
                found = vectorizer.fit_transform(texts)
            rows.append(found)
            parts.append(_Grams(kind, vectorizer.get_feature_names_out().tolist(), vectorizer.idf_))
        return cls(*parts), hstack(rows, format="csr")

    def rows(self, texts: Sequence[str]) -> tuple[csr_matrix, Array]:
        """TF-IDF rows, (N, D) float32, words before characters; and the share of the n-grams of each text, in
        [0, 1], that the vocabulary does not have, both kinds counting alike."""
        rows, unknown = zip(*(part.rows(texts) for part in self._parts), strict=True)
        return hstack(rows, format="csr"), np.mean(unknown, axis=0, dtype=np.float32)

    def save(self, folder: Path) -> dict[str, NDArray[np.float32]]:
        """Write the vocabulary into ``folder``; the returned arrays belong beside the weights."""
        write_json(folder / VOCABULARY, [list(part.columns) for part in self._parts])
        return {f"idf.{n}": part.idf for n, part in enumerate(self._parts)}

    @classmethod
    def load(cls, folder: Path, arrays: Mapping[str, NDArray[np.float32]]) -> "Features":
        """Read back what :meth:`save` wrote."""
        vocabularies = json.loads((folder / VOCABULARY).read_text(encoding="utf-8"))
        kinds = enumerate(zip((_WORDS, _CHARACTERS), vocabularies, strict=True))
        return cls(*(_Grams(kind, names, arrays[f"idf.{number}"]) for number, (kind, names) in kinds))


class _Grams:
    """One kind of n-grams: what ``TfidfVectorizer`` gives, and what it does not tell, how many were unknown."""

    def __init__(self, kind: Mapping[str, object], names: Sequence[str], idf: NDArray[np.float32]) -> None:
        self.columns = {name: column for column, name in enumerate(names)}
        self.idf = idf.astype(np.float32)
        # n-grams inside words depend on each word alone, and most words come again and again
        self._by_word = kind["analyzer"] == "char_wb"
        self._remembered = lru_cache(_REMEMBERED)(self._of_word)

    def rows(self, texts: Sequence[str]) -> tuple[csr_matrix, Array]:
        """TF-IDF rows, (N, D) float32 of unit length, and the share of unknown n-grams of each text, (N,)."""
        columns: list[NDArray[np.int32]] = []
        ends = np.zeros(len(texts) + 1, np.int64)
        unknown = np.zeros(len(texts), np.float32)
        for row, text in enumerate(texts):
            known = count = 0
            for found, grams in self._of_words(text) if self._by_word else [self._of_text(text)]:
                columns.append(found)
                known += len(found)
                count += grams
            ends[row + 1] = ends[row] + known
            unknown[row] = (count - known) / max(1, count)
        indices = np.concatenate(columns) if columns else np.empty(0, np.int32)
        rows = csr_matrix(
            (np.ones(len(indices), np.float32), indices, ends), shape=(len(texts), len(self.columns)), dtype=np.float32
        )
        rows.sum_duplicates()
        rows.data = (np.log(rows.data) + 1) * self.idf[rows.indices]
        return _to_unit_length(rows), unknown

    def _of_words(self, text: str) -> Iterator[tuple[NDArray[np.int32], int]]:
        for word in text.lower().split():
            yield self._remembered(word) if len(word) <= _LONGEST_WORD else self._of_word(word)

    def _of_word(self, word: str) -> tuple[NDArray[np.int32], int]:
        """The columns of the n-grams that have one, as often as they come, and how many n-grams there are."""
        grams = _runs(word)
        return self._known(grams), len(grams)

    def _of_text(self, text: str) -> tuple[NDArray[np.int32], int]:
        """The same for words and pairs of words, in the order that ``TfidfVectorizer`` has them."""
        words = _WORD.findall(text.lower())
        return self._known(chain(words, map(" ".join, pairwise(words)))), max(0, 2 * len(words) - 1)

    def _known(self, grams: Iterable[str]) -> NDArray[np.int32]:
        return np.array([column for column in map(self.columns.get, grams) if column is not None], np.int32)


def _to_unit_length(rows: csr_matrix) -> csr_matrix:
    """Rows (N, D) divided by their Euclidean length, in place; a row of zeros stays."""
    counts = np.diff(rows.indptr)
    # one more, since a row of zeros may begin where all ends
    squares = np.append(np.square(rows.data, dtype=np.float64), 0.0)
    lengths = np.sqrt(np.add.reduceat(squares, rows.indptr[:-1]))
    rows.data = (rows.data / np.repeat(lengths, counts)).astype(np.float32)
    return rows


def _runs(word: str) -> list[str]:
    """The runs of characters of a word between blanks, as ``TfidfVectorizer`` counts them: the whole of a short one
    once."""
    between = f" {word} "
    sizes = range(1, min(_LONGEST_RUN, len(between)) + 1)
    return [between[start : start + size] for size in sizes for start in range(len(between) - size + 1)]


def _vectorizer(kind: Mapping[str, object], **options: object) -> "TfidfVectorizer":
    # imported here: it takes a second, and only training needs it
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(**kind, **options, sublinear_tf=True, dtype=np.float32)


@dataclass(frozen=True)
class Head:
    """Weights (K, D) and bias (K,) of one task, rows in class order."""

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]


class LinearModel:
    """N-gram features and one linear head per task of the schema."""

    def __init__(self, schema: LabelSchema, features: Features, heads: Mapping[str, Head]) -> None:
        self.schema = schema
        self._features = features
        self._heads = dict(heads)
        # (D, K) in rows: else every product would turn all weights round first
        self._turned = {name: np.ascontiguousarray(head.weights.T) for name, head in heads.items()}

    def probabilities(self, texts: Sequence[str]) -> Scores:
        """Per task an array (N, K) in class order: softmax for single tasks, sigmoids for multi.

        ``texts`` are normalised already.
        """
        return self.read(texts)[0]

    def read(self, texts: Sequence[str]) -> tuple[Scores, Array]:
        """The :meth:`probabilities` of texts, and for each the share of its n-grams, in [0, 1], never seen (N)."""
        rows, unknown = self._features.rows(texts)
        scores = {name: probabilities_of(self.schema.tasks[name], self._logits(rows, name)) for name in self._heads}
        return scores, unknown

    def _logits(self, rows: csr_matrix, task: str) -> Array:
        logits: Array = rows @ self._turned[task] + self._heads[task].bias
        return logits

    def save(self, folder: Path) -> None:
        """Write vocabulary and weights into ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        arrays = self._features.save(folder)
        for name, head in self._heads.items():
            arrays[f"{name}.weights"] = np.ascontiguousarray(head.weights)
            arrays[f"{name}.bias"] = head.bias
        save_file(arrays, folder / WEIGHTS)

    @classmethod
    def load(cls, folder: Path, schema: LabelSchema) -> "LinearModel":
        """Read what :meth:`save` wrote; the caller has verified the files."""
        arrays = load_file(folder / WEIGHTS)
        heads = {name: Head(arrays[f"{name}.weights"], arrays[f"{name}.bias"]) for name in schema.tasks}
        return cls(schema, Features.load(folder, arrays), heads)
