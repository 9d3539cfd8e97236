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
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import NamedTuple, Self

#: Status of a request that had no answer in time, or of which the connection broke.
UNANSWERED = 0
#: Most connections at once; an open loop that needs more has been left without answers.
MOST_CONNECTIONS = 1000
#: Seconds between two looks at what is due.
_TICK = 0.002


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
    """What became of the requests: the status of each, its latency in milliseconds from when it was due, and the second
    in which it ended. ``busy`` is the share of a core that the callers took.
    """

    seconds: float
    statuses: "array[int]"
    latencies: "array[float]"
    ends: "array[float]"
    busy: float

    def rate(self, status: int) -> float:
        """Requests a second that were answered so, of those that ended in time."""
        pairs = zip(self.statuses, self.ends, strict=True)
        return sum(found == status and end <= self.seconds for found, end in pairs) / self.seconds

    def latencies_of(self, *statuses: int) -> list[float]:
        """Latencies of the requests that were answered so, the shortest first."""
        pairs = zip(self.statuses, self.latencies, strict=True)
        return sorted(latency for status, latency in pairs if status in statuses)


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
        """Ask, and wait until all is answered or given up."""
        self._here.send(load)
        outcome: Outcome = self._here.recv()
        return outcome


def _serve(pipe: Connection) -> None:
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        while True:
            load: Load = pipe.recv()
            pipe.send(asyncio.run(_outcome(load)))


async def _outcome(load: Load) -> Outcome:
    return await _Run(load).outcome()


class _Run:
    def __init__(self, load: Load) -> None:
        self._load = load
        self._requests = itertools.cycle([_request(load.path, body) for body in load.bodies])
        self._statuses, self._latencies, self._ends = array("h"), array("d"), array("d")
        self._idle: list[_Line] = []
        self._places = asyncio.Semaphore(MOST_CONNECTIONS)

    async def outcome(self) -> Outcome:
        load, busy = self._load, time.process_time()
        self._start = time.perf_counter()
        until = self._start + load.seconds
        if load.rate is None:
            await asyncio.gather(*(self._caller(until) for _ in range(load.callers)))
        else:
            await self._arrivals(load.rate, until)
        share = (time.process_time() - busy) / (time.perf_counter() - self._start)
        for line in self._idle:
            line.close()
        return Outcome(load.seconds, self._statuses, self._latencies, self._ends, share)

    async def _caller(self, until: float) -> None:
        while (now := time.perf_counter()) < until:
            pause = await self._ask(now)
            # who is told to wait does so
            if pause:
                await asyncio.sleep(min(pause, until - now))

    async def _arrivals(self, rate: float, until: float) -> None:
        asked: set[asyncio.Task[float]] = set()
        due = self._start
        for number in itertools.count(1):
            while due > time.perf_counter():
                await asyncio.sleep(_TICK)
            if due >= until:
                break
            task = asyncio.create_task(self._ask(due))
            asked.add(task)
            task.add_done_callback(asked.discard)
            due = self._start + number / rate
            if number % 64 == 0:
                await asyncio.sleep(0)
        await asyncio.gather(*asked)

    async def _ask(self, due: float) -> float:
        """Send the next request and note what becomes of it; the seconds that the answer asks to wait."""
        status, pause = UNANSWERED, 0.0
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(max(0.0, due + self._load.timeout - time.perf_counter())), self._places:
                line = await self._line()
                try:
                    status, pause = await line.ask(next(self._requests))
                    self._idle.append(line)
                finally:
                    if status == UNANSWERED:
                        line.close()
        now = time.perf_counter()
        self._statuses.append(status)
        self._latencies.append((now - due) * 1000)
        self._ends.append(now - self._start)
        return pause

    async def _line(self) -> "_Line":
        while self._idle:
            line = self._idle.pop()
            if line.is_open:
                return line
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(_Line, "127.0.0.1", self._load.port))[1]


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
