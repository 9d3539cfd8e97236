"""Lower layers that a fine-tuning leaves as they are: what they say of a text is computed once and kept.

A step then costs the upper layers alone, forwards and backwards, and the embeddings, most of a multilingual encoder's
weights, need no step of the optimizer (Lee et al. 2019, "What Would Elsa Do? Freezing Layers During Transformer
Fine-Tuning").
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import psutil
import torch
from torch import Tensor, nn

from models.encoding import padded
from models.errors import ConfigError
from models.progress import Advance
from models.reading import batches_by_length

#: Encoders whose layers lie in ``encoder.layer``, above ``embeddings``.
_KINDS = {"bert", "roberta", "xlm-roberta", "camembert"}

#: Rows of a batch, by the names of their columns.
Batch = Sequence[Mapping[str, Any]]


class LowerLayers:
    """The embeddings and the first ``count`` layers of an encoder, and what they said of texts.

    Args:
        encoder: of one of the kinds in which layers follow each other.
        count: of layers, at least one less than there are.
        padding: the id that fills up a batch.
        bf16: whether to multiply in bfloat16.

    Raises:
        ConfigError: it is another kind, or has too few layers.
    """

    def __init__(self, encoder: Any, count: int, padding: int, *, bf16: bool) -> None:
        kind = encoder.config.model_type
        if kind not in _KINDS:
            raise ConfigError(
                f"frozen_layers={count}: expected an encoder of one of the kinds {', '.join(sorted(_KINDS))}, "
                f"got {kind}; set it to 0"
            )
        layers = len(encoder.encoder.layer)
        if count >= layers:
            raise ConfigError(f"frozen_layers={count}: expected at most {layers - 1}, the encoder has {layers} layers")
        self._encoder, self._count, self._padding, self._bf16 = encoder, count, padding, bf16
        self._kept: list[Tensor] = []

    @torch.no_grad()
    def keep(self, ids: Sequence[list[int]], advance: Advance) -> range:
        """Compute what the layers say of these texts, which takes 2 H bytes a token.

        Returns:
            the numbers by which :meth:`inputs` gives it back.

        Raises:
            ConfigError: that is more than half of the memory that is free.
        """
        needed, free = 2 * self._encoder.config.hidden_size * sum(map(len, ids)), psutil.virtual_memory().available
        if needed > free / 2:
            raise ConfigError(
                f"frozen_layers={self._count}: what they say of {len(ids):,} texts takes {needed / 1e9:.1f} GB of "
                f"memory, of which {free / 1e9:.1f} GB are free; set it to 0"
            )
        rows: list[Tensor] = [torch.empty(0)] * len(ids)
        device = next(self._encoder.parameters()).device
        self._encoder.eval()
        with _replaced(self._encoder.encoder, "layer", self._encoder.encoder.layer[: self._count]):
            for batch in batches_by_length([len(row) for row in ids]):
                inputs = {
                    name: tensor.to(device)
                    for name, tensor in padded([ids[row] for row in batch], self._padding).items()
                }
                with torch.autocast(device.type, torch.bfloat16, enabled=self._bf16):
                    hidden = self._encoder(**inputs).last_hidden_state  # (B, T, H)
                for row, said in zip(batch, hidden.to(torch.bfloat16).cpu(), strict=True):
                    rows[row] = said[: len(ids[row])].clone()
                advance(len(batch))
        first = len(self._kept)
        self._kept += rows
        return range(first, len(self._kept))

    def inputs(self, rows: Batch) -> dict[str, Tensor]:
        """What was kept of rows by their ``number``, as ``input_ids`` (B, T, H) of what :meth:`above` gives and
        ``attention_mask`` (B, T)."""
        kept = [self._kept[row["number"]] for row in rows]
        lengths = np.array([len(row) for row in kept])
        mask = torch.from_numpy((np.arange(lengths.max()) < lengths[:, None]).astype(np.int64))
        return {"input_ids": nn.utils.rnn.pad_sequence(kept, batch_first=True).float(), "attention_mask": mask}

    @contextmanager
    def above(self) -> Iterator[nn.Module]:
        """The layers above these as an encoder of what these say; they are the encoder's own."""
        layers = self._encoder.encoder.layer
        with (
            _replaced(self._encoder, "embeddings", _AsGiven()),
            _replaced(self._encoder.encoder, "layer", layers[self._count :]),
        ):
            yield _Upper(self._encoder)


class _Upper(nn.Module):
    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.config = encoder.config

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Any:
        return self.encoder(inputs_embeds=input_ids, attention_mask=attention_mask)


class _AsGiven(nn.Module):
    """In the place of the embeddings: what comes in has gone through the lower layers."""

    def forward(self, *, inputs_embeds: Tensor, **_: object) -> Tensor:
        return inputs_embeds


@contextmanager
def _replaced(module: nn.Module, name: str, other: nn.Module) -> Iterator[None]:
    own = getattr(module, name)
    setattr(module, name, other)
    try:
        yield
    finally:
        setattr(module, name, own)
