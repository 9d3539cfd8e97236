"""Items with their answers, ready to be stored, and messages that wait to be sent."""

from datetime import UTC, datetime
from types import MappingProxyType

from sqlalchemy import select

from models.records import FeedbackItem, ModelName, Prediction, TaskPrediction
from serving.delivery.letters import letters
from serving.delivery.worker import Worker
from serving.routing.decision import Decision
from serving.store.engine import reading
from serving.store.intake import Entry, accept
from serving.store.tables import outbox

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


def predicted(*categories: str, sentiment: str = "neutral", language: str = "en") -> Prediction:
    tasks = {
        "category": TaskPrediction(labels=categories, confidence=0.8, abstained=False, probabilities={}),
        "sentiment": TaskPrediction(labels=(sentiment,), confidence=0.8, abstained=False, probabilities={}, score=0.0),
    }
    model = ModelName(name="m", version="1")
    return Prediction(tasks=tasks, language=language, truncated=False, tier="linear", model=model, label_schema="s")


def decided(team: str = "support", **changes) -> Decision:
    plain = {
        "team": team,
        "rule": "first",
        "urgency": "normal",
        "due_at": None,
        "deliver": "digest",
        "notify": (),
        "needs_review": False,
        "reasons": ("category is other",),
        "rules_version": "r1",
    }
    return Decision(**(plain | changes))


def entry(text: str = "hello", *categories: str, at: datetime = NOON, **fields) -> Entry:
    """An entry; ``sentiment``, ``language`` and what a decision holds may be given beside the item's own fields."""
    own = {name: fields.pop(name) for name in list(fields) if name in FeedbackItem.model_fields and name != "language"}
    answer = {name: fields.pop(name) for name in ("sentiment", "language") if name in fields}
    item = FeedbackItem(text=text, **own)
    return Entry(item, predicted(*(categories or ("other",)), **answer), decided(**fields), at)


def accepted(engine, entries, channels=MappingProxyType({})):
    """Stored, and to be sent over channels by team; the default one for all others."""
    return accept(engine, entries, channels)


def worker(engine, senders) -> Worker:
    """A worker that sends over these channels and does nothing else."""
    return Worker(engine, lambda: senders, letters(engine, None))


def waiting(engine, count: int, channel: str = "inbox", at: datetime = NOON) -> None:
    """As many messages in the outbox, each of an item of its own."""
    made = [entry(f"text {number}", deliver="now", urgency="high", at=at) for number in range(count)]
    for start in range(0, count, 64):
        accept(engine, made[start : start + 64], {"support": [channel]})


def rows(engine):
    with reading(engine) as connection:
        return connection.execute(select(outbox).order_by(outbox.c.key)).mappings().all()
