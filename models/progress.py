"""How long work tells that it goes on. Library code never prints; it advances a stage."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

#: Says that this many more units are done.
Advance = Callable[[int], None]


class Progress(Protocol):
    """Shows stages of work, one after the other."""

    def stage(
        self, title: str, total: int | None = None, unit: str = "", *, done: int = 0
    ) -> AbstractContextManager[Advance]:
        """Open a stage of ``total`` units (None: not known), ``done`` of them before; it closes with the block."""


class Silent:
    """Progress that nobody watches: for library use and tests."""

    @contextmanager
    def stage(self, title: str, total: int | None = None, unit: str = "", *, done: int = 0) -> Iterator[Advance]:
        """A stage that shows nothing."""
        yield lambda units: None
