"""Connections to the database, opened the same way everywhere."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import JsonValue
from pydantic_core import to_json
from sqlalchemy import Connection, Engine, create_engine, event, exc, make_url
from sqlalchemy.engine import URL

from models.errors import ConfigError, FeedbackError, InputError
from models.records import storable

#: Seconds that a writer waits for another; fewer than a request may take, so that its sender is told what is wrong.
BUSY = 5.0
_POOL = 8


class StoreError(FeedbackError):
    """The store cannot be used now; nothing was accepted, and it is worth trying again."""

    http_status = 503


def open_engine(address: str) -> Engine:
    """An engine for `sqlite:///FILE` or `postgresql://…`.

    SQLite: write-ahead log, every commit on disk before it is answered, one writer at a time that waits for the other.
    It must lie on a disk of this machine.

    Raises:
        ConfigError: the address names no database that is known.
    """
    try:
        url = make_url(address)
    except exc.ArgumentError:
        raise ConfigError(
            f"store: expected sqlite:///FILE or postgresql://USER@HOST/NAME, got {_shown(address)}"
        ) from None
    if url.get_backend_name() == "postgresql":
        return create_engine(
            url.set(drivername="postgresql+psycopg"),
            pool_size=_POOL,
            pool_pre_ping=True,
            json_serializer=as_json,
            hide_parameters=True,  # a message of an error may be logged, and what is stored may not
            connect_args={
                "connect_timeout": 5,
                # its default page cost is that of turning disks: a rare word among a million items took 140 ms in
                # place of 5, since the index of words was not thought worth its reads
                "options": f"-c statement_timeout=30000 -c lock_timeout={int(BUSY * 1000)} -c random_page_cost=1.1",
            },
        )
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        raise ConfigError(f"store: expected sqlite:///FILE or postgresql://USER@HOST/NAME, got {_shown(address)}")
    Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        url,
        pool_size=_POOL,
        json_serializer=as_json,
        hide_parameters=True,
        connect_args={"timeout": BUSY, "check_same_thread": False},
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def absolute(address: str) -> str:
    """The address as a process in any other folder understands it."""
    kind, separator, path = address.partition(":///")
    return f"{kind}{separator}{Path(path).resolve()}" if kind == "sqlite" and path else address


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that is on disk when the block ends, or has not happened.

    Raises:
        StoreError: the database is away, locked for too long, full or read-only.
    """
    try:
        with engine.begin() as connection:
            yield connection
    except exc.DBAPIError as error:
        raise unavailable(error) from error


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction for reading; StoreError as in :func:`writing`."""
    try:
        with engine.connect().execution_options(read=True) as connection:
            yield connection
    except exc.DBAPIError as error:
        raise unavailable(error) from error


def tidy(engine: Engine) -> None:
    """Let the database look at what it holds, so that it keeps choosing the right indexes; StoreError as above.

    PostgreSQL does so by itself.
    """
    if engine.dialect.name == "sqlite":
        with writing(engine) as connection:
            connection.exec_driver_sql("PRAGMA analysis_limit = 400")
            connection.exec_driver_sql("PRAGMA optimize")


def as_json(value: object) -> str:
    """JSON as it is stored, of models too; without NUL, which not every database can hold."""
    written = to_json(value).decode()
    return written if "\\u0000" not in written else json.dumps(_without_nul(json.loads(written)), ensure_ascii=False)


def _without_nul(value: JsonValue) -> JsonValue:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, list):
        return [_without_nul(one) for one in value]
    if isinstance(value, dict):
        return {storable(name): _without_nul(one) for name, one in value.items()}
    return value


def unavailable(error: exc.DBAPIError) -> Exception:
    """StoreError if the database is to blame, InputError if a value is; else the error itself: the statement is."""
    if isinstance(error, exc.OperationalError | exc.InterfaceError | exc.InternalError) or error.connection_invalidated:
        # the driver's message tells what is wrong with the database, and nothing of what was to be written
        return StoreError(f"the store cannot be used now: {str(error.orig).splitlines()[0] if error.orig else error}")
    if isinstance(error, exc.DataError):
        return InputError("expected text without the character NUL, and numbers and times that people use; got others")
    if isinstance(error, exc.DatabaseError) and isinstance(error.orig, sqlite3.DatabaseError):
        return StoreError(f"the store is damaged: {error.orig}") if "malformed" in str(error.orig) else error
    return error


def _prepare_sqlite(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = None  # transactions are begun below
    for setting in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={int(BUSY * 1000)}"):
        connection.execute(f"PRAGMA {setting}")


def _begin_sqlite(connection: Connection) -> None:
    # a transaction that reads first and writes later could find that another has written in between
    begin = "BEGIN" if connection.get_execution_options().get("read") else "BEGIN IMMEDIATE"
    connection.exec_driver_sql(begin)


def _shown(address: str) -> str:
    try:
        shown: URL | Any = make_url(address)
        return repr(shown.render_as_string(hide_password=True))
    except exc.ArgumentError:
        return "something else"
