"""Accepting items: prediction, decision and everything to be sent are written in one transaction, or nothing is."""

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

from pydantic import JsonValue
from sqlalchemy import Connection, Engine, bindparam, insert, select, text, tuple_
from sqlalchemy.dialects import postgresql, sqlite

from models.records import FeedbackItem, Prediction
from serving.failpoints import reach
from serving.routing.decision import Decision
from serving.store.engine import reading, writing
from serving.store.search import tokens
from serving.store.tables import decisions, events, item_categories, item_tokens, items, outbox, predictions

Status = Literal["stored", "duplicate", "conflict"]

#: Stands for NUL, which PostgreSQL cannot hold.
_NUL = "\u2400"
_FTS = text("INSERT INTO item_words (rowid, words) VALUES (:key, :words)").bindparams(bindparam("key"))


class Known(NamedTuple):
    """An item that was stored before, with the answer it got then."""

    id: str
    digest: str
    prediction: Prediction
    decision: Decision


class Entry(NamedTuple):
    """An item to be stored, with what was said of it; ``channels`` by team are where it is to be sent at once."""

    item: FeedbackItem
    prediction: Prediction
    decision: Decision
    received_at: datetime
    channels: Mapping[str, Sequence[str]]


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
    content = item.model_dump(mode="json", exclude_unset=True)
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


def accept(engine: Engine, entries: Sequence[Entry]) -> list[Receipt]:
    """Store items, all or none; one receipt each, in order.

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
        _insert_rest(connection, {found.key: fresh[place] for place, found in keys.items() if found is not None})
        lost = [name for place, found in keys.items() if found is None and (name := name_of(fresh[place].item))]
        known = _known(connection, lost) if lost else {}
        reach("intake-before-commit")
    reach("intake-before-answer")
    for place, found in keys.items():
        if found is not None and (name := name_of(fresh[place].item)):
            known[name] = Known(found.id, digest_of(fresh[place].item), fresh[place].prediction, fresh[place].decision)
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


def storable(value: JsonValue) -> JsonValue:
    """JSON without NUL, which not every database can hold."""
    if isinstance(value, str):
        return value.replace("\x00", _NUL)
    if isinstance(value, list):
        return [storable(one) for one in value]
    if isinstance(value, dict):
        return {name.replace("\x00", _NUL): storable(one) for name, one in value.items()}
    return value


def _known(connection: Connection, names: Sequence[Name]) -> dict[Name, Known]:
    latest = (
        select(items.c.source, items.c.external_id, items.c.id, items.c.digest, items.c.key)
        .where(tuple_(items.c.source, items.c.external_id).in_(names))
        .subquery()
    )
    rows = connection.execute(
        select(latest, predictions.c.body, decisions.c.body)
        .join(predictions, predictions.c.item_key == latest.c.key)
        .join(decisions, decisions.c.item_key == latest.c.key)
        .order_by(predictions.c.key.desc(), decisions.c.key.desc())  # the first answer is written last, so it stays
    )
    found = {}
    for source, external_id, identity, digest, _, prediction, decision in rows:
        answer = Prediction.model_validate(prediction), Decision.model_validate(decision)
        found[source, external_id] = Known(identity, digest, *answer)
    return found


class _Place(NamedTuple):
    """Key and id of an item in the store."""

    key: int
    id: str


def _insert_items(connection: Connection, entries: Sequence[Entry]) -> list[_Place | None]:
    """Where each item that was new is now; None where another has its name."""
    if not entries:
        return []
    rows = [_item_row(entry) for entry in entries]
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(items).on_conflict_do_nothing(index_elements=["source", "external_id"])
    found = {identity: key for key, identity in connection.execute(statement.returning(items.c.key, items.c.id), rows)}
    return [_Place(found[row["id"]], row["id"]) if row["id"] in found else None for row in rows]


def _item_row(entry: Entry) -> dict[str, Any]:
    item, decision = entry.item, entry.decision
    sentiment = entry.prediction.tasks.get("sentiment")
    return {
        "id": secrets.token_hex(12),
        "received_at": entry.received_at,
        "source": item.source or "",
        "external_id": item.external_id,
        "digest": digest_of(item),
        "text": storable(item.text),
        "language": entry.prediction.language,
        "channel": storable(item.channel),
        "product": storable(item.product),
        "record": storable(item.model_dump(mode="json", exclude_unset=True)),
        "sentiment": sentiment.labels[0] if sentiment and sentiment.labels else None,
        "team": decision.team,
        "rule": decision.rule,
        "urgency": decision.urgency,
        "due_at": decision.due_at,
        "needs_review": decision.needs_review,
        "state": "routed",
        "changed_at": entry.received_at,
    }


def _insert_rest(connection: Connection, stored: Mapping[int, Entry]) -> None:
    """All that belongs to items that were stored under these keys."""
    if not stored:
        return
    predicted = connection.execute(
        insert(predictions).returning(predictions.c.key, sort_by_parameter_order=True),
        [
            {
                "item_key": key,
                "at": entry.received_at,
                "model_name": entry.prediction.model.name,
                "model_version": entry.prediction.model.version,
                "label_schema": entry.prediction.label_schema,
                "body": entry.prediction.model_dump(mode="json"),
            }
            for key, entry in stored.items()
        ],
    ).scalars()
    connection.execute(
        insert(decisions),
        [
            {
                "item_key": key,
                "prediction_key": prediction,
                "at": entry.received_at,
                "cause": "intake",
                "rules_version": entry.decision.rules_version,
                "body": storable(entry.decision.model_dump(mode="json")),
            }
            for (key, entry), prediction in zip(stored.items(), predicted, strict=True)
        ],
    )
    connection.execute(
        insert(events),
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
        connection.execute(insert(item_categories), categories)
    words = [(key, tokens(entry.item.text)) for key, entry in stored.items()]
    if connection.dialect.name == "postgresql":
        connection.execute(insert(item_tokens), [{"item_key": key, "tokens": found} for key, found in words])
    else:
        connection.execute(_FTS, [{"key": key, "words": " ".join(found)} for key, found in words])
    if sent := [row for key, entry in stored.items() for row in _outbox_rows(key, entry)]:
        connection.execute(insert(outbox), sent)


def _outbox_rows(key: int, entry: Entry) -> list[dict[str, Any]]:
    """What is to be sent at once: to the owner, if it is urgent enough, and to those who are told too."""
    decision = entry.decision
    receivers = [("item", decision.team)] if decision.deliver == "now" else []
    receivers += [("notice", team) for team in decision.notify if team != decision.team]
    return [
        {
            "delivery_id": f"msg_{secrets.token_hex(16)}",
            "item_key": key,
            "kind": kind,
            "team": team,
            "channel": channel,
            "state": "new",
            "created_at": entry.received_at,
            "next_at": entry.received_at,
        }
        for kind, team in receivers
        for channel in entry.channels.get(team, ())
    ]
