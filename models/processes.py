"""Ending what was started."""

import subprocess


def end(process: "subprocess.Popen[bytes]", within: float = 15.0) -> None:
    """Ask a process to end, and end it if it does not ``within`` so many seconds; it is over when this returns."""
    process.terminate()
    try:
        process.wait(within)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
