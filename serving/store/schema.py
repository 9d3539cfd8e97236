"""The version of the database: brought up to this code's, or refused where it is newer."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from models.errors import ConfigError
from serving.store.engine import StoreError, open_engine, writing

_MIGRATIONS = Path(__file__).with_name("migrations")
#: Of PostgreSQL's advisory locks, the one under which tables are changed.
_LOCK = 7_301_226
#: Changes nothing, but fails where nothing can be written: a full disk, or a read-only file, can still be read.
PROBE = text("UPDATE alembic_version SET version_num = version_num")


def migrate(engine: Engine) -> str:
    """Bring the database up to this version of the code; returns the version.

    Several processes may do it at once: one works, the others wait and find it done.

    Raises:
        ConfigError: the database was made by a newer version, or is not a store.
        StoreError: it cannot be used.
    """
    with writing(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        config = _config(connection)
        check(connection)
        command.upgrade(config, "head")
        connection.execute(PROBE)
    return head()


def open_store(address: str) -> Engine:
    """The store at an address, made or brought up to this version; raises like :func:`migrate`, naming the store, and
    ConfigError for an address that names none."""
    engine = open_engine(address)
    try:
        migrate(engine)
    except StoreError as error:
        engine.dispose()
        raise StoreError(f"{engine.url.render_as_string(hide_password=True)}: {error}") from error
    return engine


def check(connection: Connection) -> None:
    """Raise ConfigError if the database is of a newer version than the code."""
    current = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in ScriptDirectory.from_config(_config(connection)).walk_revisions()}
    if current is not None and current not in known:
        raise ConfigError(
            f"the store is of version {current}, which this program (up to {head()}) does not know: it was made by a "
            "newer one; install that, or use another store"
        )


def head() -> str:
    """The version that this code makes."""
    return str(ScriptDirectory(str(_MIGRATIONS)).get_current_head())


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    return config
