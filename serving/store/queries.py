"""Looking things up: one item with all that happened to it, or the items that fit a filter, page by page."""

import base64
import binascii
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from sqlalchemy import Connection, Engine, Integer, Select, and_, column, func, select, table, text

from models.errors import InputError
from models.records import LanguageTag, Moment
from serving.routing.decision import Urgency
from serving.store.engine import reading
from serving.store.record import categories_of, latest_predictions, summary
from serving.store.search import fts_query, tokens
from serving.store.tables import (
    OPEN,
    groups,
    item_categories,
    item_tokens,
    items,
    predictions,
)

State = Literal["routed", "acknowledged", "in_progress", "resolved", "told"]

#: More similar items than these are not counted.
_MANY = 1000
#: Most items of a page.
MAX_PAGE = 200
_FTS = table("item_words", column("rowid", Integer))
_MATCH = text("item_words MATCH :words")
#: By how much the clocks of those who take items in may differ at most.
_ABOUT = timedelta(minutes=10)


class QueryError(InputError):
    """A filter or cursor that means nothing."""


def _several(value: object) -> object:
    return tuple(value.split(",")) if isinstance(value, str) else value


def _in_use(moment: datetime) -> datetime:
    if not 1900 <= moment.year < 9000:
        raise ValueError(f"expected a time between 1900 and 9000, got the year {moment.year}")
    return moment


_Time = Annotated[Moment, AfterValidator(_in_use)]


class Filter(BaseModel):
    """Which items are wanted; all that is given has to hold.

    ``category`` may be `family/*`; ``state`` may be several, with commas. ``since`` and ``until`` bound the time of
    arrival, the second not included. ``overdue``: open, and due before now. ``group``: the id of a group. ``text``: all
    of these words.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    team: str | None = None
    state: Annotated[tuple[State, ...], BeforeValidator(_several)] = ()
    category: str | None = None
    sentiment: str | None = None
    urgency: Urgency | None = None
    language: LanguageTag | None = None
    channel: str | None = None
    product: str | None = None
    rule: str | None = None
    group: str | None = None
    review: bool | None = None
    since: _Time | None = None
    until: _Time | None = None
    overdue: bool = False
    text: Annotated[str, Field(max_length=500)] | None = None


class Page(NamedTuple):
    """Items, the newest first, and the cursor of the next page; None on the last."""

    items: list[dict[str, Any]]
    next: str | None


def find(
    engine: Engine,
    wanted: Filter,
    now: datetime,
    *,
    cursor: str | None = None,
    limit: int = 50,
    predictions: bool = False,
) -> Page:
    """A page of the items that fit; with ``predictions`` each has its ``record`` and its latest ``prediction``.

    Raises:
        QueryError: the cursor is none that was given out, or ``text`` holds no word.
        StoreError: the store cannot be used.
    """
    with reading(engine) as connection:
        statement = _filtered(connection, wanted, now).limit(limit + 1)
        if cursor is not None:
            statement = statement.where(items.c.key < _key_of(cursor))
        rows = connection.execute(statement).mappings().all()
        keys = [row["key"] for row in rows[:limit]]
        categories = categories_of(connection, keys)
        said = latest_predictions(connection, keys) if predictions else {}
    more = len(rows) > limit
    found = [summary(dict(row), categories.get(row["key"], [])) for row in rows[:limit]]
    if predictions:
        for one, row in zip(found, rows, strict=False):
            one |= {"record": row["record"], "prediction": said[row["key"]]}
    return Page(found, _cursor_of(rows[limit - 1]["key"]) if more else None)


def every(engine: Engine, wanted: Filter, now: datetime) -> Iterator[dict[str, Any]]:
    """All items that fit, the newest first, read page by page so that none holds the database for long."""
    cursor: str | None = None
    while True:
        page = find(engine, wanted, now, cursor=cursor, limit=MAX_PAGE)
        yield from page.items
        cursor = page.next
        if cursor is None:
            return


def count_similar(engine: Engine, category: str, sentiment: str | None, product: str | None, since: datetime) -> int:
    """How many items since then have this category, this sentiment and, where it is given, this product.

    1,000 stands for that many or more.
    """
    own = item_categories.c
    alike = select(items.c.key).where(items.c.key == own.item_key, items.c.received_at >= since)
    if sentiment is not None:
        alike = alike.where(items.c.sentiment == sentiment)
    if product is not None:
        alike = alike.where(items.c.product == product)
    # by the index of categories, whatever the database knows of its tables: those of a day are few among all
    wanted = select(own.item_key).where(own.category == category, own.item_key >= _first_since(since))
    counted = wanted.where(alike.correlate(item_categories).exists()).limit(_MANY).subquery()
    with reading(engine) as connection:
        return connection.execute(select(func.count()).select_from(counted)).scalar_one()


class Stored(NamedTuple):
    """An item as it came in, with what the model said of it first."""

    id: str
    record: dict[str, Any]
    received_at: datetime
    prediction: dict[str, Any]


def past(engine: Engine) -> Iterator[Stored]:
    """Every item in the order of arrival, read in parts so that none holds the database for long."""
    own = predictions.alias()
    first = select(func.min(own.c.key)).where(own.c.item_key == items.c.key).correlate(items).scalar_subquery()
    wanted = select(items.c.key, items.c.id, items.c.record, items.c.received_at, predictions.c.body)
    wanted = wanted.select_from(items).join(predictions, predictions.c.key == first)
    wanted = wanted.order_by(items.c.key).limit(1000)
    last = 0
    while True:
        with reading(engine) as connection:
            rows = connection.execute(wanted.where(items.c.key > last)).all()
        if not rows:
            return
        for _, *rest in rows:
            yield Stored(*rest)
        last = rows[-1][0]


def _filtered(connection: Connection, wanted: Filter, now: datetime) -> Select[Any]:
    statement = select(items)
    if wanted.category is not None and wanted.team is None:
        own = item_categories.c
        joined = statement.join(item_categories, own.item_key == items.c.key)
        # ordered by the key of this table, so that its index gives the newest first
        statement = joined.where(own.category == wanted.category).order_by(own.item_key.desc())
    elif wanted.text is None or connection.dialect.name == "postgresql":
        statement = statement.order_by(items.c.key.desc())
    if wanted.text is not None:
        statement = _with_words(connection, statement, wanted.text)
    if wanted.category is not None and wanted.team is not None:
        # a team has fewer items than a category: its index gives them, and each is looked at
        own = item_categories.c
        alike = select(own.item_key).where(own.item_key == items.c.key, own.category == wanted.category)
        statement = statement.where(alike.correlate(items).exists())
    for name in ("team", "sentiment", "urgency", "language", "channel", "product", "rule"):
        value = getattr(wanted, name)
        if value is not None:
            statement = statement.where(items.c[name] == value)
    if wanted.state:
        one = len(wanted.state) == 1
        statement = statement.where(items.c.state == wanted.state[0] if one else items.c.state.in_(wanted.state))
    if wanted.group is not None:
        statement = statement.where(
            items.c.group_key == select(groups.c.key).where(groups.c.id == wanted.group).scalar_subquery()
        )
    if wanted.review is not None:
        statement = statement.where(items.c.needs_review == wanted.review)
    if wanted.overdue:
        statement = statement.where(and_(items.c.state.in_(OPEN), items.c.due_at < now))
    return _in_period(statement, wanted.since, wanted.until)


def _in_period(statement: Select[Any], since: datetime | None, until: datetime | None) -> Select[Any]:
    """Keys count up as items arrive, but for those that arrive within moments of each other: so a period is a range of
    keys too, which every index can be cut by."""
    if since is not None:
        statement = statement.where(items.c.received_at >= since, items.c.key >= _first_since(since))
    if until is not None:
        last = select(items.c.key).where(items.c.received_at < until + _ABOUT)
        last = last.order_by(items.c.received_at.desc()).limit(1)
        statement = statement.where(items.c.received_at < until, items.c.key <= last.scalar_subquery())
    return statement


def _first_since(since: datetime) -> Any:
    first = select(items.c.key).where(items.c.received_at >= since - _ABOUT).order_by(items.c.received_at).limit(1)
    return first.scalar_subquery()


def _with_words(connection: Connection, statement: Select[Any], text_wanted: str) -> Select[Any]:
    words = tokens(text_wanted)
    if not words:
        raise QueryError(f"text: expected words to look for, got {text_wanted!r}")
    if connection.dialect.name == "postgresql":
        return statement.where(
            items.c.key.in_(select(item_tokens.c.item_key).where(item_tokens.c.tokens.contains(words)))
        )
    # read by FTS5 in the order of its rows, so that a word in every other text costs no more than a rare one
    statement = statement.join(_FTS, _FTS.c.rowid == items.c.key)
    return statement.where(_MATCH.bindparams(words=fts_query(words))).order_by(_FTS.c.rowid.desc())


def _cursor_of(key: int) -> str:
    return base64.urlsafe_b64encode(f"k{key}".encode()).decode().rstrip("=")


def _key_of(cursor: str) -> int:
    try:
        text_of = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
        key = int(text_of[1:])
        if text_of[0] != "k" or not 0 <= key < 2**63:
            raise ValueError
        return key
    except (ValueError, IndexError, binascii.Error):
        raise QueryError(f"cursor: expected `next` of a page, got {cursor[:60]!r}") from None
