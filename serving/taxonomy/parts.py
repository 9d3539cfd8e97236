"""What of a migration is serving's: rules, cases and the store."""

from pathlib import Path

from models.errors import ConfigError
from models.migration.moves import Migration
from models.migration.parts import Named, Part


def parts(migration: Migration, named: Named) -> list[Part]:
    """Those that were named; ConfigError for cases without rules, or a store that is not there."""
    found: list[Part] = []
    if named.rules is not None:
        from serving.taxonomy.rules import RulesFiles

        found.append(RulesFiles(named.rules, named.cases, migration))
    elif named.cases is not None:
        raise ConfigError("--cases goes with --rules: cases are checked by the rules that they are for")
    if named.store is not None:
        from serving.store.schema import open_store
        from serving.taxonomy.stored import Store

        _is_there(named.store)
        found.append(Store(open_store(named.store), migration, named.relabel))
    return found


def _is_there(address: str) -> None:
    """A store that is misspelled must not be made."""
    if address.startswith("sqlite:///"):
        from sqlalchemy import make_url

        path = Path(str(make_url(address).database))
        if not path.is_file():
            raise ConfigError(f"--store {address}: expected a store, found no file {path}; check the address")
