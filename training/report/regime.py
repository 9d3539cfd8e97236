"""How the way that the encoder was trained is told."""

from collections.abc import Mapping
from typing import Any

_WAYS = {
    "frozen": "left as it is, heads by regression on its vectors",
    "contrastive": "taught which texts belong together, heads by regression on its vectors",
    "full": "fine-tuned as a whole with its heads",
}


def in_words(regime: Mapping[str, Any]) -> str:
    """What was done, why, and how good each way was, from the figure ``regime`` of a report."""
    told = f"{_WAYS[regime['name']]} ({regime['name']}): {regime['why']}"
    if len(regime["tried"]) < 2:
        return told
    tried = ", ".join(f"{name} {value:.3f}" for name, value in regime["tried"].items())
    return f"{told}; macro-F1 of each way on rows it did not learn from: {tried}"
