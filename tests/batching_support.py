"""A batcher with a model that can be held up, and what it tells."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence

from models.records import FeedbackItem
from serving.batching.batcher import Batcher
from serving.batching.limits import Limits

SOON = 30.0


class Model:
    """Says of an item its own text; fails at those with "poison"; can be held up before a batch."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.free = threading.Event()
        self.free.set()
        self.busy = threading.Event()

    def predict(self, items: Sequence[FeedbackItem]) -> list[str]:
        self.busy.set()
        assert self.free.wait(SOON)
        texts = [item.text for item in items]
        self.batches.append(texts)
        if any("poison" in text for text in texts):
            raise ValueError("this one cannot be read")
        return texts


class Seen:
    """Remembers what a batcher tells."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.waits: list[float] = []
        self.left: list[int] = []
        self.refusals = self.passed = 0

    def computed(self, items: int, waits: Sequence[float], left: int) -> None:
        self.sizes.append(items)
        self.waits += waits
        self.left.append(left)

    def refused(self) -> None:
        self.refusals += 1

    def passed_over(self) -> None:
        self.passed += 1


def items(*texts: str) -> list[FeedbackItem]:
    return [FeedbackItem(text=text) for text in texts]


def numbered(count: int, name: str = "") -> list[FeedbackItem]:
    return items(*(f"{name}{number}" for number in range(count)))


def deadline() -> float:
    return time.monotonic() + SOON


def run(scenario: Callable, limits: Limits | None = None) -> tuple[Model, Seen]:
    """Run a coroutine function with a model and a batcher, and end the batcher."""
    model, seen = Model(), Seen()
    batcher = Batcher(model.predict, limits, seen)
    try:
        asyncio.run(scenario(batcher, model))
    finally:
        model.free.set()
        batcher.close()
    return model, seen


async def held(batcher: Batcher, model: Model) -> "asyncio.Future":
    """Keep the thread busy with an item, until the model is free."""
    model.free.clear()
    model.busy.clear()
    answer = batcher.enter(items("first"), deadline(), list)
    assert await asyncio.to_thread(model.busy.wait, SOON)
    return answer
