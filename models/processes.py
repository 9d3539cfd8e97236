"""Running the project's commands, and ending what was started."""

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from models.errors import FeedbackError

_ROOT = Path(__file__).parent.parent


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
    wanted = {**os.environ, **(environment or {})}
    # this code and no other that is installed, wherever it runs
    wanted["PYTHONPATH"] = os.pathsep.join(filter(None, [str(_ROOT), wanted.get("PYTHONPATH")]))
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=wanted,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=log,
        check=False,
    )
    if done.returncode:
        raise FeedbackError(f"exit code {done.returncode} of: python {shlex.join(arguments)}")
    return Ran(time.perf_counter() - start, done.stdout.decode(errors="replace"))


def end(process: "subprocess.Popen[bytes]", within: float = 15.0) -> None:
    """Ask a process to end, and end it if it does not ``within`` so many seconds; it is over when this returns."""
    process.terminate()
    try:
        process.wait(within)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
