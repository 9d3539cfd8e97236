"""A worker of the service ends with the process that started it: else it would keep the port, and a restart would find
it taken."""

import os
import signal
import threading
import time

import psutil


def end_with_parent(named: str, every: float = 1.0) -> None:
    """End this process, as if it had been asked to, soon after its parent was killed; if the parent's command has
    ``named`` in it."""
    parent = os.getppid()
    try:
        if named not in " ".join(psutil.Process(parent).cmdline()):
            return
    except psutil.Error:
        return

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(every)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()
