"""How the encoder is trained, chosen from the data: as it is, by contrast, or as a whole."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from models.labels import LabelSchema
from training.config import TrainConfig
from training.datasets import Dataset

Name = Literal["frozen", "contrastive", "full"]

#: With fewer rows of a label, in the middle, labels are few.
FEW = 32


@dataclass(frozen=True)
class Regime:
    """How the encoder was trained, why, and the mean macro-F1 of each way that was tried."""

    name: Name
    why: str
    tried: Mapping[str, float]


def rows_per_label(dataset: Dataset, schema: LabelSchema) -> int:
    """How many rows a label has, in the middle of those that occur, in the task where that is the fewest."""
    counts = [np.nansum(dataset.targets[name], axis=0) for name in schema.tasks]
    return int(min(np.median(found[found > 0]) for found in counts if (found > 0).any()))


def candidates(rows: int, config: TrainConfig, *, search: bool = False) -> tuple[tuple[Name, ...], str]:
    """The ways to train that are worth trying with so many rows of a label, the simplest first, and why.

    Args:
        rows: of a label, as :func:`rows_per_label` counts.
        config: ``regime`` counts.
        search: whether settings are searched, which are those of training the whole.
    """
    if search:
        return ("full",), "a search tunes the training of the whole"
    if config.regime != "auto":
        return (config.regime,), "as set"
    if rows >= FEW:
        return ("full",), f"a label has {rows} rows in the middle, {FEW} or more"
    if rows < 2:
        return ("frozen",), "no two rows share a label"
    return ("frozen", "contrastive"), f"a label has {rows} rows in the middle, fewer than {FEW}"
