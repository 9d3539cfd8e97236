"""Several processes that train one model together, as ``torchrun`` starts them.

All read the same rows and share the batches. The first alone writes; the others end when the training is over.
"""

import os
from typing import Any


def count() -> int:
    """How many there are; 1 without ``torchrun``."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_follower() -> bool:
    """Whether this is one of those that only help."""
    return int(os.environ.get("RANK", "0")) > 0


def processes() -> Any:
    """Where this process stands among them."""
    # imported here: they load torch, which the linear part alone is trained without
    import torch
    from accelerate import PartialState

    return PartialState(cpu=not torch.cuda.is_available())
