"""Items that nobody settled in time: their team is reminded, and if that does not help, another hears of it once."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, select, update

from serving.delivery.digests import FORGOTTEN, period_of
from serving.failpoints import reach
from serving.routing.compiled import Rules
from serving.store.engine import reading, writing
from serving.store.life import add_event
from serving.store.sending import Parcel, send
from serving.store.tables import digest_items, digests, items

#: Items of one transaction.
_MANY = 500


def remind(engine: Engine, rules: Rules, now: datetime) -> int:
    """Remind of what became overdue, and escalate what still is after a reminder; returns of how many items.

    It goes out as the item did, at once or with the next digest, in the transaction that notes that it was done: no
    item is reminded of twice, and none is forgotten. Nothing is escalated before its team had time since the reminder
    was sent, which for one in a digest is when that was closed.

    Raises:
        StoreError: what was not done is when it is tried again.
    """
    done, looked = 0, _MANY
    while looked == _MANY:
        looked, some = _step(engine, rules, now)
        done += some
    return done


def _step(engine: Engine, rules: Rules, now: datetime) -> tuple[int, int]:
    """How many items were looked at, and of how many somebody was told."""
    wanted = select(items).where(items.c.watch_at <= now).order_by(items.c.watch_at).limit(_MANY)
    with reading(engine) as connection:  # nearly always there is nothing, and then nobody waits for a writer
        if connection.execute(wanted.with_only_columns(items.c.key).limit(1)).first() is None:
            return 0, 0
    with writing(engine) as connection:
        if connection.dialect.name == "postgresql":
            wanted = wanted.with_for_update(skip_locked=True)
        rows = [dict(row) for row in connection.execute(wanted).mappings()]
        first = [row for row in rows if row["reminded_at"] is None]
        _remind(connection, first, rules, now)
        late = _without_help(connection, [row for row in rows if row["reminded_at"] is not None], rules, now)
        _escalate(connection, late, rules, now)
        reach("overdue-before-commit")
    return len(rows), len(first) + len(late)


def _remind(connection: Connection, rows: Sequence[Mapping[str, Any]], rules: Rules, now: datetime) -> None:
    for row in rows:
        sent = now if row["deliver"] == "now" else _digest_end(rules, row["team"], now)
        watch_at = _escalation_at(rules, row["team"], sent)
        changed = update(items).where(items.c.key == row["key"]).values(reminded_at=now, watch_at=watch_at)
        connection.execute(changed)
    parcels = [Parcel(row["key"], "reminder", row["team"], row["deliver"], now) for row in rows]
    send(connection, parcels, rules.file.channels_by_team)
    add_event(connection, [row["key"] for row in rows], "reminded", "service", {}, now)


def _without_help(
    connection: Connection, rows: Sequence[Mapping[str, Any]], rules: Rules, now: datetime
) -> list[Mapping[str, Any]]:
    """Those of which the reminder has been out for long enough; the others are looked at again when it has been."""
    own = digest_items.c
    told = select(own.item_key, own.team, digests.c.closed_at).join(digests, digests.c.key == own.digest_key)
    told = told.where(own.kind == "reminder", own.item_key.in_([row["key"] for row in rows]))
    closed = {(key, team): at for key, team, at in connection.execute(told)} if rows else {}
    late = []
    for row in rows:
        if row["deliver"] == "digest":  # which may be closed later than it should be, or not yet
            sent = closed.get((row["key"], row["team"])) or _digest_end(rules, row["team"], now)
            watch_at = _escalation_at(rules, row["team"], sent)
            if watch_at is None or watch_at > now:
                connection.execute(update(items).where(items.c.key == row["key"]).values(watch_at=watch_at))
                continue
        late.append(row)
    return late


def _escalate(connection: Connection, rows: Sequence[Mapping[str, Any]], rules: Rules, now: datetime) -> None:
    keys = [row["key"] for row in rows]
    if not keys:
        return
    connection.execute(update(items).where(items.c.key.in_(keys)).values(escalated_at=now, watch_at=None))
    parcels = []
    for row in rows:
        to = _escalates_to(rules, row["team"])
        if to is not None:
            parcels.append(Parcel(row["key"], "escalation", to, row["deliver"], now))
            add_event(connection, [row["key"]], "escalated", "service", {"to": to}, now)
    send(connection, parcels, rules.file.channels_by_team)


def _escalation_at(rules: Rules, team: str, sent: datetime) -> datetime | None:
    """When somebody else is to hear of what this team was reminded of then; None: nobody is."""
    if _escalates_to(rules, team) is None:
        return None
    known = rules.file.teams.get(team)
    if known is None:
        return sent + timedelta(hours=8)
    return rules.calendars[team].due(sent, known.escalate_hours)


def _digest_end(rules: Rules, team: str, now: datetime) -> datetime:
    """When the digest that a team gets next is to be closed."""
    known = rules.file.teams.get(team, FORGOTTEN)
    return period_of(known, now).closes


def _escalates_to(rules: Rules, team: str) -> str | None:
    known = rules.file.teams.get(team)
    to = (known and known.escalate_to) or rules.file.default.team
    return None if to == team else to
