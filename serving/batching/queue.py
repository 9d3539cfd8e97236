"""What waits: who is taken, in which order, and how long who comes last would wait. Not for several threads at once."""

import statistics
import time
from collections import deque
from typing import Any

from serving.batching.limits import Limits, OverloadedError
from serving.batching.turn import Part, Turn

#: Batches of which the pace is known; it is the middle one's, so that a pause of the machine does not count. With fewer
#: than the least it is not known yet.
_REMEMBERED, _LEAST = 15, 3


class WaitingQueue:
    """Turns in the order in which they came; long ones are computed in parts, and wait at the end in between."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._turns: deque[Turn[Any]] = deque()
        # items that wait, and what it costs to give each turn its next part
        self.items, self._cost = 0, 0
        # what the batch costs that is being computed, and since when it is
        self._running, self._since = 0, 0.0
        # seconds for each unit of cost
        self._paces: deque[float] = deque(maxlen=_REMEMBERED)
        self._pace = 0.0

    def __len__(self) -> int:
        return len(self._turns)

    def check(self, items: int = 1) -> None:
        """Raise OverloadedError if so many items more cannot be taken now."""
        wait, limits = self.expected_wait(), self._limits
        if self.items + items <= limits.always:
            return
        if wait > limits.wait or (self.items and self.items + items > limits.waiting):
            raise OverloadedError(wait)

    def expected_wait(self) -> float:
        """For how many seconds who comes now would wait for the turn; 0 if too few batches were measured."""
        left = max(0.0, self._running * self._pace - (time.monotonic() - self._since)) if self._running else 0.0
        return left + self._cost * self._pace

    def put(self, turn: Turn[Any]) -> None:
        """Queue it up."""
        self._turns.append(turn)
        self.items += len(turn.items)
        self._cost += self._next_cost(turn)

    def take_out(self, turn: Turn[Any], end: int) -> None:
        """The items of a turn up to ``end`` do not wait any more."""
        self.items -= end - turn.begun
        self._cost -= self._next_cost(turn)
        turn.begun = end
        self._cost += self._next_cost(turn)

    def _next_cost(self, turn: Turn[Any]) -> int:
        return turn.cost(turn.begun + self._limits.items)

    def lingers(self) -> float:
        """For how many seconds the first may still wait for others; 0 if it may not."""
        if not self._turns or self.items >= self._limits.items:
            return 0.0
        return max(0.0, self._turns[0].arrived + self._limits.linger - time.monotonic())

    def next_batch(self) -> tuple[list[Part], list[float], list[Turn[Any]]]:
        """What is to be computed now, how long those that begin in it have waited, and who came too late or gave up."""
        self._since = now = time.monotonic()
        batch: list[Part] = []
        waits: list[float] = []
        late: list[Turn[Any]] = []
        unfinished: list[Turn[Any]] = []
        items, characters = self._limits.items, self._limits.characters
        while self._turns and items > 0:
            turn = self._turns[0]
            if turn.answer.cancelled() or now > turn.deadline:
                self.take_out(turn, len(turn.items))
                late.append(self._turns.popleft())
                continue
            begin = turn.begun
            end, length = turn.next_slice(self._limits.items, self._limits.characters)
            if batch and (end - begin > items or length > characters):
                break
            self._turns.popleft()
            if begin == 0:
                waits.append(now - turn.arrived)
            self._running += turn.cost(end)
            self.take_out(turn, end)
            items, characters = items - (end - begin), characters - length
            batch.append(Part(turn, begin, end))
            if end < len(turn.items):
                unfinished.append(turn)
        self._turns.extend(unfinished)
        return batch, waits, late

    def finished(self) -> None:
        """The batch is computed."""
        self._paces.append((time.monotonic() - self._since) / self._running)
        if len(self._paces) >= _LEAST:
            self._pace = statistics.median(self._paces)
        self._running = 0
