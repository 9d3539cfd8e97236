"""What of a migration is labelling's: a project of Label Studio."""

import os

from models.migration.moves import Migration
from models.migration.parts import Named, Part


def parts(migration: Migration, named: Named) -> list[Part]:
    """The project, if one was named; ConfigError without an address or key of Label Studio."""
    if named.project is None:
        return []
    from labeling.push.queue import state_file
    from labeling.studio.client import URL_VARIABLE, connect
    from labeling.taxonomy.project import Project

    path = state_file(named.url or os.environ.get(URL_VARIABLE, ""), named.project)
    return [Project(connect(named.url), named.project, path, migration)]
