"""Items about the same thing, brought together so that they are settled together."""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, func, insert, select, update

from models.errors import InputError
from serving.store.engine import reading, writing
from serving.store.life import add_event
from serving.store.tables import groups, items

#: Most items that are brought into a group at once.
MAX_ADDED = 10_000


def make_group(engine: Engine, title: str, actor: str, at: datetime) -> str:
    """A group without items; returns its id."""
    identity = secrets.token_hex(12)
    with writing(engine) as connection:
        connection.execute(insert(groups).values(id=identity, title=title, created_at=at, actor=actor))
    return identity


def add_to_group(engine: Engine, identity: str, item_ids: Sequence[str], actor: str, at: datetime) -> int | None:
    """Bring items into a group, out of any other; how many were not there before, None without such a group.

    Raises:
        InputError: an item that is not stored; nothing was changed.
        StoreError: nothing was changed; it is worth trying again.
    """
    wanted = list(dict.fromkeys(item_ids))
    if len(wanted) > MAX_ADDED:
        raise InputError(f"expected at most {MAX_ADDED:,} items at once, got {len(wanted):,}")
    with writing(engine) as connection:
        group = connection.execute(select(groups.c.key).where(groups.c.id == identity)).scalar()
        if group is None:
            return None
        found = connection.execute(select(items.c.id, items.c.key, items.c.group_key).where(items.c.id.in_(wanted)))
        known = {row.id: row for row in found}
        if missing := [one for one in wanted if one not in known]:
            raise InputError(f"no item {missing[0][:60]!r}" + (f", and {len(missing) - 1} more" if missing[1:] else ""))
        keys = [row.key for row in known.values() if row.group_key != group]
        connection.execute(update(items).where(items.c.key.in_(keys)).values(group_key=group))
        add_event(connection, keys, "grouped", actor, {"group": identity}, at)
        return len(keys)


@contextmanager
def members(
    engine: Engine, identity: str, states: Sequence[str], team: str | None = None
) -> Iterator[tuple[Connection, list[int] | None]]:
    """A transaction in which nobody else changes the items of a group that are in these states, all or those of a team;
    their keys, or None without such a group; StoreError as in :func:`serving.store.engine.writing`."""
    with writing(engine) as connection:
        group = connection.execute(select(groups.c.key).where(groups.c.id == identity)).scalar()
        wanted = select(items.c.key).where(items.c.group_key == group, items.c.state.in_(states)).order_by(items.c.key)
        if team is not None:
            wanted = wanted.where(items.c.team == team)
        if connection.dialect.name == "postgresql":
            wanted = wanted.with_for_update()
        yield connection, None if group is None else list(connection.execute(wanted).scalars())


def get_group(engine: Engine, identity: str) -> dict[str, Any] | None:
    """What a group is about, and how many of its items are in which state; None if there is no such group.

    Customers of those that are `resolved` are to be told; :class:`serving.store.queries.Filter` lists them.
    """
    with reading(engine) as connection:
        row = connection.execute(select(groups).where(groups.c.id == identity)).mappings().one_or_none()
        if row is None:
            return None
        counted = connection.execute(
            select(items.c.state, func.count()).where(items.c.group_key == row["key"]).group_by(items.c.state)
        )
        states: dict[str, int] = dict(counted.all())
    shown = {name: row[name] for name in ("id", "title", "created_at", "actor")}
    return {**shown, "items": sum(states.values()), "states": states}
