"""A file of feedback into the store, as if each item had been sent to the service."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from pydantic import JsonValue
from sqlalchemy import Engine

from models.errors import DataError
from models.readers import read_placed
from models.records import FeedbackItem, LabeledItem, Predict, PredictEach
from models.rejects import Reject
from serving.batching.apart import said_apart
from serving.intake import TakenItem, take
from serving.routing.compiled import Rules
from serving.similar import Similar

_CHUNK = 64
_LABELS = frozenset(LabeledItem.model_fields) - frozenset(FeedbackItem.model_fields)


class Imported(NamedTuple):
    """How many items were stored, were there already, and could not be taken."""

    stored: int
    duplicates: int
    refused: int


def import_file(
    engine: Engine,
    source: Path,
    predict: Predict,
    rules: Rules,
    refuse: Callable[[Reject], None],
    advance: Callable[[int], None],
    *,
    columns: dict[str, str] | None = None,
) -> Imported:
    """Store every item of a file; what was stored by an earlier run is a duplicate, so a run that was stopped goes on.

    An item without an id of its own is known by the content of the file and its row. Labels in the file are left out:
    what people said is learned from in training, not here.

    Raises:
        DataError: the file cannot be read, or nothing in it can be used.
        StoreError: the store cannot be used; what was stored stays, and the same command goes on.
    """
    counts: Counter[str] = Counter()
    origin = f"file-{_fingerprint(source)}"
    similar, each = Similar(engine), partial(said_apart, predict)
    rows = read_placed(str(source), columns or {})
    while chunk := list(islice(rows, _CHUNK)):
        taken: list[tuple[str, JsonValue]] = []
        for place, one in chunk:
            if isinstance(one, Reject):
                counts["refused"] += 1
                refuse(one)
                continue
            raw = one.model_dump(mode="json", exclude_unset=True, exclude=set(_LABELS))
            if one.external_id is None:
                row = place.rpartition(":")[2]
                # of another file with the same source the row is another item
                own = row if one.source is None else f"{origin}:{row}"
                raw |= {"external_id": one.id or own, "source": one.source or origin}
            taken.append((place, raw))
        for place, result in _taken(engine, taken, each, rules, similar):
            if result.status in ("stored", "duplicate"):
                counts[result.status] += 1
            else:
                counts["refused"] += 1
                refuse(Reject(place, str(result.error), None))
        advance(len(chunk))
    found = Imported(counts["stored"], counts["duplicate"], counts["refused"])
    if not found.stored and not found.duplicates:
        raise DataError(f"{source}: no row can be stored; {found.refused:,} refused")
    return found


def _taken(
    engine: Engine, rows: list[tuple[str, JsonValue]], predict: PredictEach, rules: Rules, similar: Similar
) -> Iterator[tuple[str, TakenItem]]:
    if rows:
        results = take(engine, [raw for _, raw in rows], predict, rules, similar, datetime.now(UTC))
        yield from zip((place for place, _ in rows), results, strict=True)


def _fingerprint(source: Path) -> str:
    with source.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
