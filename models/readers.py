"""One reader for every file of feedback.

A bad row never stops the rest: it comes out as a :class:`Reject` that names its place. A file
that cannot be read at all raises DataError.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from models.errors import ConfigError, DataError, did_you_mean
from models.formats import rows_of
from models.records import LabeledItem
from models.rejects import Reject
from models.validation import describe

KNOWN_FIELDS = frozenset(LabeledItem.model_fields)


def read_items(source: str | Path, columns: Mapping[str, str] | None = None) -> Iterator[LabeledItem | Reject]:
    """Items of ``source`` in their order, bad rows as rejects; see :func:`read_placed`."""
    return (item for _, item in read_placed(source, columns))


def read_placed(
    source: str | Path, columns: Mapping[str, str] | None = None
) -> Iterator[tuple[str, LabeledItem | Reject]]:
    """Items of ``source`` in their order, each with the place it stands at, ``file:line``; bad rows as rejects.

    Args:
        source: a file in one of FORMATS, or ``hf:NAME[:SPLIT]`` for a dataset that the
            ``datasets`` library loads (a hub id, or a local folder).
        columns: what the source calls a field, e.g. ``{"text": "Review"}``.

    Raises:
        DataError: the source is missing, empty, of an unknown format, or has no ``text``.
    """
    renames = _renames(columns or {})
    missing = set(renames)
    empty = True
    for place, row in rows_of(str(source), renames):
        empty = False
        if isinstance(row, Reject):
            yield place, row
            continue
        missing.difference_update(row)
        yield place, _item(place, _renamed(row, renames))
    if empty:
        raise DataError(f"{source}: expected at least one row, got an empty file")
    if missing:
        raise DataError(f"{source}: no row has the column {min(missing)!r} that --column names; check its spelling")


def _renames(columns: Mapping[str, str]) -> dict[str, str]:
    if unknown := sorted(set(columns) - KNOWN_FIELDS):
        raise DataError(f"no field {unknown[0]!r} in a record; {did_you_mean(unknown[0], sorted(KNOWN_FIELDS))}")
    renames = {theirs: ours for ours, theirs in columns.items()}
    if len(renames) < len(columns):
        raise DataError("--column: a column can be only one field; name each once")
    return renames


def columns_of(settings: Sequence[str] | None) -> dict[str, str]:
    """``FIELD=NAME`` settings as what :func:`read_items` takes; ConfigError for anything else."""
    columns = {}
    for setting in settings or []:
        field, equals, name = setting.partition("=")
        if not equals or not field or not name:
            raise ConfigError(f"--column {setting}: expected FIELD=NAME, e.g. --column text=Review")
        columns[field] = name
    return columns


def _item(place: str, row: dict[str, Any]) -> LabeledItem | Reject:
    fields = {name: value for name, value in row.items() if name in KNOWN_FIELDS}
    extra = {name: value for name, value in row.items() if name not in KNOWN_FIELDS and value is not None}
    if extra:
        meta = fields.get("meta") or {}
        fields["meta"] = {**extra, **meta} if isinstance(meta, dict) else meta
    try:
        return LabeledItem.model_validate({name: value for name, value in fields.items() if value is not None})
    except ValidationError as error:
        return Reject(place, "; ".join(describe(error)), row)


def _renamed(row: dict[str, Any], renames: Mapping[str, str]) -> dict[str, Any]:
    if not renames:
        return row
    chosen = {renames[name]: value for name, value in row.items() if name in renames}
    return {name: value for name, value in row.items() if name not in renames} | chosen
