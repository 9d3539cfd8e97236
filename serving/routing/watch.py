"""Rules in service: a changed file is taken when it has been checked, and one that is faulty leaves the old ones."""

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from models.errors import FeedbackError
from serving.routing.cases import beside
from serving.routing.compiled import Rules

log = logging.getLogger(__name__)

#: Seconds between two looks at the file.
EVERY = 1.0

_Signature = tuple[tuple[int, int, int] | None, ...]


class Refusal(NamedTuple):
    """A changed file that was not taken: why, and when that was seen."""

    reason: str
    at: datetime


class LiveRules:
    """The rules of a running service.

    Args:
        path: the file that is watched, together with its cases.
        load: reads and checks it; raises FeedbackError if it is not fit for use.
        on_change: told with True after new rules were taken, with False after they were refused.
    """

    def __init__(self, path: Path, load: Callable[[Path], Rules], on_change: Callable[[bool], None]) -> None:
        self._path, self._load, self._on_change = path, load, on_change
        self._seen = self._signature()
        self._changed = self._seen
        self.current = load(path)
        self.taken_at = datetime.now(UTC)
        self.refusal: Refusal | None = None
        self._stop = threading.Event()

    def look(self) -> None:
        """Take the file if it has changed and is whole.

        A change is acted on when the file was the same at two looks: one that is still being written is not read.
        """
        now = self._signature()
        if now == self._seen:
            self._changed = now
            return
        if now != self._changed:
            self._changed = now
            return
        self._seen = now
        try:
            rules = self._load(self._path)
        except FeedbackError as error:
            self.refusal = Refusal(str(error), datetime.now(UTC))
            log.error("changed rules refused, those of %s go on: %s", self.current.digest, error)
            self._on_change(False)
            return
        self.refusal = None
        self.current, self.taken_at = rules, datetime.now(UTC)
        log.warning("changed rules taken: version %s", rules.digest)
        self._on_change(True)

    def start(self, every: float = EVERY) -> None:
        """Look again and again, in a thread of its own, until :meth:`stop`."""

        def watch() -> None:
            while not self._stop.wait(every):
                try:
                    self.look()
                except Exception:  # whatever goes wrong, the old rules serve and the watch goes on
                    log.exception("looking at the rules failed")

        threading.Thread(target=watch, name="rules", daemon=True).start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()

    def _signature(self) -> _Signature:
        return tuple(_stat(path) for path in (self._path, beside(self._path)))


def _stat(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
