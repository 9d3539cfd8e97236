"""The worker: takes what is due from the outbox, sends it, and writes down how that went."""

import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine

from models.errors import FeedbackError
from serving.delivery.channels import Outcome, Sender
from serving.delivery.message import Message, data_of
from serving.delivery.outbox import LEASE, Leased, Settled, claim, settle
from serving.failpoints import reach
from serving.routing.compiled import Rules
from serving.store.queries import latest

log = logging.getLogger(__name__)

#: Messages that are under way at once over one channel.
CONCURRENCY = 8
#: Seconds between two looks at an empty outbox, and after the store was away.
IDLE, AWAY = 0.5, 5.0


class Remembered:
    """The senders of the rules that serve now, made anew only when those change."""

    def __init__(self, current: Callable[[], Rules], make: Callable[[Rules], Mapping[str, Sender]]) -> None:
        self._current, self._make = current, make
        self._made: tuple[Rules, Mapping[str, Sender]] | None = None

    def __call__(self) -> Mapping[str, Sender]:
        rules = self._current()
        if self._made is None or self._made[0] is not rules:
            self._made = (rules, self._make(rules))
        return self._made[1]


class Worker:
    """Delivers until it is told to stop; a thread a channel, so that one that hangs does not hold up the others.

    Several workers may run at once, on several machines with PostgreSQL. What it takes is its own for ``lease``.
    """

    def __init__(self, engine: Engine, senders: Callable[[], Mapping[str, Sender]], lease: timedelta = LEASE) -> None:
        self._engine, self._senders, self._lease = engine, senders, lease
        self._name = f"{os.uname().nodename}-{os.getpid()}-{secrets.token_hex(4)}"
        self._stop = threading.Event()
        self._threads: dict[str, threading.Thread] = {}

    def run(self) -> None:
        """Work until :meth:`stop`; channels that appear in the rules meanwhile are served too."""
        while not self._stop.is_set():
            for channel in self._senders():
                if channel not in self._threads:
                    thread = threading.Thread(
                        target=self._serve, args=(channel,), name=f"deliver-{channel}", daemon=True
                    )
                    self._threads[channel] = thread
                    thread.start()
            self._stop.wait(1.0)
        for thread in self._threads.values():
            thread.join()

    def stop(self) -> None:
        """Take nothing more; what is under way is finished."""
        self._stop.set()

    def drain(self) -> int:
        """Send all that is due now, over every channel, and return how many were delivered."""
        done = 0
        for channel in self._senders():
            with ThreadPoolExecutor(CONCURRENCY, thread_name_prefix=channel) as pool:
                while rows := self._claim(channel):
                    done += self._deliver(channel, rows, pool)
        return done

    def _serve(self, channel: str) -> None:
        with ThreadPoolExecutor(CONCURRENCY, thread_name_prefix=channel) as pool:
            while not self._stop.is_set():
                try:
                    rows = self._claim(channel)
                    if rows:
                        self._deliver(channel, rows, pool)
                    else:
                        self._stop.wait(IDLE)
                except FeedbackError as error:
                    log.error("delivery over %s waits: %s", channel, error)
                    self._stop.wait(AWAY)
                except Exception:  # whatever goes wrong with one batch, its rows come back when their lease ends
                    log.exception("delivery over %s failed", channel)
                    self._stop.wait(AWAY)

    def _claim(self, channel: str) -> list[Leased]:
        return claim(self._engine, channel, self._name, datetime.now(UTC), CONCURRENCY, self._lease)

    def _deliver(self, channel: str, rows: list[Leased], pool: ThreadPoolExecutor) -> int:
        reach("worker-after-claim")
        sender = self._senders().get(channel)
        settled = list(pool.map(lambda row: self._attempt(row, sender), rows))
        reach("worker-after-send")
        held = settle(self._engine, channel, settled, datetime.now(UTC))
        reach("worker-after-settle")
        if held < len(settled):
            log.warning(
                "%d deliveries over %s took longer than %s; others have them now",
                len(rows) - held,
                channel,
                self._lease,
            )
        return sum(one.outcome.delivered for one in settled)

    def _attempt(self, row: Leased, sender: Sender | None) -> Settled:
        start = time.monotonic()
        if sender is None:
            outcome = Outcome(False, error="the rules have no such channel any more")
        else:
            try:
                outcome = sender.send(self._message(row))
            except FeedbackError as error:
                outcome = Outcome(False, error=str(error))
            except Exception as error:  # noqa: BLE001  (a fault of one message must not lose its batch)
                # its kind only: what it says may hold the text of a customer
                log.error("delivery %s failed: %s", row.delivery_id, type(error).__name__)
                outcome = Outcome(False, error=type(error).__name__)
        return Settled(row, outcome, int((time.monotonic() - start) * 1000))

    def _message(self, row: Leased) -> Message:
        return Message(row.delivery_id, row.kind, row.team, row.created_at, data_of(latest(self._engine, row.item_key)))
