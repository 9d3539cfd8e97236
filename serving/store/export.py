"""Stored items as a file for people: CSV or a spreadsheet; or JSON Lines for machines."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from models.errors import DataError
from models.files import atomic_write
from models.records import LIST_SEPARATOR
from serving.cells import safe, text_file

FORMATS = (".csv", ".csv.gz", ".xlsx", ".jsonl", ".jsonl.gz")
COLUMNS = (
    *("id", "received_at", "source", "external_id", "text", "language", "channel", "categories", "sentiment"),
    *("team", "rule", "urgency", "due_at", "needs_review", "state", "changed_at"),
)
#: A cell of a spreadsheet holds so many characters, and a sheet so many rows.
_CELL, _ROWS = 32_767, 1_048_576


def export(found: Iterable[dict[str, Any]], out: Path, advance: Callable[[int], None]) -> int:
    """Write items, as :func:`serving.store.queries.every` gives them, to ``out``; returns how many.

    No cell is one that a spreadsheet would run. ``out`` appears when all is done.

    Raises:
        DataError: the name of ``out`` tells no format, or there are more items than a sheet has rows.
    """
    name = out.name.lower()
    if not name.endswith(FORMATS):
        raise DataError(f"{out}: unknown format; expected a name that ends with one of {', '.join(FORMATS)}")
    write = _xlsx if name.endswith(".xlsx") else _jsonl if ".jsonl" in name else _csv
    count = 0

    def counted() -> Iterator[dict[str, Any]]:
        nonlocal count
        for one in found:
            yield one
            count += 1
            advance(1)

    write(counted(), out)
    return count


def _csv(found: Iterable[dict[str, Any]], out: Path) -> None:
    with text_file(out) as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for one in found:
            table.writerow([safe(_cell(one[name])) for name in COLUMNS])


def _jsonl(found: Iterable[dict[str, Any]], out: Path) -> None:
    with text_file(out) as file:
        for one in found:
            plain = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in one.items()}
            file.write(json.dumps(plain, ensure_ascii=False) + "\n")


def _xlsx(found: Iterable[dict[str, Any]], out: Path) -> None:
    from xlsxwriter import Workbook

    with atomic_write(out, "wb") as file:
        # strings are strings: nothing becomes a formula or a link
        options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
        book = Workbook(file, {**options, "default_date_format": "yyyy-mm-dd hh:mm", "remove_timezone": True})
        sheet = book.add_worksheet("feedback")
        bold, wrapped = book.add_format({"bold": True}), book.add_format({"text_wrap": True, "valign": "top"})
        sheet.freeze_panes(1, 0)
        for column, name in enumerate(COLUMNS):
            sheet.write_string(0, column, name, bold)
        sheet.set_column(COLUMNS.index("text"), COLUMNS.index("text"), 80, wrapped)
        row = 0
        for row, one in enumerate(found, 1):
            if row >= _ROWS:
                raise DataError(
                    f"{out}: more than the {_ROWS - 1:,} items that a sheet holds; narrow the filter, or use .csv"
                )
            for column, name in enumerate(COLUMNS):
                value = one[name]
                if isinstance(value, datetime):
                    sheet.write_datetime(row, column, value)
                elif isinstance(value, bool):
                    sheet.write_boolean(row, column, value)
                elif value is not None:
                    sheet.write_string(row, column, str(_cell(value))[:_CELL])
        sheet.autofilter(0, 0, row, len(COLUMNS) - 1)
        book.close()


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return LIST_SEPARATOR.join(value)
    return value.isoformat() if isinstance(value, datetime) else value
