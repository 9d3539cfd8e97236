"""A request that waits for its turn, and telling who asked."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Generic, NamedTuple, TypeVar

from models.records import FeedbackItem, Said

_Answer = TypeVar("_Answer")

#: What an item costs beside its characters, in characters; and how many of these count at most, since an encoder reads
#: no more of a text.
_EACH, _MOST = 50, 2000


class Turn(Generic[_Answer]):
    """Items of one request. ``answer`` is of the loop or the thread of who asked, who cancels it if it is not wanted
    any more; ``finish`` makes it of what is said of each item.

    Of the items those before ``begun`` are computed, or are being computed.
    """

    def __init__(
        self,
        items: Sequence[FeedbackItem],
        deadline: float,
        finish: Callable[[list[Said]], _Answer],
        answer: "asyncio.Future[_Answer] | Future[_Answer]",
    ) -> None:
        self.items, self.deadline, self.finish, self.answer = items, deadline, finish, answer
        self.arrived = time.monotonic()
        self.said: list[Said] = []
        self.begun = 0
        self._costs = [_EACH + min(len(item.text), _MOST) for item in items]

    def cost(self, end: int) -> int:
        """What the items cost that have not begun, up to ``end``."""
        return sum(self._costs[self.begun : end])

    def next_slice(self, items: int, characters: int) -> tuple[int, int]:
        """Where the part ends that can be computed at once, at least one item of it, and its characters."""
        end, total = self.begun + 1, len(self.items[self.begun].text)
        while end < len(self.items) and end - self.begun < items:
            more = total + len(self.items[end].text)
            if more > characters:
                break
            end, total = end + 1, more
        return end, total


class Part(NamedTuple):
    """Items of a turn that are computed in one batch."""

    turn: Turn[Any]
    begin: int
    end: int


class Done(NamedTuple):
    """A turn and its answer, or why there is none."""

    turn: Turn[Any]
    answer: Any = None
    error: Exception | None = None


def tell(done: Sequence[Done]) -> None:
    """Tell who asked; those of one loop together, since waking it costs more than telling one."""
    loops: dict[asyncio.AbstractEventLoop, list[Done]] = {}
    for one in done:
        answer = one.turn.answer
        if isinstance(answer, asyncio.Future):
            loops.setdefault(answer.get_loop(), []).append(one)
        elif answer.set_running_or_notify_cancel():
            _set(one)
    for loop, some in loops.items():
        try:
            loop.call_soon_threadsafe(_set_all, some)
        except RuntimeError:  # the loop is closed: nobody is there any more
            continue


def _set_all(done: Sequence[Done]) -> None:
    for one in done:
        if not one.turn.answer.cancelled():
            _set(one)


def _set(done: Done) -> None:
    if done.error is None:
        done.turn.answer.set_result(done.answer)
    else:
        done.turn.answer.set_exception(done.error)
