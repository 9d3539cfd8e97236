"""How many items a second the service takes in over HTTP, beside what the model and the database alone can do."""

import itertools
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from pydantic import JsonValue
from sqlalchemy import MetaData, Table, Text, insert
from sqlalchemy.schema import Column

from models.classifier import Classifier
from models.figures import Figure, at_least
from models.progress import Advance, Progress
from models.records import FeedbackItem
from serving.intake import take
from serving.routing.load import DEFAULT_RULES, load_rules
from serving.server import ask, base_url, check_port, running
from serving.settings import Settings
from serving.similar import Similar
from serving.store.engine import open_engine, writing
from serving.store.schema import open_store

#: Items of a request, and callers at once.
LIST, CALLERS = 64, 4
#: Items a second that the project wants to take in.
WANTED = 1500


def bench_intake(
    settings: Settings, texts: Sequence[str], port: int, progress: Progress, *, lists: int = 60, repeats: int = 5
) -> list[Figure]:
    """Over HTTP with :data:`CALLERS` callers, in this process with one, the model alone, and the database alone.

    Args:
        settings: model and store; the store is written to.
        texts: what customers say; each is sent many times, and is new every time.
        port: where the service listens meanwhile.
        progress: is told how far it is.
        lists: requests a repeat.
        repeats: how often all is measured.
    """
    # the texts come again and again, and are to be computed each time
    settings = settings.model_copy(update={"recent": 0})
    fresh = _Fresh(texts)
    with progress.stage("model and database by themselves", repeats, "repeats") as advance:
        alone = _alone(settings, fresh, lists, repeats, advance)
    check_port("127.0.0.1", port)
    one, two = (
        _over_http(settings.model_copy(update={"workers": workers}), fresh, port, progress, lists, repeats)
        for workers in (1, 2)
    )
    name = f"taken in over HTTP, lists of {LIST}, {CALLERS} callers"
    return [
        at_least(f"{name}, two workers", "items/s", two, WANTED),
        at_least(f"{name}, one worker", "items/s", one),
        *alone,
    ]


def _over_http(
    settings: Settings, fresh: "_Fresh", port: int, progress: Progress, lists: int, repeats: int
) -> list[float]:
    rates = []
    with (
        running(settings, "127.0.0.1", port, progress),
        ThreadPoolExecutor(CALLERS) as pool,
        progress.stage(f"taking in over HTTP, {settings.workers} worker(s)", repeats + 1, "repeats") as advance,
    ):
        url = base_url("127.0.0.1", port)
        for _ in range(repeats + 1):
            requests = [fresh.items(LIST) for _ in range(lists)]
            start = time.perf_counter()
            done = list(pool.map(lambda items: ask(url, items, path="/feedback"), requests))
            rates.append(lists * LIST / (time.perf_counter() - start))
            if any(result["status"] != "stored" for results in done for result in results):
                raise RuntimeError("an item was not stored")
            advance(1)
    return rates[1:]  # the first time everything is warmed up


def _alone(settings: Settings, fresh: "_Fresh", lists: int, repeats: int, advance: Advance) -> list[Figure]:
    classifier, rules = Classifier.load(settings.model, settings.threads), load_rules(settings.rules or DEFAULT_RULES)
    engine = open_store(settings.address)
    similar = Similar(engine)
    floor = _Floor(settings.address)
    together, model, database = [], [], []
    for _ in range(repeats):
        requests = [fresh.items(LIST) for _ in range(lists)]
        start = time.perf_counter()
        for items in requests:
            take(engine, list(items), classifier.predict, rules, similar, datetime.now(UTC))
        together.append(lists * LIST / (time.perf_counter() - start))
        start = time.perf_counter()
        for items in requests:
            classifier.predict([FeedbackItem.model_validate(item) for item in items])
        model.append(lists * LIST / (time.perf_counter() - start))
        start = time.perf_counter()
        for items in requests:
            floor.write([str(item["text"]) for item in items])
        database.append(lists * LIST / (time.perf_counter() - start))
        advance(1)
    engine.dispose()
    floor.close()
    return [
        at_least("the same without HTTP, one caller", "items/s", together),
        at_least("the model alone", "items/s", model),
        at_least("the database alone: the texts in one table, a commit a list", "items/s", database),
    ]


class _Fresh:
    """Items that nobody has sent before."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts, self._number = itertools.cycle(texts), itertools.count(time.time_ns())

    def items(self, count: int) -> list[dict[str, JsonValue]]:
        return [
            {"text": next(self._texts), "external_id": f"bench-{next(self._number)}", "source": "bench"}
            for _ in range(count)
        ]


class _Floor:
    """The least that a database has to do to keep texts: one table, no index, a commit a list."""

    def __init__(self, address: str) -> None:
        self._engine = open_engine(address)
        self._table = Table("bench_floor", MetaData(), Column("text", Text))
        with writing(self._engine) as connection:
            self._table.create(connection, checkfirst=True)

    def write(self, texts: Sequence[str]) -> None:
        with writing(self._engine) as connection:
            connection.execute(insert(self._table), [{"text": text} for text in texts])

    def close(self) -> None:
        with writing(self._engine) as connection:
            self._table.drop(connection)
        self._engine.dispose()
