"""From raw items to stored ones: check each, answer those that are known, predict and decide the others, store them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, JsonValue
from sqlalchemy import Engine

from models.records import FeedbackItem, PredictEach, Prediction, Said
from serving.classify import FAILED, checked, id_of
from serving.routing.compiled import Rules
from serving.routing.decide import decide
from serving.routing.decision import Decision
from serving.similar import Similar
from serving.store.intake import Entry, Receipt, accept, find_known, name_of, receipt_of


class TakenItem(BaseModel):
    """What became of one item.

    ``stored``: it is on disk and will reach its team. ``duplicate``: it was there already, with the same content; the
    answer is the one given then. ``conflict``: its source and external id belong to an item with other content.
    ``invalid``: it is none, see ``error``. ``failed``: the model failed at it, and it is not stored; it may be sent
    again. ``id`` is the store's, by which the item is asked for.
    """

    status: Literal["stored", "duplicate", "conflict", "invalid", "failed"]
    id: str | None = None
    external_id: str | None = None
    prediction: Prediction | None = None
    decision: Decision | None = None
    error: str | None = None


def take(
    engine: Engine,
    raw_items: Sequence[JsonValue],
    predict: PredictEach,
    rules: Rules,
    similar: Similar,
    received_at: datetime,
) -> list[TakenItem]:
    """Take items in; one result each, in order. A bad item does not harm the others.

    When this returns all that is ``stored`` is on disk.

    Raises:
        StoreError: nothing was stored; it is worth trying again.
    """
    found: list[TakenItem | FeedbackItem] = []
    for raw in raw_items:
        item = checked(raw)
        found.append(TakenItem(status="invalid", external_id=id_of(raw), error=item) if isinstance(item, str) else item)
    good = [one for one in found if isinstance(one, FeedbackItem)]
    known = find_known(engine, good)
    fresh = [item for item in good if name_of(item) not in known]
    said: Sequence[Said] = predict(fresh) if fresh else []
    asked = "similar" in rules.indices
    entries = []
    for item, prediction in zip(fresh, said, strict=True):
        if isinstance(prediction, Exception):
            continue
        count = similar.count(item, prediction, received_at) if asked else None
        decision = decide(item, prediction, rules, received_at, count)
        entries.append(Entry(item, prediction, decision, received_at))
    stored = iter(accept(engine, entries, rules.file.channels_by_team) if entries else [])
    failed = (isinstance(one, Exception) for one in said)
    results = []
    for one in found:
        if isinstance(one, TakenItem):
            results.append(one)
        elif (name := name_of(one)) and name in known:
            results.append(_result(one, receipt_of(one, known[name])))
        elif next(failed):
            results.append(TakenItem(status="failed", external_id=one.external_id, error=FAILED))
        else:
            results.append(_result(one, next(stored)))
    return results


def _result(item: FeedbackItem, receipt: Receipt) -> TakenItem:
    error = None
    if receipt.status == "conflict":
        error = (
            f"source {item.source or ''!r} and external_id {item.external_id!r} belong to an item with other content; "
            "give a changed item an id of its own"
        )
    decision = receipt.decision and receipt.decision.model_copy(update={"passed_over": None})
    return TakenItem(
        status=receipt.status,
        id=receipt.id,
        external_id=item.external_id,
        prediction=receipt.prediction,
        decision=decision,
        error=error,
    )
