"""Shares with intervals, of items that count alike and of items that were drawn with different probabilities."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Standard deviations on each side that hold the middle 95 % of a normal distribution.
_Z = 1.959964
_RESAMPLES, _SEED = 1000, 13
#: Figures of fewer items are little more than chance; they are shown, and said to be so.
FEW = 30

Labels = Sequence[str]
Floats = NDArray[np.float64]


def wilson(share: float, n: float) -> tuple[float, float]:
    """The 95 % interval of a share of ``n`` (Wilson 1927, JASA 22:209), which also holds near 0 and 1."""
    middle = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * np.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def share_of(hits: Sequence[bool], probabilities: Sequence[float] | None = None) -> dict[str, Any]:
    """The share of hits, with a 95 % interval.

    Items drawn with different probabilities count by the inverse of theirs (Horvitz and Thompson 1952, JASA 47:663),
    over the sum of these weights (Hájek 1971). The interval is Wilson's for the effective number of items, the square
    of the sum of the weights over the sum of their squares (Kish 1965, section 11.7).

    Args:
        hits: N of them.
        probabilities: with which each was drawn, in (0, 1]; None where all count alike.

    Returns:
        ``n``, ``share``, ``low`` and ``high``; the last three None of no items.
    """
    if not hits:
        return {"n": 0, "share": None, "low": None, "high": None}
    weights = 1 / np.array([1.0] * len(hits) if probabilities is None else probabilities)
    share = float(min(1.0, weights @ np.array(hits, float) / weights.sum()))
    low, high = wilson(share, float(weights.sum() ** 2 / (weights @ weights)))
    return {"n": len(hits), "share": share, "low": low, "high": high}


def per_label(
    labels: Sequence[str], given: Sequence[Labels], said: Sequence[Labels], probabilities: Sequence[float]
) -> dict[str, Any]:
    """Precision, recall and F1 of each label that was given or said, weighted as in :func:`share_of`.

    The interval of F1, which is no share of items, is the middle 95 % over resamples of the items (Efron and Tibshirani
    1993, chapter 13), None of fewer than ten items with the label.

    Args:
        labels: of the task, in class order.
        given, said: of N items the labels that people gave and that the model said.
        probabilities: with which each item was drawn, in (0, 1].
    """
    found: dict[str, Any] = {}
    weights = 1 / np.array(probabilities, float)
    drawn = np.random.default_rng(_SEED).multinomial(len(given), np.full(len(given), 1 / len(given)), _RESAMPLES)
    for label in labels:
        truth = np.array([label in one for one in given])
        answer = np.array([label in one for one in said])
        if not (truth.any() or answer.any()):
            continue
        both, either = weights * (truth & answer), weights * (truth.astype(float) + answer.astype(float))
        f1 = {"f1": float(2 * both.sum() / either.sum()), "low": None, "high": None}
        if (truth | answer).sum() >= 10:
            f1 |= dict(zip(("low", "high"), _middle(drawn.astype(float), both, either), strict=True))
        found[label] = {
            "given": int(truth.sum()),
            "said": int(answer.sum()),
            "precision": _within(truth, answer, probabilities),
            "recall": _within(answer, truth, probabilities),
            "f1": f1,
        }
    return found


def _within(hit: NDArray[np.bool_], among: NDArray[np.bool_], probabilities: Sequence[float]) -> Mapping[str, Any]:
    rows = np.flatnonzero(among)
    return share_of([bool(hit[row]) for row in rows], [probabilities[row] for row in rows])


def _middle(drawn: Floats, both: Floats, either: Floats) -> list[float]:
    whole = drawn @ either
    f1 = np.divide(2 * (drawn @ both), whole, out=np.full(len(drawn), np.nan), where=whole > 0)
    return [float(end) for end in np.nanquantile(f1, [0.025, 0.975])]
