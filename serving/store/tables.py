"""The tables of the store: items and what happened to each, the same on SQLite and PostgreSQL."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects import postgresql

from serving.store.columns import Json, Key, Moment, item_column, key_column, metadata

#: States in which somebody still has to do something.
OPEN = ("routed", "acknowledged", "in_progress")

#: Items that are about the same, to be settled together.
groups = Table(
    "groups",
    metadata,
    key_column(),
    Column("id", String(32), nullable=False, unique=True),
    Column("title", String(200), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("actor", String(200), nullable=False),
)

#: One row an item: what came in, and where it stands now. ``id`` is what callers see, ``key`` counts up in the order
#: of arrival. ``digest`` is of the content, to tell a repeated item from a changed one. ``record`` holds the item.
#: ``watch_at`` is when somebody has to be reminded of it unless it is settled before; None where that is over.
items = Table(
    "items",
    metadata,
    key_column(),
    Column("id", String(32), nullable=False, unique=True),
    Column("received_at", Moment, nullable=False),
    Column("source", String(200), nullable=False, server_default=""),
    Column("external_id", String(200)),
    Column("digest", String(64), nullable=False),
    Column("text", Text, nullable=False),
    Column("language", String(35), nullable=False),
    Column("channel", String(200)),
    Column("product", String(200)),
    Column("record", Json, nullable=False),
    Column("sentiment", String(120)),
    Column("team", String(80), nullable=False),
    Column("rule", String(80), nullable=False),
    Column("urgency", String(10), nullable=False),
    Column("due_at", Moment),
    Column("deliver", String(10), nullable=False),
    Column("needs_review", Boolean, nullable=False),
    Column("state", String(20), nullable=False),
    Column("changed_at", Moment, nullable=False),
    Column("watch_at", Moment),
    Column("reminded_at", Moment),
    Column("escalated_at", Moment),
    Column("group_key", Key, ForeignKey("groups.key")),
    UniqueConstraint("source", "external_id"),
    Index("ix_items_received_at", "received_at"),
    Index("ix_items_team", "team", "key"),
    Index("ix_items_team_state", "team", "state", "key"),
    Index("ix_items_state", "state", "key"),
    Index("ix_items_sentiment", "sentiment", "key"),
    Index("ix_items_language", "language", "key"),
    Index("ix_items_channel", "channel", "key"),
    Index("ix_items_urgency", "urgency", "key"),
    Index("ix_items_rule", "rule", "key"),
    Index(
        "ix_items_due_at",
        "due_at",
        sqlite_where=text("state IN ('routed', 'acknowledged', 'in_progress')"),
        postgresql_where=text("state IN ('routed', 'acknowledged', 'in_progress')"),
    ),
    Index(
        "ix_items_watch_at",
        "watch_at",
        sqlite_where=text("watch_at IS NOT NULL"),
        postgresql_where=text("watch_at IS NOT NULL"),
    ),
    Index(
        "ix_items_group_key",
        "group_key",
        "key",
        sqlite_where=text("group_key IS NOT NULL"),
        postgresql_where=text("group_key IS NOT NULL"),
    ),
)

#: The categories of each item as they stand now: what the model chose, or people after it; and, so that it is found
#: as fast, `family/*` for each family among them.
item_categories = Table(
    "item_categories",
    metadata,
    Column("item_key", Key, ForeignKey("items.key"), primary_key=True),
    Column("category", String(120), primary_key=True),
    Index("ix_item_categories_category", "category", "item_key"),
)

#: Words of each item, by which it is found; PostgreSQL only. SQLite has its own full-text table, `item_words`.
item_tokens = Table(
    "item_tokens",
    metadata,
    Column("item_key", BigInteger, ForeignKey("items.key"), primary_key=True),
    Column("tokens", postgresql.ARRAY(Text), nullable=False),
    Index("ix_item_tokens_tokens", "tokens", postgresql_using="gin"),
)

predictions = Table(
    "predictions",
    metadata,
    key_column(),
    item_column(),
    Column("at", Moment, nullable=False),
    Column("model_name", String(200), nullable=False),
    Column("model_version", String(64), nullable=False),
    Column("label_schema", String(64), nullable=False),
    Column("body", Json, nullable=False),
    Index("ix_predictions_item_key", "item_key"),
)

#: ``cause`` is what made it: ``intake``, or ``not_ours``, a person who said that the item is another team's.
decisions = Table(
    "decisions",
    metadata,
    key_column(),
    item_column(),
    Column("prediction_key", Key, ForeignKey("predictions.key"), nullable=False),
    Column("at", Moment, nullable=False),
    Column("cause", String(20), nullable=False),
    Column("rules_version", String(64), nullable=False),
    Column("body", Json, nullable=False),
    Index("ix_decisions_item_key", "item_key"),
)

#: All that happened to an item, in order; rows are only ever added.
events = Table(
    "events",
    metadata,
    key_column(),
    item_column(),
    Column("at", Moment, nullable=False),
    Column("kind", String(30), nullable=False),
    Column("actor", String(200), nullable=False),
    Column("body", Json, nullable=False),
    Index("ix_events_item_key", "item_key"),
)

#: What people said is right instead, per task; ``labels`` in place of ``shown``.
corrections = Table(
    "corrections",
    metadata,
    key_column(),
    item_column(),
    Column("at", Moment, nullable=False),
    Column("task", String(120), nullable=False),
    Column("labels", Json, nullable=False),
    Column("shown", Json),
    Column("actor", String(200), nullable=False),
    Column("origin", String(30), nullable=False),
    Column("origin_id", String(200)),
    UniqueConstraint("origin", "origin_id", "task"),
    Index("ix_corrections_item_key", "item_key"),
)

#: One row for everything that is to be sent. ``delivery_id`` is what the receiver sees, the same at every attempt.
#: A row that is taken has an owner until ``lease_until``; ``fence`` counts takings, so that a late answer of an
#: earlier owner changes nothing.
outbox = Table(
    "outbox",
    metadata,
    key_column(),
    Column("delivery_id", String(40), nullable=False, unique=True),
    item_column(nullable=True),
    Column("digest_key", Key, ForeignKey("digests.key")),
    Column("kind", String(20), nullable=False),
    Column("team", String(80), nullable=False),
    Column("channel", String(80), nullable=False),
    Column("state", String(10), nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("created_at", Moment, nullable=False),
    Column("next_at", Moment, nullable=False),
    Column("lease_until", Moment),
    Column("lease_owner", String(80)),
    Column("fence", Integer, nullable=False, server_default="0"),
    Column("last_error", Text),
    Column("done_at", Moment),
    Index("ix_outbox_item_key", "item_key"),
    Index("ix_outbox_digest_key", "digest_key"),
    Index(
        "ix_outbox_next_at",
        "channel",
        "next_at",
        sqlite_where=text("state IN ('new', 'leased')"),
        postgresql_where=text("state IN ('new', 'leased')"),
    ),
    Index("ix_outbox_state", "state", "channel", "key"),
)

#: Every attempt to send a row, and how it went.
deliveries = Table(
    "deliveries",
    metadata,
    key_column(),
    Column("outbox_key", Key, ForeignKey("outbox.key"), nullable=False),
    Column("at", Moment, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("outcome", String(10), nullable=False),
    Column("status", Integer),
    Column("milliseconds", Integer, nullable=False),
    Column("error", Text),
    Index("ix_deliveries_outbox_key", "outbox_key"),
)

#: What a team gets together: the items of a period, closed once and then sent. ``body`` is what it tells.
digests = Table(
    "digests",
    metadata,
    key_column(),
    Column("team", String(80), nullable=False),
    Column("opens_at", Moment, nullable=False),
    Column("closes_at", Moment, nullable=False),
    Column("closed_at", Moment, nullable=False),
    Column("body", Json, nullable=False),
    UniqueConstraint("team", "closes_at"),
)

#: What is to stand in a digest. It waits without one, and is moved into the next that is closed: an item whose
#: transaction ends after a digest was closed waits for the one after it, and none is lost between them.
digest_items = Table(
    "digest_items",
    metadata,
    Column("item_key", Key, ForeignKey("items.key"), primary_key=True),
    Column("team", String(80), primary_key=True),
    Column("kind", String(20), primary_key=True),
    Column("at", Moment, nullable=False),
    Column("digest_key", Key, ForeignKey("digests.key")),
    Index("ix_digest_items_digest_key", "digest_key"),
    Index(
        "ix_digest_items_waiting",
        "team",
        "at",
        sqlite_where=text("digest_key IS NULL"),
        postgresql_where=text("digest_key IS NULL"),
    ),
)

#: What is known of each channel: switched off by its receiver, or resting after failures.
channel_states = Table(
    "channel_states",
    metadata,
    Column("channel", String(80), primary_key=True),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("rests_until", Moment),
    Column("disabled_at", Moment),
    Column("reason", Text),
)
