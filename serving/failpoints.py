"""Moments at which a process ends itself as a crash would, to test what is left behind; never without being told to.

FEEDBACK_FAILPOINT names one of them, or `NAME:3` for the third time that it is reached. `feedback serve` passes the
variable on to nobody: only what is started directly with it obeys.
"""

import os
import signal
import threading
from typing import Final, Literal, get_args

VARIABLE: Final = "FEEDBACK_FAILPOINT"

Point = Literal[
    "intake-before-commit",  # an item is written but not committed: its sender gets no answer, and nothing is stored
    "intake-before-answer",  # it is committed, and its sender does not know
    "worker-after-claim",  # messages are taken and none was sent
    "worker-after-send",  # they were sent, and nobody wrote that down
    "worker-after-settle",  # it is written down
    "digest-before-commit",  # a digest is closed but not committed
    "digest-after-commit",  # it is committed
    "labels-before-commit",  # labels are migrated in the store, but that is not committed
    "overdue-before-commit",  # teams are reminded, but that is not committed
]
POINTS: tuple[Point, ...] = get_args(Point)

_name, _, _number = os.environ.get(VARIABLE, "").partition(":")
_left = int(_number) if _number.isdigit() else 1
_lock = threading.Lock()


def reach(point: Point) -> None:
    """Here the process ends if this is what it was told; else nothing happens."""
    global _left
    if point != _name:
        return
    with _lock:
        _left -= 1
        if _left == 0:
            os.write(2, f"fail point {point} reached\n".encode())
            os.kill(os.getpid(), signal.SIGKILL)
