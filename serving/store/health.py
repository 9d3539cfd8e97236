"""Whether the store can be used: what the last failure was, looked at again when somebody asks."""

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import Engine, text

from serving.store.engine import StoreError, reading, writing
from serving.store.schema import PROBE

#: Seconds that a look may take, and for which its result counts.
PATIENCE, FRESH = 2.0, 1.0

_READ = text("SELECT version_num FROM alembic_version")


class Failure(NamedTuple):
    """Why the store cannot be used, and since when."""

    reason: str
    since: datetime


class Health:
    """The state of a store, for any thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._failure: Failure | None = None
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="health")
        self._look: Future[None] | None = None
        self._looked = -FRESH

    def failed(self, error: StoreError) -> None:
        """Remember that the store could not be used just now."""
        with self._lock:
            self._failure = Failure(str(error), self._failure.since if self._failure else datetime.now(UTC))
            self._looked = -FRESH

    def failure(self) -> Failure | None:
        """What is wrong with the store now, None if nothing is; takes :data:`PATIENCE` at most.

        A store that failed is well again when something could be written to it.
        """
        with self._lock:
            if self._look is None:
                if time.monotonic() - self._looked < FRESH:
                    return self._failure
                self._look = self._thread.submit(self._try, self._failure is not None)
            look = self._look
        try:
            look.result(PATIENCE)
        except Late:
            self.failed(StoreError(f"the store does not answer within {PATIENCE:.0f} seconds"))
        return self._failure

    def _try(self, failing: bool) -> None:
        failure = None
        try:
            with writing(self._engine) if failing else reading(self._engine) as connection:
                connection.execute(PROBE if failing else _READ)
        except StoreError as error:
            failure = error
        finally:
            with self._lock:
                self._look, self._looked = None, time.monotonic()
                # that it can be read says nothing of a write that has failed meanwhile
                if failing and failure is None:
                    self._failure = None
        if failure is not None:
            self.failed(failure)
