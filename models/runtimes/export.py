"""Writing an encoder as ONNX, for the runtimes that read it so."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from models.encoding import mean_of_tokens
from models.runtimes.onnx import SMALL, WHOLE


class _Sentence(nn.Module):
    """An encoder that gives the mean of its token vectors."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Vectors (B, H) of token ids and mask (B, T)."""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return mean_of_tokens(hidden, attention_mask)


def export(encoder: nn.Module, folder: Path) -> None:
    """Write ``encoder`` as :data:`WHOLE` and :data:`SMALL` into ``folder``, for batches of any size and length.

    Raises:
        Exception: torch or ONNX Runtime has no way to write this encoder; of which kind is theirs to say.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    ids = torch.ones(2, 8, dtype=torch.long)
    any_size = {0: "batch", 1: "tokens"}
    encoder.eval()
    with _quiet(), torch.inference_mode():
        torch.onnx.export(
            _Sentence(encoder),
            (ids, ids),
            str(folder / WHOLE),
            dynamo=False,
            opset_version=17,
            input_names=["input_ids", "attention_mask"],
            output_names=["vector"],
            dynamic_axes={"input_ids": any_size, "attention_mask": any_size, "vector": {0: "batch"}},
        )
        # a scale for each column: with one for a matrix three times as many answers change
        quantize_dynamic(folder / WHOLE, folder / SMALL, weight_type=QuantType.QInt8, per_channel=True)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the libraries explain about their own doing."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
