"""The interface of a runtime, and which ones there are."""

from typing import Any, Literal, Protocol

import numpy as np

Name = Literal["torch-fp32", "torch-bf16", "onnx-fp32", "onnx-int8", "openvino-fp32", "openvino-bf16"]
#: What all others are measured against.
REFERENCE: Name = "torch-fp32"

Ids = np.ndarray[Any, np.dtype[np.int64]]
Vectors = np.ndarray[Any, np.dtype[np.float32]]


class Runtime(Protocol):
    """Gives the vector of a text, the mean of its token vectors. Not for several threads at once."""

    @property
    def name(self) -> Name:
        """Which one it is."""

    @property
    def tokens(self) -> int:
        """Padded tokens of a batch with which it is fastest."""

    def vectors(self, ids: Ids, mask: Ids) -> Vectors:
        """Vectors (B, H) for token ids and mask of shape (B, T)."""
