"""How fast an encoder reads, in each runtime, how large it is and how soon it is ready."""

import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from models.encoders import resolve_encoder
from models.encoding import (
    batches_by_length,
    has_fast_bf16,
    load_encoder,
    mean_of_tokens,
    padded,
    padding_of,
    positions,
)

#: Reads token ids and mask (B, T) into vectors (B, H).
Reader = Callable[[Tensor, Tensor], Any]
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


class _Sentence(nn.Module):
    """An encoder that gives the mean of its token vectors."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Vectors (B, H) of token ids and mask (B, T)."""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return mean_of_tokens(hidden, attention_mask)


def measure_speed(encoders: Sequence[str], texts: Sequence[str], *, rounds: int, threads: int) -> list[Speed]:
    """Speed of every encoder in every runtime on ``texts``, tokenising included.

    The rounds of all of them alternate, so that a busy moment of the machine falls on all alike.
    Runtimes: torch in float32 and, where the processor has it, bfloat16; ONNX Runtime in float32
    and with weights in 8 bits, where ``onnx`` and ``onnxruntime`` are installed.
    """
    torch.set_num_threads(threads)
    readers: dict[tuple[str, str], tuple[PreTrainedTokenizerBase, Reader]] = {}
    with tempfile.TemporaryDirectory(prefix="feedback-speed-") as folder:
        for number, name in enumerate(encoders):
            tokenizer, encoder = load_encoder(resolve_encoder(name))
            sentence = _Sentence(encoder).eval()
            tokenizer.model_max_length = min(_MAX_LENGTH, positions(encoder))
            for runtime, reader in _readers(sentence, Path(folder) / str(number), threads).items():
                readers[name, runtime] = tokenizer, reader
        seconds: dict[tuple[str, str], list[float]] = {key: [] for key in readers}
        outputs = {}
        for _ in range(rounds + 1):  # the first warms up
            for key, (tokenizer, reader) in readers.items():
                start = time.perf_counter()
                outputs[key] = _read(tokenizer, reader, texts)
                seconds[key].append(time.perf_counter() - start)
    found = []
    for (name, runtime), taken in seconds.items():
        rates = [len(texts) / each for each in taken[1:]]
        likeness = _likeness(outputs[name, runtime], outputs[name, "torch fp32"])
        found.append(Speed(name, runtime, statistics.median(rates), min(rates), max(rates), likeness))
    return found


def measure_footprint(encoder: str, texts: dict[str, Sequence[str]], *, threads: int) -> Footprint:
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
    size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    return Footprint(encoder, size, statistics.median(starts), tokens)


def _readers(sentence: _Sentence, folder: Path, threads: int) -> dict[str, Reader]:
    def plain(ids: Tensor, mask: Tensor) -> Any:
        with torch.inference_mode():
            return sentence(ids, mask).numpy()

    def halved(ids: Tensor, mask: Tensor) -> Any:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            return sentence(ids, mask).float().numpy()

    readers: dict[str, Reader] = {"torch fp32": plain}
    if has_fast_bf16():
        readers["torch bf16"] = halved
    try:
        import onnx  # noqa: F401 (the exporter of torch needs it)
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ImportError:
        return readers
    folder.mkdir(parents=True)
    whole, small = folder / "fp32.onnx", folder / "int8.onnx"
    export(sentence, whole)
    logging.disable(logging.WARNING)  # it recommends a step that changes nothing here
    quantize_dynamic(whole, small, weight_type=QuantType.QInt8)
    logging.disable(logging.NOTSET)
    return {**readers, "onnx fp32": _session(whole, threads), "onnx int8": _session(small, threads)}


def export(sentence: nn.Module, file: Path) -> None:
    """Write the graph of ``sentence`` as ONNX, for batches of any size and length."""
    ids = torch.ones(2, 8, dtype=torch.long)
    any_size = {0: "batch", 1: "tokens"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer explains what it does
        torch.onnx.export(
            sentence,
            (ids, ids),
            str(file),
            dynamo=False,
            opset_version=17,
            input_names=["input_ids", "attention_mask"],
            output_names=["vector"],
            dynamic_axes={"input_ids": any_size, "attention_mask": any_size, "vector": {0: "batch"}},
        )


def _session(file: Path, threads: int) -> Reader:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda ids, mask: session.run(None, {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})[0]


def _read(tokenizer: PreTrainedTokenizerBase, reader: Reader, texts: Sequence[str]) -> Any:
    ids = tokenizer(list(texts), truncation=True, verbose=False)["input_ids"]
    result: list[Any] = [None] * len(texts)
    for rows in batches_by_length([len(row) for row in ids]):
        inputs = padded([ids[row] for row in rows], padding_of(tokenizer))
        for row, vector in zip(rows, reader(inputs["input_ids"], inputs["attention_mask"]), strict=True):
            result[row] = vector
    return np.stack(result)


def _likeness(ours: Any, theirs: Any) -> float:
    return float(np.mean((ours * theirs).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)))
