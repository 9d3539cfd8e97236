"""The label schema and files of feedback, as parts of a migration."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from models.files import atomic_write
from models.labels import LabelSchema
from models.migration.moves import Migration
from models.migration.parts import Line, Plan
from models.migration.records import row_change, without_labels
from models.progress import Progress
from models.rewrite import rewrite


class DataFile:
    """A file of labelled feedback, of corrections, or of what `feedback classify` wrote.

    Args:
        source: the file, in a format that is read.
        columns: what it calls a field.
        migration: what becomes of labels.
    """

    def __init__(self, source: str, columns: Mapping[str, str], migration: Migration) -> None:
        self._source, self._columns, self._migration = source, columns, migration

    def plan(self, progress: Progress) -> Plan:
        """How many rows change; those that are to be labelled again."""
        queue: list[dict[str, Any]] = []

        def change(row: Mapping[str, Any]) -> Mapping[str, Any] | None:
            found = row_change(row, self._migration)
            if found is not None and found.unsettled:
                queue.append(without_labels(row, self._migration, found.unsettled))
            return None if found is None else found.fields

        with progress.stage(f"reading {self._source}", None, "rows") as advance:
            count = rewrite(self._source, self._columns, change, advance, dry=True)
        return Plan([Line(self._source, "rows", count, len(queue))], queue)

    def apply(self, queue: Sequence[dict[str, Any]], progress: Progress) -> list[str]:
        """Write it anew, if anything changes."""

        def change(row: Mapping[str, Any]) -> Mapping[str, Any] | None:
            found = row_change(row, self._migration)
            return None if found is None else found.fields

        with progress.stage(f"writing {self._source}", None, "rows") as advance:
            rewrite(self._source, self._columns, change, advance)
        return []


class SchemaFile:
    """The file of the label schema. It is the last to be written: as long as it is the old one, the migration is to be
    finished.

    Args:
        path: the file.
        migration: what becomes of labels.
    """

    def __init__(self, path: Path, migration: Migration) -> None:
        self._path, self._migration = path, migration

    def plan(self, progress: Progress) -> Plan:
        """How many labels go or come."""
        old = self._migration.old
        if old is None:
            return Plan([Line(str(self._path), "labels", 0)], notes=[f"{self._path} is migrated already"])
        changed = sum(
            len(set(task.keys) ^ set(self._migration.new.tasks[name].keys)) for name, task in old.tasks.items()
        )
        return Plan([Line(str(self._path), "labels", changed)])

    def apply(self, queue: Sequence[dict[str, Any]], progress: Progress) -> list[str]:
        """Write the new schema; comments at the head of the file stay."""
        if self._migration.old is not None:
            with atomic_write(self._path) as file:
                file.write(_with_head(self._path, self._migration.new))
        return []


def _with_head(path: Path, schema: LabelSchema) -> str:
    head = []
    for line in path.read_text(encoding="utf-8-sig").splitlines():
        if not line.startswith("#"):
            break
        head.append(line)
    text = schema.to_toml()
    return "\n".join(head) + "\n" + text.partition("\n")[2] if head else text
