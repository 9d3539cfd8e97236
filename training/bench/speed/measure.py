"""Rates of all that take part, in rounds that alternate, and whether they say the same."""

import statistics
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from models.progress import Progress
from models.reading import Reading
from models.scores import Array
from training.bench.speed.contender import Contender, Group
from training.bench.speed.texts import Texts


class Rate(NamedTuple):
    """Texts a second on one core: median, lowest and highest of the rounds.

    ``shift`` is the largest difference of a probability, in [0, 1], from the reference's, ``changed`` the share of
    other answers, both among texts that no one has to cut; None where the answers are none of the reference's.
    """

    name: str
    group: Group
    median: float
    low: float
    high: float
    shift: float | None
    changed: float | None


def measure(
    contenders: Sequence[Contender], given: Texts, expected: Reading, task: str, rounds: int, progress: Progress
) -> list[Rate]:
    """Let all answer the same texts, in turn, ``rounds`` times after one that warms up.

    Args:
        contenders: who takes part.
        given: the texts (N).
        expected: what the reference says to them.
        task: of which the contenders give the probabilities.
        rounds: so many.
        progress: is told of every answer to all texts.
    """
    seconds: dict[str, list[float]] = {one.name: [] for one in contenders}
    said: dict[str, Array | None] = {}
    title = f"{given.name}, {len(given.texts)} texts"
    with progress.stage(title, len(contenders) * (rounds + 1), "turns") as advance:
        for _ in range(rounds + 1):
            for one in contenders:
                start = time.perf_counter()
                said[one.name] = one.answer(given.texts)
                seconds[one.name].append(time.perf_counter() - start)
                advance(1)
    found, whole = [], ~np.array(expected.truncated)
    reference = expected.scores[task][whole]
    for one in contenders:
        rates = [len(given.texts) / taken for taken in seconds[one.name][1:]]
        answer = said[one.name] if one.equal else None
        shift = changed = None
        if answer is not None and whole.any():
            shift = float(np.abs(answer[whole] - reference).max())
            changed = float((answer[whole].argmax(axis=1) != reference.argmax(axis=1)).mean())
        found.append(Rate(one.name, one.group, statistics.median(rates), min(rates), max(rates), shift, changed))
    return found
