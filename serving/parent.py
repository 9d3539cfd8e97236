"""A process that another started for its own ends with it, also when that one was killed: else it would keep the port,
and a restart would find it taken."""

import os
import signal
import threading
import time

_VARIABLE = "FEEDBACK_ENDS_WITH"


def ends_with_this() -> dict[str, str]:
    """What the environment of a child is to hold that is to end with this process."""
    return {_VARIABLE: str(os.getpid())}


def end_with_parent(every: float = 1.0) -> None:
    """End this process, as if it had been asked to, soon after the one that started it is gone; if that one wants it,
    see :func:`ends_with_this`. It may be gone already: no process could find that out without its number."""
    wanted = os.environ.pop(_VARIABLE, None)
    if wanted is None:
        return
    parent = int(wanted)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(every)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()
