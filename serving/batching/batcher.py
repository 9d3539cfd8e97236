"""One thread computes for all who ask: what waits when it is free is computed together, up to a bounded amount of work.

Nobody waits for a fuller batch unless that is set, and then no longer than set. Long lists are computed in parts, by
turns with whatever else waits, so that they keep nobody from an answer. Who would wait too long is refused at once; who
gave up, or is out of time, is passed over. Where a batch fails its halves are tried again, down to the items that make
it fail.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TypeVar

from models.records import FeedbackItem, Predict, Prediction, Said
from serving.batching.apart import said_apart
from serving.batching.limits import LateError, Limits, OverloadedError, Unwatched, Watch
from serving.batching.queue import WaitingQueue
from serving.batching.turn import Done, Part, Turn, tell

_Answer = TypeVar("_Answer")


class Batcher:
    """A queue and the thread that computes.

    Args:
        predict: gives a prediction for each item, in order; is called by the one thread alone.
        limits: bounds of a batch and of the queue.
        watch: is told of batches, and of who was refused.
    """

    def __init__(self, predict: Predict, limits: Limits | None = None, watch: Watch | None = None) -> None:
        self._predict, self._watch = predict, watch or Unwatched()
        self._queue = WaitingQueue(limits or Limits())
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="compute", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise OverloadedError if nobody else is taken now."""
        self._admit(1, None)

    def enter(
        self, items: Sequence[FeedbackItem], deadline: float, finish: Callable[[list[Said]], _Answer]
    ) -> "asyncio.Future[_Answer]":
        """Queue up. What is returned is awaited, or cancelled by who does not want it any more.

        Args:
            items: at least one.
            deadline: by :func:`time.monotonic`; afterwards they are not computed, and LateError is the answer.
            finish: makes the answer of what is said of each item, in order; called by the thread that computes.

        Raises:
            OverloadedError: they would wait too long.
        """
        answer: asyncio.Future[_Answer] = asyncio.get_running_loop().create_future()
        turn = Turn(items, deadline, finish, answer)
        self._admit(len(items), turn)
        answer.add_done_callback(lambda done: self._gone(turn) if done.cancelled() else None)
        return answer

    def compute(self, items: Sequence[FeedbackItem], timeout: float) -> list[Prediction]:
        """Predictions for another thread; see :meth:`said`.

        Raises:
            LateError: there was no answer within ``timeout`` seconds.
            Exception: whatever the first item that cannot be predicted raised.
        """
        return predictions_of(self.said(items, timeout))

    def said(self, items: Sequence[FeedbackItem], timeout: float) -> list[Said]:
        """What is said of each item, for another thread, which is never refused: there are few of these.

        Raises:
            LateError: there was no answer within ``timeout`` seconds.
        """
        if not items:
            return []
        answer: Future[list[Said]] = Future()
        turn = Turn(items, time.monotonic() + timeout, list, answer)
        with self._changed:
            self._queue.put(turn)
            self._changed.notify()
        try:
            return answer.result(timeout)
        except TimeoutError:
            answer.cancel()
            self._gone(turn)
            raise LateError(f"no answer of the model within {timeout:g} s; try again") from None

    def close(self) -> None:
        """End the thread when all that waits is done."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _admit(self, items: int, turn: Turn[_Answer] | None) -> None:
        try:
            with self._changed:
                self._queue.check(items)
                if turn is not None:
                    self._queue.put(turn)
                    self._changed.notify()
        except OverloadedError:
            self._watch.refused()
            raise

    def _gone(self, turn: Turn[_Answer]) -> None:
        with self._changed:
            self._queue.take_out(turn, len(turn.items))

    def _run(self) -> None:
        while batch := self._next_batch():
            self._compute(batch)
            with self._changed:
                self._queue.finished()

    def _next_batch(self) -> list[Part]:
        """What is to be computed next; nothing when all is over."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or len(self._queue) > 0)
                if not len(self._queue):
                    return []
                while not self._closed and (seconds := self._queue.lingers()) > 0:
                    self._changed.wait(seconds)
                batch, waits, late = self._queue.next_batch()
                left = self._queue.items
            for _ in late:
                self._watch.passed_over()
            tell([Done(turn, error=LateError("not computed in time; try again")) for turn in late])
            if batch:
                self._watch.computed(sum(part.end - part.begin for part in batch), waits, left)
                return batch

    def _compute(self, batch: Sequence[Part]) -> None:
        said = iter(
            said_apart(self._predict, [item for part in batch for item in part.turn.items[part.begin : part.end]])
        )
        done = []
        for turn, begin, end in batch:
            turn.said += [next(said) for _ in range(end - begin)]
            if len(turn.said) < len(turn.items) or turn.answer.cancelled():
                continue
            try:
                done.append(Done(turn, turn.finish(turn.said)))
            except Exception as error:  # noqa: BLE001  (it is told to who asked, and the others are answered)
                done.append(Done(turn, error=error))
        tell(done)


def predictions_of(said: Sequence[Said]) -> list[Prediction]:
    """The predictions, if there is one for each item; else the first reason why not is raised."""
    found = []
    for one in said:
        if isinstance(one, Exception):
            raise one
        found.append(one)
    return found
