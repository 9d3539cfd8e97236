"""Reading texts by an encoder: token ids in batches of like length, vectors by a runtime, scores by the heads.

Nothing here needs torch: a service that runs an exported encoder never loads it.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from safetensors.numpy import load_file

from models.labels import LabelSchema
from models.runtimes.runtime import Ids, Runtime
from models.scores import Array, Scores, probabilities_of

HEADS, SETTINGS, ENCODER = "heads.safetensors", "settings.json", "encoder"

#: Of a text that is too long, this share of the tokens comes from its beginning, the rest from
#: its end: customers put the matter first and the demand last (Sun et al. 2019, "head+tail").
HEAD_SHARE = 0.75
#: Padded tokens of one batch: enough to keep a core busy, small enough to stay in its cache.
TOKENS_PER_BATCH = 1024

#: Texts to token ids with the special tokens, none cut.
Tokenise = Callable[[Sequence[str]], list[list[int]]]


@dataclass(frozen=True)
class Tokenised:
    """Token ids per text, at most as many as the encoder takes, and whether any were cut out."""

    ids: list[list[int]]
    truncated: list[bool]


@dataclass(frozen=True)
class Reading:
    """What N texts say to the encoder: per task probabilities (N, K) in class order, the vectors (N, H) they were
    read from, and per text whether it was cut."""

    scores: Scores
    vectors: Array
    truncated: list[bool]


class Reader(Protocol):
    """The transformer part of a model, whatever runs it."""

    def read(self, texts: Sequence[str]) -> Reading:
        """What normalised texts say."""

    def save(self, folder: Path) -> None:
        """Write all that it is made of into ``folder``."""


@dataclass(frozen=True)
class Heads:
    """Weights (K, H) and offsets (K) per task, in the order of the schema; with ``unit_vectors`` they read the
    direction of a vector alone."""

    weights: tuple[Array, ...]
    offsets: tuple[Array, ...]
    unit_vectors: bool

    @classmethod
    def load(cls, folder: Path, *, unit_vectors: bool) -> Self:
        """From the file in ``folder``; KeyError or SafetensorError for one that is none."""
        arrays = load_file(folder / HEADS)
        tasks = range(len(arrays) // 2)
        return cls(
            tuple(arrays[f"{task}.weight"] for task in tasks),
            tuple(arrays[f"{task}.bias"] for task in tasks),
            unit_vectors,
        )

    @property
    def width(self) -> int:
        """H."""
        return int(self.weights[0].shape[1])

    def logits(self, vectors: Array) -> list[Array]:
        """Logits (N, K) per task of vectors (N, H); no numbers where these are none."""
        with np.errstate(invalid="ignore", over="ignore"):
            if self.unit_vectors:
                vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
            return [vectors @ weights.T + offsets for weights, offsets in zip(self.weights, self.offsets, strict=True)]


class EncoderReader:
    """Tokeniser, runtime and heads of one schema.

    Args:
        schema: tasks and class order.
        tokenise: texts to token ids.
        padding: the id that fills up a batch.
        runtime: gives vectors.
        heads: read the vectors.
        max_length: tokens of a text that are read.
        folder: where it was loaded from.
    """

    def __init__(
        self,
        schema: LabelSchema,
        tokenise: Tokenise,
        padding: int,
        runtime: Runtime,
        heads: Heads,
        max_length: int,
        folder: Path | None = None,
    ) -> None:
        self.runtime = runtime
        self._schema, self._tokenise, self._padding = schema, tokenise, padding
        self._heads, self._max_length, self._folder = heads, max_length, folder

    def read(self, texts: Sequence[str]) -> Reading:
        """What normalised texts say."""
        tokens = cut(self._tokenise(texts), self._max_length)
        vectors = np.zeros((len(texts), self._heads.width), np.float32)
        for rows in batches_by_length([len(ids) for ids in tokens.ids], self.runtime.tokens):
            vectors[rows] = self.runtime.vectors(*padded([tokens.ids[row] for row in rows], self._padding))
        logits = zip(self._schema.tasks.items(), self._heads.logits(vectors), strict=True)
        scores = {name: probabilities_of(task, values) for (name, task), values in logits}
        return Reading(scores, vectors, tokens.truncated)

    def save(self, folder: Path) -> None:
        """Copy what it was loaded from."""
        if self._folder is None:
            raise ValueError("expected a reader that was loaded from a folder")
        shutil.copytree(self._folder, folder, dirs_exist_ok=True)


def fast_tokeniser(folder: Path) -> Tokenise:
    """The tokeniser in the ``tokenizer.json`` of ``folder``, without the library that wrote it."""
    from tokenizers import Tokenizer

    tokeniser: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokeniser.no_truncation()
    tokeniser.no_padding()

    def tokenise(texts: Sequence[str]) -> list[list[int]]:
        return [found.ids for found in tokeniser.encode_batch_fast(list(texts))]

    return tokenise


def settings_of(folder: Path) -> Mapping[str, Any]:
    """``max_length`` and ``unit_vectors`` of the transformer part in ``folder``."""
    found: Mapping[str, Any] = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    return found


def cut(ids: Sequence[list[int]], max_length: int) -> Tokenised:
    """Of texts that are too long the beginning and the end."""
    head = int(max_length * HEAD_SHARE)
    tail = max_length - head
    fits = [len(row) <= max_length for row in ids]
    return Tokenised(
        [row if whole else row[:head] + row[-tail:] for row, whole in zip(ids, fits, strict=True)],
        [not whole for whole in fits],
    )


def padded(ids: Sequence[Sequence[int]], padding: int) -> tuple[Ids, Ids]:
    """Token ids and their mask, both of shape (B, T)."""
    width = max(map(len, ids))
    filled, mask = np.full((len(ids), width), padding, np.int64), np.zeros((len(ids), width), np.int64)
    for row, values in enumerate(ids):
        filled[row, : len(values)] = values
        mask[row, : len(values)] = 1
    return filled, mask


def batches_by_length(lengths: Sequence[int], tokens: int = TOKENS_PER_BATCH) -> Iterator[list[int]]:
    """Rows in batches of like length, at most ``tokens`` padded tokens each, longest first."""
    batch: list[int] = []
    width = 0
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        if batch and width * (len(batch) + 1) > tokens:
            yield batch
            batch = []
        width = lengths[batch[0]] if batch else lengths[row]
        batch.append(row)
    if batch:
        yield batch
