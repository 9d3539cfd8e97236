"""What a digest tells: how much came in, what changed, and the items that say most."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import zip_longest
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, func, select

from models.text import fingerprint
from serving.routing.decision import URGENCIES
from serving.store.tables import OPEN, digest_items, item_categories, items

#: How many items are shown, among how many candidates, and how many categories and languages.
SHOWN, CANDIDATES, ROWS = 5, 200, 10
#: Texts of so many characters say enough, and are still read.
_TELLING = range(40, 600)
#: Parameters of one statement, and how many items are looked through for what is worth showing.
_MANY = 5_000


def body_of(
    connection: Connection, team: str, chosen: ColumnElement[bool], before: Mapping[str, Any] | None, now: datetime
) -> dict[str, Any]:
    """The part of a digest that is counted, all of it JSON.

    ``count`` items came in, by ``categories``, ``sentiments`` and ``languages``, the most frequent first, each with
    what it was ``before``. ``open`` and ``overdue`` are all that the team has now. ``items`` are the most telling
    ones, ``reminders`` those that became overdue, ``escalations`` those that became overdue at other teams; which of
    them are still to be told, :func:`still_wanted` says.

    Args:
        connection: a transaction.
        team: whose digest it is.
        chosen: which rows of ``digest_items`` it is about.
        before: the body of the digest before; None: there was none, and no changes are told.
        now: what is due before is overdue.
    """
    keys = {kind: _keys(connection, chosen, kind) for kind in ("item", "reminder", "escalation")}
    came = keys["item"]
    count = len(came)
    counted = _counts(connection, came)
    own = items.c.team == team, items.c.state.in_(OPEN)
    stands = select(func.count(), func.sum(case((items.c.due_at < now, 1), else_=0))).where(*own)
    still, overdue = connection.execute(stands).one()
    return {
        "count": count,
        "before": None if before is None else before["count"],
        **{name: _compared(found, before, name) for name, found in counted.items()},
        "open": still,
        "overdue": overdue or 0,
        "items": list(_telling(_candidates(connection, came), [label for label, _ in counted["categories"]])),
        "reminders": [_shown(row) for row in _oldest(connection, keys["reminder"])],
        "escalations": [_shown(row) for row in _oldest(connection, keys["escalation"])],
    }


def still_wanted() -> ColumnElement[bool]:
    """Which rows of ``digest_items`` are to be told still: of what was settled, handed on or begun anew since then,
    nobody is reminded, and nobody hears that it is overdue elsewhere."""
    own = digest_items.c
    reminded = (own.kind == "reminder") & (items.c.team == own.team) & items.c.reminded_at.is_not(None)
    escalated = (own.kind == "escalation") & items.c.escalated_at.is_not(None)
    late = select(items.c.key).where(items.c.key == own.item_key, items.c.state.in_(OPEN), reminded | escalated)
    return own.kind.not_in(("reminder", "escalation")) | late.exists()


#: What a digest without items was.
NOTHING: Mapping[str, Any] = {"count": 0, "categories": [], "sentiments": [], "languages": []}


def _keys(connection: Connection, chosen: ColumnElement[bool], kind: str) -> list[int]:
    """Keys of items, the latest first. All else is asked by them, so that it costs what the digest is long, and not
    what the store is."""
    wanted = select(digest_items.c.item_key).where(chosen, digest_items.c.kind == kind)
    return sorted(connection.execute(wanted).scalars(), reverse=True)


def _counts(connection: Connection, keys: Sequence[int]) -> dict[str, list[tuple[str, int]]]:
    """How often each category, sentiment and language comes, the most frequent first."""
    found: dict[str, Counter[str]] = {name: Counter() for name in ("categories", "sentiments", "languages")}
    own = item_categories.c
    for start in range(0, len(keys), _MANY):
        part = keys[start : start + _MANY]
        for sentiment, language in connection.execute(
            select(items.c.sentiment, items.c.language).where(items.c.key.in_(part))
        ):
            found["sentiments"].update([sentiment] if sentiment else [])
            found["languages"].update([language])
        named = select(own.category).where(own.item_key.in_(part), ~own.category.endswith("/*"))
        found["categories"].update(connection.execute(named).scalars())
    return {name: sorted(counted.items(), key=lambda one: (-one[1], one[0]))[:ROWS] for name, counted in found.items()}


def _compared(found: Sequence[tuple[str, int]], before: Mapping[str, Any] | None, name: str) -> list[dict[str, Any]]:
    known = None if before is None else {row["label"]: row["count"] for row in before[name]}
    return [
        {"label": label, "count": count, "before": None if known is None else known.get(label, 0)}
        for label, count in found
    ]


def _candidates(connection: Connection, keys: Sequence[int]) -> list[dict[str, Any]]:
    """Items that may be worth showing: the most urgent and the unhappiest first, then the latest."""
    urgency = case({name: place for place, name in enumerate(URGENCIES)}, value=items.c.urgency)
    unhappy = case((items.c.sentiment == "negative", 1), else_=0)
    return _rows(connection, keys, urgency.desc(), unhappy.desc(), items.c.key.desc(), limit=CANDIDATES)


def _oldest(connection: Connection, keys: Sequence[int]) -> list[dict[str, Any]]:
    return _rows(connection, keys, items.c.due_at, items.c.key, limit=SHOWN)


def _rows(connection: Connection, keys: Sequence[int], *order: Any, limit: int) -> list[dict[str, Any]]:
    wanted = select(items).where(items.c.key.in_(keys[:_MANY]))
    found = [dict(row) for row in connection.execute(wanted.order_by(*order).limit(limit)).mappings()]
    own = item_categories.c
    labels: dict[int, list[str]] = {}
    shown = [row["key"] for row in found]
    named = select(own.item_key, own.category).where(own.item_key.in_(shown), ~own.category.endswith("/*"))
    for key, label in connection.execute(named.order_by(own.category)):
        labels.setdefault(key, []).append(label)
    return [row | {"categories": labels.get(row["key"], [])} for row in found]


def _telling(found: Sequence[dict[str, Any]], frequent: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Of what is most urgent and unhappiest, some of each frequent category in turn; none that says the same."""
    families: dict[str, list[dict[str, Any]]] = {label: [] for label in frequent}
    for row in sorted(found, key=lambda row: len(row["text"]) not in _TELLING):
        label = next((label for label in frequent if label in row["categories"]), "")
        families.setdefault(label, []).append(row)
    seen: set[str] = set()
    in_turn = (row for rank in zip_longest(*families.values()) for row in rank if row is not None)
    for row in in_turn:
        said = fingerprint(row["text"])
        if said not in seen:
            seen.add(said)
            yield _shown(row)
        if len(seen) == SHOWN:
            return


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    names = ("id", "text", "language", "categories", "sentiment", "urgency", "team", "due_at", "received_at")
    return {name: row[name].isoformat() if isinstance(row[name], datetime) else row[name] for name in names}
