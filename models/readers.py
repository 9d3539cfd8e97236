"""One reader for every file of feedback: JSON Lines, CSV, Parquet (gzip too), datasets.

A bad row never stops the rest: it comes out as a :class:`Reject` that names its place. A file
that cannot be read at all raises DataError.
"""

import csv
import gzip
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

from pydantic import ValidationError

from models.errors import DataError, as_list, did_you_mean
from models.files import atomic_write
from models.records import LIST_SEPARATOR, LabeledItem

FORMATS = (".jsonl", ".jsonl.gz", ".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet")
DATASET_PREFIX = "hf:"
KNOWN_FIELDS = frozenset(LabeledItem.model_fields)
_CELL_LIMIT = 8_000_000
_SHOWN = 5


@dataclass(frozen=True)
class Reject:
    """A row that could not be used: where it stands, why, and what it held."""

    place: str
    reason: str
    row: object

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"


Row = dict[str, Any] | Reject


def read_items(source: str | Path, columns: Mapping[str, str] | None = None) -> Iterator[LabeledItem | Reject]:
    """Items of ``source`` in their order, bad rows as rejects.

    Args:
        source: a file in one of FORMATS, or ``hf:NAME[:SPLIT]`` for a dataset that the
            ``datasets`` library loads (a hub id, or a local folder).
        columns: what the source calls a field, e.g. ``{"text": "Review"}``.

    Raises:
        DataError: the source is missing, empty, of an unknown format, or has no ``text``.
    """
    renames = {theirs: ours for ours, theirs in (columns or {}).items()}
    unknown = sorted(set(renames.values()) - KNOWN_FIELDS)
    if unknown:
        raise DataError(f"no field {unknown[0]!r} in a record; {did_you_mean(unknown[0], sorted(KNOWN_FIELDS))}")
    empty = True
    for place, row in _rows(str(source), renames):
        empty = False
        yield row if isinstance(row, Reject) else _item(place, row)
    if empty:
        raise DataError(f"{source}: expected at least one row, got an empty file")


def _item(place: str, row: dict[str, Any]) -> LabeledItem | Reject:
    fields = {name: value for name, value in row.items() if name in KNOWN_FIELDS}
    extra = {name: value for name, value in row.items() if name not in KNOWN_FIELDS and value is not None}
    if extra:
        meta = fields.get("meta") or {}
        fields["meta"] = {**extra, **meta} if isinstance(meta, dict) else meta
    try:
        return LabeledItem.model_validate({name: value for name, value in fields.items() if value is not None})
    except ValidationError as error:
        return Reject(place, describe(error), row)


def describe(error: ValidationError, fields: Iterable[str] = ()) -> str:
    """A pydantic error as one line of field, what was expected, what was got.

    ``fields``: the known field names, to suggest one where an unknown was given. The text of the
    feedback itself is never repeated.
    """
    known = list(fields)
    reasons = []
    for detail in error.errors(include_url=False):
        where = ".".join(str(part) for part in detail["loc"]) or "record"
        if detail["type"] == "missing":
            reasons.append(f"field {where!r} is missing")
        elif detail["type"] == "extra_forbidden":
            reasons.append(f"unknown field {where!r}; {did_you_mean(where, known)}; own fields go into 'meta'")
        else:
            got = detail["input"]
            shown = where != "text" and isinstance(got, str | int | float) and f", got {str(got)[:60]!r}"
            message = detail["msg"].removeprefix("Value error, ")
            reasons.append(f"{where}: {message[:1].lower()}{message[1:]}{shown or ''}")
    return "; ".join(reasons)


def _rows(source: str, renames: Mapping[str, str]) -> Iterator[tuple[str, Row]]:
    if source.startswith(DATASET_PREFIX):
        rows = _dataset_rows(source)
    else:
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
        if name.endswith(".parquet"):
            rows = _parquet_rows(path, renames)
        elif ".jsonl" in name:
            rows = _json_rows(path)
        else:
            rows = _csv_rows(path, renames)
    for place, row in rows:
        yield place, {renames.get(key, key): value for key, value in row.items()} if isinstance(row, dict) else row


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb")  # type: ignore[return-value]


def _json_rows(path: Path) -> Iterator[tuple[str, Row]]:
    with _open(path) as file:
        for number, line in _lines(path, file):
            place = f"{path}:{number}"
            if not line.strip():
                continue
            try:
                value = json.loads(line.decode("utf-8-sig"), parse_constant=_no_constant)
            except (ValueError, RecursionError) as error:
                yield place, Reject(place, f"not valid JSON: {error}", line.decode("utf-8", "replace").strip()[:2000])
                continue
            if isinstance(value, dict):
                yield place, value
            else:
                yield place, Reject(place, f"expected a JSON object, got {type(value).__name__}", value)


def _lines(path: Path, file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    try:
        yield from enumerate(file, 1)
    except (OSError, EOFError) as error:
        raise DataError(f"{path}: damaged gzip file: {error}") from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _csv_rows(path: Path, renames: Mapping[str, str]) -> Iterator[tuple[str, Row]]:
    csv.field_size_limit(_CELL_LIMIT)
    with _open(path) as file:
        # a byte that is not UTF-8 becomes a lone surrogate, which the record refuses row by row
        lines = (line.decode("utf-8-sig" if n == 1 else "utf-8", "surrogateescape") for n, line in _lines(path, file))
        header = next(lines, "")
        delimiter = max("\t;,", key=header.count)
        names = [name.strip() for name in next(csv.reader([header], delimiter=delimiter), [])]
        _need_text(path, names, renames)
        reader = csv.DictReader(lines, names, restkey="", delimiter=delimiter, strict=True)
        while True:
            place = f"{path}:{reader.line_num + 2}"
            try:
                row = next(reader, None)
            except csv.Error as error:
                yield place, Reject(place, f"not valid CSV: {error}", None)
                continue
            if row is None:
                return
            if "" in row:
                yield place, Reject(place, f"expected {len(names)} cells, got more", row)
            else:
                yield place, {name: _cell(name, value, renames) for name, value in row.items()}


def _need_text(path: Path, names: list[str], renames: Mapping[str, str]) -> None:
    if "text" not in [renames.get(name, name) for name in names]:
        raise DataError(
            f"{path}: expected a column 'text', got columns {', '.join(names) or 'none'}; "
            "rename one, or say which with --column text=NAME"
        )


def _cell(name: str, value: str | None, renames: Mapping[str, str]) -> object:
    if value is None or not value.strip():
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
                    yield f"{path}:{number}", {name: _plain(value) for name, value in row.items()}
    except pyarrow.ArrowException as error:
        raise DataError(f"{path}: not a readable Parquet file: {error}") from None


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


def _plain(value: object) -> object:
    if isinstance(value, float) and math.isnan(value):
        return None
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value


class RejectLog:
    """Bad rows on their way into a file, in constant memory.

    Used as a context: when the block ends, with or without an error, the rejects stand in
    ``path`` as JSON Lines; when there were none, no file is left there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self.first: list[Reject] = []
        self._file: IO[str] | None = None
        self._open = ExitStack()

    def __enter__(self) -> Self:
        self.path.unlink(missing_ok=True)
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
        line = {"place": reject.place, "reason": reject.reason, "row": reject.row}
        self._file.write(json.dumps(line, default=str) + "\n")
        self.count += 1
        if len(self.first) < _SHOWN:
            self.first.append(reject)

    def summary(self) -> str:
        """What was left out, for a person: count, the first places and reasons, and the file."""
        more = self.count - len(self.first)
        faults = [str(reject) for reject in self.first] + ([f"and {more} more"] if more else [])
        return f"{self.count} row(s) left out, kept in {self.path}{as_list(faults)}"

    def __exit__(self, *_: object) -> None:
        self._open.close()
