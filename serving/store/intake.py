"""Accepting items: prediction, decision and everything to be sent are written in one transaction, or nothing is."""

import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, Engine, Table, select

from models.records import FeedbackItem, Prediction, storable
from serving.failpoints import reach
from serving.routing.decision import Decision
from serving.store.engine import reading, writing
from serving.store.rows import Insert, insert_rows
from serving.store.search import insert_words
from serving.store.sending import Channels, Parcel, send
from serving.store.tables import decisions, events, item_categories, items, predictions

Status = Literal["stored", "duplicate", "conflict"]


class Known(NamedTuple):
    """An item that was stored before, with the answer it got then."""

    id: str
    digest: str
    prediction: Prediction
    decision: Decision


class Entry(NamedTuple):
    """An item to be stored, with what was said of it."""

    item: FeedbackItem
    prediction: Prediction
    decision: Decision
    received_at: datetime


class Receipt(NamedTuple):
    """What became of an item: stored now; there already, with the first answer; or there with other content."""

    status: Status
    id: str
    prediction: Prediction | None = None
    decision: Decision | None = None


Name = tuple[str, str]


def name_of(item: FeedbackItem) -> Name | None:
    """Source and external id, by which an item is recognised; None without an external id."""
    return None if item.external_id is None else (item.source or "", item.external_id)


def digest_of(item: FeedbackItem) -> str:
    """SHA-256 of all that the sender said."""
    return _digest(_content(item))


def _content(item: FeedbackItem) -> dict[str, Any]:
    return item.model_dump(mode="json", exclude_unset=True)


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def find_known(engine: Engine, wanted: Sequence[FeedbackItem]) -> dict[Name, Known]:
    """Those of the items that are stored already, by source and external id; StoreError if that cannot be told."""
    names = sorted({name for item in wanted if (name := name_of(item))})
    if not names:
        return {}
    with reading(engine) as connection:
        return _known(connection, names)


def receipt_of(item: FeedbackItem, known: Known) -> Receipt:
    """What is said to an item that is there already."""
    if known.digest != digest_of(item):
        return Receipt("conflict", known.id)
    return Receipt("duplicate", known.id, known.prediction, known.decision)


def accept(engine: Engine, entries: Sequence[Entry], channels: Channels) -> list[Receipt]:
    """Store items, all or none, and write down what is to be sent over the ``channels``; one receipt each, in order.

    When this returns they are on disk. An item that another request has stored since it was looked for is a duplicate
    or a conflict, like one that stands twice among the entries.

    Raises:
        StoreError: nothing was stored; it is worth trying again.
    """
    # of those that stand twice the first is stored, and answers for the others
    firsts: dict[Name, int] = {}
    for place, entry in enumerate(entries):
        if name := name_of(entry.item):
            firsts.setdefault(name, place)
    fresh = {
        place: entry
        for place, entry in enumerate(entries)
        if not (name := name_of(entry.item)) or firsts[name] == place
    }
    with writing(engine) as connection:
        keys = dict(zip(fresh, _insert_items(connection, list(fresh.values())), strict=True))
        _insert_rest(
            connection, {found.key: fresh[place] for place, found in keys.items() if found is not None}, channels
        )
        lost = [name for place, found in keys.items() if found is None and (name := name_of(fresh[place].item))]
        known = _known(connection, lost) if lost else {}
        reach("intake-before-commit")
    reach("intake-before-answer")
    for place, found in keys.items():
        if found is not None and (name := name_of(fresh[place].item)):
            known[name] = Known(found.id, found.digest, fresh[place].prediction, fresh[place].decision)
    receipts = []
    for place, entry in enumerate(entries):
        found = keys.get(place)
        if found is not None:
            receipts.append(Receipt("stored", found.id, entry.prediction, entry.decision))
        else:
            receipts.append(receipt_of(entry.item, known[name_of(entry.item) or ("", "")]))
    return receipts


def with_families(labels: Sequence[str]) -> list[str]:
    """The labels, and `family/*` of each family among them."""
    families = dict.fromkeys(f"{label.partition('/')[0]}/*" for label in labels if "/" in label)
    return [*labels, *families]


def _known(connection: Connection, names: Sequence[Name]) -> dict[Name, Known]:
    by_source: dict[str, list[str]] = {}
    for source, external_id in names:
        by_source.setdefault(source, []).append(external_id)
    wanted = select(items.c.key, items.c.source, items.c.external_id, items.c.id, items.c.digest)
    # source by source and before anything is joined: so that an index serves, whatever the database knows of its tables
    there = {
        row.key: row
        for source, ids in by_source.items()
        for row in connection.execute(wanted.where(items.c.source == source, items.c.external_id.in_(ids)))
    }
    if not there:
        return {}
    said = _firsts(connection, predictions, list(there))
    decided = _firsts(connection, decisions, list(there))
    return {
        (row.source, row.external_id): Known(
            row.id, row.digest, Prediction.model_validate(said[key]), Decision.model_validate(decided[key])
        )
        for key, row in there.items()
    }


def _firsts(connection: Connection, of: Table, keys: Sequence[int]) -> dict[int, Any]:
    """The body that was written first for each item."""
    rows = connection.execute(select(of.c.item_key, of.c.body).where(of.c.item_key.in_(keys)).order_by(of.c.key.desc()))
    return dict(rows.all())


class _Place(NamedTuple):
    """Key, id and digest of an item in the store."""

    key: int
    id: str
    digest: str


def _insert_items(connection: Connection, entries: Sequence[Entry]) -> list[_Place | None]:
    """Where each item that was new is now; None where another has its name."""
    if not entries:
        return []
    rows = [_item_row(entry) for entry in entries]
    found = {row.id: row.key for row in insert_rows(connection, items, rows, _unless_there)}
    return [_Place(found[row["id"]], row["id"], row["digest"]) if row["id"] in found else None for row in rows]


def _unless_there(statement: Insert) -> Any:
    there = statement.on_conflict_do_nothing(index_elements=["source", "external_id"])
    return there.returning(items.c.key, items.c.id)


def _item_row(entry: Entry) -> dict[str, Any]:
    item, decision, content = entry.item, entry.decision, _content(entry.item)
    sentiment = entry.prediction.tasks.get("sentiment")
    return {
        "id": secrets.token_hex(12),
        "received_at": entry.received_at,
        "source": item.source or "",
        "external_id": item.external_id,
        "digest": _digest(content),
        "text": storable(item.text),
        "language": entry.prediction.language,
        "channel": item.channel,
        "product": item.product,
        "record": content,
        "sentiment": sentiment.labels[0] if sentiment and sentiment.labels else None,
        "team": decision.team,
        "rule": decision.rule,
        "urgency": decision.urgency,
        "due_at": decision.due_at,
        "watch_at": decision.due_at,
        "deliver": decision.deliver,
        "needs_review": decision.needs_review,
        "state": "routed",
        "changed_at": entry.received_at,
    }


def _insert_rest(connection: Connection, stored: Mapping[int, Entry], channels: Channels) -> None:
    """All that belongs to items that were stored under these keys."""
    if not stored:
        return
    insert_rows(
        connection,
        predictions,
        [
            {
                "item_key": key,
                "at": entry.received_at,
                "model_name": entry.prediction.model.name,
                "model_version": entry.prediction.model.version,
                "label_schema": entry.prediction.label_schema,
                "body": entry.prediction,
            }
            for key, entry in stored.items()
        ],
    )
    # asked for afterwards: SQLite would have to be told row by row to answer with keys in order
    said = select(predictions.c.item_key, predictions.c.key).where(predictions.c.item_key.in_(list(stored)))
    predicted = {row.item_key: row.key for row in connection.execute(said)}
    insert_rows(
        connection,
        decisions,
        [
            {
                "item_key": key,
                "prediction_key": predicted[key],
                "at": entry.received_at,
                "cause": "intake",
                "rules_version": entry.decision.rules_version,
                "body": entry.decision,
            }
            for key, entry in stored.items()
        ],
    )
    insert_rows(
        connection,
        events,
        [
            {"item_key": key, "at": entry.received_at, "kind": "received", "actor": "intake", "body": {}}
            for key, entry in stored.items()
        ],
    )
    categories = [
        {"item_key": key, "category": label}
        for key, entry in stored.items()
        if "category" in entry.prediction.tasks
        for label in with_families(entry.prediction.tasks["category"].labels)
    ]
    if categories:
        insert_rows(connection, item_categories, categories)
    insert_words(connection, {key: entry.item.text for key, entry in stored.items()})
    send(connection, list(_parcels(stored)), channels)


def _parcels(stored: Mapping[int, Entry]) -> Iterator[Parcel]:
    """What is to be sent of items: to the owner, and at once to those who are told too."""
    for key, entry in stored.items():
        decision, at = entry.decision, entry.received_at
        yield Parcel(key, "item", decision.team, decision.deliver, at)
        yield from (Parcel(key, "notice", team, "now", at) for team in decision.notify if team != decision.team)
