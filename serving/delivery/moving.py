"""Messages of a channel that left the rules, given to the channels that their teams have now."""

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, and_, or_, select, update

from serving.delivery.outbox import anew
from serving.routing.rules import DEFAULT_CHANNEL
from serving.store.engine import writing
from serving.store.rows import insert_rows
from serving.store.sending import Channels
from serving.store.tables import outbox

#: Rows of one transaction.
_MANY = 500
#: What is said of a message that is not sent again.
_HAD = "its channel left the rules; all channels of its team have the message"


def move(engine: Engine, channel: str, channels: Channels, now: datetime) -> int:
    """Give what waits for a channel, or was given up there, to the present channels of its team; how many messages.

    A channel of the team that has the same message already does not get it again; where all have it, there is nothing
    left to send.

    Raises:
        StoreError: some may have been moved; the others are when it is done again.
    """
    moved = 0
    while rows := _part(engine, channel, channels, now):
        moved += rows
    return moved


def _part(engine: Engine, channel: str, channels: Channels, now: datetime) -> int:
    own = outbox.c
    # what a worker holds that is gone is nobody's: over this channel nobody takes it again
    left = or_(own.state.in_(("new", "dead")), and_(own.state == "leased", own.next_at <= now))
    wanted = select(outbox).where(own.channel == channel, left).order_by(own.key).limit(_MANY)
    with writing(engine) as connection:
        rows = [dict(row) for row in connection.execute(wanted.with_for_update()).mappings()]
        had = _had(connection, rows)
        first: dict[str | None, list[int]] = {}
        more = []
        for row in rows:
            missing = [name for name in channels.get(row["team"], (DEFAULT_CHANNEL,)) if _said(row, name) not in had]
            had.update(_said(row, name) for name in missing)
            first.setdefault(missing[0] if missing else None, []).append(row["key"])
            more += [_copy(row, name, now) for name in missing[1:]]
        for name, keys in first.items():
            values = {"channel": name, **anew(now)} if name else {"state": "done", "done_at": now, "last_error": _HAD}
            free = {"lease_owner": None, "lease_until": None}
            connection.execute(update(outbox).where(own.key.in_(keys)).values(**values, **free))
        if more:
            insert_rows(connection, outbox, more)
    return len(rows)


def _said(row: Mapping[str, Any], channel: str) -> tuple[Any, ...]:
    return (*(row[name] for name in ("item_key", "digest_key", "kind", "team")), channel)


def _had(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> set[tuple[Any, ...]]:
    """What is told over which channel of the items and digests that rows are about."""
    own = outbox.c
    about = or_(
        *(own[name].in_([row[name] for row in rows if row[name] is not None]) for name in ("item_key", "digest_key"))
    )
    found = [dict(row) for row in connection.execute(select(outbox).where(about)).mappings()]
    return {_said(row, row["channel"]) for row in found}


def _copy(row: Mapping[str, Any], channel: str, now: datetime) -> dict[str, Any]:
    same = {name: row[name] for name in ("item_key", "digest_key", "kind", "team")}
    own = {"delivery_id": f"msg_{secrets.token_hex(16)}", "channel": channel, "state": "new"}
    return {**same, **own, "created_at": now, "next_at": now}
