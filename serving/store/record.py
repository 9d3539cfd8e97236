"""All that is known of an item, and what is told of it."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine, Select, Table, func, select

from serving.store.engine import reading
from serving.store.tables import (
    corrections,
    decisions,
    deliveries,
    digests,
    events,
    groups,
    item_categories,
    items,
    outbox,
    predictions,
)


def get(engine: Engine, identity: str) -> dict[str, Any] | None:
    """All that is known of one item: what came in, every prediction and decision, what was sent, what people did.

    None if there is no such item; StoreError if the store cannot be used.
    """
    with reading(engine) as connection:
        row = connection.execute(select(items).where(items.c.id == identity)).mappings().one_or_none()
        if row is None:
            return None
        key = row["key"]
        found = summary(dict(row), categories_of(connection, [key]).get(key, []))
        found["item"] = row["record"]
        named = select(groups.c.id).where(groups.c.key == row["group_key"])
        found["group"] = connection.execute(named).scalar()
        found["predictions"] = _all(connection, select(predictions.c.at, predictions.c.body), predictions, key)
        found["decisions"] = _all(
            connection, select(decisions.c.at, decisions.c.cause, decisions.c.body), decisions, key
        )
        wanted = select(events.c.at, events.c.kind, events.c.actor, events.c.body)
        found["events"] = _all(connection, wanted, events, key)
        told = select(corrections.c.at, corrections.c.task, corrections.c.labels, corrections.c.shown)
        found["corrections"] = _all(
            connection, told.add_columns(corrections.c.actor, corrections.c.origin), corrections, key
        )
        found["deliveries"] = _sent(connection, key)
    return found


def latest(engine: Engine, keys: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Where items stand, by key, each with the ``decision`` that was made last; StoreError if the store is away."""
    if not keys:
        return {}
    own = decisions.alias()
    last = select(func.max(own.c.key)).where(own.c.item_key == items.c.key).correlate(items).scalar_subquery()
    wanted = select(items, decisions.c.body.label("decision")).select_from(items)
    wanted = wanted.join(decisions, decisions.c.key == last)
    with reading(engine) as connection:
        rows = connection.execute(wanted.where(items.c.key.in_(keys))).mappings().all()
        named = categories_of(connection, keys)
    return {row["key"]: summary(dict(row), named.get(row["key"], [])) | {"decision": row["decision"]} for row in rows}


def digest_bodies(engine: Engine, keys: Sequence[int]) -> dict[int, dict[str, Any]]:
    """What digests tell, by key; StoreError if the store is away."""
    if not keys:
        return {}
    with reading(engine) as connection:
        rows = connection.execute(select(digests.c.key, digests.c.body).where(digests.c.key.in_(keys)))
        return dict(rows.all())


def latest_predictions(connection: Connection, keys: Sequence[int]) -> dict[int, dict[str, Any]]:
    """What the model said last of items, by key."""
    own = predictions.c
    rows = connection.execute(select(own.item_key, own.body).where(own.item_key.in_(keys)).order_by(own.key))
    return dict(rows.all())


def categories_of(connection: Connection, keys: Sequence[int]) -> dict[int, list[str]]:
    """The categories of items by key, families left out."""
    found: dict[int, list[str]] = {}
    own = item_categories.c
    for key, category in connection.execute(
        select(own.item_key, own.category)
        .where(own.item_key.in_(keys), ~own.category.endswith("/*"))
        .order_by(own.category)
    ):
        found.setdefault(key, []).append(category)
    return found


_SHOWN = ("id", "received_at", "source", "external_id", "text", "language", "channel", "sentiment", "team", "rule")
_STATE = ("urgency", "due_at", "needs_review", "state", "changed_at")


def summary(row: dict[str, Any], categories: list[str]) -> dict[str, Any]:
    """What lists tell of an item, from its row."""
    return {
        **{name: row[name] for name in _SHOWN},
        "categories": categories,
        **{name: row[name] for name in _STATE},
    }


def _all(connection: Connection, wanted: Select[Any], own: Table, key: int) -> list[dict[str, Any]]:
    rows = connection.execute(wanted.where(own.c.item_key == key).order_by(own.c.key)).mappings()
    return [dict(row) for row in rows]


def _sent(connection: Connection, key: int) -> list[dict[str, Any]]:
    own = outbox.c
    rows = connection.execute(
        select(own.key, own.delivery_id, own.kind, own.team, own.channel, own.state, own.attempts, own.last_error)
        .where(own.item_key == key)
        .order_by(own.key)
    ).mappings()
    found = {row["key"]: {**{name: row[name] for name in row if name != "key"}, "tries": []} for row in rows}
    tries = select(deliveries).where(deliveries.c.outbox_key.in_(list(found))).order_by(deliveries.c.key)
    for row in connection.execute(tries).mappings():
        shown = ("at", "attempt", "outcome", "status", "milliseconds", "error")
        found[row["outbox_key"]]["tries"].append({name: row[name] for name in shown})
    return list(found.values())
