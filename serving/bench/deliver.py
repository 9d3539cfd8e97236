"""How many webhooks a second one worker delivers while another endpoint hangs."""

import asyncio
import ipaddress
import multiprocessing
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing.connection import Connection

from sqlalchemy import Engine, func, select

from models.figures import Figure, at_least
from models.progress import Progress
from models.records import FeedbackItem, ModelName, Prediction, TaskPrediction
from serving.delivery.channels import Sender
from serving.delivery.letters import letters
from serving.delivery.message import Message
from serving.delivery.webhook import WebhookSender
from serving.delivery.worker import CONCURRENCY, Worker
from serving.routing.decision import Decision
from serving.store.engine import reading
from serving.store.intake import Entry, accept
from serving.store.schema import open_store
from serving.store.tables import outbox

#: Webhooks a second that the project wants to deliver, and seconds that the slow endpoint takes for each.
WANTED, SLOW = 500, 10.0
_HERE = [ipaddress.ip_network("127.0.0.0/8")]
_KEY = b"0" * 32


def bench_delivery(address: str, progress: Progress, *, messages: int = 4000, repeats: int = 5) -> list[Figure]:
    """Signed webhooks to an endpoint on this machine, one worker, with and without one beside it that hangs; and the
    same requests by as many threads without a store.

    Args:
        address: a store; it is written to.
        progress: is told how far it is.
        messages: to be delivered in a repeat.
        repeats: how often it is measured.
    """
    engine = open_store(address)
    rates: dict[bool, list[float]] = {True: [], False: []}
    plain = []
    with _endpoint(0.0) as quick, _endpoint(SLOW) as slow:
        senders: dict[str, Sender] = {
            name: WebhookSender(url, [_KEY], _HERE) for name, url in (("quick", quick), ("slow", slow))
        }
        with progress.stage("delivering webhooks", repeats * 3, "repeats") as advance:
            for _ in range(repeats):
                plain.append(_plain(senders["quick"], messages))
                advance(1)
                for beside in (False, True):
                    rates[beside].append(_rate(engine, senders, messages, beside=beside))
                    advance(1)
    engine.dispose()
    return [
        at_least("webhooks delivered, a slow endpoint beside", "a second", rates[True], WANTED),
        at_least("webhooks delivered, no other endpoint", "a second", rates[False]),
        at_least(f"the same requests by {CONCURRENCY} threads, without a store", "a second", plain),
    ]


def _rate(engine: Engine, senders: dict[str, Sender], messages: int, *, beside: bool) -> float:
    fill(engine, "quick", messages)
    if beside:
        fill(engine, "slow", 50)
    worker = Worker(engine, lambda: senders, letters(engine, None))
    thread = threading.Thread(target=worker.run)
    start = time.perf_counter()
    thread.start()
    while _left(engine, "quick"):
        time.sleep(0.02)
    rate = messages / (time.perf_counter() - start)
    worker.stop()
    thread.join()
    return rate


def _plain(sender: Sender, messages: int) -> float:
    made = Message("msg_bench", "item", "bench", datetime.now(UTC), {"text": "The lid is cracked", "item": "x" * 600})
    with ThreadPoolExecutor(CONCURRENCY) as pool:
        start = time.perf_counter()
        done = list(pool.map(sender.send, [made] * messages))
        rate = messages / (time.perf_counter() - start)
    if not all(outcome.delivered for outcome in done):
        raise RuntimeError("a message was not delivered")
    return rate


def fill(engine: Engine, channel: str, count: int) -> None:
    """Store as many items, each with a message over the channel."""
    now = datetime.now(UTC)
    tasks = {"category": TaskPrediction(labels=("other",), confidence=0.9, abstained=False, probabilities={})}
    model = ModelName(name="bench", version="1")
    said = Prediction(tasks=tasks, language="en", truncated=False, tier="linear", model=model, label_schema="bench")
    decision = Decision(
        team="bench",
        rule="bench",
        urgency="high",
        due_at=None,
        deliver="now",
        notify=(),
        needs_review=False,
        reasons=("it is a benchmark",),
        rules_version="bench",
    )
    entries = [
        Entry(FeedbackItem(text=f"The lid is cracked, {number}"), said, decision, now) for number in range(count)
    ]
    for start in range(0, count, 500):
        accept(engine, entries[start : start + 500], {"bench": [channel]})


def _left(engine: Engine, channel: str) -> int:
    own = outbox.c
    with reading(engine) as connection:
        wanted = select(func.count()).where(own.channel == channel, own.state.in_(("new", "leased")))
        return connection.execute(wanted).scalar_one()


@contextmanager
def _endpoint(seconds: float) -> Iterator[str]:
    """The address of an endpoint in a process of its own, which answers after so many seconds."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(there, seconds), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{here.recv()}/hook"
    finally:
        process.terminate()
        process.join()


def _serve(told: Connection, seconds: float) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
        await reader.readexactly(length)
        await asyncio.sleep(seconds)
        writer.write(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        told.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())
