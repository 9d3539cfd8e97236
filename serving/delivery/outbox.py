"""The outbox: rows are leased, sent and settled, so that none is lost and none is sent by two at once.

A row is taken for a while (its lease). Who takes it counts its fence up, and only who has the present fence may settle
it: one that was slow, and whose row another has taken meanwhile, changes nothing.
"""

import random
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, case, func, literal, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from serving.delivery.channels import Outcome
from serving.delivery.message import Kind
from serving.store.engine import reading, writing
from serving.store.rows import insert_rows
from serving.store.tables import channel_states, deliveries, outbox

#: How long a row is its taker's, if the taker does not say.
LEASE = timedelta(seconds=60)
#: A row that could not be sent for so long after its first attempt is dead: it stays, and is sent again when somebody
#: says so.
MAX_AGE = timedelta(hours=72)
#: Seconds before the second attempt, the third …; the last one repeats. A little is left to chance, so that what failed
#: together does not come back together.
BACKOFF = (5, 30, 120, 600, 1800, 3600, 7200, 14400)
#: After so many failures in a row a channel rests, and then one message at a time is tried.
FAILURES, REST, LONGEST_REST = 5, timedelta(seconds=30), timedelta(minutes=15)
#: With this status a receiver says that it wants nothing more: its channel is switched off.
GONE = 410
#: Attempts after which what the receiver refuses for good is given up.
REFUSALS = 3

_open = ("new", "leased")


class Leased(NamedTuple):
    """A row that was taken: what to send, and the fence that settles it."""

    key: int
    fence: int
    delivery_id: str
    kind: Kind
    team: str
    channel: str
    item_key: int | None
    digest_key: int | None
    attempts: int
    created_at: datetime


class Settled(NamedTuple):
    """How one row went."""

    row: Leased
    outcome: Outcome
    milliseconds: int


def claim(
    engine: Engine, channel: str, owner: str, now: datetime, limit: int, lease: timedelta = LEASE
) -> list[Leased]:
    """Take rows of a channel that are due, for ``lease``: new ones, and those of which an earlier lease ran out.

    None while the channel rests or is switched off.
    """
    waiting = outbox.c.channel == channel, outbox.c.state.in_(_open), outbox.c.next_at <= now
    due = select(outbox.c.key).where(*waiting).order_by(outbox.c.next_at, outbox.c.key).limit(limit)
    with reading(engine) as connection:  # mostly nothing is, and then nobody waits for a writer
        limit = min(limit, _allowed(connection, channel, now))
        if not limit or connection.execute(due.limit(1)).first() is None:
            return []
    with writing(engine) as connection:
        due = due.limit(min(limit, _allowed(connection, channel, now)))
        if connection.dialect.name == "postgresql":
            due = due.with_for_update(skip_locked=True)
        rows = connection.execute(
            update(outbox)
            .where(outbox.c.key.in_(due))
            .values(
                state="leased",
                lease_owner=owner,
                lease_until=now + lease,
                next_at=now + lease,
                fence=outbox.c.fence + 1,
                attempts=outbox.c.attempts + 1,
            )
            .returning(*(outbox.c[name] for name in Leased._fields))
        ).all()
    return sorted((Leased(*row) for row in rows), key=lambda row: row.key)


def settle(engine: Engine, channel: str, settled: Sequence[Settled], now: datetime) -> int:
    """Write down how rows went; returns how many were still their taker's."""
    if not settled:
        return 0
    with writing(engine) as connection:
        done = {one.row.key: one for one in settled if one.outcome.delivered}
        held = _update(
            connection, [one.row for one in done.values()], {"state": "done", "done_at": now, "last_error": None}
        )
        became = dict.fromkeys(held, "done")
        failed = [one for one in settled if not one.outcome.delivered]
        began = _began(connection, [one.row.key for one in failed])
        for row, outcome, _ in failed:
            values = _values(row, outcome, began.get(row.key, now), now)
            became |= dict.fromkeys(_update(connection, [row], values), values["state"])
        rows = [
            {
                "outbox_key": one.row.key,
                "at": now,
                "attempt": one.row.attempts,
                "outcome": became.get(one.row.key, "late"),
                "status": one.outcome.status,
                "milliseconds": one.milliseconds,
                "error": one.outcome.error,
            }
            for one in settled
        ]
        insert_rows(connection, deliveries, rows)
        _count_failures(connection, channel, [one.outcome for one in settled], now)
    return len(became)


def release(engine: Engine, rows: Sequence[Leased], now: datetime) -> None:
    """Give rows back of which nothing was tried."""
    if rows:
        with writing(engine) as connection:
            _update(connection, rows, {"state": "new", "next_at": now, "attempts": outbox.c.attempts - 1})


def _update(connection: Connection, rows: Sequence[Leased], values: Mapping[str, Any]) -> list[int]:
    """Change rows that are still their taker's; their keys."""
    if not rows:
        return []
    mine = tuple_(outbox.c.key, outbox.c.fence).in_([(row.key, row.fence) for row in rows])
    wanted = update(outbox).where(mine, outbox.c.state == "leased")
    changed = wanted.values(lease_owner=None, lease_until=None, **values).returning(outbox.c.key)
    return list(connection.execute(changed).scalars())


def status(engine: Engine) -> list[Mapping[str, Any]]:
    """Per channel how many rows wait, are under way, delivered and dead, the oldest that waits, and how it is."""
    own = outbox.c
    counts = [
        func.sum(case((own.state == state, 1), else_=0)).label(state) for state in ("new", "leased", "done", "dead")
    ]
    oldest = func.min(case((own.state.in_(_open), own.created_at))).label("oldest")
    with reading(engine) as connection:
        rows = connection.execute(
            select(own.channel, *counts, oldest, channel_states.c.rests_until, channel_states.c.disabled_at)
            .select_from(outbox)
            .outerjoin(channel_states, channel_states.c.channel == own.channel)
            .group_by(own.channel, channel_states.c.rests_until, channel_states.c.disabled_at)
            .order_by(own.channel)
        ).mappings()
        return [dict(row) for row in rows]


def waiting(engine: Engine) -> dict[str, int]:
    """How many rows wait or are under way, by channel; StoreError if the store is away."""
    own = outbox.c
    counts = select(own.channel, func.count()).where(own.state.in_(_open)).group_by(own.channel).order_by(own.channel)
    with reading(engine) as connection:
        return dict(connection.execute(counts).all())


def redrive(engine: Engine, channel: str | None, now: datetime) -> int:
    """Send again what is dead and what waits, of one channel or of all, and switch the channels on; how many rows."""
    own = outbox.c
    with writing(engine) as connection:
        rows = update(outbox).where(own.state.in_(("dead", "new")))
        rested = update(channel_states)
        if channel is not None:
            rows, rested = rows.where(own.channel == channel), rested.where(channel_states.c.channel == channel)
        count = connection.execute(rows.values(**anew(now))).rowcount
        connection.execute(rested.values(failures=0, rests_until=None, disabled_at=None, reason=None))
        return int(count)


def anew(now: datetime) -> dict[str, Any]:
    """The values of rows that are to be sent as if they had never been tried."""
    own = outbox.c
    # the age of what was tried counts from now: it has another three days
    age = case((own.attempts > 0, literal(now, own.created_at.type)), else_=own.created_at)
    return {"state": "new", "attempts": 0, "next_at": now, "created_at": age, "last_error": None}


def _began(connection: Connection, keys: Sequence[int]) -> dict[int, datetime]:
    """When rows were tried first since they were written, or since they were sent again; none that were not."""
    own = deliveries.c
    tries = select(own.outbox_key, func.min(own.at)).join(outbox, outbox.c.key == own.outbox_key)
    tries = tries.where(own.outbox_key.in_(keys), own.at >= outbox.c.created_at)
    return dict(connection.execute(tries.group_by(own.outbox_key)).all()) if keys else {}


def _values(row: Leased, outcome: Outcome, began: datetime, now: datetime) -> dict[str, Any]:
    """What becomes of a row that was not delivered; ``began``: when it was tried first."""
    delay = _delay(row.attempts, outcome)
    if outcome.status == GONE:  # it waits until somebody switches the channel on again
        return {"state": "new", "next_at": now, "last_error": outcome.error}
    too_old = now + delay > began + MAX_AGE
    if too_old or (outcome.final and row.attempts >= REFUSALS):
        return {"state": "dead", "last_error": outcome.error}
    return {"state": "new", "next_at": now + delay, "last_error": outcome.error}


def _delay(attempts: int, outcome: Outcome) -> timedelta:
    seconds = BACKOFF[min(attempts, len(BACKOFF)) - 1] * random.uniform(0.8, 1.2)
    return timedelta(seconds=max(seconds, outcome.retry_after or 0.0))


def _allowed(connection: Connection, channel: str, now: datetime) -> int:
    """How many rows of a channel may be taken now: none while it rests, one after that until it works again."""
    own = channel_states.c
    row = connection.execute(
        select(own.failures, own.rests_until, own.disabled_at).where(own.channel == channel)
    ).first()
    if row is None:
        return 1_000
    failures, rests_until, disabled_at = row
    if disabled_at is not None or (rests_until is not None and rests_until > now):
        return 0
    return 1 if failures >= FAILURES else 1_000


def _count_failures(connection: Connection, channel: str, outcomes: Sequence[Outcome], now: datetime) -> None:
    own = channel_states.c
    mine = update(channel_states).where(own.channel == channel)
    if all(outcome.delivered for outcome in outcomes):  # nearly always, and then no worker waits for another
        connection.execute(mine.where(own.failures > 0).values(failures=0, rests_until=None))
        return
    # the first failures of a channel may come from several workers at once: one row, and each of them is counted
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    connection.execute(dialect.insert(channel_states).values(channel=channel, failures=0).on_conflict_do_nothing())
    known = select(own.failures, own.rests_until).where(own.channel == channel).with_for_update()
    failures, rest = connection.execute(known).one()
    # many attempts are under way at once, and fail of one cause: together they are one step to a longer rest, and those
    # that had begun before the channel rested are none
    rests = rest is not None and rest > now
    most = failures if rests else max(failures + 1, FAILURES)
    for outcome in outcomes:
        if outcome.delivered:
            failures, most, rests = 0, FAILURES, False
        else:
            failures = min(failures + 1, most)
    if not rests:
        long = min(REST * 2 ** min(failures - FAILURES, 10), LONGEST_REST) if failures >= FAILURES else None
        rest = None if long is None else now + long
    values: dict[str, Any] = {"failures": failures, "rests_until": rest}
    if any(outcome.status == GONE for outcome in outcomes):
        values |= {"disabled_at": now, "reason": "its receiver answered 410 Gone"}
    connection.execute(mine.values(**values))
