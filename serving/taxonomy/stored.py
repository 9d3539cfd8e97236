"""The store, as a part of a migration."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine

from models.migration.moves import Migration, Unsettled
from models.migration.parts import Line, Plan
from models.migration.records import without_labels
from models.progress import Progress
from serving.failpoints import reach
from serving.store.engine import reading, writing
from serving.store.relabel import Relabelling, records_of


class Store:
    """Everything that is stored: predictions, corrections, what items are found by, digests.

    Args:
        engine: the store.
        migration: what becomes of labels.
        relabel: how many items at most that only a model labelled are to be labelled by people, the newest first.
    """

    def __init__(self, engine: Engine, migration: Migration, relabel: int) -> None:
        self._engine, self._migration, self._relabel = engine, migration, relabel
        self._name = engine.url.render_as_string(hide_password=True)

    def plan(self, progress: Progress) -> Plan:
        """How many rows change; what is to be labelled again."""
        with reading(self._engine) as connection:
            found = Relabelling(connection, self._migration, datetime.now(UTC), write=False)
            with progress.stage("reading the store", found.size(), "rows") as advance:
                found.run(advance)
            newest = sorted(set(found.by_model) - set(found.by_people), reverse=True)[: self._relabel]
            wanted: dict[int, Unsettled] = {key: found.by_model[key] for key in newest}
            for key, labels in found.by_people.items():
                wanted[key] = found.by_model.get(key, {}) | labels
            records = records_of(connection, sorted(wanted))
        queue = [without_labels(records[key], self._migration, wanted[key]) for key in sorted(wanted)]
        plan = Plan(queue=queue)
        for what, count in found.changes.items():
            plan.lines.append(Line(self._name, what, count, len(queue) if what == "items" else 0))
        if left := len({*found.by_model, *found.by_people}) - len(wanted):
            plan.notes.append(
                f"{left:,} more stored item(s) have a label that is split, which only a model gave: they are marked for"
                " review, and not put to labelers; --relabel N puts more"
            )
        return plan

    def apply(self, queue: Sequence[dict[str, Any]], progress: Progress) -> list[str]:
        """Change it in one transaction."""
        with writing(self._engine) as connection:
            found = Relabelling(connection, self._migration, datetime.now(UTC), write=True)
            with progress.stage("changing the store", found.size(), "rows") as advance:
                found.run(advance)
            reach("labels-before-commit")
        return []
