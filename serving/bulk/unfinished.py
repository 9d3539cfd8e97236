"""A file of answers that is not finished: what was written up to a mark stays, and work goes on from there.

It lies in the workspace of the file it is to become: answers and refused rows, which only grow, and a journal that
tells how long they were, and how many rows were behind them, when both were last on disk. What is longer was not
marked, and is cut off when the work goes on.
"""

import gzip
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from pydantic import BaseModel, ConfigDict

from models.errors import FeedbackError, InputError
from models.files import write_json
from models.workspace import own_workspace

#: Seconds between two marks: as much work is done again after a kill.
MARK_EVERY = 2.0
_JOURNAL, _ANSWERS, _REJECTS = "journal.json", "answers", "rejects"


class Done(BaseModel):
    """Rows of the source that are behind a mark, how many were answered and how many refused, and the bytes of both."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int = 0
    answers: int = 0
    rejects: int = 0
    answer_bytes: int = 0
    reject_bytes: int = 0


class Unfinished:
    """What is written, and how far it is. Of a ``packed`` file every piece is packed by itself, so that it can be cut
    after any of them."""

    def __init__(self, folder: Path, work: Mapping[str, object], done: Done, *, packed: bool) -> None:
        self.folder, self.done = folder, done
        self._work, self._packed = dict(work), packed
        self._answers = _cut(folder / _ANSWERS, done.answer_bytes)
        self._rejects = _cut(folder / _REJECTS, done.reject_bytes)
        self._marked = time.monotonic()

    @property
    def answers(self) -> Path:
        """The answers so far."""
        return self.folder / _ANSWERS

    @property
    def rejects(self) -> Path:
        """The refused rows so far."""
        return self.folder / _REJECTS

    def add(self, rows: int, answers: str, answered: int, rejects: str, rejected: int) -> None:
        """Write what became of the next rows, and mark it now and then."""
        content = gzip.compress(answers.encode(), mtime=0) if self._packed and answers else answers.encode()
        refused = rejects.encode()
        self._answers.write(content)
        self._rejects.write(refused)
        done = self.done
        self.done = Done(
            rows=done.rows + rows,
            answers=done.answers + answered,
            rejects=done.rejects + rejected,
            answer_bytes=done.answer_bytes + len(content),
            reject_bytes=done.reject_bytes + len(refused),
        )
        if time.monotonic() - self._marked >= MARK_EVERY:
            self.mark()

    def mark(self) -> None:
        """Let all that was written stay."""
        for file in (self._answers, self._rejects):
            file.flush()
            os.fsync(file.fileno())
        write_json(self.folder / _JOURNAL, {"work": self._work, "done": self.done.model_dump()})
        self._marked = time.monotonic()

    def close(self) -> None:
        """Let go of the files."""
        self._answers.close()
        self._rejects.close()


@contextmanager
def open_unfinished(
    out: Path, work: Mapping[str, object], *, packed: bool, resume: bool, lost: Callable[[int], None]
) -> Iterator[Unfinished]:
    """What is to become the file ``out``; begun, or taken up where a run was stopped.

    When the block ends well, or with an error that would come again, the folder is removed: until then the block puts
    the files where they belong. A run that is stopped leaves it.

    Args:
        out: the file.
        work: all that the answers depend on; a run goes on only with the same.
        packed: whether the answers are packed with gzip.
        resume: whether to go on with what a stopped run left.
        lost: is told how many rows a stopped run had done that are done again, since ``resume`` is not set.

    Raises:
        InputError: another run is at work on it; or what was begun was other work.
    """
    with own_workspace(out) as folder:
        found = Unfinished(folder, work, _done(folder, work, resume, lost), packed=packed)
        try:
            yield found
        except FeedbackError:
            shutil.rmtree(folder)
            raise
        except BaseException:
            # where the disk is full the last mark stands
            with suppress(OSError):
                found.mark()
            raise
        finally:
            with suppress(OSError):
                found.close()
        shutil.rmtree(folder)


def _done(folder: Path, work: Mapping[str, object], resume: bool, lost: Callable[[int], None]) -> Done:
    journal = folder / _JOURNAL
    # without answers the file had got its name already, and only this folder was left
    if not journal.exists() or not (folder / _ANSWERS).exists():
        return Done()
    before = json.loads(journal.read_text(encoding="utf-8"))
    done = Done.model_validate(before["done"])
    if not resume:
        if done.rows:
            lost(done.rows)
        journal.unlink()
        return Done()
    if different := [name for name in work if before["work"].get(name) != work[name]]:
        faults = "; ".join(f"{name} was {before['work'].get(name)}, is {work[name]}" for name in different)
        raise InputError(f"{folder}: the run that was stopped was another one: {faults}; begin anew without --resume")
    return done


def _cut(path: Path, size: int) -> IO[bytes]:
    """The file, cut to its first ``size`` bytes, to be written on."""
    path.touch()
    os.truncate(path, size)
    return path.open("ab")
