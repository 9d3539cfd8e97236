"""What is promised of waiting, what happens to who would wait too long, and who is told of it."""

import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from models.errors import FeedbackError

#: Most seconds that somebody is asked to wait.
_LONGEST_RETRY = 60


class OverloadedError(FeedbackError):
    """So much waits that this would wait too long; ``retry_after`` is in whole seconds, at least one."""

    http_status = 429

    def __init__(self, wait: float) -> None:
        self.retry_after = min(_LONGEST_RETRY, max(1, math.ceil(wait)))
        super().__init__(f"too much is under way; try again in {self.retry_after} s, or send less at a time")


class LateError(FeedbackError):
    """Time was over before it was this one's turn."""

    http_status = 504


class Limits(NamedTuple):
    """Bounds of a batch and of what may wait.

    ``items`` and ``characters`` bound a batch, unless it is one item; ``linger`` is for how many seconds the first of a
    batch waits for others. Nobody else is taken who would wait for more than ``wait`` seconds, or with whom more than
    ``waiting`` items would wait; but ``always`` as many items may, however slow the model is.
    """

    items: int = 64
    characters: int = 32_000
    linger: float = 0.0
    wait: float = 0.5
    waiting: int = 2048
    always: int = 64


class Watch(Protocol):
    """Is told what happens, from any thread."""

    def computed(self, items: int, waits: Sequence[float], left: int) -> None:
        """A batch of ``items``: seconds for which requests had waited for their turn, and how many items wait now."""

    def refused(self) -> None:
        """A request was refused, since too much waits."""

    def passed_over(self) -> None:
        """A request was not computed, since nobody waits for its answer any more."""


class Unwatched:
    """For who does not want to know."""

    def computed(self, items: int, waits: Sequence[float], left: int) -> None:
        """Nothing."""

    def refused(self) -> None:
        """Nothing."""

    def passed_over(self) -> None:
        """Nothing."""
