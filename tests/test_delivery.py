"""From the outbox to the team: taken by one, sent at least once, never lost; on SQLite and on PostgreSQL."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from datetime import UTC, datetime

from message_support import rules_with
from sqlalchemy import update
from store_support import NOON, rows, waiting, worker
from support import ROOT, free_port

from serving.delivery.batch import PART
from serving.delivery.channels import FileSender, Outcome
from serving.delivery.message import Message
from serving.delivery.senders import senders
from serving.delivery.worker import CONCURRENCY
from serving.routing.rules import DEFAULT_CHANNEL, Channel
from serving.store.engine import open_engine, writing
from serving.store.schema import migrate
from serving.store.tables import outbox

FAILED = Outcome(False, error="refused", status=500)
DONE = Outcome(True)


class Recorder:
    """A channel that remembers what it was sent, and fails as often as it is told to."""

    def __init__(self, failures: int = 0) -> None:
        self.sent: list[str] = []
        self.failures = failures
        self._lock = threading.Lock()

    def send(self, message: Message) -> Outcome:
        with self._lock:
            if self.failures:
                self.failures -= 1
                return FAILED
            self.sent.append(message.delivery_id)
        return DONE


def test_two_workers_deliver_each_message_once(engine):
    waiting(engine, 200, at=datetime.now(UTC))
    channel = Recorder()
    workers = [worker(engine, {"inbox": channel}) for _ in range(2)]
    threads = [threading.Thread(target=one.drain) for one in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(channel.sent) == {row["delivery_id"]: 1 for row in rows(engine)}


def test_a_message_that_breaks_its_sender_harms_no_other(engine):
    waiting(engine, 5, at=datetime.now(UTC))
    first = rows(engine)[0]["delivery_id"]

    class Fragile(Recorder):
        def send(self, message: Message) -> Outcome:
            if message.delivery_id == first:
                raise RuntimeError("text of a customer")
            return super().send(message)

    channel = Fragile()
    assert worker(engine, {"inbox": channel}).drain() == 4
    broken = rows(engine)[0]
    assert (broken["state"], broken["last_error"]) == ("new", "RuntimeError")


def test_messages_are_lines_of_a_file_a_team(engine, tmp_path):
    waiting(engine, 3, at=datetime.now(UTC))
    path = tmp_path / "out" / "{team}.jsonl"
    assert worker(engine, {"inbox": FileSender(str(path))}).drain() == 3
    lines = [json.loads(line) for line in (tmp_path / "out" / "support.jsonl").read_text().splitlines()]
    assert {line["type"] for line in lines} == {"feedback.item"}
    assert {line["data"]["text"] for line in lines} == {"text 0", "text 1", "text 2"}
    assert lines[0]["data"]["reasons"] == ["category is other"]
    assert {line["id"] for line in lines} == {row["delivery_id"] for row in rows(engine)}


def test_a_line_that_was_cut_off_does_not_spoil_the_next(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": "half')
    assert FileSender(str(path)).send(Message("m", "item", "t", NOON, {})).delivered
    first, second = path.read_text().splitlines()
    assert first == '{"id": "half'
    assert json.loads(second)["id"] == "m"


def test_a_file_that_cannot_be_written_is_tried_again(tmp_path):
    outcome = FileSender(str(tmp_path)).send(Message("m", "item", "t", NOON, {}))
    assert (outcome.delivered, outcome.final) == (False, False)
    assert "Is a directory" in outcome.error


def test_channels_of_a_rules_file_and_the_default_one_have_senders():
    found = senders(rules_with({"inbox": Channel(kind="file", to="x.jsonl"), "mail": Channel(kind="email")}), {})
    assert set(found) == {DEFAULT_CHANNEL, "inbox"}


RULES = """
version = 1
default = { team = "support" }
[teams.support]
title = "Support"
channels = ["inbox"]
[channels.inbox]
kind = "file"
to = "%s"
"""


def test_a_worker_that_is_killed_at_any_moment_loses_nothing(address, tmp_path):
    seed = random.randrange(1_000_000)
    sys.stdout.write(f"seed {seed}\n")  # shown where the test fails
    chance = random.Random(seed)
    engine = open_engine(address)
    migrate(engine)
    waiting(engine, 600, at=datetime.now(UTC))
    (tmp_path / "routing.toml").write_text(RULES % (tmp_path / "out.jsonl"))
    command = [sys.executable, "-m", "feedback", "deliver", "run", "--rules", str(tmp_path / "routing.toml")]
    environment = {**os.environ, "FEEDBACK_STORE": address}
    for _ in range(6):
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.8, 2.5))
        process.send_signal(signal.SIGKILL)
        process.wait()
        with writing(engine) as connection:  # as if the lease of what it held were over
            connection.execute(update(outbox).where(outbox.c.state == "leased").values(next_at=NOON))
    done = subprocess.run([*command, "--once"], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0
    found = rows(engine)
    assert {row["state"] for row in found} == {"done"}
    lines = [json.loads(line)["id"] for line in (tmp_path / "out.jsonl").read_text().splitlines() if line.endswith("}")]
    assert set(lines) == {row["delivery_id"] for row in found}
    assert len(lines) - len(found) <= 6 * (CONCURRENCY + 2 * PART), (
        "more was sent twice than was under way when it was killed"
    )
    engine.dispose()


def test_the_commands_show_and_redrive_what_waits(tmp_path):
    address = f"sqlite:///{tmp_path / 'feedback.db'}"
    engine = open_engine(address)
    migrate(engine)
    waiting(engine, 2)
    with writing(engine) as connection:
        connection.execute(update(outbox).values(state="dead"))
    engine.dispose()

    def run(*options: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "feedback", "deliver", *options, "--store", address]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    assert json.loads(run("status", "--json").stdout)[0]["dead"] == 2
    assert "2 message(s) will be sent again" in run("redrive").stderr
    shown = run("status")
    assert shown.returncode == 0
    assert "given up" in shown.stdout


def test_the_service_delivers_what_it_stores(linear_folder, tmp_path):
    (tmp_path / "routing.toml").write_text(
        (RULES % (tmp_path / "out.jsonl")).replace('"support" }', '"support", urgency = "high" }')
    )
    port = free_port()
    command = [sys.executable, "-m", "feedback", "serve", "--model", str(linear_folder), "--port", str(port)]
    command += ["--rules", str(tmp_path / "routing.toml"), "--store", f"sqlite:///{tmp_path / 'feedback.db'}"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if "stop with Ctrl-C. Try" in line:
                break
        body = json.dumps({"text": "The lid is cracked"}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/feedback", body, {"Content-Type": "application/json"}
        )
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
            identity = json.load(answer)["id"]
        deadline = time.monotonic() + 30
        while not (tmp_path / "out.jsonl").exists():
            assert time.monotonic() < deadline, "nothing was delivered"
            time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    (sent,) = (json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines())
    assert (sent["data"]["id"], sent["data"]["text"]) == (identity, "The lid is cracked")
