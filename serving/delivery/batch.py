"""Rows that were taken together, sent a few at a time."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from datetime import timedelta
from itertools import islice

from models.errors import place_of
from serving.delivery.channels import Outcome, Sender
from serving.delivery.message import Message
from serving.delivery.outbox import FAILURES, Leased, Settled

log = logging.getLogger(__name__)

#: So many rows are written down together; a worker that is killed has sent few more than these that nobody knows of.
PART = 16


class Batch:
    """Sends rows until all were tried, the time is over, the channel fails again and again, or the worker is to stop.

    Args:
        rows: what was taken.
        sender: what sends it; None: the channel is not there any more.
        messages: by the key of their row.
        patience: after which the rest is given back; with the time of an attempt it has to be less than the lease.
        stopped: whether the worker is to stop.
    """

    def __init__(
        self,
        rows: Sequence[Leased],
        sender: Sender | None,
        messages: Mapping[int, Message],
        patience: timedelta,
        stopped: Callable[[], bool],
    ) -> None:
        self._rows, self._sender, self._messages, self._stopped = rows, sender, messages, stopped
        self._until = time.monotonic() + patience.total_seconds()
        self._lock = threading.Lock()
        self._failures = 0

    def send(self, pool: Executor) -> Iterator[tuple[list[Settled], list[Leased]]]:
        """How each row went that was tried, and those that were not; in parts, while others are still under way."""
        tried = zip(self._rows, pool.map(self._attempt, self._rows), strict=True)
        while part := list(islice(tried, PART)):
            yield [one for _, one in part if one is not None], [row for row, one in part if one is None]

    def _attempt(self, row: Leased) -> Settled | None:
        start = time.monotonic()
        if start > self._until or self._failures >= FAILURES or self._stopped():
            return None
        outcome = self._outcome(row)
        with self._lock:
            self._failures = 0 if outcome.delivered else self._failures + 1
        return Settled(row, outcome, int((time.monotonic() - start) * 1000))

    def _outcome(self, row: Leased) -> Outcome:
        if self._sender is None:
            return Outcome(False, error="the rules have no such channel any more")
        message = self._messages.get(row.key)
        if message is None:
            return Outcome(False, error="what it is about is not in the store")
        try:
            return self._sender.send(message)
        except Exception as error:  # noqa: BLE001  (a fault of one message must not lose its batch)
            log.error("delivery %s failed: %s", row.delivery_id, place_of(error))
            return Outcome(False, error=type(error).__name__)


class Size:
    """How many rows are taken at once: more while they go out quickly, fewer while they do not."""

    def __init__(self, least: int, most: int) -> None:
        self.now, self._least, self._most = least, least, most

    def took(self, seconds: float) -> None:
        """Learn from a batch."""
        if seconds < 0.5:
            self.now = min(self.now * 2, self._most)
        elif seconds > 2:
            self.now = max(self.now // 2, self._least)
