"""From a file to its rows, whatever the format: JSON Lines, CSV, Parquet (gzip too), datasets.

A row that cannot be read comes out as a :class:`Reject` that names its place.
"""

import csv
import gzip
import io
import json
import math
import zlib
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from datetime import date, time
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from models.errors import DataError
from models.records import LIST_SEPARATOR
from models.rejects import Reject

FORMATS = (".jsonl", ".jsonl.gz", ".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet")
DATASET_PREFIX = "hf:"
_DAMAGED = (OSError, EOFError, zlib.error)
#: Most lines that one row of a table may take, so that a quote left open costs no more.
_LINES_OF_A_ROW = 1000
_CELL_LIMIT = 8_000_000

Row = dict[str, Any] | Reject


def rows_of(source: str, renames: Mapping[str, str]) -> Iterator[tuple[str, Row]]:
    """The rows of ``source`` in their order, each with its place; see :func:`models.readers.read_placed`.

    Args:
        source: a file in one of FORMATS, or ``hf:NAME[:SPLIT]``.
        renames: what a column is called in a record, by its name in the source.

    Raises:
        DataError: the source is missing, empty, damaged, of an unknown format, or has no ``text``.
    """
    if source.startswith(DATASET_PREFIX):
        rows = _dataset_rows(source)
    else:
        path = data_file(source)
        name = path.name.lower()
        if name.endswith(".parquet"):
            rows = _parquet_rows(path, renames)
        elif name.removesuffix(".gz").endswith(".jsonl"):
            rows = json_rows(path)
        else:
            rows = _csv_rows(path, renames)
    yield from rows


def count_rows(source: str) -> int | None:
    """How many rows a source holds, to tell how long it takes; None where that would need reading all of it over a
    network, or where it cannot be read.

    Of a table with cells of several lines it is right where quotes are.
    """
    path = Path(source)
    if source.startswith(DATASET_PREFIX) or not path.is_file():
        return None
    name = path.name.lower()
    try:
        if name.endswith(".parquet"):
            from pyarrow import parquet

            return int(parquet.read_metadata(path).num_rows)
        with open_data(path) as file:
            if name.removesuffix(".gz").endswith(".jsonl"):
                return sum(not line.isspace() for line in file)
            return max(0, _count_records(file) - 1)
    except (*_DAMAGED, ValueError):
        return None


def _count_records(file: IO[bytes]) -> int:
    count, inside = 0, False
    for line in file:
        inside ^= line.count(b'"') % 2 == 1
        count += not inside and not line.isspace()
    return count


def data_file(source: str) -> Path:
    """The file called ``source``; DataError if there is none, it is empty or of an unknown format."""
    path = Path(source)
    name = path.name.lower()
    if path.is_dir():
        raise DataError(f"{source}: expected a file, got a folder")
    if not path.exists():
        raise DataError(f"{source}: no such file; for a dataset of the hub write {DATASET_PREFIX}{source}")
    if not name.endswith(FORMATS):
        raise DataError(f"{source}: unknown format; expected a name that ends with one of {', '.join(FORMATS)}")
    if path.stat().st_size == 0:
        raise DataError(f"{source}: expected at least one row, got an empty file")
    return path


def open_data(path: Path) -> IO[bytes]:
    """The bytes of a file, unpacked."""
    packed = path.name.lower().endswith(".gz")
    return cast(IO[bytes], gzip.open(path, "rb")) if packed else path.open("rb")


def json_rows(path: Path) -> Iterator[tuple[str, Row]]:
    """Objects of a JSON Lines file, gzip or plain, each with its place; bad lines as rejects.

    Raises:
        DataError: the file is damaged.
    """
    return ((place, json_object(place, line)) for place, line in json_lines(path))


def json_lines(path: Path) -> Iterator[tuple[str, bytes]]:
    """Lines of a file, gzip or plain, that are not blank, each with its place; DataError if the file is damaged."""
    with open_data(path) as file:
        for number, line in raw_lines(path, file):
            if line.strip():
                yield f"{path}:{number}", line


def json_object(place: str, line: bytes) -> Row:
    """The object that a line holds, or why it holds none."""
    try:
        value = json.loads(line.decode("utf-8-sig"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        return Reject(place, f"not valid JSON: {error}", line.decode("utf-8", "replace").strip()[:2000])
    if isinstance(value, dict):
        return value
    return Reject(place, f"expected a JSON object, got {type(value).__name__}", value)


def raw_lines(path: Path, file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Lines of a file with their numbers; DataError if it is damaged."""
    try:
        yield from enumerate(file, 1)
    except _DAMAGED as error:
        raise DataError(f"{path}: damaged file: {error}") from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _csv_rows(path: Path, renames: Mapping[str, str]) -> Iterator[tuple[str, Row]]:
    # a byte that is not UTF-8 becomes a lone surrogate, which the record refuses row by row
    with io.TextIOWrapper(open_data(path), "utf-8-sig", "surrogateescape", newline="") as file:
        records = csv_records(path, file)
        names = csv_names(path, next(records, None), renames)
        for number, cells, _, _ in records:
            place = f"{path}:{number}"
            if isinstance(cells, Reject):
                yield place, cells
            elif cells and len(cells) != len(names):
                yield place, Reject(place, f"expected {len(names)} cells, got {len(cells)}", cells)
            elif cells:
                # a column without a name is the row number that tables are often written with
                named = zip(names, cells, strict=True)
                yield place, {name: cell_value(name, value, renames) for name, value in named if name}


class CsvRecord(NamedTuple):
    """A row of a table: the number of its first line, its cells, as what it stands in the file, and what is between
    cells."""

    number: int
    cells: list[str] | Reject
    raw: str
    delimiter: str


def csv_names(path: Path, first: CsvRecord | None, renames: Mapping[str, str]) -> list[str]:
    """Names of columns, from the first row; DataError if it has none, one twice, or no ``text``."""
    cells: list[str] | Reject = [] if first is None else first.cells
    if isinstance(cells, Reject):
        raise DataError(f"{path}: expected column names in the first row; {cells.reason}")
    names = [name.strip() for name in cells]
    _need_text(path, names, renames)
    twice = [name for name, count in Counter(names).items() if count > 1 and name]
    if twice:
        raise DataError(f"{path}: column {twice[0]!r} stands twice; rename one")
    return names


def csv_records(path: Path, file: IO[str]) -> Iterator[CsvRecord]:
    """Rows of cells.

    Where a row does not parse, as after a quote that is never closed, its first line alone is the
    reject, and reading goes on with the next line.
    """
    csv.field_size_limit(_CELL_LIMIT)
    waiting: deque[str] = deque()
    taken: list[str] = []

    def lines() -> Iterator[str]:
        while len(taken) < _LINES_OF_A_ROW:
            line = waiting.popleft() if waiting else file.readline()
            if not line:
                return
            taken.append(line)
            yield line

    try:
        first = file.readline()
        waiting.append(first)
        delimiter = max("\t;,", key=first.count)
        number = 1
        while True:
            taken.clear()
            try:
                cells = next(csv.reader(lines(), delimiter=delimiter, strict=True), None)
            except csv.Error as error:
                waiting.extendleft(reversed(taken[1:]))
                del taken[1:]
                row = Reject(f"{path}:{number}", f"not valid CSV: {error}", taken[0].rstrip())
                yield CsvRecord(number, row, taken[0], delimiter)
            else:
                if cells is None:
                    return
                yield CsvRecord(number, cells, "".join(taken), delimiter)
            number += len(taken)
    except _DAMAGED as error:
        raise DataError(f"{path}: damaged file: {error}") from None


def _need_text(path: Path, names: list[str], renames: Mapping[str, str]) -> None:
    if "text" not in [renames.get(name, name) for name in names]:
        raise DataError(
            f"{path}: expected a column 'text', got columns {', '.join(names) or 'none'}; "
            "rename one, or say which with --column text=NAME"
        )


def cell_value(name: str, value: str, renames: Mapping[str, str]) -> object:
    """What a cell of a table holds: None where it is blank, a list or an object where the field has one."""
    if not value.strip():
        return "" if renames.get(name, name) == "text" else None
    field_name = renames.get(name, name)
    if field_name in ("categories", "meta") and value.lstrip()[:1] in "[{":
        try:
            return json.loads(value, parse_constant=_no_constant)
        except ValueError:
            return value
    if field_name == "categories":
        return [label.strip() for label in value.split(LIST_SEPARATOR) if label.strip()]
    return value


def _parquet_rows(path: Path, renames: Mapping[str, str]) -> Iterator[tuple[str, Row]]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            _need_text(path, file.schema_arrow.names, renames)
            number = 0
            for batch in file.iter_batches(batch_size=1000):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}:{number}", {name: _typed(name, value, renames) for name, value in row.items()}
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a readable Parquet file: {error}") from None


def _typed(name: str, value: Any, renames: Mapping[str, str]) -> Any:
    # a table need not have columns of lists and objects: what they hold may be text
    is_text = isinstance(value, str) and renames.get(name, name) in ("categories", "meta")
    return cell_value(name, value, renames) if is_text else _plain(value)


def _dataset_rows(source: str) -> Iterator[tuple[str, Row]]:
    from datasets import load_dataset

    name, _, split = source.removeprefix(DATASET_PREFIX).partition(":")
    try:
        dataset = load_dataset(name, split=split or "train", streaming=True)
        for number, row in enumerate(dataset, 1):
            yield f"{source}:{number}", {key: _plain(value) for key, value in row.items()}
    except (OSError, ValueError, ImportError) as error:
        message = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{source}: the dataset cannot be loaded: {message}; check the name and the network, "
            f"or save it as a file ({', '.join(FORMATS)})"
        ) from None


def _plain(value: Any) -> Any:
    """A value of a table as JSON would hold it; NaN is a missing one."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, date | time):
        return value.isoformat()
    return value if isinstance(value, str | int | float | bool | None) else str(value)
