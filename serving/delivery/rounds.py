"""What the worker does now and then beside sending."""

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import Engine

from serving.delivery.digests import close_due
from serving.delivery.overdue import remind
from serving.routing.compiled import Rules
from serving.store.engine import tidy

#: How often the database counts anew what its indexes hold.
_TIDY = timedelta(hours=1)


def rounds(engine: Engine, rules: Callable[[], Rules]) -> Callable[[datetime], None]:
    """Closes digests that are due and reminds of what is overdue; raises StoreError if the store is away."""
    tidied: list[datetime] = []

    def go(now: datetime) -> None:
        current = rules()
        remind(engine, current, now)
        close_due(engine, current, now)
        if not tidied or now - tidied[-1] > _TIDY:
            tidied[:] = [now]
            tidy(engine)

    return go
