"""Channels: ways to reach a team, behind one method."""

import fcntl
import json
import os
from pathlib import Path
from typing import NamedTuple, Protocol

from serving.delivery.message import Message


class Outcome(NamedTuple):
    """How an attempt went: delivered, or to be tried again, or (``final``) refused for good.

    ``error`` names the kind of failure and holds neither text nor secrets. ``status`` is the receiver's, where it gives
    one; ``retry_after``, in seconds, is its wish.
    """

    delivered: bool
    final: bool = False
    error: str | None = None
    status: int | None = None
    retry_after: float | None = None


class Sender(Protocol):
    """Sends messages over one channel."""

    def send(self, message: Message) -> Outcome:
        """One attempt; never raises. May be called from several threads at once."""


class FileSender:
    """Appends each message as a line of JSON, on disk when it is called delivered.

    Args:
        path: the file; ``{team}`` in it stands for the name of the team.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    def send(self, message: Message) -> Outcome:
        """Append the message; a line is whole or is not there for who reads line by line."""
        line = (json.dumps(message.as_dict(), ensure_ascii=False) + "\n").encode()
        path = Path(self._path.replace("{team}", message.team))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o640)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                _end_torn_line(handle)
                written = os.write(handle, line)
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            return Outcome(False, error=f"cannot write {path}: {error.strerror}")
        return Outcome(written == len(line), error=None if written == len(line) else f"{path} took a part only")


def _end_torn_line(handle: int) -> None:
    """What was cut off by a full disk or a crash stays a line of its own, and does not spoil the next one."""
    size = os.fstat(handle).st_size
    if size and os.pread(handle, 1, size - 1) != b"\n":
        os.write(handle, b"\n")
