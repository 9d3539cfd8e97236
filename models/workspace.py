"""The folder of unfinished work beside a result, ``OUT.work``, in which one run is at work at a time."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models.errors import InputError

_LOCK = "lock"


def path_of(out: Path) -> Path:
    """Where the unfinished work for ``out`` lies."""
    return out.with_name(f"{out.name}.work")


@contextmanager
def own_workspace(out: Path) -> Iterator[Path]:
    """The workspace for ``out``, made or found, for this run alone; it stays until somebody removes it.

    Raises:
        InputError: another run is at work there, or a folder of that name is somebody's own.
    """
    workspace = path_of(out)
    if workspace.exists() and any(workspace.iterdir()) and not (workspace / _LOCK).exists():
        raise InputError(f"{workspace}: expected no such folder, or one of a run that was stopped; give another --out")
    workspace.mkdir(parents=True, exist_ok=True)
    with (workspace / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{workspace}: another run is at work here; wait for it, or give another --out") from None
        yield workspace
