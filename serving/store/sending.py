"""What is to be sent, written in the transaction that makes it necessary."""

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection

from serving.routing.decision import Deliver
from serving.routing.rules import DEFAULT_CHANNEL
from serving.store.rows import Insert, insert_rows
from serving.store.tables import digest_items, outbox

#: Names of channels by team.
Channels = Mapping[str, Sequence[str]]


class Parcel(NamedTuple):
    """An item for a team: at once, or in the team's next digest."""

    item_key: int
    kind: Literal["item", "notice", "reminder", "escalation"]
    team: str
    deliver: Deliver
    at: datetime


def send(connection: Connection, parcels: Sequence[Parcel], channels: Channels) -> None:
    """Write down that parcels are to be sent; a team without channels has the default one."""
    if now := [row for one in parcels if one.deliver == "now" for row in _messages(one, channels)]:
        insert_rows(connection, outbox, now)
    later = {
        (one.item_key, one.team, one.kind): {"item_key": one.item_key, "team": one.team, "kind": one.kind, "at": one.at}
        for one in parcels
        if one.deliver == "digest"
    }
    if later:
        insert_rows(connection, digest_items, list(later.values()), _once_more)


def _once_more(statement: Insert) -> Any:
    # an item that came back to a team stands in its next digest once more
    again = {"at": statement.excluded.at, "digest_key": None}
    return statement.on_conflict_do_update(index_elements=["item_key", "team", "kind"], set_=again)


def send_digest(connection: Connection, digest_key: int, team: str, channels: Channels, at: datetime) -> None:
    """Write down that a digest is to be sent."""
    rows = [_row("digest", team, channel, at) for channel in channels.get(team, (DEFAULT_CHANNEL,))]
    insert_rows(connection, outbox, [row | {"digest_key": digest_key} for row in rows])


def _messages(parcel: Parcel, channels: Channels) -> list[dict[str, Any]]:
    names = channels.get(parcel.team, (DEFAULT_CHANNEL,))
    return [_row(parcel.kind, parcel.team, name, parcel.at) | {"item_key": parcel.item_key} for name in names]


def _row(kind: str, team: str, channel: str, at: datetime) -> dict[str, Any]:
    return {
        "delivery_id": f"msg_{secrets.token_hex(16)}",
        "kind": kind,
        "team": team,
        "channel": channel,
        "state": "new",
        "created_at": at,
        "next_at": at,
    }
