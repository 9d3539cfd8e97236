"""One time limit for all that is done over a connection: a timeout of a socket is only one for each read."""

import socket
import threading
import time
from typing import Self


class Deadline:
    """Cuts the connection that is watched when the time is over: who sends a byte a second never runs into a timeout.

    Used with `with`; ``over`` tells whether it came to that.

    Args:
        seconds: how long all of it may take, from now on.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.over = False
        self._ends = time.monotonic() + seconds
        self._sock: socket.socket | None = None
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def left(self) -> float:
        """Seconds that are left; TimeoutError if there are none."""
        left = self._ends - time.monotonic()
        if self.over or left <= 0:
            raise TimeoutError(str(self))
        return left

    def watch(self, sock: socket.socket) -> None:
        """Cut ``sock`` at the end, and let each wait of it be no longer than what is left."""
        sock.settimeout(self.left())
        with self._lock:
            self._sock = sock
        if self.over:  # it ended in between
            self._cut()

    def __str__(self) -> str:
        return f"no whole answer within {self.seconds:g} s"

    def _cut(self) -> None:
        self.over = True
        with self._lock:
            if self._sock is not None:
                try:
                    # the method of an SSL socket would take its state from under who reads
                    socket.socket.shutdown(self._sock, socket.SHUT_RDWR)
                except OSError:
                    return
