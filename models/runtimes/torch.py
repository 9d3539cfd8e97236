"""Torch as a runtime."""

import torch
from torch import nn

from models.encoding import mean_of_tokens
from models.runtimes.runtime import REFERENCE, Ids, Name, Vectors


class TorchRuntime:
    """An encoder in float32, or with its matrix products in bfloat16.

    Args:
        encoder: gives a last hidden state.
        bf16: whether to multiply in bfloat16.
        threads: how many to compute with, in whichever thread of Python it is called; None leaves that as it is.
    """

    def __init__(self, encoder: nn.Module, *, bf16: bool = False, threads: int | None = None) -> None:
        self._encoder, self._bf16, self._threads = encoder, bf16, threads

    @property
    def name(self) -> Name:
        """Which one it is."""
        return "torch-bf16" if self._bf16 else REFERENCE

    @property
    def tokens(self) -> int:
        """Tokens of a batch: a processor is fastest with few, a GPU with as many as keep all of it busy."""
        return 1024 if next(self._encoder.parameters()).device.type == "cpu" else 16_384

    @torch.inference_mode()
    def vectors(self, ids: Ids, mask: Ids) -> Vectors:
        """Vectors (B, H) for token ids and mask of shape (B, T)."""
        if self._threads is not None and torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)
        device = next(self._encoder.parameters()).device
        marked = torch.from_numpy(mask).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=self._bf16):
            output = self._encoder(input_ids=torch.from_numpy(ids).to(device), attention_mask=marked)
        found: Vectors = mean_of_tokens(output.last_hidden_state.float(), marked).cpu().numpy()
        return found
