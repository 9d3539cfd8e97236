"""Callers of a service, in a process of their own: each waits for its answer (closed loop), or requests come at a rate
whether others were answered or not (open loop).

What is sent is made beforehand and of an answer only the head is read, so that the callers cost little beside what
they measure; how much is told.
"""

import asyncio
import contextlib
import itertools
import multiprocessing
import time
from array import array
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from typing import NamedTuple, Self

from models.errors import FeedbackError

#: Status of a request that had no answer in time, or of which the connection broke.
UNANSWERED = 0
#: Most connections at once; an open loop that needs more has been left without answers.
MOST_CONNECTIONS = 1000
#: Seconds between two looks at what is due.
_TICK = 0.002


class LoadError(FeedbackError):
    """The callers cannot reach the service, or what it says is no HTTP."""


class Load(NamedTuple):
    """What is asked of a service on this machine.

    ``bodies`` are sent by turns; ``callers`` wait for each answer, or ``rate`` requests a second come for themselves;
    after ``timeout`` seconds a request is given up.
    """

    port: int
    path: str
    bodies: Sequence[bytes]
    seconds: float
    timeout: float
    callers: int = 1
    rate: float | None = None


class Outcome(NamedTuple):
    """What became of the requests that began in ``seconds``: status and latency in milliseconds of each.

    The latency counts from when a request was due. ``busy`` is the share of a core that the callers took.
    """

    seconds: float
    statuses: "array[int]"
    latencies: "array[float]"
    busy: float

    def latencies_of(self, *statuses: int) -> list[float]:
        """Of the requests that were answered so, in order."""
        pairs = zip(self.statuses, self.latencies, strict=True)
        return sorted(latency for status, latency in pairs if status in statuses)

    def count(self, status: int) -> int:
        """How many requests were answered so."""
        return self.statuses.count(status)


class Callers:
    """The process; it is ended with the block.

    Example:
        >>> with Callers() as callers:  # doctest: +SKIP
        ...     callers.run(Load(3000, "/classify", [b"{}"], seconds=2, timeout=2, callers=64))
    """

    def __enter__(self) -> Self:
        self._here, there = multiprocessing.Pipe()
        self._process = multiprocessing.get_context("spawn").Process(target=_serve, args=(there,), daemon=True)
        self._process.start()
        there.close()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()
        self._here.close()

    def run(self, load: Load) -> Outcome:
        """Ask, and wait until all is answered or given up.

        Raises:
            LoadError: the service cannot be reached.
        """
        self._here.send(load)
        found = self._here.recv()
        if isinstance(found, str):
            raise LoadError(found)
        outcome: Outcome = found
        return outcome


def _serve(pipe: Connection) -> None:
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        while True:
            load = pipe.recv()
            try:
                found: Outcome | str = asyncio.run(_Run(load).outcome())
            except OSError as error:
                found = f"127.0.0.1:{load.port} cannot be reached: {error}"
            pipe.send(found)


class _Run:
    def __init__(self, load: Load) -> None:
        self._load = load
        self._requests = itertools.cycle([_request(load.path, body) for body in load.bodies])
        self._statuses, self._latencies = array("h"), array("d")
        self._idle: list[_Line] = []
        self._lines = 0
        self._due: list[float] = []

    async def outcome(self) -> Outcome:
        start, busy = time.perf_counter(), time.process_time()
        if self._load.rate is None:
            await asyncio.gather(*(self._caller(start + self._load.seconds) for _ in range(self._load.callers)))
        else:
            await self._arrivals(self._load.rate, start + self._load.seconds)
        whole = time.perf_counter() - start
        share = (time.process_time() - busy) / whole
        for line in self._idle:
            line.close()
        return Outcome(whole if self._load.rate is None else self._load.seconds, self._statuses, self._latencies, share)

    async def _caller(self, until: float) -> None:
        while (now := time.perf_counter()) < until:
            pause = await self._ask(now)
            # who is told to wait does so
            if pause and now + pause < until:
                await asyncio.sleep(pause)
            elif pause:
                return

    async def _arrivals(self, rate: float, until: float) -> None:
        asked: set[asyncio.Task[float]] = set()
        due = start = time.perf_counter()
        for number in itertools.count(1):
            while due > time.perf_counter():
                await asyncio.sleep(_TICK)
            if due >= until:
                break
            task = asyncio.create_task(self._ask(due))
            asked.add(task)
            task.add_done_callback(asked.discard)
            due = start + number / rate
            if number % 64 == 0:
                await asyncio.sleep(0)
        await asyncio.gather(*asked)

    async def _ask(self, due: float) -> float:
        """Send the next request and note what becomes of it; the seconds that the answer asks to wait."""
        status, pause = UNANSWERED, 0.0
        line = None
        try:
            async with asyncio.timeout(max(0.0, due + self._load.timeout - time.perf_counter())):
                line = await self._line()
                status, pause = await line.ask(next(self._requests))
            self._idle.append(line)
        except (TimeoutError, OSError):
            if line is not None:
                self._lines -= 1
                line.close()
        self._statuses.append(status)
        self._latencies.append((time.perf_counter() - due) * 1000)
        return pause

    async def _line(self) -> "_Line":
        while True:
            while self._idle:
                line = self._idle.pop()
                if line.is_open:
                    return line
                self._lines -= 1
            if self._lines < MOST_CONNECTIONS:
                break
            await asyncio.sleep(_TICK)
        self._lines += 1
        try:
            _, line = await asyncio.get_running_loop().create_connection(_Line, "127.0.0.1", self._load.port)
        except BaseException:
            self._lines -= 1
            raise
        return line


class _Line(asyncio.Protocol):
    """A connection; one request at a time."""

    def __init__(self) -> None:
        self._answer: asyncio.Future[tuple[int, float]] | None = None
        self._head, self._left = b"", 0
        self._said: tuple[int, float] = (UNANSWERED, 0.0)
        self.is_open = False

    async def ask(self, request: bytes) -> tuple[int, float]:
        """Status of the answer, and the seconds that it asks to wait."""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        self._answer = None
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what create_connection gives
        self._transport, self.is_open = transport, True

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError("the connection was closed"))

    def data_received(self, data: bytes) -> None:
        if self._left:
            self._left -= len(data)
        else:
            self._head += data
            head, end, body = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            lines = dict(line.lower().partition(b":")[::2] for line in head.split(b"\r\n")[1:])
            self._said = int(head[9:12]), float(lines.get(b"retry-after", b"0"))
            self._left = int(lines.get(b"content-length", b"0")) - len(body)
            self._head = b""
        if self._left <= 0 and self._answer is not None and not self._answer.done():
            self._answer.set_result(self._said)


def _request(path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n".encode() + body


def bodies_of(texts: Iterator[str], items: int, count: int) -> list[bytes]:
    """Bodies of requests with so many items each, of the next texts."""
    import json

    return [
        json.dumps({"items": [{"text": next(texts)} for _ in range(items)]}, ensure_ascii=False).encode()
        for _ in range(count)
    ]
