"""What is to be labelled again, in a file: written before anything changes, so that nothing is forgotten on the way."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from models.files import atomic_write
from models.formats import json_rows
from models.migration.records import as_line
from models.records import UNSETTLED
from models.rejects import Reject
from models.text import fingerprint


def read_queue(path: Path) -> list[dict[str, Any]]:
    """The records in the file; none, if there is none."""
    if not path.exists():
        return []
    return [row for _, row in json_rows(path) if not isinstance(row, Reject)]


def joined(*queues: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Records of several queues, each text once, with its labels of all tasks."""
    found: dict[str, dict[str, Any]] = {}
    for queue in queues:
        for row in queue:
            mark = fingerprint(str(row.get("text", "")))
            before = found.setdefault(mark, row)
            if before is not row:
                meta = before["meta"]
                unsettled = {**row["meta"][UNSETTLED], **meta[UNSETTLED]}
                found[mark] = before | {"meta": meta | {UNSETTLED: unsettled}}
    return list(found.values())


def write_queue(path: Path, queue: Iterable[dict[str, Any]]) -> None:
    """Write it in place of what stood there."""
    with atomic_write(path) as file:
        for row in queue:
            file.write(as_line(json.loads(json.dumps(row, default=str))))
