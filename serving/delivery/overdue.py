"""Items that nobody settled in time: their team is reminded, and if that does not help, another hears of it once."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, select, update

from serving.failpoints import reach
from serving.routing.compiled import Rules
from serving.store.engine import reading, writing
from serving.store.life import add_event
from serving.store.sending import Parcel, send
from serving.store.tables import items

#: Items of one transaction.
_MANY = 500


def remind(engine: Engine, rules: Rules, now: datetime) -> int:
    """Remind of what became overdue, and escalate what still is after a reminder; returns of how many items.

    It goes out as the item did, at once or with the next digest, in the transaction that notes that it was done: no
    item is reminded of twice, and none is forgotten.

    Raises:
        StoreError: what was not done is when it is tried again.
    """
    done = 0
    while rows := _step(engine, rules, now):
        done += rows
        if rows < _MANY:
            break
    return done


def _step(engine: Engine, rules: Rules, now: datetime) -> int:
    wanted = select(items).where(items.c.watch_at <= now).order_by(items.c.watch_at).limit(_MANY)
    with reading(engine) as connection:  # nearly always there is nothing, and then nobody waits for a writer
        if connection.execute(wanted.with_only_columns(items.c.key).limit(1)).first() is None:
            return 0
    with writing(engine) as connection:
        if connection.dialect.name == "postgresql":
            wanted = wanted.with_for_update(skip_locked=True)
        rows = [dict(row) for row in connection.execute(wanted).mappings()]
        first = [row for row in rows if row["reminded_at"] is None]
        _remind(connection, first, rules, now)
        _escalate(connection, [row for row in rows if row["reminded_at"] is not None], rules, now)
        reach("overdue-before-commit")
    return len(rows)


def _remind(connection: Connection, rows: Sequence[Mapping[str, Any]], rules: Rules, now: datetime) -> None:
    for row in rows:
        watch_at = _escalation_at(rules, row["team"], now)
        changed = update(items).where(items.c.key == row["key"]).values(reminded_at=now, watch_at=watch_at)
        connection.execute(changed)
    parcels = [Parcel(row["key"], "reminder", row["team"], row["deliver"], now) for row in rows]
    send(connection, parcels, rules.file.channels_by_team)
    add_event(connection, [row["key"] for row in rows], "reminded", "service", {}, now)


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


def _escalation_at(rules: Rules, team: str, now: datetime) -> datetime | None:
    """When somebody else is to hear of what this team was reminded of now; None: nobody is."""
    if _escalates_to(rules, team) is None:
        return None
    known = rules.file.teams.get(team)
    if known is None:
        return now + timedelta(hours=8)
    return rules.calendars[team].due(now, known.escalate_hours)


def _escalates_to(rules: Rules, team: str) -> str | None:
    known = rules.file.teams.get(team)
    to = (known and known.escalate_to) or rules.file.default.team
    return None if to == team else to
