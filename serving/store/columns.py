"""What columns of the store are made of, on SQLite and PostgreSQL alike."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Column, DateTime, ForeignKey, Integer, MetaData
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite counts only an INTEGER primary key up by itself
Key = BigInteger().with_variant(Integer, "sqlite")
Json = JSON().with_variant(postgresql.JSONB, "postgresql")


class _Written(sqlite.DATETIME):
    """A time as SQLite keeps it, in UTC and without a zone: the same text as SQLAlchemy's own, made in less time."""

    def bind_processor(self, dialect: Dialect) -> Any:
        """To text."""
        return lambda value: None if value is None else value.isoformat(" ", "microseconds")

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        """From text."""
        return lambda value: None if value is None else datetime.fromisoformat(value)


def in_utc(value: datetime) -> datetime:
    """The same point in time in UTC; ValueError for one without a zone."""
    if value.tzinfo is None:
        raise ValueError(f"expected a time with a zone, got {value}")
    return value if value.tzinfo is UTC else value.astimezone(UTC)


class Moment(TypeDecorator[datetime]):
    """A point in time with its zone; kept in UTC. A naive one is refused."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """A real point in time where the database has one."""
        return dialect.type_descriptor(DateTime(timezone=True) if dialect.name == "postgresql" else _Written())  # type: ignore[no-untyped-call]

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To UTC; SQLite writes it without a zone."""
        if value is None:
            return None
        value = in_utc(value)
        return value if dialect.name == "postgresql" else value.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """In UTC, whatever zone the session of the database has."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def key_column() -> "Column[int]":
    """The key of a table, which counts up."""
    return Column("key", Key, primary_key=True, autoincrement=True)


def item_column(*, nullable: bool = False) -> "Column[int]":
    """The item that a row belongs to."""
    return Column("item_key", Key, ForeignKey("items.key"), nullable=nullable)
