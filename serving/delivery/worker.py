"""The worker: takes what is due from the outbox, sends it, and writes down how that went."""

import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial

from sqlalchemy import Engine

from models.errors import FeedbackError, place_of
from serving.delivery.batch import Batch, Size
from serving.delivery.channels import Sender
from serving.delivery.message import Message
from serving.delivery.outbox import LEASE, Leased, claim, release, settle, waiting
from serving.failpoints import reach
from serving.routing.compiled import Rules

log = logging.getLogger(__name__)

#: Messages that are under way at once over one channel, and the most rows that are taken at once.
CONCURRENCY, LARGEST = 8, 256
#: Seconds between two looks at an empty outbox, between two rounds, and after the store was away.
IDLE, ROUND, AWAY = 0.5, 5.0, 5.0
#: Seconds between two looks for channels over which nothing is sent although messages wait.
LOOK = 60.0


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

    Several workers may run at once, on several machines with PostgreSQL.

    Args:
        engine: the store.
        senders: what sends, by channel, as the rules are now.
        letters: makes messages of rows.
        rounds: what else is to be done now and then: digests, reminders.
        lease: for how long what it takes is its own; longer than an attempt takes.
    """

    def __init__(
        self,
        engine: Engine,
        senders: Callable[[], Mapping[str, Sender]],
        letters: Callable[[Sequence[Leased]], Mapping[int, Message]],
        rounds: Callable[[datetime], None] = lambda now: None,
        lease: timedelta = LEASE,
    ) -> None:
        self._engine, self._senders, self._letters, self._rounds = engine, senders, letters, rounds
        self._lease = lease
        self._name = f"{os.uname().nodename}-{os.getpid()}-{secrets.token_hex(4)}"
        self._stop = threading.Event()
        self._threads: dict[str, threading.Thread] = {}
        self._named: set[str] = set()  # channels of which was said that nothing sends over them

    def run(self) -> None:
        """Work until :meth:`stop`; channels that appear in the rules meanwhile are served too."""
        self._start("rounds", self._go_round)
        while not self._stop.is_set():
            for channel in self._senders():
                self._start(f"deliver {channel}", partial(self._serve, channel))
            self._stop.wait(1.0)
        for thread in self._threads.values():
            thread.join()

    def stop(self) -> None:
        """Take nothing more; what is under way is finished."""
        self._stop.set()

    def drain(self) -> int:
        """Send all that is due now, over every channel, and return how many were delivered."""
        self._rounds(datetime.now(UTC))
        self._name_idle()
        done = 0
        for channel in self._senders():
            with ThreadPoolExecutor(CONCURRENCY, thread_name_prefix=channel) as pool:
                size = Size(CONCURRENCY, LARGEST)
                while (delivered := self._work(channel, pool, size)) is not None:
                    done += delivered
        return done

    def _start(self, name: str, work: Callable[[], None]) -> None:
        if name not in self._threads:
            self._threads[name] = threading.Thread(target=work, name=name, daemon=True)
            self._threads[name].start()

    def _go_round(self) -> None:
        look = 0.0
        while not self._stop.is_set():
            with self._guarded("digests and reminders"):
                self._rounds(datetime.now(UTC))
            if time.monotonic() >= look:
                look = time.monotonic() + LOOK
                with self._guarded("a look at what waits"):
                    self._name_idle()
            self._stop.wait(ROUND)

    def _name_idle(self) -> None:
        """Log the channels that messages wait for although nothing sends over them; each once, until it does."""
        idle = {channel: count for channel, count in waiting(self._engine).items() if channel not in self._senders()}
        for channel in idle.keys() - self._named:
            said = "%d message(s) wait for channel %s, which is not in the rules or not set up: feedback deliver status"
            log.warning(said, idle[channel], channel)
        self._named = set(idle)

    def _serve(self, channel: str) -> None:
        size = Size(CONCURRENCY, LARGEST)
        with ThreadPoolExecutor(CONCURRENCY, thread_name_prefix=channel) as pool:
            while not self._stop.is_set():
                with self._guarded(f"delivery over {channel}"):
                    # what is left of a channel that is not there any more waits for somebody to say where it goes
                    if channel not in self._senders() or self._work(channel, pool, size) is None:
                        self._stop.wait(IDLE)

    @contextmanager
    def _guarded(self, what: str) -> Iterator[None]:
        """Go on after a while, whatever goes wrong; rows that were taken come back when their lease ends."""
        try:
            yield
        except FeedbackError as error:
            log.error("%s: %s", what, error)
            self._stop.wait(AWAY)
        except Exception as error:  # noqa: BLE001  (a fault in one place must not end all delivery)
            log.error("%s failed: %s", what, place_of(error))
            self._stop.wait(AWAY)

    def _work(self, channel: str, pool: ThreadPoolExecutor, size: Size) -> int | None:
        """Take a batch, send it, write down how that went; how many were delivered, None if nothing was due."""
        rows = claim(self._engine, channel, self._name, datetime.now(UTC), size.now, self._lease)
        if not rows:
            return None
        reach("worker-after-claim")
        start = time.monotonic()
        batch = Batch(rows, self._senders().get(channel), self._letters(rows), self._lease / 2, self._stop.is_set)
        delivered = late = 0
        for settled, untried in batch.send(pool):
            reach("worker-after-send")
            now = datetime.now(UTC)
            late += len(settled) - settle(self._engine, channel, settled, now)
            release(self._engine, untried, now)
            reach("worker-after-settle")
            delivered += sum(one.outcome.delivered for one in settled)
        if late:
            log.warning("%d deliveries over %s took longer than %s; others have them now", late, channel, self._lease)
        size.took(time.monotonic() - start)
        return delivered
