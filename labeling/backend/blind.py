"""Which items labelers judge without having seen a prediction."""

import json
import sqlite3
from collections.abc import Collection
from contextlib import closing
from pathlib import Path

from models.errors import FeedbackError


def blind_items(folder: Path, ids: Collection[str]) -> set[str]:
    """Those of ``ids`` that were chosen to be judged blind, in any project whose state lies in ``folder``.

    Raises:
        FeedbackError: a state cannot be read; then nobody knows, and nothing should be shown.
    """
    found: set[str] = set()
    statement = "SELECT item_id FROM items WHERE blind AND item_id IN (SELECT value FROM json_each(?))"
    for path in sorted(folder.glob("*.db")) if ids else ():
        try:
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
                found.update(item for (item,) in connection.execute(statement, [json.dumps(list(ids))]))
        except sqlite3.Error as error:
            raise FeedbackError(f"{path}: expected the state of a Label Studio project: {error}") from None
    return found
