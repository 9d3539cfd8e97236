"""How fast an encoder reads, in each runtime, how large it is and how soon it is ready."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from torch import nn
from transformers import PreTrainedTokenizerBase

from models.encoders import resolve_encoder
from models.encoding import load_encoder, padding_of, positions
from models.progress import Advance
from models.reading import batches_by_length, padded
from models.runtimes.choice import open_exported, runs_here
from models.runtimes.export import export
from models.runtimes.runtime import REFERENCE, Name, Runtime
from models.runtimes.torch import TorchRuntime

_MAX_LENGTH = 128
#: What a new process does until it has the vector of one text.
_COLD_START = """
import sys, time
start = time.perf_counter()
from models.encoders import resolve_encoder
from models.encoding import load_encoder, vectors
tokenizer, encoder = load_encoder(resolve_encoder(sys.argv[1]))
vectors(encoder, tokenizer, ["ready?"], max_length=16)
print(time.perf_counter() - start)
"""


@dataclass(frozen=True)
class Speed:
    """Texts a second, median and range of the rounds; ``likeness`` is the mean cosine to float32 torch."""

    encoder: str
    runtime: str
    texts_per_second: float
    slowest: float
    fastest: float
    likeness: float


@dataclass(frozen=True)
class Footprint:
    """Bytes of the weights, seconds from starting Python to the first vector, tokens per text by language."""

    encoder: str
    weight_bytes: int
    cold_start_seconds: float
    tokens_per_text: dict[str, float]


def measure_speed(
    encoders: Sequence[str], texts: Sequence[str], advance: Advance, *, rounds: int, threads: int
) -> list[Speed]:
    """Speed of every encoder in every runtime on ``texts``, tokenising included.

    The rounds of all of them alternate, so that a busy moment of the machine falls on all alike.
    Runtimes: all of :data:`models.runtimes.runtime.Name` that run here.
    """
    readers: dict[tuple[str, str], tuple[PreTrainedTokenizerBase, Runtime]] = {}
    with tempfile.TemporaryDirectory(prefix="feedback-speed-") as folder:
        for number, name in enumerate(encoders):
            tokenizer, encoder = load_encoder(resolve_encoder(name))
            tokenizer.model_max_length = min(_MAX_LENGTH, positions(encoder))
            for kind, opened in _runtimes(encoder.eval(), Path(folder) / str(number), threads).items():
                readers[name, kind] = tokenizer, opened
        seconds: dict[tuple[str, str], list[float]] = {key: [] for key in readers}
        outputs = {}
        for _ in range(rounds + 1):  # the first warms up
            for key, (tokenizer, reader) in readers.items():
                start = time.perf_counter()
                outputs[key] = _read(tokenizer, reader, texts)
                seconds[key].append(time.perf_counter() - start)
            advance(1)
    found = []
    for (name, runtime), taken in seconds.items():
        rates = [len(texts) / each for each in taken[1:]]
        likeness = _likeness(outputs[name, runtime], outputs[name, REFERENCE])
        found.append(Speed(name, runtime, statistics.median(rates), min(rates), max(rates), likeness))
    return found


def measure_footprint(encoder: str, texts: dict[str, Sequence[str]], advance: Advance, *, threads: int) -> Footprint:
    """Size, start and thrift of an encoder; ``texts`` by language."""
    folder = resolve_encoder(encoder)
    tokenizer, _ = load_encoder(folder)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    starts = [
        float(
            subprocess.run(
                [sys.executable, "-W", "ignore", "-c", _COLD_START, encoder],
                capture_output=True,
                text=True,
                check=True,
                env=environment,
            ).stdout
        )
        for _ in range(3)
    ]
    tokens = {
        language: float(np.mean([len(ids) for ids in tokenizer(list(rows), verbose=False)["input_ids"]]))
        for language, rows in texts.items()
    }
    advance(1)
    size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    return Footprint(encoder, size, statistics.median(starts), tokens)


def _runtimes(encoder: nn.Module, folder: Path, threads: int) -> dict[Name, Runtime]:
    """All that run here; the encoder is exported into ``folder``."""
    folder.mkdir(parents=True)
    export(encoder, folder)
    return {
        name: TorchRuntime(encoder, bf16=name == "torch-bf16", threads=threads)
        if name.startswith("torch")
        else open_exported(folder, name, threads)
        for name in get_args(Name)
        if runs_here(name)
    }


def _read(tokenizer: PreTrainedTokenizerBase, runtime: Runtime, texts: Sequence[str]) -> Any:
    ids = tokenizer(list(texts), truncation=True, verbose=False)["input_ids"]
    result: list[Any] = [None] * len(texts)
    for rows in batches_by_length([len(row) for row in ids], runtime.tokens):
        for row, vector in zip(
            rows, runtime.vectors(*padded([ids[row] for row in rows], padding_of(tokenizer))), strict=True
        ):
            result[row] = vector
    return np.stack(result)


def _likeness(ours: Any, theirs: Any) -> float:
    return float(np.mean((ours * theirs).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)))
