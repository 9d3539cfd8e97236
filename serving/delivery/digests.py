"""Digests: what a team gets together, closed once when its period is over, and then sent like anything else.

What is to stand in a digest waits in `digest_items`. Closing moves what came in before the end of the period into a
digest and writes the message, in one transaction. So an item is in one digest and no more, whatever clocks, crashes and
other workers do; what was stored a moment too late is in the next.
"""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from serving.delivery.digest_body import NOTHING, body_of, still_wanted
from serving.failpoints import reach
from serving.routing.compiled import Rules
from serving.routing.rules import Team
from serving.routing.schedule import Period
from serving.store.engine import reading, writing
from serving.store.sending import send_digest
from serving.store.tables import digest_items, digests

#: When a team gets its digest that is not among the rules any more: its items are not lost.
FORGOTTEN = Team(title="")
_MOMENT = timedelta(microseconds=1)


def close_due(engine: Engine, rules: Rules, now: datetime) -> int:
    """Close every digest of which the period is over; returns how many.

    Raises:
        StoreError: what was not closed is when it is tried again.
    """
    own = digest_items.c
    with reading(engine) as connection:
        waiting = select(own.team, func.min(own.at)).where(own.digest_key.is_(None)).group_by(own.team)
        teams = connection.execute(waiting).all()
    closed = 0
    for name, first in teams:
        team = rules.file.teams.get(name, FORGOTTEN)
        end = period_of(team, now).opens
        if first < end:
            closed += _close(engine, rules, name, period_of(team, end - _MOMENT), now)
    return closed


def waiting_teams(engine: Engine) -> dict[str, int]:
    """For how many items each team waits, those that wait for most first; StoreError if the store is away."""
    own = digest_items.c
    wanted = select(own.team, func.count()).where(own.digest_key.is_(None), still_wanted()).group_by(own.team)
    with reading(engine) as connection:
        return dict(connection.execute(wanted.order_by(func.count().desc(), own.team)).all())


def preview(engine: Engine, rules: Rules, team: str, now: datetime) -> dict[str, Any]:
    """What the next digest of a team would tell if it were closed now; nothing is closed."""
    period = period_of(rules.file.teams.get(team, FORGOTTEN), now)
    waiting = (digest_items.c.team == team) & digest_items.c.digest_key.is_(None) & still_wanted()
    with reading(engine) as connection:
        body = body_of(connection, team, waiting, _before(connection, team, period.opens), now)
    return _headed(rules, team, period, body)


def _close(engine: Engine, rules: Rules, team: str, period: Period, now: datetime) -> bool:
    """Whether there was anything to close, and nobody else has closed it."""
    with writing(engine) as connection:
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        row = {"team": team, "opens_at": period.opens, "closes_at": period.closes, "closed_at": now, "body": {}}
        wanted = dialect.insert(digests).values(row).on_conflict_do_nothing(index_elements=["team", "closes_at"])
        key = connection.execute(wanted.returning(digests.c.key)).scalar()
        if key is None:
            return False
        own = digest_items.c
        waiting = own.team == team, own.digest_key.is_(None), own.at < period.closes
        taken = update(digest_items).where(*waiting, still_wanted()).values(digest_key=key)
        some = connection.execute(taken).rowcount > 0
        connection.execute(delete(digest_items).where(*waiting, ~still_wanted()))
        if some:
            before = _before(connection, team, period.opens)
            told = body_of(connection, team, own.digest_key == key, before, now)
            body = _headed(rules, team, period, told)
            connection.execute(update(digests).where(digests.c.key == key).values(body=body))
            send_digest(connection, key, team, rules.file.channels_by_team, now)
        else:  # nothing is left to tell
            connection.execute(delete(digests).where(digests.c.key == key))
        reach("digest-before-commit")
    if some:
        reach("digest-after-commit")
    return some


def period_of(team: Team, moment: datetime) -> Period:
    """The period of a digest that a moment is in."""
    return team.digest.schedule().period(ZoneInfo(team.time_zone), moment)


def _before(connection: Connection, team: str, end: datetime) -> Any:
    """The body of the digest that ended then; of an empty one, if there was any before; None if there was none."""
    own = digests.c
    last = select(own.closes_at, own.body).where(own.team == team, own.closes_at <= end)
    row = connection.execute(last.order_by(own.closes_at.desc()).limit(1)).first()
    if row is None:
        return None
    return row.body if row.closes_at == end else NOTHING


def _headed(rules: Rules, name: str, period: Period, body: dict[str, Any]) -> dict[str, Any]:
    team = rules.file.teams.get(name, FORGOTTEN)
    return {
        "team": name,
        "title": team.title or name,
        "every": team.digest.every,
        "time_zone": team.time_zone,
        "opens_at": period.opens.astimezone(UTC).isoformat(),
        "closes_at": period.closes.astimezone(UTC).isoformat(),
        **body,
    }
