"""Every label in the store under its new name, in one transaction."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, Table, bindparam, delete, func, insert, select, text, update

from models.migration.moves import Migration, Unsettled
from models.progress import Advance
from serving.store.intake import with_families
from serving.store.life import add_event
from serving.store.relabel_bodies import digest_body, event_body
from serving.store.tables import corrections, digests, events, item_categories, items, predictions

#: Rows that are read and written at once.
_BATCH = 1000
#: What the event is called of an item that is to be labelled again, and who made it.
UNSETTLED, ACTOR = "unsettled", "labels migrate"


class Relabelling:
    """A pass over the store.

    ``changes`` counts rows by what they are; ``by_people`` and ``by_model`` are the keys of items that are to be
    labelled again, with the labels they have by task: those that people labelled, and those that only a model did.

    Args:
        connection: a transaction; nobody else writes while it lasts.
        migration: what becomes of labels.
        now: when.
        write: change what is found, or only count it.
    """

    def __init__(self, connection: Connection, migration: Migration, now: datetime, *, write: bool) -> None:
        self._connection, self._migration, self._now, self._write = connection, migration, now, write
        self.changes = {"predictions": 0, "corrections": 0, "items": 0, "events": 0, "digests": 0}
        self.by_people: dict[int, Unsettled] = {}
        self.by_model: dict[int, Unsettled] = {}
        if write and connection.dialect.name == "postgresql":
            # readers go on; writers wait, as they do for each other on SQLite
            tables = ", ".join(one.name for one in (items, item_categories, predictions, corrections))
            connection.execute(text(f"LOCK TABLE {tables} IN SHARE ROW EXCLUSIVE MODE"))

    def run(self, advance: Advance) -> None:
        """Go over everything; ``advance`` is told of rows."""
        self._bodies(predictions, "predictions", self._migration.prediction, advance)
        self._bodies(events, "events", partial(event_body, self._migration), advance)
        self._bodies(digests, "digests", partial(digest_body, self._migration), advance)
        self._corrections(advance)
        self._categories(advance)
        self._sentiments()
        self._unsettle()

    def size(self) -> int:
        """How many rows there are to go over."""
        counted = (select(func.count()).select_from(one) for one in (predictions, events, digests, corrections))
        return sum(self._connection.execute(one).scalar_one() for one in counted)

    def _rows(self, table: Table, *columns: Any) -> Iterator[Sequence[Any]]:
        """Rows in the order of their keys, some at a time."""
        last = 0
        wanted = select(table.c.key, *columns).order_by(table.c.key).limit(_BATCH)
        while rows := self._connection.execute(wanted.where(table.c.key > last)).all():
            yield rows
            last = rows[-1][0]

    def _bodies(
        self, table: Table, name: str, change: Callable[[Mapping[str, Any]], dict[str, Any]], advance: Advance
    ) -> None:
        for rows in self._rows(table, table.c.body):
            changed = [{"own": key, "new": new} for key, body in rows if (new := change(body)) != body]
            self.changes[name] += len(changed)
            if changed and self._write:
                own = update(table).where(table.c.key == bindparam("own")).values(body=bindparam("new"))
                self._connection.execute(own, changed)
            advance(len(rows))

    def _corrections(self, advance: Advance) -> None:
        own = corrections.c
        for rows in self._rows(corrections, own.item_key, own.task, own.labels, own.shown):
            changed, dropped = [], []
            for key, item, task, labels, shown in rows:
                touched = self._migration.touches(task, labels) or self._migration.touches(task, shown or ())
                kept, unsettled = self._migration.answers({task: labels})
                # the last word counts
                self.by_people.get(item, {}).pop(task, None)
                if unsettled:
                    self.by_people.setdefault(item, {}).update(unsettled)
                if not touched:
                    continue
                if task in kept:
                    said = None if shown is None else list(self._migration.move(task, shown).labels)
                    changed.append({"own": key, "new": kept[task], "said": said})
                else:  # nobody can say any more what is right
                    dropped.append(key)
            self.changes["corrections"] += len(changed) + len(dropped)
            if changed and self._write:
                new = update(corrections).where(own.key == bindparam("own"))
                self._connection.execute(new.values(labels=bindparam("new"), shown=bindparam("said")), changed)
            if dropped and self._write:
                self._connection.execute(delete(corrections).where(own.key.in_(dropped)))
            advance(len(rows))
        self.by_people = {key: labels for key, labels in self.by_people.items() if labels}

    def _categories(self, advance: Advance) -> None:
        moves = self._migration.tasks.get("category")
        if moves is None:
            return
        own = item_categories.c
        wanted = select(own.item_key).where(own.category.in_(sorted(moves.gone))).distinct().order_by(own.item_key)
        keys = list(self._connection.execute(wanted).scalars())
        self.changes["items"] += len(keys)
        for start in range(0, len(keys), _BATCH):
            part = keys[start : start + _BATCH]
            found: dict[int, list[str]] = {key: [] for key in part}
            rows = select(own.item_key, own.category).where(own.item_key.in_(part), ~own.category.endswith("/*"))
            for key, label in self._connection.execute(rows.order_by(own.category)):
                found[key].append(label)
            moved = {key: moves.move(labels) for key, labels in found.items()}
            for key, one in moved.items():
                if one.unsettled:
                    self._ask(key, "category", found[key])
            if self._write:
                self._connection.execute(delete(item_categories).where(own.item_key.in_(part)))
                new = [
                    {"item_key": key, "category": label}
                    for key, one in moved.items()
                    for label in with_families(one.labels)
                ]
                if new:
                    self._connection.execute(insert(item_categories), new)

    def _sentiments(self) -> None:
        moves = self._migration.tasks.get("sentiment")
        for label in sorted(moves.gone) if moves else ():
            keys = list(self._connection.execute(select(items.c.key).where(items.c.sentiment == label)).scalars())
            self.changes["items"] += len(keys)
            if moves and label in moves.split:
                for key in keys:
                    self._ask(key, "sentiment", [label])
            for start in range(0, len(keys) if self._write else 0, _BATCH):
                part = update(items).where(items.c.key.in_(keys[start : start + _BATCH]))
                self._connection.execute(part.values(sentiment=moves.to.get(label) if moves else None))

    def _ask(self, key: int, task: str, labels: Sequence[str]) -> None:
        given = self.by_people.get(key, {})
        if task not in given:
            self.by_model.setdefault(key, {})[task] = tuple(labels)

    def _unsettle(self) -> None:
        """People have to look at items that are to be labelled again; what they were taken for stays with each."""
        if not self._write:
            return
        keys = sorted({*self.by_people, *self.by_model})
        for start in range(0, len(keys), _BATCH):
            part = keys[start : start + _BATCH]
            self._connection.execute(update(items).where(items.c.key.in_(part)).values(needs_review=True))
        for key in keys:
            labels = self.by_model.get(key, {}) | self.by_people.get(key, {})
            said = {"labels": {task: list(given) for task, given in labels.items()}, "unsettled": sorted(labels)}
            add_event(self._connection, [key], UNSETTLED, ACTOR, said, self._now)


def records_of(connection: Connection, keys: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Items as records by key, each with the id that it has in the store."""
    found: dict[int, dict[str, Any]] = {}
    for start in range(0, len(keys), _BATCH):
        wanted = select(items.c.key, items.c.id, items.c.record).where(items.c.key.in_(keys[start : start + _BATCH]))
        for key, identity, record in connection.execute(wanted):
            found[key] = {**record, "id": identity}
    return found
