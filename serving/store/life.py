"""What people do with stored items, written as events beside what it changes."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from serving.routing.decision import Decision
from serving.store.engine import writing
from serving.store.intake import with_families
from serving.store.rows import insert_rows
from serving.store.tables import OPEN, corrections, decisions, digest_items, events, item_categories, items, predictions

#: Parameters of one statement; SQLite takes 32,766.
_MANY = 10_000


class Standing(NamedTuple):
    """Where an item stands: its row, what was decided first and last, and the latest prediction with its key."""

    row: Mapping[str, Any]
    first: Decision
    last: Decision
    prediction_key: int
    prediction: Mapping[str, Any]

    @property
    def key(self) -> int:
        """Its key in the store."""
        return int(self.row["key"])


@contextmanager
def changing(engine: Engine, identity: str) -> Iterator[tuple[Connection, Standing | None]]:
    """A transaction in which nobody else changes this item; None if there is no such item.

    Raises:
        StoreError: nothing was changed; it is worth trying again.
    """
    with writing(engine) as connection:
        wanted = select(items).where(items.c.id == identity)
        if connection.dialect.name == "postgresql":
            wanted = wanted.with_for_update()
        row = connection.execute(wanted).mappings().one_or_none()
        yield connection, None if row is None else _standing(connection, dict(row))


def add_event(
    connection: Connection, keys: Sequence[int], kind: str, actor: str, body: Mapping[str, Any], at: datetime
) -> None:
    """Write down that something happened to items."""
    if keys:
        rows = [{"item_key": key, "at": at, "kind": kind, "actor": actor, "body": dict(body)} for key in keys]
        insert_rows(connection, events, rows)


def set_state(connection: Connection, keys: Sequence[int], state: str, at: datetime) -> None:
    """Bring items into a state; of what is settled nobody is reminded."""
    values: dict[str, Any] = {"state": state, "changed_at": at}
    if state not in OPEN:
        values |= {"watch_at": None}
    for start in range(0, len(keys), _MANY):
        connection.execute(update(items).where(items.c.key.in_(keys[start : start + _MANY])).values(**values))


def reopen(connection: Connection, key: int, due_at: datetime | None, at: datetime) -> None:
    """Begin with an item anew, with another time until which it has to be done."""
    values = {"state": "in_progress", "changed_at": at, **_watched(due_at)}
    connection.execute(update(items).where(items.c.key == key).values(**values))


def hand_over(connection: Connection, standing: Standing, decision: Decision, at: datetime) -> None:
    """Give an item to the team of a new decision, where it begins anew; in digests of the old one it is not wanted."""
    waiting = digest_items.c.item_key == standing.key, digest_items.c.digest_key.is_(None)
    connection.execute(delete(digest_items).where(*waiting, digest_items.c.team == standing.row["team"]))
    connection.execute(
        insert(decisions).values(
            item_key=standing.key,
            prediction_key=standing.prediction_key,
            at=at,
            cause="not_ours",
            rules_version=decision.rules_version,
            body=decision,
        )
    )
    values = {
        "team": decision.team,
        "rule": decision.rule,
        "needs_review": decision.needs_review,
        "state": "routed",
        "changed_at": at,
        **_watched(decision.due_at),
    }
    connection.execute(update(items).where(items.c.key == standing.key).values(**values))


def correct(
    connection: Connection,
    standing: Standing,
    labels: Mapping[str, Sequence[str]],
    who: Mapping[str, Any],
    at: datetime,
) -> bool:
    """Write down which labels are right, per task, and find the item by them from now on.

    Args:
        connection: of :func:`changing`.
        standing: the item.
        labels: the right ones.
        who: ``actor``, ``origin`` and ``origin_id``; the last tells a correction that was sent twice.
        at: when.

    Returns:
        Whether anything was written; not, if it was before.
    """
    tasks = standing.prediction["tasks"]
    rows = [
        {
            "item_key": standing.key,
            "at": at,
            "task": task,
            "labels": list(right),
            "shown": tasks[task]["labels"] if task in tasks else None,
            **who,
        }
        for task, right in labels.items()
    ]
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    wanted = dialect.insert(corrections).on_conflict_do_nothing(index_elements=["origin", "origin_id", "task"])
    written = connection.execute(wanted.returning(corrections.c.task), rows).scalars().all()
    values: dict[str, Any] = {"needs_review": False, "changed_at": at}
    if "category" in written:
        connection.execute(delete(item_categories).where(item_categories.c.item_key == standing.key))
        found = [{"item_key": standing.key, "category": label} for label in with_families(labels["category"])]
        if found:
            insert_rows(connection, item_categories, found)
    if "sentiment" in written:
        values["sentiment"] = labels["sentiment"][0] if labels["sentiment"] else None
    if written:
        connection.execute(update(items).where(items.c.key == standing.key).values(**values))
    return bool(written)


def _watched(due_at: datetime | None) -> dict[str, Any]:
    return {"due_at": due_at, "watch_at": due_at, "reminded_at": None, "escalated_at": None}


def _standing(connection: Connection, row: Mapping[str, Any]) -> Standing:
    key = row["key"]
    made = connection.execute(
        select(decisions.c.body).where(decisions.c.item_key == key).order_by(decisions.c.key)
    ).scalars()
    bodies = [Decision.model_validate(body) for body in made]
    said = (
        select(predictions.c.key, predictions.c.body)
        .where(predictions.c.item_key == key)
        .order_by(predictions.c.key.desc())
        .limit(1)
    )
    prediction_key, prediction = connection.execute(said).one()
    return Standing(row, bodies[0], bodies[-1], prediction_key, prediction)
