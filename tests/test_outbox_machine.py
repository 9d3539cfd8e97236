"""The outbox under any order of taking, crashing, answering late and sending again, held against a small model."""

from datetime import datetime, timedelta
from typing import NamedTuple

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Engine, select
from store_support import NOON, rows, waiting

from serving.delivery.channels import Outcome
from serving.delivery.outbox import (
    BACKOFF,
    FAILURES,
    GONE,
    LEASE,
    MAX_AGE,
    REFUSALS,
    Leased,
    Settled,
    claim,
    redrive,
    settle,
)
from serving.store.engine import reading, writing
from serving.store.tables import channel_states, deliveries, outbox

OUTCOMES = {
    "delivered": Outcome(True, status=200),
    "failed": Outcome(False, error="answered 500", status=500),
    "busy": Outcome(False, error="answered 429", status=429, retry_after=700.0),
    "refused": Outcome(False, final=True, error="answered 404", status=404),
    "gone": Outcome(False, final=True, error="answered 410", status=GONE),
}
#: What switches the channel off is rare, for nothing happens after it.
CHANCES = [*("delivered", "failed", "busy", "refused") * 3, "gone"]
LONGEST = timedelta(seconds=BACKOFF[-1] * 1.2)


class Row(NamedTuple):
    """What must be true of a message: ``open`` until it is done or dead; ``taken`` while whoever has ``fence`` may
    settle it, which he alone may do until ``until``; ``tried`` is when somebody said how it went."""

    state: str
    fence: int = 0
    attempts: int = 0
    taken: bool = False
    until: datetime = NOON
    tried: tuple[datetime, ...] = ()


class Outbox(RuleBasedStateMachine):
    """Workers that share an outbox, each of which may stop at any moment."""

    batches = Bundle("batches")
    old = Bundle("old")
    engine: Engine

    def __init__(self) -> None:
        super().__init__()
        self.now = NOON
        self.known: dict[str, Row] = {}
        self.workers = 0
        with writing(self.engine) as connection:
            for table in (deliveries, outbox, channel_states):
                connection.execute(table.delete())

    @rule(count=st.integers(1, 3))
    def enqueue(self, count: int) -> None:
        waiting(self.engine, count, at=self.now)
        for row in rows(self.engine):
            self.known.setdefault(row["delivery_id"], Row("open"))

    @rule(seconds=st.sampled_from([1, 6, 31, 61, 700, 4 * 3600, 30 * 3600]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(target=batches, limit=st.integers(1, 4))
    def take(self, limit: int) -> object:
        return self.take_now(limit)

    def take_now(self, limit: int) -> object:
        before = {row["delivery_id"]: row for row in rows(self.engine)}
        state = self.channel()
        self.workers += 1
        taken = claim(self.engine, "inbox", f"worker {self.workers}", self.now, limit)
        due = [one for one, row in before.items() if self.known[one].state == "open" and row["next_at"] <= self.now]
        if state is not None and (state.disabled_at or (state.rests_until and state.rests_until > self.now)):
            limit = 0
        elif state is not None and state.failures >= FAILURES:
            limit = 1
        assert len(taken) == min(limit, len(due))
        for row in taken:
            known = self.known[row.delivery_id]
            assert known.state == "open"
            assert not known.taken or known.until <= self.now, "two have a message at once"
            assert (row.fence, row.attempts) == (known.fence + 1, known.attempts + 1)
            self.known[row.delivery_id] = Row("open", row.fence, row.attempts, True, self.now + LEASE, known.tried)
        return taken if taken else multiple()

    @rule(target=batches, limit=st.integers(1, 4))
    def take_over(self, limit: int) -> object:
        """When every lease has run out: those that had the messages do not know."""
        self.now += LEASE + timedelta(seconds=1)
        return self.take_now(limit)

    @rule(target=old, batch=consumes(batches))
    def crash(self, batch: list[Leased]) -> list[Leased]:
        """Its worker is gone, or so slow that it may answer much later."""
        return batch

    @rule(target=old, batch=consumes(batches), choice=st.data())
    def answer(self, batch: list[Leased], choice: st.DataObject) -> list[Leased]:
        self.settle(batch, choice)
        return batch

    @rule(batch=old, choice=st.data())
    def answer_late(self, batch: list[Leased], choice: st.DataObject) -> None:
        """Once more, or after others have had the messages."""
        self.settle(batch, choice)

    @rule()
    def send_again(self) -> None:
        again = [one for one, known in self.known.items() if known.state != "done" and not known.taken]
        assert redrive(self.engine, "inbox", self.now) == len(again)
        for one in again:
            tried = tuple(at for at in self.known[one].tried if at >= self.now)
            self.known[one] = self.known[one]._replace(state="open", attempts=0, tried=tried)

    def settle(self, batch: list[Leased], choice: st.DataObject) -> None:
        answers = [choice.draw(st.sampled_from(CHANCES)) for _ in batch]
        before = {row["delivery_id"]: row for row in rows(self.engine)}
        settled = [Settled(row, OUTCOMES[answer], 1) for row, answer in zip(batch, answers, strict=True)]
        held = [row.delivery_id for row in batch if self.holds(row)]
        assert settle(self.engine, "inbox", settled, self.now) == len(held)
        after = {row["delivery_id"]: row for row in rows(self.engine)}
        for row, outcome, _ in settled:
            one = row.delivery_id
            self.known[one] = self.known[one]._replace(tried=(*self.known[one].tried, self.now))
            if one not in held:
                assert after[one] == before[one], "a late answer changed something"
                continue
            state = self.after(row, outcome, after[one])
            self.known[one] = self.known[one]._replace(state=state, taken=False)
        if any(outcome.status == GONE for _, outcome, _ in settled):
            assert self.channel().disabled_at == self.now

    def holds(self, row: Leased) -> bool:
        known = self.known[row.delivery_id]
        return known.state == "open" and known.taken and known.fence == row.fence

    def after(self, row: Leased, outcome: Outcome, found: dict) -> str:
        """Done, dead or open after an answer of its holder; where either may be, what was found."""
        if outcome.delivered:
            return "done"
        if outcome.status == GONE:
            return "open"
        first = self.known[row.delivery_id].tried[0]
        if (outcome.final and row.attempts >= REFUSALS) or self.now > first + MAX_AGE:
            return "dead"
        if found["state"] == "new":
            wait = (found["next_at"] - self.now).total_seconds()
            assert wait >= max(0.8 * BACKOFF[min(row.attempts, len(BACKOFF)) - 1], outcome.retry_after or 0)
            return "open"
        assert self.now + LONGEST > first + MAX_AGE, "given up too early"
        return "dead"

    def channel(self):
        with reading(self.engine) as connection:
            return connection.execute(select(channel_states).where(channel_states.c.channel == "inbox")).one_or_none()

    @invariant()
    def every_message_is_delivered_or_waits_or_is_dead(self) -> None:
        found = {row["delivery_id"]: row for row in rows(self.engine)}
        assert found.keys() == self.known.keys()
        for one, known in self.known.items():
            shown = {"open": "leased" if known.taken else "new"}.get(known.state, known.state)
            assert found[one]["state"] == shown
            assert (found[one]["fence"], found[one]["attempts"]) == (known.fence, known.attempts)

    def teardown(self) -> None:
        """Whatever has happened: all of it can still be delivered."""
        redrive(self.engine, "inbox", self.now)
        while any(row["state"] != "done" for row in rows(self.engine)):
            self.now += timedelta(days=1)
            taken = claim(self.engine, "inbox", "last", self.now, 100)
            assert taken, "a message can be had by nobody"
            settle(self.engine, "inbox", [Settled(row, OUTCOMES["delivered"], 1) for row in taken], self.now)


def machine(engine: Engine) -> type[Outbox]:
    return type("OutboxOnEngine", (Outbox,), {"engine": engine})


def test_no_order_of_events_loses_a_message(engine):
    many = engine.dialect.name == "sqlite"
    run_state_machine_as_test(
        machine(engine),
        settings=settings(
            deadline=None,
            derandomize=True,
            max_examples=60 if many else 20,
            stateful_step_count=30,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],  # to find a shorter way to a failure takes minutes, with a real database
        ),
    )
