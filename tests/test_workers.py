"""Several delivery workers as processes on one database: each message once; one that was frozen changes nothing."""

import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from processes import Process, Sink, environment_of, lines_of, worker
from sqlalchemy import select
from store_support import rows, waiting
from support import new_database

from serving.store.engine import reading
from serving.store.schema import open_store
from serving.store.tables import deliveries

LEASE = 3.0


@pytest.fixture
def engine(postgres) -> Iterator:
    found = open_store(new_database(postgres))
    yield found
    found.dispose()


@pytest.fixture
def sink() -> Iterator[Sink]:
    found = Sink()
    yield found
    found.shutdown()
    found.server_close()


@pytest.fixture
def started() -> Iterator[list[Process]]:
    """Processes that are ended after the test, whatever becomes of it."""
    found: list[Process] = []
    yield found
    for process in found:
        process.kill()


def address(engine) -> str:
    return engine.url.set(drivername="postgresql").render_as_string(hide_password=False)


def until_done(engine, processes: list[Process]) -> None:
    deadline = time.monotonic() + 60
    while {row["state"] for row in rows(engine)} != {"done"}:
        assert time.monotonic() < deadline, [process.said for process in processes]
        time.sleep(0.2)


def outcomes(engine) -> list[str]:
    with reading(engine) as connection:
        return list(connection.execute(select(deliveries.c.outcome).order_by(deliveries.c.key)).scalars())


def test_two_processes_deliver_each_message_once(engine, sink, started, tmp_path):
    waiting(engine, 200, "file", at=datetime.now(UTC))
    waiting(engine, 200, "hook", at=datetime.now(UTC))
    environment = environment_of(tmp_path, address(engine), sink)
    both = [worker(environment, tmp_path / f"{name}.log") for name in "ab"]
    started += both
    for process in both:
        process.start()
    until_done(engine, both)
    assert [process.stop() for process in both] == [0, 0]
    assert {*lines_of(tmp_path / "out.jsonl").values(), *sink.taken.values()} == {1}
    assert len(lines_of(tmp_path / "out.jsonl")) == len(sink.taken) == 200
    assert outcomes(engine) == ["done"] * 400


def test_a_process_that_was_frozen_for_longer_than_its_lease_changes_nothing(engine, sink, started, tmp_path):
    waiting(engine, 4, "hook", at=datetime.now(UTC))
    frozen_has_sent = []

    def answer(identity: str, attempt: int) -> tuple[int, float]:
        # the first attempts take long enough to freeze who makes them; what it is told then is that it failed
        frozen_has_sent.append(identity)
        return (500, 1.0) if attempt == 1 else (200, 0.0)

    sink.answers = answer
    environment = environment_of(tmp_path, address(engine), sink, lease=LEASE)
    slow, quick = (worker(environment, tmp_path / f"{name}.log") for name in ("slow", "quick"))
    started += [slow, quick]
    slow.start()
    deadline = time.monotonic() + 30
    while len(frozen_has_sent) < 4:
        assert time.monotonic() < deadline, slow.said
        time.sleep(0.02)
    slow.signal(signal.SIGSTOP)
    quick.start()
    until_done(engine, [quick])
    before = rows(engine)
    assert outcomes(engine) == ["done"] * 4
    slow.signal(signal.SIGCONT)
    deadline = time.monotonic() + 30
    while len(outcomes(engine)) < 8:
        assert time.monotonic() < deadline, slow.said
        time.sleep(0.1)
    assert outcomes(engine)[4:] == ["late"] * 4
    assert rows(engine) == before
    assert [process.stop() for process in (slow, quick)] == [0, 0]
    assert "took longer than" in slow.said
    assert dict(sink.taken) == {row["delivery_id"]: 1 for row in before}
