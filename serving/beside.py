"""The delivery worker beside the service: without it nothing is sent, so one that ends by itself is started again."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from models.processes import end
from serving.server import ROOT, environment_for, how_it_ended
from serving.settings import Settings

#: Seconds until a worker that ended is started again, at first and at most; one that lived longer than that ended for
#: another reason than the one before it.
FIRST, MOST = 1.0, 60.0
_FOR_DELIVERY = ("FEEDBACK_CHANNEL_", "FEEDBACK_ALLOWED_TARGETS", "FEEDBACK_SMTP", "FEEDBACK_MAIL")


class Restarted:
    """A process that is to run until it is told to end.

    Args:
        command: what runs.
        environment: all of its environment.
        warn: is told each time that it has ended by itself.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], warn: Callable[[str], object]) -> None:
        self._command, self._environment, self._warn = command, environment, warn
        self._process: subprocess.Popen[bytes] | None = None
        self._pause = 0.0
        self._start()

    def look(self) -> None:
        """Say if it has ended, and start it again if its pause is over; to be called now and then."""
        if self._process is None:
            if time.monotonic() >= self._again:
                self._start()
        elif (status := self._process.poll()) is not None:
            self._rest(f"ended with {how_it_ended(status)}")

    def end(self) -> None:
        """End it; it is over when this returns."""
        if self._process is not None:
            end(self._process)

    def _start(self) -> None:
        self._started = time.monotonic()
        try:
            self._process = subprocess.Popen(self._command, env=self._environment)
        except OSError as error:  # no memory, for one; there may be some again
            self._rest(f"cannot be started: {error.strerror}")

    def _rest(self, why: str) -> None:
        self._process = None
        self._pause = next_pause(self._pause, time.monotonic() - self._started)
        self._again = time.monotonic() + self._pause
        self._warn(f"the delivery worker {why}; what is due waits until it is started again in {self._pause:.0f} s")


def next_pause(before: float, lived: float) -> float:
    """Seconds until a worker that ``lived`` for so many seconds is started again, after a pause ``before`` that."""
    return FIRST if lived >= MOST else min(MOST, max(FIRST, 2 * before))


@contextmanager
def delivering(settings: Settings, warn: Callable[[str], object]) -> Iterator[Restarted]:
    """A delivery worker as a child process in the caller's folder; it is stopped when the block ends."""
    environment = environment_for(settings)
    # addresses and keys of channels are for it alone
    environment |= {name: value for name, value in os.environ.items() if name.startswith(_FOR_DELIVERY)}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), environment.get("PYTHONPATH")]))
    # -P: the caller's folder is one of data, whose files are no modules
    worker = Restarted([sys.executable, "-P", "-m", "feedback", "deliver", "run"], environment, warn)
    try:
        yield worker
    finally:
        worker.end()
