"""The benchmark of the service over HTTP runs, at a small size, and says what it measured."""

import asyncio
import json
import math
import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from support import STARTER, free_port, read_jsonl
from typer.testing import CliRunner

from models.progress import Silent
from serving.bench.commands import bench
from serving.bench.http import Measured, PeerError, bars, bench_http, check_answers, quantile
from serving.bench.http_report import COLUMNS, picture, table_rows
from serving.bench.load import UNANSWERED, Callers, Load
from serving.bench.servers import BENTOML, NAMES, OURS
from serving.server import ServerError, check_port
from serving.settings import Settings


def four_ports() -> int:
    """The first of four that are free; from where no connection takes one by chance."""
    while True:
        first = random.randrange(12_000, 30_000)
        try:
            for port in range(first, first + 4):
                check_port("127.0.0.1", port)
        except ServerError:
            continue
        return first


def test_all_servers_are_measured_with_a_model_of_both_parts(model_folder):
    texts = [row["text"] for row in read_jsonl(STARTER / "train.jsonl")][:50]
    settings = Settings(model=model_folder)
    rows = bench_http(settings, texts, four_ports(), Silent(), seconds=0.4, timeout=20, repeats=1)
    assert [row.server for row in rows] == [name for name in NAMES for _ in range(7)]
    # a slow machine may answer nothing of a case in so short a time
    assert {row.server for row in rows if row.goodput[0] > 0} == set(NAMES)
    assert all(0 < row.p50[0] <= row.p99[0] for row in rows if row.goodput[0])
    assert bars(rows)
    assert all(len(line) == len(COLUMNS) for line in table_rows(rows))


def test_the_command_writes_figures_and_a_picture(linear_folder, tmp_path):
    arguments = ["service", "--model", str(linear_folder), "--out", str(tmp_path), "--seconds", "0.2", "--repeats", "1"]
    done = CliRunner().invoke(bench, [*arguments, "--port", str(four_ports()), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "service.json").read_text())
    assert json.loads(done.stdout) == found
    assert {row["server"] for row in found["rows"]} == set(NAMES)
    assert [figure["unit"] for figure in found["bars"]][:2] == ["%", "%"]
    assert (tmp_path / "service.png").read_bytes().startswith(b"\x89PNG")


@contextmanager
def answering(answers: list[bytes | None]) -> Iterator[tuple[int, Counter]]:
    """A port where requests are answered with these by turns; None is no answer. And how many there were."""
    seen: Counter[str] = Counter()
    loop = asyncio.new_event_loop()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := (await reader.readuntil(b"\r\n\r\n")).lower() if not reader.at_eof() else b"":
            await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n")[0]))
            said = answers[seen["requests"] % len(answers)]
            seen["requests"] += 1
            if said is not None:
                writer.write(said)

    async def quietly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except asyncio.IncompleteReadError:
            writer.close()

    server = loop.run_until_complete(asyncio.start_server(quietly, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield server.sockets[0].getsockname()[1], seen
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    server.close()
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


FINE = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]"
REFUSED = b"HTTP/1.1 429 Too Many\r\nRetry-After: 7\r\ncontent-length: 0\r\n\r\n"


def test_callers_send_note_and_count_what_they_get():
    with answering([FINE]) as (port, seen), Callers() as callers:
        closed = callers.run(Load(port, "/x", [b"{}"], 0.2, 5, callers=3))
        assert seen["requests"] == len(closed.statuses) > 0
        assert set(closed.statuses) == {200}
        assert len(closed.latencies_of(200)) == len(closed.statuses)
        before = seen["requests"]
        opened = callers.run(Load(port, "/x", [b"{}"], 0.2, 5, rate=100))
        assert seen["requests"] - before == len(opened.statuses) == 20


def test_a_server_that_fails_has_no_figures():
    failure = b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n"
    with answering([FINE, failure, REFUSED]) as (port, _), Callers() as callers:
        outcome = callers.run(Load(port, "/x", [b"{}"], 0.1, 5, rate=60))
    with pytest.raises(PeerError, match="BentoML answered 500 to 2 of 6 requests, expected 200, 429 or 503"):
        check_answers("BentoML", outcome)


def test_who_is_told_to_wait_waits_and_who_is_not_answered_gives_up():
    with answering([REFUSED]) as (port, seen), Callers() as callers:
        refused = callers.run(Load(port, "/x", [b"{}"], 0.2, 5, callers=2))
        assert list(refused.statuses) == [429, 429]
        assert seen["requests"] == 2
    with answering([None]) as (port, _), Callers() as callers:
        given_up = callers.run(Load(port, "/x", [b"{}"], 0.1, 0.1, callers=2))
        assert set(given_up.statuses) == {UNANSWERED}
    with Callers() as callers:
        assert set(callers.run(Load(free_port(), "/x", [b"{}"], 0.05, 0.1)).statuses) == {UNANSWERED}


def row(server: str, callers: int, goodput: float, refusal: float = math.nan, p99: float = 1.0) -> Measured:
    return Measured(server, callers, 1, [goodput], [goodput], [1.0], [p99], [refusal], [1.0], [0.1])


def test_what_is_wanted_is_compared_with_what_was_measured(tmp_path):
    rows = [row(name, callers, 100) for name in NAMES for callers in (1, 16, 64, 0)]
    ours = [one for one in rows if one.server != OURS]
    ours += [row(OURS, 1, 50, p99=61), row(OURS, 16, 150), row(OURS, 64, 200), row(OURS, 0, 150, refusal=20)]
    found = bars(ours)
    assert [(figure.median, figure.reached) for figure in found] == [(200, True), (75, False), (20, True), (61, False)]
    ratio = next(line for line in table_rows(ours) if line[0] == BENTOML and line[1].startswith("64"))[-1]
    assert ratio == "2.00"
    picture(ours, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 10_000


@pytest.mark.parametrize(("share", "wanted"), [(0.5, 3.0), (0.99, 5.0), (0.0, 1.0)])
def test_a_quantile_is_one_of_the_values(share, wanted):
    assert quantile([1.0, 2.0, 3.0, 4.0, 5.0], share) == wanted
    assert math.isnan(quantile([], share))
