"""How far a figure would have been another with other rows: the percentile bootstrap.

Efron and Tibshirani 1993, chapter 13. A resample draws as many rows as there are, with
replacement; it is kept as how often each row was drawn, so that figures come from products of
matrices.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from models.scores import Array

#: Resamples, fewer where rows are many; both together bound the memory.
_RESAMPLES, _FEWEST, _DRAWS = 1000, 200, 10_000_000

Bools = NDArray[np.bool_]
Figure = NDArray[np.float64]


def resamples(rows: int, seed: int) -> Array:
    """How often each of N ``rows`` stands in each of B resamples: (B, N), 200 to 1,000 of them."""
    count = max(_FEWEST, min(_RESAMPLES, _DRAWS // rows))
    return np.random.default_rng(seed).multinomial(rows, np.full(rows, 1 / rows), count).astype(np.float32)


def macro_f1(truth: Bools, said: Bools, drawn: Array) -> Figure:
    """Macro-F1 (B,) of answers (N, K) in each resample (B, N), over the labels that occur in it."""
    both = drawn @ (truth & said).astype(np.float32)
    either = drawn @ (truth.astype(np.float32) + said.astype(np.float32))
    f1 = np.divide(2 * both, either, out=np.zeros_like(both), where=either > 0)
    result: Figure = f1.sum(axis=1) / np.maximum((either > 0).sum(axis=1), 1)
    return result


def figures(truth: Bools, said: Bools, drawn: Array) -> Mapping[str, Figure]:
    """``accuracy``, ``macro_f1`` and ``micro_f1`` (B,) of answers (N, K) in each resample (B, N)."""
    right = (truth == said).all(axis=1).astype(np.float32)
    both = drawn @ (truth & said).sum(axis=1).astype(np.float32)
    either = drawn @ (truth.sum(axis=1) + said.sum(axis=1)).astype(np.float32)
    return {
        "accuracy": (drawn @ right / len(truth)).astype(np.float64),
        "macro_f1": macro_f1(truth, said, drawn),
        "micro_f1": np.divide(2 * both, either, out=np.zeros_like(both), where=either > 0).astype(np.float64),
    }


def interval(values: Figure) -> list[float]:
    """The middle 95 % of a figure over the resamples: lower and upper end."""
    return [float(end) for end in np.quantile(values, [0.025, 0.975])]
