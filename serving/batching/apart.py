"""What a model says of each item, where it may fail at one."""

import logging
from collections.abc import Sequence

from models.records import FeedbackItem, Predict, Said

log = logging.getLogger(__name__)


def said_apart(predict: Predict, items: Sequence[FeedbackItem]) -> list[Said]:
    """What ``predict`` says of each item, in order. Where it fails its halves are tried again, down to the items that
    make it fail."""
    try:
        found = predict(items)
        if len(found) != len(items):
            raise RuntimeError(f"expected {len(items)} predictions, got {len(found)}")
    except Exception as error:  # noqa: BLE001  (whatever it is, it must not harm those beside it)
        if len(items) > 1:
            middle = len(items) // 2
            return [*said_apart(predict, items[:middle]), *said_apart(predict, items[middle:])]
        # not what the error says: that may be what a customer wrote
        log.error("a text of %d characters cannot be predicted: %s", len(items[0].text), type(error).__name__)
        return [error]
    return list(found)
