"""What must hold of store and receivers when everything was killed again and again, and then came to rest."""

from collections import Counter
from collections.abc import Mapping

from sqlalchemy import Engine, func, select

from serving.store.engine import reading
from serving.store.tables import decisions, events, items, outbox, predictions

#: The channels of each team in the rules of :mod:`processes`.
CHANNELS = {"support": ("file", "hook"), "product": ("hook",)}


def faults_of_items(engine: Engine, acknowledged: Mapping[str, str], lists: Mapping[str, int]) -> list[str]:
    """What is wrong with the stored items.

    Args:
        engine: the store.
        acknowledged: id of each item that was ever answered, by external id.
        lists: number of the list with which each item was sent.
    """
    faults = []
    with reading(engine) as connection:
        rows = connection.execute(select(items.c.key, items.c.id, items.c.external_id, items.c.received_at)).all()
        per_item = {
            table.name: dict(
                connection.execute(select(table.c.item_key, func.count()).group_by(table.c.item_key)).all()
            )
            for table in (predictions, decisions)
        }
        received = connection.execute(
            select(events.c.item_key, func.count()).where(events.c.kind == "received").group_by(events.c.item_key)
        )
        per_item["events"] = dict(received.all())
        made = dict(connection.execute(select(decisions.c.item_key, decisions.c.body)).all())
        sent = {key: Counter() for key, *_ in rows}
        for key, kind, team, channel in connection.execute(
            select(outbox.c.item_key, outbox.c.kind, outbox.c.team, outbox.c.channel)
        ):
            sent[key][kind, team, channel] += 1
        if connection.dialect.name == "sqlite":
            said = connection.exec_driver_sql("PRAGMA integrity_check").scalar()
            faults += [] if said == "ok" else [f"the database is damaged: {said}"]
    stored = Counter(row.external_id for row in rows)
    faults += [f"{name} is stored {count} times" for name, count in stored.items() if count != 1]
    faults += [f"{name} was acknowledged and is not stored" for name in acknowledged if name not in stored]
    moments: dict[int, set] = {}
    for key, identity, name, received_at in rows:
        if acknowledged.get(name, identity) != identity:
            faults.append(f"{name} was acknowledged as {acknowledged[name]} and is {identity}")
        moments.setdefault(lists[name], set()).add(received_at)
        faults += [f"{name} has {of.get(key, 0)} {what}" for what, of in per_item.items() if of.get(key) != 1]
        decision = made[key]
        receivers = [("item", decision["team"]), *(("notice", team) for team in decision["notify"])]
        wanted = Counter((kind, team, channel) for kind, team in receivers for channel in CHANNELS[team])
        if sent[key] != wanted:
            faults.append(f"{name} has {dict(sent[key])} in the outbox, expected {dict(wanted)}")
    faults += [f"list {number} was stored in parts" for number, found in moments.items() if len(found) > 1]
    return faults


def faults_of_deliveries(engine: Engine, arrived: Mapping[str, Counter[str]], most: int) -> tuple[list[str], int]:
    """What is wrong with what arrived at each channel, by delivery id, and how many arrived once too often.

    Args:
        engine: the store, after the outbox was worked off.
        arrived: per channel, how often each delivery arrived.
        most: more than so many may not have arrived once too often.
    """
    with reading(engine) as connection:
        rows = connection.execute(select(outbox.c.delivery_id, outbox.c.channel, outbox.c.state)).all()
    faults = [f"{row.delivery_id} is {row.state}" for row in rows if row.state != "done"]
    repeated = 0
    for channel, found in arrived.items():
        known = {row.delivery_id for row in rows if row.channel == channel}
        faults += [f"{one} never arrived at {channel}" for one in known - found.keys()]
        # a line of a file that was cut off has no id
        faults += [f"{one} arrived at {channel} and is not known" for one in found.keys() - known - {""}]
        repeated += sum(count - 1 for one, count in found.items() if one)
    if repeated > most:
        faults.append(f"{repeated} arrived once too often, more than the {most} that can have been under way at kills")
    return faults, repeated
