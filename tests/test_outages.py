"""Full disks, locked files, databases that go away: who asks is told, nothing that was taken is lost, and the service
and the worker go on by themselves when it is over."""

import http.client
import json
import os
import resource
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from processes import Process, Service, Sink, environment_of, lines_of, worker
from sqlalchemy import select
from support import ROOT, free_port, postgres_server

from serving.store.engine import open_engine, reading
from serving.store.schema import open_store
from serving.store.tables import items, outbox


class Running(NamedTuple):
    """A service and a worker, with their receivers."""

    service: Service
    worker: Process
    address: str
    out: Path
    sink: Sink


def call(service: Service, method: str, path: str, body: object = None) -> tuple[int, dict[str, str], object]:
    connection = http.client.HTTPConnection("127.0.0.1", int(service.url.rpartition(":")[2]), timeout=30)
    content = None if body is None else json.dumps(body)
    connection.request(method, path, content, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, json.loads(text)


def until(holds: Callable[[], object], seconds: float, said: Callable[[], str]) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, said()
        time.sleep(0.1)


def record(number: int) -> dict[str, str]:
    return {"text": "The lid arrived cracked", "external_id": f"o{number}"}


@contextmanager
def started(folder: Path, address: str, model: Path) -> Iterator[Running]:
    sink = Sink()
    environment = environment_of(folder, address, sink, model, lease=5)
    service = Service(free_port(), environment, folder / "service.log")
    sender = worker(environment, folder / "worker.log")
    try:
        service.start()
        until(service.is_ready, 60, lambda: service.said)
        sender.start()
        yield Running(service, sender, address, folder / "out.jsonl", sink)
    finally:
        for process in (service, sender):
            process.kill()
        sink.shutdown()
        sink.server_close()


@pytest.fixture(scope="module")
def on_sqlite(linear_folder, tmp_path_factory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("sqlite")
    with started(folder, f"sqlite:///{folder / 'feedback.db'}", linear_folder) as running:
        yield running


def all_delivered(running: Running) -> bool:
    engine = open_engine(running.address)
    with reading(engine) as connection:
        rows = connection.execute(select(outbox.c.delivery_id, outbox.c.channel, outbox.c.state)).all()
    engine.dispose()
    arrived = lines_of(running.out).keys() | running.sink.taken.keys()
    return {row.state for row in rows} == {"done"} and {row.delivery_id for row in rows} <= arrived


def stored(running: Running) -> set[str]:
    engine = open_engine(running.address)
    with reading(engine) as connection:
        found = set(connection.execute(select(items.c.external_id)).scalars())
    engine.dispose()
    return found


def refused(running: Running, number: int, reason: str) -> None:
    """Post a record while the store is away: the answer says so."""
    status, headers, answer = call(running.service, "POST", "/feedback", record(number))
    assert (status, headers["retry-after"]) == (503, "5")
    assert answer["error"].startswith("the store cannot be used now: ")
    assert reason in answer["error"]
    status, _, detail = call(running.service, "GET", "/readyz")
    assert (status, detail["ready"]) == (503, False)
    assert reason in detail["store"]["reason"]


def recovered(running: Running, before: tuple[int | None, ...], numbers: set[int]) -> None:
    """The same processes are ready, take what they refused, and deliver all of it."""
    until(running.service.is_ready, 20, lambda: running.service.said)
    assert "store" not in call(running.service, "GET", "/readyz")[2]
    for number in numbers:
        assert call(running.service, "POST", "/feedback", record(number))[0] in (200, 201)
    assert {f"o{number}" for number in numbers} <= stored(running)
    until(lambda: all_delivered(running), 40, lambda: running.worker.said)
    assert (running.service.identity, running.worker.identity) == before


def test_a_full_disk_refuses_what_comes_in_and_is_over_when_there_is_room(on_sqlite):
    before = on_sqlite.service.identity, on_sqlite.worker.identity
    assert call(on_sqlite.service, "POST", "/feedback", record(1))[0] == 201
    for process in before:
        resource.prlimit(process, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    try:
        refused(on_sqlite, 2, "disk")
        status, _, page = call(on_sqlite.service, "GET", "/feedback")
        assert status == 200
        assert {one["external_id"] for one in page["items"]} >= {"o1"}
        assert "o2" not in stored(on_sqlite)
    finally:
        for process in before:
            resource.prlimit(process, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    recovered(on_sqlite, before, {1, 2})


def test_a_locked_file_refuses_what_comes_in_and_does_not_keep_anybody_from_reading(on_sqlite):
    before = on_sqlite.service.identity, on_sqlite.worker.identity
    assert call(on_sqlite.service, "POST", "/feedback", record(10))[0] in (200, 201)
    until(lambda: all_delivered(on_sqlite), 40, lambda: on_sqlite.worker.said)
    lock = sqlite3.connect(on_sqlite.address.removeprefix("sqlite:///"), isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    try:
        with ThreadPoolExecutor(6) as pool:
            asked = [pool.submit(call, on_sqlite.service, "POST", "/feedback", record(11 + one)) for one in range(6)]
            time.sleep(0.5)
            start = time.monotonic()
            assert call(on_sqlite.service, "GET", "/feedback")[0] == 200
            assert time.monotonic() - start < 3
            # the first four wait for the lock; those behind them have waited too long when it is their turn
            assert {one.result()[0] for one in asked} <= {503, 504}
        assert 503 in {one.result()[0] for one in asked}
        assert call(on_sqlite.service, "GET", "/readyz")[0] == 503
    finally:
        lock.execute("ROLLBACK")
        lock.close()
    recovered(on_sqlite, before, set(range(10, 17)))


@pytest.mark.parametrize("part", ["file", "folder"])
def test_a_store_that_may_only_be_read_is_refused_at_the_start(part, linear_folder, tmp_path):
    folder = tmp_path / "store"
    open_store(f"sqlite:///{folder / 'feedback.db'}").dispose()
    (folder if part == "folder" else folder / "feedback.db").chmod(0o555)
    # modes do not bind root until it gives up the capability to pass over them (CAP_DAC_OVERRIDE)
    obey = "import ctypes, os, sys; ctypes.CDLL(None).prctl(24, 1, 0, 0, 0); os.execv(sys.argv[1], sys.argv[1:])"
    command = [sys.executable, "-c", obey, sys.executable, "-m", "feedback", "serve", "--model", str(linear_folder)]
    command += ["--store", f"sqlite:///{folder / 'feedback.db'}", "--port", str(free_port())]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert f"{folder / 'feedback.db'}: the store cannot be used now: " in done.stderr.replace("\n", "")
    assert "Traceback" not in done.stderr


def test_a_database_that_goes_away_and_comes_back_is_waited_for(linear_folder, tmp_path):
    with postgres_server() as server, started(tmp_path, server.get_uri(), linear_folder) as running:
        before = running.service.identity, running.worker.identity
        assert call(running.service, "POST", "/feedback", record(1))[0] == 201
        until(lambda: all_delivered(running), 40, lambda: running.worker.said)
        server.stop()
        try:
            # what a look has found counts for a second
            until(lambda: call(running.service, "GET", "/readyz")[0] == 503, 10, lambda: running.service.said)
            _, _, detail = call(running.service, "GET", "/readyz")
            assert detail["ready"] is False
            refused(running, 2, "connection")
            status, headers, _ = call(running.service, "GET", "/feedback")
            assert (status, headers["retry-after"]) == (503, "5")
        finally:
            server.start()
        recovered(running, before, {1, 2})
