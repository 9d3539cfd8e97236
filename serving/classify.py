"""From raw items to answers: check each, predict the good ones together, route each."""

from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic import JsonValue, ValidationError

from models.classifier import Classifier
from models.records import FeedbackItem
from models.validation import describe
from serving.api import ItemResult
from serving.routing.decide import decide
from serving.routing.rules import RuleSet


def classify(
    raw_items: Sequence[JsonValue], classifier: Classifier, rules: RuleSet, received_at: datetime | None = None
) -> list[ItemResult]:
    """One result per item, in order; a bad item gets its own error and leaves the others unharmed.

    ``received_at`` is now if not given; due times count from it.
    """
    moment = received_at or datetime.now(UTC)
    checked = [_checked(raw) for raw in raw_items]
    good = [item for item in checked if isinstance(item, FeedbackItem)]
    predictions = iter(classifier.predict(good))
    results = []
    for raw, item in zip(raw_items, checked, strict=True):
        if isinstance(item, str):
            results.append(ItemResult(id=_id_of(raw), error=item))
        else:
            prediction = next(predictions)
            decision = decide(item, prediction, rules, moment)
            results.append(ItemResult(id=item.id, prediction=prediction, decision=decision))
    return results


def _checked(raw: JsonValue) -> FeedbackItem | str:
    if not isinstance(raw, dict):
        return f'expected an object like {{"text": "..."}}, got {type(raw).__name__}'
    try:
        return FeedbackItem.model_validate(raw)
    except ValidationError as error:
        return "; ".join(describe(error, FeedbackItem.model_fields))


def _id_of(raw: JsonValue) -> str | None:
    found = raw.get("id") if isinstance(raw, dict) else None
    usable = isinstance(found, str | int | float) and not isinstance(found, bool)
    return str(found)[:200] if usable else None
