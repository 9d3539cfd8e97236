"""Changing fields of some rows of a data file in place: all else stays byte for byte, in every format that is read."""

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from models.errors import DataError
from models.files import atomic_write
from models.formats import (
    DATASET_PREFIX,
    cell_value,
    csv_names,
    csv_records,
    data_file,
    json_object,
    open_data,
    raw_lines,
)
from models.progress import Advance
from models.records import LIST_SEPARATOR
from models.rejects import Reject

#: New values by field for a row, None for a field that goes; None if the row stays.
Change = Callable[[Mapping[str, Any]], Mapping[str, Any] | None]
_BOM = b"\xef\xbb\xbf"


def rewrite(source: str, columns: Mapping[str, str], change: Change, advance: Advance, *, dry: bool = False) -> int:
    """Change rows of a file, which takes the place of the old one when it is whole; how many were changed.

    Rows that cannot be read stay as they are. A table has no place for fields that it has no column for.

    Args:
        source: a file in one of :data:`models.formats.FORMATS`.
        columns: what the file calls a field, e.g. ``{"text": "Review"}``.
        change: told of every row, by the names of a record.
        advance: told of every row.
        dry: change nothing, only count.

    Raises:
        DataError: the file is missing, empty, damaged, of an unknown format, or no file.
    """
    if source.startswith(DATASET_PREFIX):
        raise DataError(f"{source}: a dataset of a library cannot be changed; save it as a file, and name that")
    if not dry and not rewrite(source, columns, change, lambda _: None, dry=True):
        return 0  # a file in which nothing changes is not touched
    path = data_file(source)
    changing = _Changing(path, columns, change, advance)
    if path.name.lower().endswith(".parquet"):
        return changing.parquet(write=not dry)
    if dry:
        for _ in changing.lines():
            pass
        return changing.changed
    with atomic_write(path, "wb") as file:
        _write(changing.lines(), file, packed=path.name.lower().endswith(".gz"))
    return changing.changed


def _write(lines: Iterator[bytes], file: IO[bytes], *, packed: bool) -> None:
    if not packed:
        file.writelines(lines)
        return
    with gzip.GzipFile(fileobj=file, mode="wb", filename="", mtime=0) as zipped:
        for line in lines:
            zipped.write(line)


class _Changing:
    def __init__(self, path: Path, columns: Mapping[str, str], change: Change, advance: Advance) -> None:
        self._path, self._theirs, self._change, self._advance = path, columns, change, advance
        self._ours = {theirs: ours for ours, theirs in columns.items()}
        self.changed = 0

    def lines(self) -> Iterator[bytes]:
        """The content of the new file."""
        name = self._path.name.lower().removesuffix(".gz")
        return self._json_lines() if name.endswith(".jsonl") else self._table_lines()

    def _asked(self, row: Mapping[str, Any]) -> dict[str, Any] | None:
        self._advance(1)
        found = self._change({self._ours.get(name, name): value for name, value in row.items()})
        if not found:
            return None
        return {self._theirs.get(name, name): value for name, value in found.items()}

    def _json_lines(self) -> Iterator[bytes]:
        with open_data(self._path) as file:
            for _, line in raw_lines(self._path, file):
                row = json_object("", line) if line.strip() else {}
                found = None if isinstance(row, Reject) or not row else self._asked(row)
                if found is None or isinstance(row, Reject):
                    yield line
                    continue
                self.changed += 1
                kept = {name: value for name, value in (row | found).items() if name not in found or value is not None}
                end = line[len(line.rstrip(b"\r\n")) :]
                yield (_BOM if line.startswith(_BOM) else b"") + json.dumps(kept, ensure_ascii=False).encode() + end

    def _table_lines(self) -> Iterator[bytes]:
        with open_data(self._path) as packed:
            if next(raw_lines(self._path, packed), (1, b""))[1].startswith(_BOM):
                yield _BOM
        with io.TextIOWrapper(open_data(self._path), "utf-8-sig", "surrogateescape", newline="") as file:
            records = csv_records(self._path, file)
            first = next(records, None)
            names = csv_names(self._path, first, self._ours)
            yield _encoded("" if first is None else first.raw)
            for record in records:
                cells = record.cells
                if isinstance(cells, Reject) or len(cells) != len(names):
                    yield _encoded(record.raw)
                    continue
                named = zip(names, cells, strict=True)
                row = {name: cell_value(name, cell, self._ours) for name, cell in named if name}
                found = {name: value for name, value in (self._asked(row) or {}).items() if name in row}
                if not found:
                    yield _encoded(record.raw)
                    continue
                self.changed += 1
                new = [
                    _cell(found[name], cell) if name in found else cell for name, cell in zip(names, cells, strict=True)
                ]
                end = record.raw[len(record.raw.rstrip("\r\n")) :]
                written = io.StringIO()
                csv.writer(written, delimiter=record.delimiter, lineterminator=end).writerow(new)
                yield _encoded(written.getvalue())

    def parquet(self, *, write: bool) -> int:
        """Change a Parquet file; how many rows changed."""
        import pyarrow
        from pyarrow import parquet

        try:
            with parquet.ParquetFile(self._path) as file:
                tables = [self._batch(batch) for batch in file.iter_batches(batch_size=1000)]
                shape = file.schema_arrow
        except (pyarrow.ArrowException, OSError) as error:
            raise DataError(f"{self._path}: not a readable Parquet file: {error}") from None
        if write and self.changed:
            with atomic_write(self._path, "wb") as out, parquet.ParquetWriter(out, shape) as writer:
                for table in tables:
                    writer.write_batch(table)
        return self.changed

    def _batch(self, batch: Any) -> Any:
        import pyarrow

        rows = batch.to_pylist()
        columns: dict[str, list[Any]] = {}
        for number, row in enumerate(rows):
            found = {name: value for name, value in (self._asked(row) or {}).items() if name in row}
            self.changed += bool(found)
            for name, value in found.items():
                columns.setdefault(name, [one[name] for one in rows])[number] = value
        for name, values in columns.items():
            place = batch.schema.get_field_index(name)
            kind = batch.schema.field(name).type
            batch = batch.set_column(place, batch.schema.field(name), pyarrow.array(values, type=kind))
        return batch


def _cell(value: object, before: str) -> str:
    if isinstance(value, dict) or (isinstance(value, list) and (not value or before.lstrip().startswith("["))):
        return json.dumps(value, ensure_ascii=False)
    return LIST_SEPARATOR.join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
