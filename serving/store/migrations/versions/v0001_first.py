"""The first tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from serving.store.columns import Json, Key, Moment

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make every table."""
    op.create_table(
        "channel_states",
        sa.Column("channel", sa.String(length=80), nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("rests_until", Moment(), nullable=True),
        sa.Column("disabled_at", Moment(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("channel", name="pk_channel_states"),
    )
    op.create_table(
        "digests",
        sa.Column("key", Key, autoincrement=True, nullable=False),
        sa.Column("team", sa.String(length=80), nullable=False),
        sa.Column("opens_at", Moment(), nullable=False),
        sa.Column("closes_at", Moment(), nullable=False),
        sa.Column("closed_at", Moment(), nullable=False),
        sa.Column("body", Json, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_digests"),
        sa.UniqueConstraint("team", "closes_at", name="uq_digests_team_closes_at"),
    )
    op.create_table(
        "groups",
        sa.Column("key", Key, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_groups"),
        sa.UniqueConstraint("id", name="uq_groups_id"),
    )
    op.create_table(
        "items",
        sa.Column("key", Key, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("received_at", Moment(), nullable=False),
        sa.Column("source", sa.String(length=200), server_default="", nullable=False),
        sa.Column("external_id", sa.String(length=200), nullable=True),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("language", sa.String(length=35), nullable=False),
        sa.Column("channel", sa.String(length=200), nullable=True),
        sa.Column("product", sa.String(length=200), nullable=True),
        sa.Column("record", Json, nullable=False),
        sa.Column("sentiment", sa.String(length=120), nullable=True),
        sa.Column("team", sa.String(length=80), nullable=False),
        sa.Column("rule", sa.String(length=80), nullable=False),
        sa.Column("urgency", sa.String(length=10), nullable=False),
        sa.Column("due_at", Moment(), nullable=True),
        sa.Column("deliver", sa.String(length=10), nullable=False),
        sa.Column("needs_review", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("changed_at", Moment(), nullable=False),
        sa.Column("watch_at", Moment(), nullable=True),
        sa.Column("reminded_at", Moment(), nullable=True),
        sa.Column("escalated_at", Moment(), nullable=True),
        sa.Column("group_key", Key, nullable=True),
        sa.ForeignKeyConstraint(["group_key"], ["groups.key"], name="fk_items_group_key_groups"),
        sa.PrimaryKeyConstraint("key", name="pk_items"),
        sa.UniqueConstraint("id", name="uq_items_id"),
        sa.UniqueConstraint("source", "external_id", name="uq_items_source_external_id"),
    )
    op.create_index("ix_items_channel", "items", ["channel", "key"], unique=False)
    op.create_index(
        "ix_items_due_at",
        "items",
        ["due_at"],
        unique=False,
        sqlite_where=sa.text("state IN ('routed', 'acknowledged', 'in_progress')"),
        postgresql_where=sa.text("state IN ('routed', 'acknowledged', 'in_progress')"),
    )
    op.create_index(
        "ix_items_group_key",
        "items",
        ["group_key", "key"],
        unique=False,
        sqlite_where=sa.text("group_key IS NOT NULL"),
        postgresql_where=sa.text("group_key IS NOT NULL"),
    )
    op.create_index("ix_items_language", "items", ["language", "key"], unique=False)
    op.create_index("ix_items_received_at", "items", ["received_at"], unique=False)
    op.create_index("ix_items_rule", "items", ["rule", "key"], unique=False)
    op.create_index("ix_items_sentiment", "items", ["sentiment", "key"], unique=False)
    op.create_index("ix_items_state", "items", ["state", "key"], unique=False)
    op.create_index("ix_items_team", "items", ["team", "key"], unique=False)
    op.create_index("ix_items_team_state", "items", ["team", "state", "key"], unique=False)
    op.create_index("ix_items_urgency", "items", ["urgency", "key"], unique=False)
    op.create_index(
        "ix_items_watch_at",
        "items",
        ["watch_at"],
        unique=False,
        sqlite_where=sa.text("watch_at IS NOT NULL"),
        postgresql_where=sa.text("watch_at IS NOT NULL"),
    )
    op.create_table(
        "corrections",
        sa.Column("key", Key, autoincrement=True, nullable=False),
        sa.Column("item_key", Key, nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("task", sa.String(length=120), nullable=False),
        sa.Column("labels", Json, nullable=False),
        sa.Column("shown", Json, nullable=True),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("origin", sa.String(length=30), nullable=False),
        sa.Column("origin_id", sa.String(length=200), nullable=True),
        sa.ForeignKeyConstraint(["item_key"], ["items.key"], name="fk_corrections_item_key_items"),
        sa.PrimaryKeyConstraint("key", name="pk_corrections"),
        sa.UniqueConstraint("origin", "origin_id", "task", name="uq_corrections_origin_origin_id_task"),
    )
    op.create_index("ix_corrections_item_key", "corrections", ["item_key"], unique=False)
    op.create_table(
        "digest_items",
        sa.Column("item_key", Key, nullable=False),
        sa.Column("team", sa.String(length=80), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("digest_key", Key, nullable=True),
        sa.ForeignKeyConstraint(["digest_key"], ["digests.key"], name="fk_digest_items_digest_key_digests"),
        sa.ForeignKeyConstraint(["item_key"], ["items.key"], name="fk_digest_items_item_key_items"),
        sa.PrimaryKeyConstraint("item_key", "team", "kind", name="pk_digest_items"),
    )
    op.create_index("ix_digest_items_digest_key", "digest_items", ["digest_key"], unique=False)
    op.create_index(
        "ix_digest_items_waiting",
        "digest_items",
        ["team", "at"],
        unique=False,
        sqlite_where=sa.text("digest_key IS NULL"),
        postgresql_where=sa.text("digest_key IS NULL"),
    )
    op.create_table(
        "events",
        sa.Column("key", Key, autoincrement=True, nullable=False),
        sa.Column("item_key", Key, nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("kind", sa.String(length=30), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("body", Json, nullable=False),
        sa.ForeignKeyConstraint(["item_key"], ["items.key"], name="fk_events_item_key_items"),
        sa.PrimaryKeyConstraint("key", name="pk_events"),
    )
    op.create_index("ix_events_item_key", "events", ["item_key"], unique=False)
    op.create_table(
        "item_categories",
        sa.Column("item_key", Key, nullable=False),
        sa.Column("category", sa.String(length=120), nullable=False),
        sa.ForeignKeyConstraint(["item_key"], ["items.key"], name="fk_item_categories_item_key_items"),
        sa.PrimaryKeyConstraint("item_key", "category", name="pk_item_categories"),
    )
    op.create_index("ix_item_categories_category", "item_categories", ["category", "item_key"], unique=False)
    op.create_table(
        "outbox",
        sa.Column("key", Key, autoincrement=True, nullable=False),
        sa.Column("delivery_id", sa.String(length=40), nullable=False),
        sa.Column("item_key", Key, nullable=True),
        sa.Column("digest_key", Key, nullable=True),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("team", sa.String(length=80), nullable=False),
        sa.Column("channel", sa.String(length=80), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("next_at", Moment(), nullable=False),
        sa.Column("lease_until", Moment(), nullable=True),
        sa.Column("lease_owner", sa.String(length=80), nullable=True),
        sa.Column("fence", sa.Integer(), server_default="0", nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("done_at", Moment(), nullable=True),
        sa.ForeignKeyConstraint(["digest_key"], ["digests.key"], name="fk_outbox_digest_key_digests"),
        sa.ForeignKeyConstraint(["item_key"], ["items.key"], name="fk_outbox_item_key_items"),
        sa.PrimaryKeyConstraint("key", name="pk_outbox"),
        sa.UniqueConstraint("delivery_id", name="uq_outbox_delivery_id"),
    )
    op.create_index("ix_outbox_digest_key", "outbox", ["digest_key"], unique=False)
    op.create_index("ix_outbox_item_key", "outbox", ["item_key"], unique=False)
    op.create_index(
        "ix_outbox_next_at",
        "outbox",
        ["channel", "next_at"],
        unique=False,
        sqlite_where=sa.text("state IN ('new', 'leased')"),
        postgresql_where=sa.text("state IN ('new', 'leased')"),
    )
    op.create_index("ix_outbox_state", "outbox", ["state", "channel", "key"], unique=False)
    op.create_table(
        "predictions",
        sa.Column("key", Key, autoincrement=True, nullable=False),
        sa.Column("item_key", Key, nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("model_name", sa.String(length=200), nullable=False),
        sa.Column("model_version", sa.String(length=64), nullable=False),
        sa.Column("label_schema", sa.String(length=64), nullable=False),
        sa.Column("body", Json, nullable=False),
        sa.ForeignKeyConstraint(["item_key"], ["items.key"], name="fk_predictions_item_key_items"),
        sa.PrimaryKeyConstraint("key", name="pk_predictions"),
    )
    op.create_index("ix_predictions_item_key", "predictions", ["item_key"], unique=False)
    op.create_table(
        "decisions",
        sa.Column("key", Key, autoincrement=True, nullable=False),
        sa.Column("item_key", Key, nullable=False),
        sa.Column("prediction_key", Key, nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("cause", sa.String(length=20), nullable=False),
        sa.Column("rules_version", sa.String(length=64), nullable=False),
        sa.Column("body", Json, nullable=False),
        sa.ForeignKeyConstraint(["item_key"], ["items.key"], name="fk_decisions_item_key_items"),
        sa.ForeignKeyConstraint(
            ["prediction_key"], ["predictions.key"], name="fk_decisions_prediction_key_predictions"
        ),
        sa.PrimaryKeyConstraint("key", name="pk_decisions"),
    )
    op.create_index("ix_decisions_item_key", "decisions", ["item_key"], unique=False)
    op.create_table(
        "deliveries",
        sa.Column("key", Key, autoincrement=True, nullable=False),
        sa.Column("outbox_key", Key, nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(length=10), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("milliseconds", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["outbox_key"], ["outbox.key"], name="fk_deliveries_outbox_key_outbox"),
        sa.PrimaryKeyConstraint("key", name="pk_deliveries"),
    )
    op.create_index("ix_deliveries_outbox_key", "deliveries", ["outbox_key"], unique=False)
    if op.get_context().dialect.name == "postgresql":
        op.create_table(
            "item_tokens",
            sa.Column("item_key", sa.BigInteger(), nullable=False),
            sa.Column("tokens", postgresql.ARRAY(sa.Text()), nullable=False),
            sa.ForeignKeyConstraint(["item_key"], ["items.key"], name="fk_item_tokens_item_key_items"),
            sa.PrimaryKeyConstraint("item_key", name="pk_item_tokens"),
        )
        op.create_index("ix_item_tokens_tokens", "item_tokens", ["tokens"], unique=False, postgresql_using="gin")
    else:
        op.execute("CREATE VIRTUAL TABLE item_words USING fts5 (words, content = '', tokenize = 'unicode61')")
