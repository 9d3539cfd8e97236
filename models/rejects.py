"""Rows that could not be used: named, kept in a file, never dropped in silence."""

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from models.errors import DataError, as_list
from models.files import atomic_write
from models.records import LabeledItem

_SHOWN = 5


@dataclass(frozen=True)
class Reject:
    """A row that could not be used: where it stands, why, and what it held."""

    place: str
    reason: str
    row: object

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"


def line_of(reject: Reject) -> str:
    """A reject as a line of JSON."""
    line = {"place": reject.place, "reason": reject.reason, "row": reject.row}
    try:
        text = json.dumps(line, default=str, allow_nan=False)
    except ValueError:  # a number that JSON cannot hold
        text = json.dumps({**line, "row": repr(reject.row)})
    return text + "\n"


class Tally:
    """How many rows were refused, and the first of them, for a person. ``count`` were refused before."""

    def __init__(self, path: Path, count: int = 0) -> None:
        self.path, self.count = path, count
        self.first: list[Reject] = []

    def add(self, reject: Reject) -> None:
        """One more."""
        self.count += 1
        if len(self.first) < _SHOWN:
            self.first.append(reject)

    def summary(self) -> str:
        """What was left out, for a person: count, the first places and reasons, and the file."""
        more = self.count - len(self.first)
        faults = [str(reject) for reject in self.first] + ([f"and {more} more"] if more else [])
        return f"{self.count} row(s) left out, kept in {self.path}{as_list(faults)}"


class RejectLog(Tally):
    """Bad rows on their way into a file, in constant memory.

    Used as a context: when the block ends, with or without an error, the rejects stand in
    ``path`` as JSON Lines; when there were none, no file is left there. ``source`` is what is
    read: it is never written over.
    """

    def __init__(self, path: Path, source: str) -> None:
        if Path(source).resolve() == path.resolve():
            raise DataError(f"{source}: its bad rows would be written over it; rename it, or give another --out")
        super().__init__(path)
        self._file: IO[str] | None = None
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def usable(self, rows: Iterable[LabeledItem | Reject]) -> Iterator[LabeledItem]:
        """The items among ``rows``; the rejects are kept here."""
        for row in rows:
            if isinstance(row, Reject):
                self.add(row)
            else:
                yield row

    def add(self, reject: Reject) -> None:
        """Keep one bad row."""
        if self._file is None:
            self._file = self._open.enter_context(atomic_write(self.path))
        self._file.write(line_of(reject))
        super().add(reject)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._open.close()
        if kind is None and not self.count:
            self.path.unlink(missing_ok=True)  # of an earlier run
