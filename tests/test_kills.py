"""Killed at any moment, the service and the worker lose nothing; `make soak` does the same for longer."""

import os
import subprocess
import sys

import pytest
from kills import INNER, OUTER, WHOLE, Kill, Setting, run
from sqlalchemy import select
from store_support import rows
from support import ROOT, TO_A_FILE

from serving.failpoints import POINTS, VARIABLE
from serving.store.engine import reading
from serving.store.schema import open_store
from serving.store.tables import digest_items, events, items, predictions

#: Each way to kill once, on one database or the other: a service needs seconds to start.
PLANS = {
    "sqlite": [
        Kill("worker", "worker-after-send:2"),
        Kill("service", "intake-before-answer:2"),
        Kill("worker", WHOLE),
        Kill("service", OUTER),
        Kill("worker", "worker-after-settle:1"),
    ],
    "postgresql": [
        Kill("worker", "worker-after-claim:2"),
        Kill("service", "intake-before-commit:2"),
        Kill("worker", WHOLE),
        Kill("service", INNER),
    ],
}


def test_nothing_is_lost_when_service_and_worker_are_killed(address, linear_folder, tmp_path):
    plan = PLANS[address.partition(":")[0]]
    setting = Setting(address, linear_folder, tmp_path, 300, plan, seed=1, hurry=True, lease=4)
    summary, faults = run(setting)
    assert faults == [], summary


CHILD = """
import sys
from datetime import UTC, datetime
from datetime import timedelta
from store_support import NOON, predicted, worker
from serving.delivery.channels import FileSender
from serving.delivery.digests import close_due
from serving.delivery.overdue import remind
from serving.intake import take
from serving.routing.load import load_rules
from serving.similar import Similar
from serving.store.engine import open_engine
from pathlib import Path
engine = open_engine(sys.argv[1])
rules = load_rules(Path(sys.argv[2]) / "routing.toml")
records = [{"text": "The lid is cracked", "external_id": f"c{number}"} for number in range(3)]
if sys.argv[3] == "intake":
    at = datetime.now(UTC) if rules.file.default.urgency == "high" else NOON
    take(engine, records, lambda items: [predicted("other") for _ in items], rules, Similar(engine), at)
elif sys.argv[3] == "worker":
    worker(engine, {"file": FileSender(str(Path(sys.argv[2]) / "out.jsonl"))}).drain()
elif sys.argv[3] == "digest":
    close_due(engine, rules, NOON + timedelta(days=2))
else:
    remind(engine, rules, NOON + timedelta(days=2))
print("lived")
"""


def child(address, folder, part, point=None) -> str:
    """What a process said that takes items in or sends them, perhaps until its fail point."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"} | ({VARIABLE: point} if point else {})
    command = [sys.executable, "-c", CHILD, address, str(folder), part]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == (-9 if point and "lived" not in done.stdout else 0), done.stderr
    return done.stdout.strip() or done.stderr.strip()


@pytest.mark.parametrize("point", [point for point in POINTS if point.startswith(("intake", "worker"))])
def test_what_is_left_behind_at_each_fail_point(point, tmp_path):
    address = f"sqlite:///{tmp_path / 'feedback.db'}"
    (tmp_path / "routing.toml").write_text(TO_A_FILE)
    engine = open_store(address)
    part = point.partition("-")[0]
    if part == "worker":
        assert child(address, tmp_path, "intake") == "lived"
    assert child(address, tmp_path, part, point) == f"fail point {point} reached"
    states = [row["state"] for row in rows(engine)]
    lines = (tmp_path / "out.jsonl").read_text().splitlines() if (tmp_path / "out.jsonl").exists() else []
    left = {
        "intake-before-commit": ([], 0),
        "intake-before-answer": (["new"] * 3, 0),
        "worker-after-claim": (["leased"] * 3, 0),
        "worker-after-send": (["leased"] * 3, 3),
        "worker-after-settle": (["done"] * 3, 3),
    }
    assert (states, len(lines)) == left[point]
    with reading(engine) as connection:
        counts = [len(connection.execute(table.select()).all()) for table in (items, predictions, events)]
    assert counts == [len(states)] * 3
    engine.dispose()


@pytest.mark.parametrize("point", [point for point in POINTS if point.startswith(("digest", "overdue"))])
def test_a_digest_and_a_reminder_go_out_once_whenever_their_worker_is_killed(point, address, tmp_path):
    (tmp_path / "routing.toml").write_text(TO_A_FILE.replace('urgency = "high"', 'due_hours = 4, deliver = "digest"'))
    engine = open_store(address)
    part = point.partition("-")[0]
    assert child(address, tmp_path, "intake") == "lived"
    assert child(address, tmp_path, part, point) == f"fail point {point} reached"
    committed = point == "digest-after-commit"
    assert [row["kind"] for row in rows(engine)] == ["digest"] * committed
    for _ in range(2):
        assert child(address, tmp_path, part) == "lived"
    with reading(engine) as connection:
        waiting = connection.execute(select(digest_items.c.kind, digest_items.c.digest_key)).all()
    if part == "digest":
        assert [row["kind"] for row in rows(engine)] == ["digest"]
        assert {tuple(row) for row in waiting} == {("item", rows(engine)[0]["digest_key"])}
    else:
        assert sorted(tuple(row) for row in waiting) == [("item", None)] * 3 + [("reminder", None)] * 3
    engine.dispose()


def test_a_fail_point_is_reached_as_often_as_is_said_and_others_not_at_all(tmp_path):
    (tmp_path / "routing.toml").write_text(TO_A_FILE)
    address = f"sqlite:///{tmp_path / 'feedback.db'}"
    engine = open_store(address)
    assert child(address, tmp_path, "intake", "intake-before-commit:2") == "lived"
    assert child(address, tmp_path, "worker", "intake-before-commit") == "lived"
    assert {row["state"] for row in rows(engine)} == {"done"}
    engine.dispose()
