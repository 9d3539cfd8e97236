"""Messages of a channel that left the rules: they wait, are told of, and go to the present channels of their teams."""

import json
import logging
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

from store_support import NOON, accepted, entry, rows, waiting, worker
from support import ROOT
from test_delivery import Recorder

from serving.delivery.channels import Outcome
from serving.delivery.moving import move
from serving.delivery.outbox import Settled, claim, settle

LATER = NOON + timedelta(days=9)
RULES = """
version = 1
default = { team = "support" }
[teams.support]
title = "Support"
channels = ["email", "log"]
[channels.email]
kind = "webhook"
[channels.log]
kind = "file"
"""


def test_what_waits_or_was_given_up_goes_to_the_present_channels_of_its_team(engine):
    waiting(engine, 3, "mail")
    refused = Outcome(False, final=True, error="answered 404", status=404)
    for row in claim(engine, "mail", "a", NOON, 1):
        settle(engine, "mail", [Settled(row._replace(attempts=9), refused, 1)], NOON)
    claim(engine, "mail", "killed", NOON, 1)
    assert [row["state"] for row in rows(engine)] == ["dead", "leased", "new"]
    assert move(engine, "mail", {"support": ["email", "log"]}, LATER) == 3
    found = rows(engine)
    assert [(row["channel"], row["state"], row["attempts"]) for row in found] == [("email", "new", 0)] * 3 + [
        ("log", "new", 0)
    ] * 3
    assert len({row["delivery_id"] for row in found}) == 6
    assert move(engine, "mail", {}, LATER) == 0
    channels = {"email": Recorder(), "log": Recorder()}
    assert worker(engine, channels).drain() == 6


def test_a_channel_that_has_a_message_does_not_get_it_again(engine):
    accepted(engine, [entry("a", deliver="now", at=NOON)], {"support": ["mail", "log"]})
    assert move(engine, "mail", {"support": ["log", "email"]}, LATER) == 1
    assert sorted((row["channel"], row["state"]) for row in rows(engine)) == [("email", "new"), ("log", "new")]
    assert move(engine, "email", {"support": ["log"]}, LATER) == 1
    assert sorted((row["channel"], row["state"]) for row in rows(engine)) == [("email", "done"), ("log", "new")]


def test_a_worker_names_once_what_it_cannot_send(engine, caplog):
    waiting(engine, 3, "mail", at=datetime.now(UTC))
    one = worker(engine, {})
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert one.drain() == 0
    (said,) = caplog.messages
    assert said.startswith("3 message(s) wait for channel mail, which is not in the rules or not set up")
    assert {row["attempts"] for row in rows(engine)} == {0}


def test_what_is_left_when_a_channel_leaves_the_rules_waits_and_is_not_tried(engine):
    channels = {"mail": Recorder(), "log": Recorder()}
    one = worker(engine, channels)
    waiting(engine, 1, "mail", at=datetime.now(UTC))
    thread = threading.Thread(target=one.run)
    thread.start()
    while not channels["mail"].sent:
        thread.join(0.1)
    del channels["mail"]
    waiting(engine, 1, "mail", at=datetime.now(UTC))
    for number in range(3):  # what takes a few looks at the outbox
        waiting(engine, 1, "log", at=datetime.now(UTC))
        while len(channels["log"].sent) == number:
            thread.join(0.1)
    one.stop()
    thread.join()
    assert [row["state"] for row in rows(engine) if row["channel"] == "mail"] == ["done", "new"]
    assert rows(engine)[1]["attempts"] == 0


def test_the_commands_say_what_a_channel_lacks_and_give_its_messages_to_others(engine, address, tmp_path):
    (tmp_path / "routing.toml").write_text(RULES)
    waiting(engine, 2, "mail")
    waiting(engine, 1, "email")
    waiting(engine, 1, "log")

    def run(*options):
        command = [sys.executable, "-m", "feedback", "deliver", *options, "--store", address]
        command += ["--rules", str(tmp_path / "routing.toml")]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr.replace("\n", " ")

    _, shown, said = run("status")
    assert all(name in shown for name in ("not in the rules", "not set up here", "works"))
    assert "feedback deliver redrive --channel mail --anew" in said
    assert "FEEDBACK_CHANNEL_EMAIL_URL" in said
    lacks = {row["channel"]: row["lacks"] for row in json.loads(run("status", "--json")[1])}
    assert lacks["log"] is None
    assert lacks["mail"].startswith("not in the rules: ")
    assert "--channel mail --anew" in run("redrive", "--channel", "mail")[2]
    for options, message in (
        (("--anew",), "name it with --channel"),
        (("--anew", "--channel", "log"), "channel log is in the rules"),
    ):
        code, _, said = run("redrive", *options)
        assert (code, message in said) == (2, True), said
    assert "2 message(s) will be sent over the channels" in run("redrive", "--channel", "mail", "--anew")[2]
    assert {row["channel"] for row in rows(engine)} == {"email", "log"}
