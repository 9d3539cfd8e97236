"""Kills the service and the delivery worker again and again while items come in, and then counts: nothing is lost.

    python tests/kills.py --store sqlite --items 5000 --kills 50 --seed 7

Items are posted in lists, and posted again until they are answered. Some kills strike at a random moment, others at a
fail point (serving/failpoints.py). The end is not before everything was delivered. Ends with 1 if something is wrong.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from kills_check import faults_of_deliveries, faults_of_items
from kills_clients import Clients
from processes import Process, Service, Sink, environment_of, lines_of, worker
from sqlalchemy import Engine, select, update
from support import ROOT, STARTER, free_port, postgres_server

from serving.delivery.worker import CONCURRENCY
from serving.failpoints import POINTS
from serving.store.engine import reading, writing
from serving.store.schema import open_store
from serving.store.tables import channel_states, outbox

#: Ways to kill without a fail point. Of the service also the process that works alone, which its parent starts again,
#: or that parent alone, with which the other ends.
WHOLE, INNER, OUTER = "whole", "inner", "outer"


class Kill(NamedTuple):
    """Whom to kill, and how: :data:`WHOLE`, :data:`INNER`, :data:`OUTER`, or a fail point with its number."""

    target: str
    how: str


class Setting(NamedTuple):
    """What a run needs; ``hurry`` does not wait for the time at which failed messages are tried again."""

    address: str
    model: Path
    folder: Path
    items: int
    plan: Sequence[Kill]
    seed: int
    hurry: bool = False
    lease: float = 8.0
    patience: float = 900.0


class Result(NamedTuple):
    """What happened, for people; and what is wrong, which should be nothing."""

    summary: str
    faults: list[str]


def random_plan(kills: int, seed: int) -> list[Kill]:
    """So many kills, some of them at fail points."""
    chance, found = random.Random(seed), []
    for _ in range(kills):
        target = chance.choice(["service", "worker"])
        points = [point for point in POINTS if point.startswith("intake" if target == "service" else "worker")]
        point = f"{chance.choice(points)}:{chance.randint(1, 4)}"
        found.append(
            Kill(target, chance.choice([point, *((WHOLE, INNER, OUTER) if target == "service" else (WHOLE, WHOLE))]))
        )
    return found


def run(setting: Setting, tell: Callable[[str], object] = lambda line: None) -> Result:
    """Kill by plan, let everything come to rest, and look."""
    start = time.monotonic()
    chance = random.Random(setting.seed)
    sink = Sink()
    sink.answers = lambda identity, attempt: _answer(chance, attempt)
    environment = environment_of(setting.folder, setting.address, sink, setting.model, setting.lease)
    service = Service(free_port(), environment, setting.folder / "service.log")
    processes: dict[str, Process] = {
        "service": service,
        "worker": worker(environment, setting.folder / "worker.log"),
    }
    engine = open_store(setting.address)
    points = {name: _points(setting.plan, name) for name in processes}
    try:
        for name, process in processes.items():
            process.start(next(points[name]))
        clients = Clients(service.url, setting.seed)
        done: Counter[str] = Counter()
        for number, kill in enumerate(setting.plan, 1):
            clients.allowed = max(clients.allowed, setting.items * number // len(setting.plan))
            how = _kill(kill, processes[kill.target], clients, chance, next(points[kill.target]))
            done[how] += 1
            known = len(clients.acknowledged)
            tell(f"{time.monotonic() - start:4.0f} s  {how}, {clients.posted} items, {known} answered")
        clients.allowed = setting.items
        while clients.posted < setting.items:
            time.sleep(0.1)
        clients.finish()
        posted_after = time.monotonic() - start
        waited = _drain(engine, setting)
        ends = {name: process.stop() for name, process in processes.items()}
    finally:
        for process in processes.values():
            process.kill()
        sink.shutdown()
        sink.server_close()
    arrived = {"file": lines_of(setting.folder / "out.jsonl"), "hook": sink.taken}
    most = sum(count for name, count in done.items() if name.startswith("worker")) * len(arrived) * CONCURRENCY
    faults = clients.faults + faults_of_items(engine, clients.acknowledged, clients.lists)
    more, repeated = faults_of_deliveries(engine, arrived, most)
    faults += more + [f"the {name} ended with {status}" for name, status in ends.items() if status]
    engine.dispose()
    kind = "PostgreSQL" if setting.address.startswith("postgresql") else "SQLite"
    lists, total = len(set(clients.lists.values())), time.monotonic() - start
    refused = {f"answered {status}": count for status, count in sorted(sink.refused.items())}
    lines = [
        f"{sum(done.values())} kills over {clients.posted:,} items on {kind}, seed {setting.seed}",
        f"  kills            {_counts(done)}",
        f"  answers          {_counts(clients.answers)}",
        f"  acknowledged     {len(clients.acknowledged):,} of {clients.posted:,} items in {lists} lists",
        f"  delivered        {_counts({name: sum(1 for one in found if one) for name, found in arrived.items()})}",
        f"  refused by sink  {_counts(refused)}",
        f"  sent twice       {repeated} (at most {most} can have been under way)",
        f"  seconds          {total:.0f}, of them {posted_after:.0f} with kills, {waited:.0f} to the last delivery",
        f"  wrong            {len(faults)}" + "".join(f"\n    {fault}" for fault in faults[:20]),
    ]
    return Result("\n".join(lines), faults)


def _answer(chance: random.Random, attempt: int) -> tuple[int, float]:
    """One in twenty is refused, but none for ever."""
    status = chance.choices([200, 500, 429], [0.95, 0.03, 0.02])[0] if attempt < 3 else 200
    return status, chance.uniform(0, 0.02)


def _points(plan: Sequence[Kill], target: str) -> Iterator[str | None]:
    """With which fail point a process is to be started each time: that of its next kill, if it has one."""
    for kill in plan:
        if kill.target == target:
            yield None if kill.how in (WHOLE, INNER, OUTER) else kill.how
    while True:
        yield None


def _kill(kill: Kill, process: Process, clients: Clients, chance: random.Random, following: str | None) -> str:
    """Have a process killed, and start it again; returns how."""
    if isinstance(process, Service) and chance.random() < 0.8:  # else perhaps while it starts
        deadline = time.monotonic() + 60
        while not process.is_ready():
            assert time.monotonic() < deadline, f"the service did not become ready: {process.said[-3000:]}"
            time.sleep(0.1)
    if kill.how in (WHOLE, INNER, OUTER):
        time.sleep(chance.uniform(0.1, 3.0))
        found = process.identity if kill.how == INNER else None
        if found is not None:
            with suppress(ProcessLookupError):
                os.kill(found, signal.SIGKILL)
            if following is None:  # its parent starts it again
                return f"{kill.target} {INNER}"
        if kill.how == OUTER and isinstance(process, Service) and process.identity is not None:
            process.kill_outer()
        process.kill()
        process.start(following)
        return f"{kill.target} {kill.how}"
    point, deadline = kill.how.partition(":")[0], time.monotonic() + 60
    while f"fail point {point} reached" not in process.said:
        assert time.monotonic() < deadline, f"the {kill.target} did not come to {kill.how}: {process.said[-3000:]}"
        clients.allowed += 4  # it comes to its point only while there is something to do
        time.sleep(0.2)
    process.kill()
    process.start(following)
    return point


def _drain(engine: Engine, setting: Setting) -> float:
    """Seconds until nothing waited any more, or patience ended."""
    start = time.monotonic()
    while time.monotonic() < start + setting.patience:
        with reading(engine) as connection:
            if connection.execute(select(outbox.c.key).where(outbox.c.state != "done").limit(1)).first() is None:
                break
        if setting.hurry:  # as if the time had come
            now = datetime.now(UTC)
            with writing(engine) as connection:
                connection.execute(update(outbox).where(outbox.c.state == "new").values(next_at=now))
                connection.execute(update(channel_states).values(rests_until=None))
        time.sleep(0.5)
    return time.monotonic() - start


def _counts(found: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(found.items())) or "none"


@contextmanager
def _store(kind: str, folder: Path) -> Iterator[str]:
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'feedback.db'}"
    elif kind == "postgresql":
        with postgres_server() as server:
            yield server.get_uri()
    else:
        yield kind


def main() -> int:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", default="sqlite", help="sqlite or postgresql: a new one; or an address")
    parser.add_argument("--items", type=int, default=5000)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--model", type=Path, help="a model; else a small one is trained")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kills-") as name, _store(chosen.store, Path(name)) as address:
        folder = Path(name)
        if chosen.model is None:
            command = [sys.executable, "-m", "feedback", "train", "--data", str(STARTER / "train.jsonl")]
            command += ["--labels", "models/labels.toml", "--encoder", "none", "--out", str(folder / "model")]
            subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        plan = random_plan(chosen.kills, chosen.seed)
        model = (chosen.model or folder / "model").resolve()
        result = run(
            Setting(address, model, folder, chosen.items, plan, chosen.seed), lambda line: sys.stderr.write(line + "\n")
        )
    sys.stdout.write(result.summary + "\n")
    return 1 if result.faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
