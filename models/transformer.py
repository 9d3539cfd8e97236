"""The transformer part: one encoder, one head per task.

The encoder is any Hugging Face one that gives a last hidden state; a text is the mean of its
token vectors (Reimers and Gurevych 2019), and every task reads that one vector.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from models.errors import ArtifactError, EncoderNotFoundError
from models.files import write_json
from models.labels import LabelSchema
from models.scores import Scores, probabilities_of

HEADS = "heads.safetensors"
SETTINGS = "settings.json"
ENCODER = "encoder"

#: Padded tokens of one batch: enough to keep the cores busy, small enough to stay in cache.
TOKENS_PER_BATCH = 4096
#: What the libraries raise over files that are no encoder.
_UNREADABLE = (OSError, ValueError, KeyError, AttributeError, TypeError, RuntimeError, SafetensorError)

#: Of a text that is too long, this share of the tokens comes from its beginning, the rest from
#: its end: customers put the matter first and the demand last (Sun et al. 2019, "head+tail").
HEAD_SHARE = 0.75


class Network(nn.Module):
    """Encoder and heads; ``forward`` gives one logit array per task, in the order of the schema."""

    def __init__(self, encoder: nn.Module, schema: LabelSchema, dropout: float = 0.1) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        width = int(encoder.config.hidden_size)  # type: ignore[union-attr, arg-type]
        self._tasks = tuple(schema.tasks.values())
        self.heads = nn.ModuleList(nn.Linear(width, len(task.labels)) for task in self._tasks)

    @torch.no_grad()
    def start_from(self, priors: Sequence[Tensor]) -> None:
        """Let the head of a multi task begin with the frequencies (K,) of its labels.

        Of many rare labels it would otherwise first have to learn that they are rare.
        """
        for head, prior, task in zip(self.heads, priors, self._tasks, strict=True):
            if task.kind == "multi":
                head.load_state_dict({"weight": head.weight, "bias": prior.clamp(1e-4, 1 - 1e-4).logit()})

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        """Logits of shape (B, K) per task for token ids and mask of shape (B, T)."""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state  # (B, T, H)
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)  # (B, T, 1)
        pooled = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1e-6)  # (B, H)
        pooled = self.dropout(pooled)
        return tuple(head(pooled) for head in self.heads)


@dataclass(frozen=True)
class Tokenised:
    """Token ids per text, at most ``max_length`` each, and whether any were cut out."""

    ids: list[list[int]]
    truncated: list[bool]


class TransformerModel:
    """Tokenizer and network of one schema, on one device."""

    def __init__(
        self, schema: LabelSchema, tokenizer: PreTrainedTokenizerBase, network: Network, max_length: int
    ) -> None:
        self.schema = schema
        self.tokenizer = tokenizer
        self.network = network
        self.max_length = max_length

    @classmethod
    def from_encoder(cls, folder: Path, schema: LabelSchema, *, max_length: int, dropout: float) -> "TransformerModel":
        """Fresh heads on the pretrained encoder in ``folder``.

        Raises:
            EncoderNotFoundError: the folder holds no encoder that can be loaded.
        """
        try:
            tokenizer, encoder = _load_encoder(folder)
            network = Network(encoder, schema, dropout)
            model = cls(schema, tokenizer, network, min(max_length, _positions(encoder)))
            model.probabilities(["whether it gives token vectors at all"])
        except _UNREADABLE as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise EncoderNotFoundError(
                f"{folder}: expected an encoder with its tokenizer, got one that cannot be loaded: {reason}"
            ) from None
        return model

    def tokenise(self, texts: Sequence[str]) -> Tokenised:
        """Token ids of normalised texts; of long ones the beginning and the end."""
        encoded = self.tokenizer(list(texts), add_special_tokens=True, truncation=False, verbose=False)["input_ids"]
        head = int(self.max_length * HEAD_SHARE)
        tail = self.max_length - head
        fits = [len(ids) <= self.max_length for ids in encoded]
        cut = [ids if whole else ids[:head] + ids[-tail:] for ids, whole in zip(encoded, fits, strict=True)]
        return Tokenised(cut, [not whole for whole in fits])

    def probabilities(self, texts: Sequence[str]) -> tuple[Scores, list[bool]]:
        """Per task an array (N, K) in class order, and per text whether it was cut."""
        tokens = self.tokenise(texts)
        logits = self._logits(tokens.ids)
        scores = {name: probabilities_of(task, logits[name]) for name, task in self.schema.tasks.items()}
        return scores, tokens.truncated

    @torch.inference_mode()
    def _logits(self, ids: list[list[int]]) -> Scores:
        self.network.eval()
        device = next(self.network.parameters()).device
        logits: Scores = {
            name: np.zeros((len(ids), len(task.labels)), np.float32) for name, task in self.schema.tasks.items()
        }
        for rows in batches_by_length([len(row) for row in ids]):
            inputs = self.pad([ids[row] for row in rows])
            outputs = self.network(**{name: tensor.to(device) for name, tensor in inputs.items()})
            for name, output in zip(self.schema.tasks, outputs, strict=True):
                logits[name][rows] = output.float().cpu().numpy()
        return logits

    def pad(self, ids: list[list[int]]) -> dict[str, Tensor]:
        """Token ids as ``input_ids`` and ``attention_mask`` of shape (B, T)."""
        width = max(len(row) for row in ids)
        padding = self.tokenizer.pad_token_id or 0
        return {
            "input_ids": torch.tensor([row + [padding] * (width - len(row)) for row in ids]),
            "attention_mask": torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in ids]),
        }

    def save(self, folder: Path) -> None:
        """Write encoder, tokenizer, heads and settings into ``folder``."""
        encoder: Any = self.network.encoder
        with _quiet_library():
            encoder.save_pretrained(folder / ENCODER)
            self.tokenizer.save_pretrained(folder / ENCODER)
        save_file(
            {name: tensor.contiguous() for name, tensor in self.network.heads.state_dict().items()}, folder / HEADS
        )
        write_json(folder / SETTINGS, {"max_length": self.max_length})

    @classmethod
    def load(cls, folder: Path, schema: LabelSchema) -> "TransformerModel":
        """Read what :meth:`save` wrote; the caller has verified the files.

        Raises:
            ArtifactError: encoder or heads do not fit together.
        """
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        try:
            tokenizer, encoder = _load_encoder(folder / ENCODER)
            network = Network(encoder, schema)
            network.heads.load_state_dict(load_file(folder / HEADS))
        except _UNREADABLE as error:
            raise ArtifactError(f"{folder}: encoder and heads cannot be loaded: {error}") from None
        return cls(schema, tokenizer, network.eval(), settings["max_length"])


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


#: These would add a pooler of their own, which nothing here reads.
_WITH_POOLER = {"bert", "roberta", "xlm-roberta", "camembert", "mpnet", "data2vec-text"}
#: These number positions from the padding index on.
_OFFSET_POSITIONS = {"roberta", "xlm-roberta", "camembert"}


def _load_encoder(folder: Path) -> tuple[PreTrainedTokenizerBase, nn.Module]:
    with _quiet_library():
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
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
def _quiet_library() -> Iterator[None]:
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


def _positions(encoder: Any) -> int:
    config = encoder.config
    offset = (config.pad_token_id or 0) + 1 if config.model_type in _OFFSET_POSITIONS else 0
    return int(getattr(config, "max_position_embeddings", None) or 512) - offset
