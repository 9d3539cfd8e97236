"""What was found to be fastest on this machine, remembered from one start to the next."""

import fcntl
import json
import os
from collections.abc import Callable, Collection
from contextlib import ExitStack
from pathlib import Path

from models.files import write_json

#: Models and machines that are remembered.
_KEPT = 100


def memory_file() -> Path:
    """Where it is kept: in the folder of caches of whoever runs this."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "feedback" / "runtimes.json"


def remembered(key: str, among: Collection[str], measure: Callable[[], str], file: Path | None = None) -> str:
    """What was measured for ``key`` before, if it is still ``among`` those there are; else what is measured now.

    Processes that start together measure one after the other, and only the first does: two at a time would disturb
    each other. Where nothing can be written nothing is remembered.
    """
    file = file or memory_file()
    with ExitStack() as stack:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context(file.with_suffix(".lock").open("w"))
        except OSError:
            return measure()
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = _read(file)
        if known.get(key) in among:
            return known[key]
        found = measure()
        known.pop(key, None)
        recent = dict([*known.items(), (key, found)][-_KEPT:])
        try:
            write_json(file, recent)
        except OSError:
            return found
        return found


def _read(file: Path) -> dict[str, str]:
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
