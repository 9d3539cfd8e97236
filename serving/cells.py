"""Tables that people open in a spreadsheet: their cells, and their files."""

import gzip
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from models.files import atomic_write

#: A spreadsheet takes a cell that begins so for a formula and runs it.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def safe(value: object) -> object:
    """A cell that no spreadsheet runs: text that looks like a formula gets an apostrophe before it."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


@contextmanager
def text_file(path: Path) -> Iterator[IO[str]]:
    """A text file to write, packed where its name ends with .gz, that appears when the block ends without an error."""
    if path.name.lower().endswith(".gz"):
        with (
            atomic_write(path, "wb") as raw,
            gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) as packed,
            io.TextIOWrapper(packed, encoding="utf-8", newline="") as file,
        ):
            yield file
    else:
        with atomic_write(path) as file:
            yield file
