"""Running an encoder: loading it, and the vectors it gives for texts."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from models import reading
from models.progress import Advance
from models.reading import Tokenise, batches_by_length
from models.runtimes.machine import cpu_has_bf16

Vectors = np.ndarray[Any, np.dtype[np.float32]]

#: What the libraries raise over files that are no encoder.
UNREADABLE = (OSError, ValueError, KeyError, AttributeError, TypeError, RuntimeError, SafetensorError)


#: These would add a pooler of their own, which nothing here reads.
_WITH_POOLER = {"bert", "roberta", "xlm-roberta", "camembert", "mpnet", "data2vec-text"}
#: These number positions from the padding index on.
_OFFSET_POSITIONS = {"roberta", "xlm-roberta", "camembert"}


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of the encoder in ``folder``; raises one of UNREADABLE."""
    with quiet_library():
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    return tokenizer


def load_encoder(folder: Path) -> tuple[PreTrainedTokenizerBase, nn.Module]:
    """Tokenizer and encoder in ``folder``, in float32; raises one of UNREADABLE."""
    tokenizer = load_tokenizer(folder)
    with quiet_library():
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        options = {"add_pooling_layer": False} if config.model_type in _WITH_POOLER else {}
        encoder, loaded = AutoModel.from_pretrained(
            folder,
            config=config,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
            output_loading_info=True,
            **options,
        )
    # the library would fill them with random numbers and only log it
    if missing := sorted(loaded["missing_keys"]):
        raise ValueError(f"{len(missing)} weights are not in the file, the first is {missing[0]}")
    return tokenizer, encoder


@contextmanager
def quiet_library() -> Iterator[None]:
    """No bars for what takes under a second, no report on weights that are left aside on purpose."""
    shown, verbosity = transformers_logging.is_progress_bar_enabled(), transformers_logging.get_verbosity()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if shown:
            transformers_logging.enable_progress_bar()


def mean_of_tokens(hidden: Tensor, mask: Tensor) -> Tensor:
    """Mean (B, H) of the token vectors (B, T, H) that ``mask`` (B, T) marks (Reimers and Gurevych 2019)."""
    weights = mask.unsqueeze(-1).to(hidden.dtype)  # (B, T, 1)
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1e-6)


def hub_tokeniser(tokenizer: PreTrainedTokenizerBase) -> Tokenise:
    """A tokenizer of the library as texts to token ids."""

    def tokenise(texts: Sequence[str]) -> list[list[int]]:
        found: list[list[int]] = tokenizer(list(texts), add_special_tokens=True, truncation=False, verbose=False)[
            "input_ids"
        ]
        return found

    return tokenise


def padded(ids: Sequence[Sequence[int]], padding: int) -> dict[str, Tensor]:
    """Token ids as ``input_ids`` and ``attention_mask`` of shape (B, T)."""
    filled, mask = reading.padded(ids, padding)
    return {"input_ids": torch.from_numpy(filled), "attention_mask": torch.from_numpy(mask)}


@torch.inference_mode()
def vectors(
    encoder: Any,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    *,
    max_length: int,
    bf16: bool = False,
    advance: Advance = lambda units: None,
) -> Vectors:
    """Vectors (N, H) of normalised texts, each the mean of its at most ``max_length`` token vectors.

    Of a longer text, or one longer than the encoder takes, the beginning is read.
    """
    encoder.eval()
    max_length = min(max_length, positions(encoder))
    device = next(encoder.parameters()).device
    ids = tokenizer(list(texts), truncation=True, max_length=max_length, verbose=False)["input_ids"]
    result = np.zeros((len(texts), encoder.config.hidden_size), np.float32)
    for rows in batches_by_length([len(row) for row in ids]):
        inputs = {
            name: tensor.to(device)
            for name, tensor in padded([ids[row] for row in rows], padding_of(tokenizer)).items()
        }
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            hidden = encoder(**inputs).last_hidden_state
        result[rows] = mean_of_tokens(hidden.float(), inputs["attention_mask"]).cpu().numpy()
        advance(len(rows))
    return result


def padding_of(tokenizer: PreTrainedTokenizerBase) -> int:
    """The id that fills up a batch."""
    return int(tokenizer.pad_token_id or 0)


def positions(encoder: Any) -> int:
    """Most tokens that the encoder takes."""
    config = encoder.config
    offset = (config.pad_token_id or 0) + 1 if config.model_type in _OFFSET_POSITIONS else 0
    return int(getattr(config, "max_position_embeddings", None) or 512) - offset


def has_fast_bf16() -> bool:
    """Whether this machine multiplies bfloat16 in hardware; else it would be slower than float32."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    return cpu_has_bf16()


def prepare_for_training(encoder: Any) -> None:
    """Choose the attention that trains fastest here.

    On a processor the fused one spends more in its backward pass in bfloat16 than all matrix
    products together (MiniLM, two cores, batches of 1,536 tokens: a step 0.60 s, plain 0.40 s).
    """
    if not torch.cuda.is_available():
        encoder.set_attn_implementation("eager")
