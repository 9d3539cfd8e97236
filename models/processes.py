"""Running the project's commands, and ending what was started."""

import os
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from models.errors import FeedbackError

_ROOT = Path(__file__).parent.parent
#: Seconds between two looks at the memory of a process.
_LOOK_EVERY = 0.1


class Ran(NamedTuple):
    """How many seconds a process took, and what it wrote to standard output."""

    seconds: float
    output: str


def run_python(
    arguments: Sequence[str],
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    log: BinaryIO | None = None,
) -> Ran:
    """Run Python with these arguments in a process of its own; ``["-m", "feedback", …]`` is the command `feedback`.

    Args:
        arguments: what follows the interpreter.
        folder: where it runs; else where this process does.
        environment: what is added to that of this process.
        log: gets what it tells people; else they see it.

    Raises:
        FeedbackError: it failed; its own message stands before that, or in the log.
    """
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=_with_this_code(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=log,
        check=False,
    )
    if done.returncode:
        raise FeedbackError(f"exit code {done.returncode} of: python {shlex.join(arguments)}")
    return Ran(time.perf_counter() - start, done.stdout.decode(errors="replace"))


class Watched(NamedTuple):
    """How many seconds a process took, how many of processors it and its children used, and the most memory that they
    were seen to hold, in MB."""

    seconds: float
    cpu: float
    memory: float


def watch_python(arguments: Sequence[str], log: Path) -> Watched:
    """Run Python like :func:`run_python`, and look at its resident memory ten times a second.

    Args:
        arguments: what follows the interpreter.
        log: gets all that it writes.

    Raises:
        FeedbackError: it failed; the message ends with what it wrote.
    """
    with log.open("wb") as file:
        start, before = time.perf_counter(), os.times()
        process = subprocess.Popen(
            [sys.executable, *arguments],
            env=_with_this_code(None),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        over, seen = threading.Event(), [0]
        watcher = threading.Thread(target=_watch, args=(process.pid, over, seen))
        watcher.start()
        try:
            process.wait()
        except BaseException:
            end(process)
            raise
        finally:
            seconds, after = time.perf_counter() - start, os.times()
            over.set()
            watcher.join()
    if process.returncode:
        said = log.read_text(encoding="utf-8", errors="replace").strip()
        raise FeedbackError(f"exit code {process.returncode} of: python {shlex.join(arguments)}\n{said}")
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return Watched(seconds, used, seen[0] / 1e6)


def _watch(number: int, over: threading.Event, seen: list[int]) -> None:
    """Note the most bytes that a process and its children hold, until it is ``over``."""
    import psutil

    while not over.wait(_LOOK_EVERY):
        with suppress(psutil.Error):
            parent = psutil.Process(number)
            seen[0] = max(seen[0], sum(one.memory_info().rss for one in [parent, *parent.children(recursive=True)]))


def _with_this_code(environment: Mapping[str, str] | None) -> dict[str, str]:
    """The environment of this process with additions, in which this code and no other that is installed is found."""
    wanted = {**os.environ, **(environment or {})}
    wanted["PYTHONPATH"] = os.pathsep.join(filter(None, [str(_ROOT), wanted.get("PYTHONPATH")]))
    return wanted


def end(process: "subprocess.Popen[bytes]", within: float = 15.0) -> None:
    """Ask a process to end, and end it if it does not ``within`` so many seconds; it is over when this returns."""
    process.terminate()
    try:
        process.wait(within)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
