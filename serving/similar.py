"""How many items much like one came in lately; a rule may ask, to see when something spreads."""

import threading
from datetime import datetime, timedelta

from sqlalchemy import Engine

from models.records import FeedbackItem, Prediction
from serving.store.queries import count_similar

#: For how long an item counts as one that came in lately.
LATELY = timedelta(days=1)
#: After which time is counted anew, few and :data:`MANY`; and how many counts are kept.
FRESH, FRESH_MANY, KEPT = timedelta(seconds=10), timedelta(seconds=60), 10_000
#: So many are counted less often, for counting them takes long and a few more change little.
MANY = 100

Alike = tuple[str, str | None, str | None]


class Similar:
    """Counts the items of the last day with the same first category, sentiment and product as one that is taken in.

    The store is asked once in ten seconds for each kind of item, once in a minute where there are many; what this
    process takes in meanwhile is added. So the count lags behind what other processes take in by as much at most, and
    asking costs next to nothing.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._known: dict[Alike, tuple[datetime, int]] = {}

    def count(self, item: FeedbackItem, prediction: Prediction, received_at: datetime) -> int | None:
        """How many came in before this one, which counts from now on; None for an item without a category.

        Raises:
            StoreError: the store is away.
        """
        answer, mood = prediction.tasks.get("category"), prediction.tasks.get("sentiment")
        if answer is None or not answer.labels:
            return None
        alike = (answer.labels[0], mood.labels[0] if mood and mood.labels else None, item.product)
        with self._lock:
            known = self._known.get(alike)
        if known is not None and timedelta() <= received_at - known[0] < (FRESH_MANY if known[1] >= MANY else FRESH):
            counted_at, count = known
        else:
            counted_at, count = received_at, count_similar(self._engine, *alike, received_at - LATELY)
        with self._lock:
            if len(self._known) >= KEPT:
                self._known.clear()
            self._known[alike] = counted_at, count + 1
        return count
