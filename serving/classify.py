"""From raw items to answers: check each, predict the good ones together, route each."""

from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic import JsonValue, ValidationError

from models.classifier import Classifier
from models.records import FeedbackItem, Prediction
from models.validation import describe
from serving.api import ItemResult
from serving.routing.compiled import Rules
from serving.routing.decide import decide

#: Said of an item that the model fails at, while it can answer the others.
FAILED = "the model failed at this item; the log of the service says more"


def classify(
    raw_items: Sequence[JsonValue],
    classifier: Classifier,
    rules: Rules,
    received_at: datetime | None = None,
    *,
    explain: bool = False,
) -> list[ItemResult]:
    """One result per item, in order; a bad item gets its own error and leaves the others unharmed.

    ``received_at`` is now if not given; due times count from it. Which rules were passed over, and why, is only
    said to who asks with ``explain``: it is long.
    """
    moment = received_at or datetime.now(UTC)
    items = [checked(raw) for raw in raw_items]
    said = classifier.predict([item for item in items if isinstance(item, FeedbackItem)])
    return results_of(raw_items, items, said, rules, moment, explain=explain)


def results_of(
    raw_items: Sequence[JsonValue],
    items: Sequence[FeedbackItem | str],
    said: Sequence[Prediction | Exception],
    rules: Rules,
    received_at: datetime,
    *,
    explain: bool,
) -> list[ItemResult]:
    """The result of each raw item; ``items`` are what :func:`checked` makes of them, ``said`` is of the good ones.

    Raises:
        Exception: why there is no prediction, if there is none for any item.
    """
    failed = [one for one in said if isinstance(one, Exception)]
    if failed and len(failed) == len(said):
        raise failed[0]
    predictions = iter(said)
    results = []
    for raw, item in zip(raw_items, items, strict=True):
        if isinstance(item, str):
            results.append(ItemResult(id=id_of(raw), error=item))
            continue
        prediction = next(predictions)
        if isinstance(prediction, Exception):
            results.append(ItemResult(id=item.id, error=FAILED))
            continue
        decision = decide(item, prediction, rules, received_at)
        if not explain:
            decision = decision.model_copy(update={"passed_over": None})
        results.append(ItemResult(id=item.id, prediction=prediction, decision=decision))
    return results


def checked(raw: JsonValue) -> FeedbackItem | str:
    """The item, or what is wrong with it."""
    if not isinstance(raw, dict):
        return f'expected an object like {{"text": "..."}}, got {type(raw).__name__}'
    try:
        return FeedbackItem.model_validate(raw)
    except ValidationError as error:
        return "; ".join(describe(error, FeedbackItem.model_fields))


def id_of(raw: JsonValue) -> str | None:
    """The id that a raw item gives itself, as far as it can be shown."""
    found = raw.get("id") if isinstance(raw, dict) else None
    usable = isinstance(found, str | int | float) and not isinstance(found, bool)
    return str(found)[:200] if usable else None
