"""Past items with what models said of them, read from files, and decided by as many processes as there are cores."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from datetime import datetime
from itertools import chain, islice, zip_longest
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple, TypeVar

from pydantic import ConfigDict, ValidationError

from models.errors import DataError
from models.formats import json_lines, json_object
from models.records import FeedbackItem, Moment, Prediction
from models.rejects import Reject
from models.validation import describe

#: Rows that a process is given at once; fewer are not worth another process.
CHUNK = 2_000


class Past(NamedTuple):
    """An item with what a model said of it, and when it came in."""

    item: FeedbackItem
    prediction: Prediction
    received_at: datetime


_TWICE = "classify one file with both models"

Made = TypeVar("Made")
Pair = tuple[Past, Past]
#: Place and line of an item in the one file, and in the other, if there is another.
Lines = tuple[tuple[str, bytes], tuple[str, bytes] | None]


class _Row(FeedbackItem):
    """A line as `feedback classify` writes it; labels that stand there too do not matter here."""

    model_config = ConfigDict(extra="ignore")

    prediction: Prediction
    received_at: Moment | None = None


def read_lines(data: Path, against: Path | None) -> Iterator[Lines]:
    """Lines that `feedback classify` wrote to ``data`` (.jsonl, .jsonl.gz), each with that in the same place of
    ``against``, which holds the same items.

    Raises:
        DataError: a file cannot be read, is empty, or one has more items than the other.
    """
    count = 0
    pairs = zip_longest(json_lines(data), () if against is None else json_lines(against))
    for count, (one, other) in enumerate(pairs, 1):
        if one is None or (against is not None and other is None):
            raise DataError(f"{data} and {against} do not hold the same items: one ends at row {count:,}; {_TWICE}")
        yield one, other
    if not count:
        raise DataError(f"{data}: expected at least one item, got an empty file")


def pairs_of(lines: Sequence[Lines], moment: datetime, reject: Callable[[Reject], None]) -> Iterator[Pair]:
    """Each item with itself, or with what another model said of it; bad rows are rejected.

    An item came in at its ``received_at``, else at its ``created_at``, else at ``moment``.

    Raises:
        DataError: two lines in the same place do not hold the same text.
    """
    for (place, line), other_line in lines:
        one = _past(place, line, moment)
        other = one if other_line is None else _past(*other_line, moment)
        if isinstance(one, Reject):
            reject(one)
        elif isinstance(other, Reject):
            reject(other)
        elif one.item.text != other.item.text:
            raise DataError(f"{place} and {other_line[0] if other_line else place} are not the same item; {_TWICE}")
        else:
            yield one, other


def in_chunks(
    lines: Iterator[Lines],
    work: Callable[[Sequence[Lines]], Made],
    start: Callable[..., None],
    arguments: tuple[object, ...],
) -> Iterator[tuple[int, Made]]:
    """What ``work`` makes of each chunk of lines, in order, with how many they were.

    Several processes work where there is more than one chunk and more than one core; ``start`` is called with
    ``arguments`` in each before.
    """
    chunks = iter(lambda: list(islice(lines, CHUNK)), [])
    first = list(islice(chunks, 2))
    cores = len(os.sched_getaffinity(0))
    if len(first) < 2 or cores == 1:
        start(*arguments)
        for chunk in chain(first, chunks):
            yield len(chunk), work(chunk)
        return
    with ProcessPoolExecutor(cores, get_context("spawn"), start, arguments) as pool:
        waiting: deque[tuple[int, Future[Made]]] = deque()
        for chunk in chain(first, islice(chunks, 2 * cores)):
            waiting.append((len(chunk), pool.submit(work, chunk)))
        while waiting:
            count, done = waiting.popleft()
            yield count, done.result()
            for chunk in islice(chunks, 1):
                waiting.append((len(chunk), pool.submit(work, chunk)))


def _past(place: str, line: bytes, moment: datetime) -> Past | Reject:
    try:
        row = _Row.model_validate_json(line)
    except ValidationError:
        return _bad_row(place, line)
    return Past(row, row.prediction, row.received_at or row.created_at or moment)


def _bad_row(place: str, line: bytes) -> Reject:
    row = json_object(place, line)
    if isinstance(row, Reject):
        return row
    try:
        Prediction.model_validate(row.get("prediction"))
    except ValidationError as error:
        wanted = "expected a `prediction` as `feedback classify --out FILE.jsonl` writes it"
        return Reject(place, f"{wanted}: {'; '.join(describe(error, (), 'prediction'))}", row)
    try:
        _Row.model_validate(row)
    except ValidationError as error:
        return Reject(place, "; ".join(describe(error)), row)
    return Reject(place, "not strict JSON", row)
