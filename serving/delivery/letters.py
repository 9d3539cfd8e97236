"""From rows of the outbox to messages, with what the store knows now."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from serving.delivery.digests import preview
from serving.delivery.message import Message, data_of
from serving.delivery.outbox import Leased
from serving.links import Links
from serving.routing.compiled import Rules
from serving.store.record import digest_bodies, latest


def letters(engine: Engine, links: Links | None) -> Callable[[Sequence[Leased]], Mapping[int, Message]]:
    """What makes messages of rows, by their keys; none of a row whose item is gone. StoreError if the store is away."""

    def make(rows: Sequence[Leased]) -> Mapping[int, Message]:
        items = latest(engine, [row.item_key for row in rows if row.item_key is not None])
        digests = digest_bodies(engine, [row.digest_key for row in rows if row.digest_key is not None])
        found = {}
        for row in rows:
            if row.item_key in items:
                item = items[row.item_key]
                data = data_of(item, None if links is None else links.to(item["id"], row.team))
            elif row.digest_key in digests:
                data = linked(digests[row.digest_key], row.team, links)
            else:
                continue
            found[row.key] = Message(row.delivery_id, row.kind, row.team, row.created_at, data)
        return found

    return make


def next_digest(engine: Engine, rules: Rules, team: str, links: Links | None, now: datetime) -> Message:
    """The digest that a team would get if it were closed now; StoreError if the store is away."""
    return Message("preview", "digest", team, now, linked(preview(engine, rules, team, now), team, links))


def linked(body: Mapping[str, Any], team: str, links: Links | None) -> dict[str, Any]:
    """A digest with a link for each item in it."""
    lists = {
        name: [item | {"link": links and links.to(item["id"], team)} for item in body[name]]
        for name in ("items", "reminders", "escalations")
    }
    return {**body, **lists}
