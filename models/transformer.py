"""The transformer part: one encoder, one head per task.

The encoder is any Hugging Face one that gives a last hidden state; a text is the mean of its
token vectors (Reimers and Gurevych 2019), and every task reads that one vector.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from models.encoding import (
    UNREADABLE,
    hub_tokeniser,
    load_encoder,
    mean_of_tokens,
    padded,
    padding_of,
    positions,
    quiet_library,
)
from models.errors import ArtifactError, EncoderNotFoundError
from models.files import write_json
from models.labels import LabelSchema
from models.reading import ENCODER, HEADS, SETTINGS, EncoderReader, Heads, Reading, Tokenised, cut, settings_of
from models.runtimes.runtime import Runtime
from models.runtimes.torch import TorchRuntime


class Network(nn.Module):
    """Encoder and heads; ``forward`` gives one logit array per task, in the order of the schema.

    With ``unit_vectors`` the heads read the direction of a vector alone.
    """

    def __init__(
        self, encoder: nn.Module, schema: LabelSchema, *, dropout: float = 0.1, unit_vectors: bool = False
    ) -> None:
        super().__init__()
        self.unit_vectors = unit_vectors
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        config: Any = encoder.config
        self.width = int(config.hidden_size)
        self._tasks = tuple(schema.tasks.values())
        self.heads = nn.ModuleList(nn.Linear(self.width, len(task.labels)) for task in self._tasks)

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
        return self.logits(self.dropout(self.pool(input_ids, attention_mask)))

    def pool(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Vectors of shape (B, H) for token ids and mask of shape (B, T)."""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state  # (B, T, H)
        return mean_of_tokens(hidden, attention_mask)

    def logits(self, vectors: Tensor) -> tuple[Tensor, ...]:
        """Logits of shape (B, K) per task for vectors of shape (B, H)."""
        read = nn.functional.normalize(vectors, dim=1) if self.unit_vectors else vectors
        return tuple(head(read) for head in self.heads)


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
    def from_encoder(
        cls, folder: Path, schema: LabelSchema, *, max_length: int, dropout: float, unit_vectors: bool = False
    ) -> "TransformerModel":
        """Fresh heads on the pretrained encoder in ``folder``.

        Raises:
            EncoderNotFoundError: the folder holds no encoder that can be loaded.
        """
        try:
            tokenizer, encoder = load_encoder(folder)
            network = Network(encoder, schema, dropout=dropout, unit_vectors=unit_vectors)
            model = cls(schema, tokenizer, network, min(max_length, positions(encoder)))
            model.read(["whether it gives token vectors at all"])
        except UNREADABLE as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise EncoderNotFoundError(
                f"{folder}: expected an encoder with its tokenizer, got one that cannot be loaded: {reason}"
            ) from None
        return model

    def tokenise(self, texts: Sequence[str]) -> Tokenised:
        """Token ids of normalised texts; of long ones the beginning and the end."""
        return cut(hub_tokeniser(self.tokenizer)(texts), self.max_length)

    def read(self, texts: Sequence[str]) -> Reading:
        """What normalised texts say."""
        self.network.eval()
        return self.reader(TorchRuntime(self.network.encoder)).read(texts)

    def reader(self, runtime: Runtime, folder: Path | None = None) -> EncoderReader:
        """The same model, run by ``runtime``; ``folder`` is where it was loaded from."""
        weights, offsets = [], []
        for head in self.network.heads:
            values = head.state_dict()
            weights.append(values["weight"].float().cpu().numpy())
            offsets.append(values["bias"].float().cpu().numpy())
        heads = Heads(tuple(weights), tuple(offsets), self.network.unit_vectors)
        tokenise, padding = hub_tokeniser(self.tokenizer), padding_of(self.tokenizer)
        return EncoderReader(self.schema, tokenise, padding, runtime, heads, self.max_length, folder)

    def pad(self, ids: list[list[int]]) -> dict[str, Tensor]:
        """Token ids as ``input_ids`` and ``attention_mask`` of shape (B, T)."""
        return padded(ids, padding_of(self.tokenizer))

    def save(self, folder: Path) -> None:
        """Write encoder, tokenizer, heads and settings into ``folder``."""
        encoder: Any = self.network.encoder
        with quiet_library():
            encoder.save_pretrained(folder / ENCODER)
            self.tokenizer.save_pretrained(folder / ENCODER)
        save_file(
            {name: tensor.contiguous() for name, tensor in self.network.heads.state_dict().items()}, folder / HEADS
        )
        write_json(folder / SETTINGS, {"max_length": self.max_length, "unit_vectors": self.network.unit_vectors})

    @classmethod
    def load(cls, folder: Path, schema: LabelSchema) -> "TransformerModel":
        """Read what :meth:`save` wrote; the caller has verified the files.

        Raises:
            ArtifactError: encoder or heads do not fit together.
        """
        settings = settings_of(folder)
        try:
            tokenizer, encoder = load_encoder(folder / ENCODER)
            network = Network(encoder, schema, unit_vectors=settings["unit_vectors"])
            network.heads.load_state_dict(load_file(folder / HEADS))
        except UNREADABLE as error:
            raise ArtifactError(f"{folder}: encoder and heads cannot be loaded: {error}") from None
        return cls(schema, tokenizer, network.eval(), settings["max_length"])
