"""How far people who answered the same items agree: Krippendorff's alpha, for labels, scales and sets of labels."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from models.labels import LabelSchema

#: Resamples behind an interval, and their seed: the same answers give the same interval.
_RESAMPLES, _SEED = 1000, 13
#: With fewer units a resample says nothing of the next ones.
_FEWEST = 10

Value = TypeVar("Value", bound=Hashable)
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Agreement:
    """Alpha of one question.

    ``alpha`` is 1 where all agree, 0 where they agree as often as by chance, below where less often; None where
    nothing was answered twice or every answer was the same. ``low`` and ``high`` are the middle 95 % over resamples
    of the units, None where these are fewer than ten. ``units`` were answered by two people or more.
    """

    alpha: float | None
    low: float | None
    high: float | None
    units: int

    def as_json(self) -> dict[str, Any]:
        """The figures by name."""
        return asdict(self)


def nominal(one: Hashable, other: Hashable) -> float:
    """0 for the same label, 1 for another."""
    return float(one != other)


def squared(one: float, other: float) -> float:
    """The interval metric: places on a scale, by the square of how far they lie apart."""
    return (one - other) ** 2


def masi(one: frozenset[str], other: frozenset[str]) -> float:
    """How far two sets of labels lie apart, in [0, 1]: MASI, Passonneau 2006 (LREC), section 3.

    One less the common share (Jaccard) times 1 for the same set, 2/3 for a subset, 1/3 for an overlap, 0 for none.
    """
    if one == other:
        return 0.0
    common = one & other
    alike = 2 / 3 if one <= other or other <= one else 1 / 3
    return 1 - alike * len(common) / len(one | other)


def alpha(units: Sequence[Sequence[Value]], distance: Callable[[Value, Value], float]) -> Agreement:
    """Krippendorff's alpha: one less the observed disagreement over that expected by chance.

    Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", section D, in the form that holds for any
    distance and for units answered by different numbers of people. The interval resamples units with replacement
    (Zapf et al. 2016, BMC Medical Research Methodology 16:93).

    Args:
        units: the answers to each, one a person, in any order; a unit with fewer than two has nothing to compare.
        distance: of two answers, symmetric, 0 for the same.
    """
    pairable = [unit for unit in units if len(unit) > 1]
    values = list(dict.fromkeys(value for unit in pairable for value in unit))
    if not values:
        return Agreement(None, None, None, 0)
    column = {value: number for number, value in enumerate(values)}
    counts = np.zeros((len(pairable), len(values)))
    for row, unit in enumerate(pairable):
        for value in unit:
            counts[row, column[value]] += 1
    apart = np.array([[distance(one, other) for other in values] for one in values], float)
    # of each unit, what its pairs lie apart; (U,)
    within = np.einsum("uk,kl,ul->u", counts, apart, counts, optimize=True) / (counts.sum(axis=1) - 1)
    (whole,) = _alphas(np.ones((1, len(pairable))), counts, within, apart)
    if np.isnan(whole):
        return Agreement(None, None, None, len(pairable))
    low = high = None
    if len(pairable) >= _FEWEST:
        share = np.full(len(pairable), 1 / len(pairable))
        drawn = np.random.default_rng(_SEED).multinomial(len(pairable), share, _RESAMPLES).astype(float)
        # a resample in which every answer is the same has no alpha
        low, high = (float(end) for end in np.nanquantile(_alphas(drawn, counts, within, apart), [0.025, 0.975]))
    return Agreement(float(whole), low, high, len(pairable))


def _alphas(drawn: Floats, counts: Floats, within: Floats, apart: Floats) -> Floats:
    """Alpha (B,) of units drawn so many times each (B, U); NaN where nothing differs."""
    of_value = drawn @ counts  # (B, K)
    size = of_value.sum(axis=1)
    observed = drawn @ within / size
    expected = np.einsum("bk,kl,bl->b", of_value, apart, of_value, optimize=True) / (size * (size - 1))
    found = np.full(len(drawn), np.nan)
    np.divide(observed, expected, out=found, where=expected > 0)
    result: Floats = 1 - found
    return result


def agreement(items: Sequence[Sequence[Mapping[str, tuple[str, ...]]]], schema: LabelSchema) -> dict[str, Any]:
    """Alpha of every task: of labels (or sets of them, by MASI), on the scale where there is one, of each label.

    Args:
        items: of each item the answers, one a person: labels by task, without tasks that were not answered.
        schema: the tasks.

    Returns:
        By task ``labels``, ``scale`` (a single task whose labels have values) and ``per_label`` (multi tasks), each
        as :class:`Agreement`.
    """
    found: dict[str, Any] = {}
    for name, task in schema.tasks.items():
        given = [[frozenset(answer[name]) for answer in answers if name in answer] for answers in items]
        if task.kind == "multi":
            found[name] = {
                "labels": alpha(given, masi).as_json(),
                "per_label": {
                    label: alpha([[label in answer for answer in unit] for unit in given], nominal).as_json()
                    for label in task.keys
                },
            }
            continue
        found[name] = {"labels": alpha(given, nominal).as_json()}
        if task.values is not None:
            place = dict(zip(task.keys, task.values, strict=True))
            places = [[sum(place[label] for label in answer) for answer in unit] for unit in given]
            found[name]["scale"] = alpha(places, squared).as_json()
    return found
