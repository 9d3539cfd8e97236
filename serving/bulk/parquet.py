"""A Parquet table of answers."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow
from pyarrow import parquet

from models.files import atomic_write
from models.labels import LabelSchema
from models.records import LabeledItem
from serving.bulk.answers import columns

_ROWS = 10_000
#: Columns of a record that hold numbers.
_NUMBERS = {"rating": pyarrow.float64(), "nps": pyarrow.float64(), "csat": pyarrow.float64(), "ces": pyarrow.float64()}


def write_parquet(lines: Path, out: Path, schema: LabelSchema) -> None:
    """Make a table of the lines that :func:`serving.bulk.answers.as_cells` wrote, in constant memory."""
    form = pyarrow.schema([(name, _type(name)) for name in columns(schema)])
    with lines.open("rb") as file, atomic_write(out, "wb") as raw, parquet.ParquetWriter(raw, form) as table:
        for rows in _chunks(file):
            table.write_table(pyarrow.Table.from_pylist(rows, schema=form))


def _type(name: str) -> "pyarrow.DataType":
    if name in LabeledItem.model_fields:
        return _NUMBERS.get(name, pyarrow.string())
    if name.endswith(("_abstained", "_out_of_scope")):
        return pyarrow.bool_()
    return pyarrow.float64() if name.endswith(("_confidence", "_score")) else pyarrow.string()


def _chunks(file: Any) -> Iterator[list[dict[str, Any]]]:
    while chunk := [json.loads(line) for line in islice(file, _ROWS)]:
        yield chunk
