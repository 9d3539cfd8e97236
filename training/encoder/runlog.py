"""The log of a run: a JSON line for each loss and each measurement, kept across interruptions."""

import json
import os
import time
from pathlib import Path

from models.files import atomic_write


class RunLog:
    """Appends to ``path``; each line has ``step`` and ``seconds``, the time computed so far."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._before = 0.0
        self._start = time.monotonic()

    def keep_until(self, step: int) -> None:
        """Forget what was logged after ``step``: the run goes on from there."""
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        whole = [line for line in lines if _is_whole(line) and json.loads(line)["step"] <= step]
        with atomic_write(self.path) as file:
            file.writelines(line + "\n" for line in whole)
        self._before = json.loads(whole[-1])["seconds"] if whole else 0.0
        self._start = time.monotonic()

    def add(self, step: int, **values: object) -> None:
        """One line, on disk before this returns."""
        seconds = round(self._before + time.monotonic() - self._start, 1)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "seconds": seconds, **values}) + "\n")
            file.flush()
            os.fsync(file.fileno())


def _is_whole(line: str) -> bool:
    """Whether the line was written to its end."""
    try:
        json.loads(line)
    except ValueError:
        return False
    return True
