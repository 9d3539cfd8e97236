"""How long questions take in a store of many items."""

import itertools
import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Engine, text

from models.figures import Figure, at_most
from models.progress import Progress
from serving.delivery.digest_body import body_of
from serving.store.engine import reading, writing
from serving.store.intake import with_families
from serving.store.queries import Filter, count_similar, find
from serving.store.record import get
from serving.store.rows import insert_rows
from serving.store.schema import open_store
from serving.store.search import insert_words
from serving.store.tables import decisions, digest_items, events, item_categories, items, predictions

#: Milliseconds that a question may take.
WANTED = 50
NOW = datetime(2026, 11, 1, tzinfo=UTC)
_LABELS = ("product/defect", "product/quality", "product/performance", "service/staff", "service/billing", "other")
_TEAMS = ("support", "billing", "product", "sales", "shop", "legal", "triage", "stores")
_LANGUAGES = ("en", "it", "pl", "ro", "zh-Hans", "zh-Hant")
_CHANNELS = ("email", "app", "chat", "survey", "store")
_STATES = ("told",) * 14 + ("resolved", "resolved", "in_progress", "acknowledged", "routed", "routed")
_CHUNK = 5_000

#: What is asked, by name.
QUESTIONS: dict[str, dict[str, Any]] = {
    "everything": {},
    "a team": {"team": "support"},
    "a team and a state": {"team": "support", "state": "routed"},
    "a team, all that is open": {"team": "support", "state": "routed,acknowledged,in_progress"},
    "a category": {"category": "product/defect"},
    "a family of categories": {"category": "product/*"},
    "a sentiment": {"sentiment": "negative"},
    "a period": {"since": "2026-03-01T00:00:00Z", "until": "2026-03-02T00:00:00Z"},
    "a team in a period": {"team": "support", "since": "2026-03-01T00:00:00Z", "until": "2026-03-02T00:00:00Z"},
    "overdue": {"overdue": True},
    "overdue at a team": {"overdue": True, "team": "sales"},
    "a language": {"language": "it"},
    "a channel and a language": {"channel": "app", "language": "it"},
    "a word in every third text": {"text": "word1"},
    "a rare word": {"text": "word9001"},
    "two words": {"text": "word3 word900"},
    "a word at a team": {"text": "word10", "team": "billing"},
    "five conditions": {
        "team": "sales",
        "category": "product/defect",
        "sentiment": "negative",
        "language": "ro",
        "state": "acknowledged",
    },
    "nothing that there is": {"channel": "app", "language": "xx"},
}


def bench_queries(address: str, count: int, progress: Progress, *, repeats: int = 5) -> list[Figure]:
    """Pages of :func:`serving.store.queries.find` in a store of so many items, one item with all that is known of it,
    similar items of a day, and the counts of a digest of a thousand items.

    Args:
        address: an empty store.
        count: items that are made up and stored first.
        progress: is told how far it is.
        repeats: how often each question is asked.
    """
    engine = open_store(address)
    with progress.stage("making up items", count, "items") as advance:
        for rows in _chunks(count):
            _store(engine, rows)
            advance(len(rows))
    _settle(engine)
    day, middle = NOW - timedelta(days=1), f"{count // 2:024}"
    questions: dict[str, Callable[[], object]] = {
        f"ask for {name}": partial(find, engine, Filter.model_validate(asked), NOW) for name, asked in QUESTIONS.items()
    }
    questions["one item with all of it"] = partial(get, engine, middle)
    questions["similar items of a day"] = partial(count_similar, engine, "product/defect", "negative", None, day)
    figures = [at_most(name, "ms", _times(ask, repeats), WANTED) for name, ask in questions.items()]

    def digest() -> None:
        with reading(engine) as connection:
            body_of(connection, "support", digest_items.c.team == "support", None, NOW)

    figures.append(at_most("a digest of a thousand items", "ms", _times(digest, repeats)))
    engine.dispose()
    return figures


def _settle(engine: Engine) -> None:
    """Let the database count what it holds, and go on with the keys after those that were given here."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))
        if engine.dialect.name == "postgresql":
            for name in ("items", "predictions"):
                wanted = f"SELECT setval(pg_get_serial_sequence('{name}', 'key'), (SELECT max(key) FROM {name}))"  # noqa: S608
                connection.execute(text(wanted))


def _times(work: Callable[[], object], repeats: int) -> list[float]:
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        found.append((time.perf_counter() - start) * 1000)
    return found


def _chunks(count: int) -> Iterator[list[dict[str, Any]]]:
    """Items of ten months, made up; words as frequent as words are (Zipf's law)."""
    chance = random.Random(1)
    words = [f"word{number}" for number in range(20_000)]
    weights = list(itertools.accumulate(1 / (number + 1) for number in range(len(words))))
    step = timedelta(days=300) / count
    for start in range(0, count, _CHUNK):
        yield [
            {
                "key": number + 1,
                "words": list(dict.fromkeys(chance.choices(words, cum_weights=weights, k=18))),
                "labels": with_families(chance.sample(_LABELS, 1 + (number % 5 == 0))),
                "at": NOW - timedelta(days=300) + step * number,
                "team": chance.choice(_TEAMS),
                "language": chance.choice(_LANGUAGES),
                "channel": chance.choice(_CHANNELS),
                "sentiment": chance.choices(("negative", "neutral", "positive"), (3, 1, 2))[0],
                # what came in lately is open more often
                "state": chance.choice(_STATES) if number < count * 0.98 else chance.choice(_STATES[-6:]),
            }
            for number in range(start, min(start + _CHUNK, count))
        ]


def _store(engine: Engine, rows: list[dict[str, Any]]) -> None:
    with writing(engine) as connection:
        insert_rows(connection, items, [_item(row) for row in rows])
        said = {"tasks": {}, "language": "en"}
        own = {"model_name": "bench", "model_version": "1", "label_schema": "bench", "body": said}
        insert_rows(
            connection,
            predictions,
            [{"key": row["key"], "item_key": row["key"], "at": row["at"], **own} for row in rows],
        )
        decided = {"cause": "intake", "rules_version": "bench", "body": {"team": "support"}}
        insert_rows(
            connection,
            decisions,
            [{"item_key": row["key"], "prediction_key": row["key"], "at": row["at"], **decided} for row in rows],
        )
        came = {"kind": "received", "actor": "intake", "body": {}}
        insert_rows(connection, events, [{"item_key": row["key"], "at": row["at"], **came} for row in rows])
        insert_rows(
            connection,
            item_categories,
            [{"item_key": row["key"], "category": label} for row in rows for label in row["labels"]],
        )
        insert_words(connection, {row["key"]: " ".join(row["words"]) for row in rows})
        waiting = [row for row in rows if row["key"] <= 1000]
        if waiting:
            own = {"team": "support", "kind": "item"}
            insert_rows(connection, digest_items, [{"item_key": row["key"], "at": row["at"], **own} for row in waiting])


def _item(row: dict[str, Any]) -> dict[str, Any]:
    shown = " ".join(row["words"])
    return {
        "key": row["key"],
        "id": f"{row['key']:024}",
        "received_at": row["at"],
        "source": "bench",
        "external_id": str(row["key"]),
        "digest": "0" * 64,
        "text": shown,
        "record": {"text": shown},
        **{name: row[name] for name in ("language", "channel", "sentiment", "team", "state")},
        "rule": "bench",
        "urgency": "normal",
        "due_at": row["at"] + timedelta(days=2),
        "deliver": "digest",
        "needs_review": False,
        "changed_at": row["at"],
    }
