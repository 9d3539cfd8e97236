"""The service over HTTP, beside the same model in BentoML with adaptive batching and in Starlette.

Callers who wait for their answers (1, 16 and 64, with single items and with lists of 64), and callers who do not: four
times as many single items a second as the server answered at best. All servers run side by side and take turns, so that
what else the machine does falls on all alike; for each repetition they are started anew, since what an overload has
taught a server about itself (BentoML's batching learns how long a batch takes) would be measured the next time.
"""

import itertools
import math
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from models.errors import FeedbackError
from models.figures import Figure, at_least, at_most
from models.progress import Advance, Progress, Silent
from serving.bench.load import UNANSWERED, Callers, Load, Outcome
from serving.bench.servers import BENTOML, NAMES, OURS, PATH, Server, servers
from serving.settings import Settings

#: Callers and items of a request.
CASES = ((1, 1), (16, 1), (64, 1), (1, 64), (16, 64), (64, 64))
#: How many times the best rate is offered, and callers and items of that row of the table.
OVERLOAD = 4
_OVERLOADED = (0, 1)
#: What the project wants: goodput beside BentoML's adaptive batching, goodput under overload as a share of the best, in
#: percent; milliseconds of a refusal, and of a lone request.
WANTED_RATIO, WANTED_KEPT, WANTED_REFUSAL, WANTED_ALONE = 140.0, 80.0, 50.0, 60.0
#: Share of a core that the callers may take: beyond it they would bound what they measure.
MOST_BUSY = 0.8
#: Status of answers that refuse, and different texts that are sent by turns.
_REFUSED, _TEXTS = (429, 503), 4096
#: Seconds within which a server has done what others left to it.
_CALM = 60.0


class PeerError(FeedbackError):
    """A server failed at what it was asked, so that its figures would say nothing of its speed."""


class Measured(NamedTuple):
    """One server, so many callers (none: an overload), so many items a request; a value for each repetition.

    ``answered`` and ``goodput`` are items a second, answered in any way and with a result in time; ``p50`` and ``p99``
    milliseconds of results, ``refusal`` the p99 of refusals, NaN if there were none; ``cpu`` milliseconds of all
    processes of the server for each item with a result; ``busy`` is the share of a core that the callers took.
    """

    server: str
    callers: int
    items: int
    answered: list[float]
    goodput: list[float]
    p50: list[float]
    p99: list[float]
    refusal: list[float]
    cpu: list[float]
    busy: list[float]

    @property
    def case(self) -> str:
        """For people."""
        if not self.callers:
            return f"{OVERLOAD} x the best rate"
        return f"{self.callers} caller{'s' * (self.callers > 1)}, {self.items} item{'s' * (self.items > 1)}"

    def as_dict(self) -> dict[str, Any]:
        """For machines: the median of each, and all values."""
        values = {name: value for name, value in self._asdict().items() if isinstance(value, list)}
        return {
            **{"server": self.server, "callers": self.callers or None, "items": self.items},
            **{name: middle(value) for name, value in values.items()},
            "repeats": {name: [None if math.isnan(one) else one for one in value] for name, value in values.items()},
        }


def bench_http(
    settings: Settings,
    texts: Sequence[str],
    port: int,
    progress: Progress,
    *,
    seconds: float = 4.0,
    timeout: float = 2.0,
    repeats: int = 3,
) -> list[Measured]:
    """Measure all servers.

    Args:
        settings: the model.
        texts: what customers say; varied, so that none is sent twice in a row of many.
        port: the first of four on which the servers listen meanwhile.
        progress: is told how far it is.
        seconds: for which each case is measured.
        timeout: seconds after which a caller gives up.
        repeats: how often everything is measured.

    Returns:
        A row for each server and case, those of a server together.

    Raises:
        PeerError: a server failed; slow answers are figures, wrong ones are none.
    """
    # what is measured is how texts are computed
    settings = settings.model_copy(update={"recent": 0})
    rows = {(name, *case): Measured(name, *case, *([] for _ in range(7))) for name in NAMES for case in _CASES}
    with (
        tempfile.TemporaryDirectory(prefix="feedback-bench-") as folder,
        Callers() as callers,
        progress.stage("measuring", repeats * len(NAMES) * len(_CASES), "cases") as advance,
    ):
        for _ in range(repeats):
            with servers(settings, port, folder, Silent()) as started:
                for server in started:
                    _warm(server, callers, _varied(texts), min(1.0, seconds), timeout)
                for server in started:
                    _measure(server, callers, _varied(texts), rows, seconds, timeout, advance)
    return list(rows.values())


_CASES = (*CASES, _OVERLOADED)


def _warm(server: Server, callers: Callers, texts: Iterator[str], seconds: float, timeout: float) -> None:
    """Have done what is done only once; how sizes of batches are found, too."""
    bodies = [server.body([next(texts)]) for _ in range(_TEXTS)]
    for count in (1, 16, 64):
        check_answers(server.name, callers.run(Load(server.port, PATH, bodies, seconds, timeout, count)))


def _measure(
    server: Server,
    callers: Callers,
    texts: Iterator[str],
    rows: dict[tuple[str, int, int], Measured],
    seconds: float,
    timeout: float,
    advance: Advance,
) -> None:
    best = 0.0
    for count, items in _CASES:
        bodies = [server.body(list(itertools.islice(texts, items))) for _ in range(max(1, _TEXTS // items))]
        rate = None if count else max(1.0, OVERLOAD * best)
        load = Load(server.port, PATH, bodies, seconds, timeout, count, rate)
        # what callers before have left behind is computed first
        callers.run(Load(server.port, PATH, bodies[:1], 0.001, _CALM))
        before = server.cpu()
        outcome = callers.run(load)
        check_answers(server.name, outcome)
        if items == 1:
            best = max(best, outcome.rate(200))
        _note(rows[server.name, count, items], outcome, items, server.cpu() - before)
        advance(1)


def _note(row: Measured, outcome: Outcome, items: int, cpu: float) -> None:
    results, refusals = outcome.latencies_of(200), outcome.latencies_of(*_REFUSED)
    row.answered.append(items * sum(outcome.rate(status) for status in (200, *_REFUSED)))
    row.goodput.append(items * outcome.rate(200))
    row.p50.append(quantile(results, 0.5))
    row.p99.append(quantile(results, 0.99))
    row.refusal.append(quantile(refusals, 0.99))
    row.cpu.append(1000 * cpu / (items * len(results)) if results else float("nan"))
    row.busy.append(outcome.busy)


def check_answers(name: str, outcome: Outcome) -> None:
    """Raise PeerError if any request was answered by anything but a result or a refusal."""
    failed = [status for status in outcome.statuses if status not in (200, *_REFUSED, UNANSWERED)]
    if failed:
        raise PeerError(
            f"{name} answered {failed[0]} to {len(failed):,} of {len(outcome.statuses):,} requests, expected 200, "
            f"{_REFUSED[0]} or {_REFUSED[1]}; its messages stand above"
        )


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value that this share of them does not exceed; NaN of none."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def middle(values: Sequence[float]) -> float | None:
    """The median of those that are numbers; None if there is none."""
    numbers = [value for value in values if not math.isnan(value)]
    return statistics.median(numbers) if numbers else None


def _varied(texts: Sequence[str]) -> Iterator[str]:
    """Texts without end, none twice: each gets a number of its own."""
    numbers = itertools.count()
    return (f"{text} {next(numbers)}" for text in itertools.cycle(texts))


def bars(rows: Sequence[Measured]) -> list[Figure]:
    """What the project wants of these figures, and whether it is so."""
    known = {(row.server, row.callers, row.items): row for row in rows}
    many, theirs = known[OURS, 64, 1], known[BENTOML, 64, 1]
    over = known[OURS, *_OVERLOADED]
    best = [max(known[OURS, count, 1].goodput[place] for count in (1, 16, 64)) for place in range(len(over.goodput))]
    refusals = [value for value in over.refusal if not math.isnan(value)]
    return [
        at_least(
            "goodput of 64 callers beside BentoML's adaptive batching",
            "%",
            [100 * one / max(other, 1e-9) for one, other in zip(many.goodput, theirs.goodput, strict=True)],
            WANTED_RATIO,
        ),
        at_least(
            f"goodput at {OVERLOAD} times the best rate, of the best",
            "%",
            [100 * kept / max(most, 1e-9) for kept, most in zip(over.goodput, best, strict=True)],
            WANTED_KEPT,
        ),
        # where nobody was refused there is none
        *(
            at_most(f"p99 of refusals at {OVERLOAD} times the best rate", "ms", some, WANTED_REFUSAL)
            for some in [refusals]
            if some
        ),
        at_most("p99 of a lone request", "ms", known[OURS, 1, 1].p99, WANTED_ALONE),
    ]
