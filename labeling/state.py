"""What this side knows of one Label Studio project: which item is which task, what was shown, what came back.

Label Studio recognises nothing that is sent twice and keeps no reliable copy of what it showed, so both are kept here,
in a SQLite file beside the project's other artifacts. What stands here is on disk before it is acted on.
"""

import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models.progress import Progress

#: Where these files lie, one a project.
FOLDER = Path("artifacts/labeling")
_VERSION = 3

# items: one row an item that was chosen. `task_id` is empty until the server has told it. `prediction` is a copy of
# what was shown (or, if `blind`, would have been), of `model_version`. `why` is what it was chosen for; `probability`
# that with which it was drawn, where chance alone chose it.
# annotations: the latest version of each annotation that was seen; `labels` by task as JSON; `state` is live, skipped
# or deleted. `shown` is what Label Studio says was shown, as JSON: the model and its labels by task. `unsettled` stands
# where an annotation was taken off the server because a label was split, and is what it said of that task, as JSON;
# what it says of others counts until somebody answers anew.
# reports: the last correction of each item that was sent to the service, under which name; `content` tells it from
# another, empty where a file of an earlier version does not tell; `taken_at` is empty until the service has taken it.
_REPORTS = """
CREATE TABLE reports (
    item_id TEXT PRIMARY KEY,
    content TEXT,
    origin_id TEXT NOT NULL,
    taken_at TEXT
)"""
_TABLES = f"""
CREATE TABLE items (
    item_id TEXT PRIMARY KEY,
    task_id INTEGER UNIQUE,
    record TEXT NOT NULL,
    why TEXT NOT NULL,
    probability REAL,
    blind INTEGER NOT NULL,
    prediction TEXT,
    model_version TEXT,
    chosen_at TEXT NOT NULL,
    pushed_at TEXT
);
CREATE TABLE annotations (
    annotation_id INTEGER PRIMARY KEY,
    updated_at TEXT NOT NULL,
    task_id INTEGER NOT NULL,
    annotator TEXT NOT NULL,
    state TEXT NOT NULL,
    labels TEXT NOT NULL,
    set_aside TEXT,
    note TEXT,
    seconds REAL,
    seen_at TEXT NOT NULL,
    shown TEXT,
    unsettled TEXT
);
CREATE INDEX ix_annotations_task_id ON annotations (task_id);
CREATE TABLE marks (name TEXT PRIMARY KEY, value TEXT NOT NULL);
{_REPORTS};
"""

#: What brings a file of an earlier version to the next one.
_UPGRADES = {
    1: ["ALTER TABLE annotations ADD COLUMN shown TEXT"],
    2: [
        _REPORTS,
        """
        INSERT INTO reports (item_id, origin_id, taken_at)
        SELECT item_id, '', max(reported_at) FROM items JOIN annotations USING (task_id)
        WHERE state = 'live' GROUP BY item_id HAVING count(*) = count(reported_at)
        """,
        "ALTER TABLE annotations DROP COLUMN reported_at",
        "ALTER TABLE annotations ADD COLUMN unsettled TEXT",
    ],
}


class State:
    """The file of one project.

    Args:
        path: where it is, or is made.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=30, check_same_thread=False)
        self._connection.row_factory = sqlite3.Row
        for setting in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            self._connection.execute(f"PRAGMA {setting}")
        with self.changing() as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            upgrades = [step for each in range(version or _VERSION, _VERSION) for step in _UPGRADES[each]]
            steps = upgrades if version else _TABLES.split(";")
            for statement in steps:
                connection.execute(statement)
            if steps:
                connection.execute(f"PRAGMA user_version = {_VERSION}")

    @contextmanager
    def changing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: on disk when the block ends, or it has not happened. One at a time, of all processes."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def rows(self, statement: str, *values: object) -> list[sqlite3.Row]:
        """What a question finds."""
        return self._connection.execute(statement, values).fetchall()

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()


@contextmanager
def alone(lock: Path, what: str, progress: Progress) -> Iterator[None]:
    """Be the only one of all processes that has this lock; others wait until the block ends.

    Args:
        lock: a file for it, which stays.
        what: what others are waited for, in words.
        progress: is told of the wait.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with progress.stage(f"waiting for {what}"):
                fcntl.flock(file, fcntl.LOCK_EX)
        yield
