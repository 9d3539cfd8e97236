"""Digests: what waits for a team is in one of them and no more, whatever clocks and workers do; on each database."""

import json
import random
import subprocess
import sys
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from rules_support import rules_of
from sqlalchemy import select
from store_support import NOON, accepted, entry
from support import ROOT

from serving.delivery.digests import close_due, preview
from serving.store.engine import reading
from serving.store.tables import digest_items, digests, outbox

RULES = """
version = 1
default = { team = "triage" }
teams.triage.title = "Triage"
[teams.support]
title = "Customer support"
time_zone = "Europe/Bucharest"
channels = ["mail", "log"]
digest = { every = "day", at = "09:00" }
[teams.product]
title = "Product"
time_zone = "America/New_York"
digest = { every = "week", on = "mon", at = "08:00" }
[channels.mail]
kind = "file"
[channels.log]
kind = "file"
"""
NINE = datetime(2026, 3, 11, 7, tzinfo=UTC)  # in Bucharest


@pytest.fixture(scope="module")
def rules():
    return rules_of(RULES)


def all_of(engine, table):
    with reading(engine) as connection:
        return [dict(row) for row in connection.execute(select(table)).mappings()]


def bodies(engine):
    return [row["body"] for row in sorted(all_of(engine, digests), key=lambda row: row["key"])]


def test_a_digest_is_closed_once_when_its_period_is_over(engine, rules):
    accepted(engine, [entry("a", at=NOON), entry("b", at=NOON + timedelta(hours=1)), entry("c", at=NINE)])
    assert close_due(engine, rules, NINE - timedelta(seconds=1)) == 0
    assert close_due(engine, rules, NINE + timedelta(seconds=1)) == 1
    assert close_due(engine, rules, NINE + timedelta(hours=1)) == 0
    (body,) = bodies(engine)
    assert (body["team"], body["title"], body["count"], body["before"]) == ("support", "Customer support", 2, None)
    assert [item["text"] for item in body["items"]] == ["b", "a"]
    assert body["opens_at"], body["closes_at"] == ("2026-03-10T07:00:00+00:00", "2026-03-11T07:00:00+00:00")
    sent = all_of(engine, outbox)
    assert [(row["kind"], row["team"], row["channel"], row["item_key"]) for row in sent] == [
        ("digest", "support", "mail", None),
        ("digest", "support", "log", None),
    ]
    # what came in at the very end is in the next one
    assert close_due(engine, rules, NINE + timedelta(days=1)) == 1
    assert [body["count"] for body in bodies(engine)] == [2, 1]


def test_what_was_stored_late_is_in_the_next_one(engine, rules):
    accepted(engine, [entry("in time", at=NOON)])
    assert close_due(engine, rules, NINE) == 1
    accepted(engine, [entry("its transaction took long", at=NOON)])
    assert close_due(engine, rules, NINE + timedelta(minutes=1)) == 0
    assert close_due(engine, rules, NINE + timedelta(days=1)) == 1
    assert [body["items"][0]["text"] for body in bodies(engine)] == ["in time", "its transaction took long"]


def test_a_digest_tells_how_much_came_and_what_changed(engine, rules):
    sad = {"sentiment": "negative", "urgency": "high"}
    accepted(engine, [entry(f"first {n}", "product/defect", at=NOON) for n in range(3)])
    assert close_due(engine, rules, NINE) == 1
    later = NINE + timedelta(hours=2)
    accepted(engine, [entry(f"lid {n}", "product/defect", at=later, **sad) for n in range(5)])
    accepted(engine, [entry("Is there a larger one?", "product/feature_request", "other", at=later, language="it")])
    accepted(engine, [entry("LID 3!", "product/defect", at=later, **sad)])
    accepted(engine, [entry("for others", team="product", at=later)])
    assert close_due(engine, rules, NINE + timedelta(days=1)) == 1
    second = bodies(engine)[1]
    assert (second["count"], second["before"]) == (7, 3)
    assert second["categories"] == [
        {"label": "product/defect", "count": 6, "before": 3},
        {"label": "other", "count": 1, "before": 0},
        {"label": "product/feature_request", "count": 1, "before": 0},
    ]
    assert second["sentiments"] == [
        {"label": "negative", "count": 6, "before": 0},
        {"label": "neutral", "count": 1, "before": 3},
    ]
    assert second["languages"] == [{"label": "en", "count": 6, "before": 3}, {"label": "it", "count": 1, "before": 0}]
    assert second["open"] == 10
    # of each category something, and nothing twice
    shown = [item["text"] for item in second["items"]]
    assert len(shown) == 5
    assert "Is there a larger one?" in shown
    assert len({text.casefold().rstrip("!") for text in shown}) == 5
    # after a day on which nothing came there is something to compare with still: nothing
    accepted(engine, [entry("again", at=NINE + timedelta(days=2, hours=1))])
    assert close_due(engine, rules, NINE + timedelta(days=3)) == 1
    assert bodies(engine)[2]["before"] == 0


def test_a_preview_closes_nothing(engine, rules):
    accepted(engine, [entry("a", at=NOON)])
    body = preview(engine, rules, "support", NOON)
    assert (body["count"], body["closes_at"]) == (1, "2026-03-11T07:00:00+00:00")
    assert preview(engine, rules, "product", NOON)["count"] == 0
    assert all_of(engine, digests) == []
    assert close_due(engine, rules, NINE) == 1


def test_items_of_a_team_that_is_not_in_the_rules_any_more_go_to_the_default_channel(engine, rules):
    accepted(engine, [entry("left alone", team="gone", at=NOON)])
    assert close_due(engine, rules, NOON + timedelta(days=1)) == 1
    (row,) = all_of(engine, outbox)
    assert (row["team"], row["channel"]) == ("gone", "default")


def test_of_many_workers_one_closes_a_digest(engine, rules):
    accepted(engine, [entry(str(number), at=NOON) for number in range(40)])
    closed = []
    threads = [threading.Thread(target=lambda: closed.append(close_due(engine, rules, NINE))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(closed) == [0] * 7 + [1]
    assert [body["count"] for body in bodies(engine)] == [40]
    assert len(all_of(engine, outbox)) == 2


@pytest.mark.parametrize("seed", range(4))
def test_over_changes_of_clocks_every_item_is_in_one_digest(engine, rules, seed):
    """Weeks in which clocks change in New York and Bucharest; workers look in at odd moments, or not for days."""
    chance = random.Random(seed)
    now, end = datetime(2026, 3, 5, tzinfo=UTC), datetime(2026, 4, 2, tzinfo=UTC)
    stored = 0
    while now < end:
        made = [
            entry("x", at=now - timedelta(seconds=chance.choice([0, 0, 5])), team=chance.choice(["support", "product"]))
            for _ in range(chance.randrange(3))
        ]
        accepted(engine, made)
        stored += len(made)
        if chance.random() < 0.5:
            close_due(engine, rules, now + timedelta(seconds=chance.choice([-2, 0, 3])))
        now += timedelta(minutes=chance.choice([1, 30, 60, 400, 1500]))
    close_due(engine, rules, end + timedelta(days=8))
    rows = all_of(engine, digest_items)
    assert len(rows) == stored
    assert all(row["digest_key"] is not None for row in rows)
    closed = {row["key"]: row for row in all_of(engine, digests)}
    assert Counter(row["digest_key"] for row in rows) == {key: row["body"]["count"] for key, row in closed.items()}
    assert all(row["at"] < closed[row["digest_key"]]["closes_at"] for row in rows)
    for team, hour in (("support", 9), ("product", 8)):
        zone = rules.calendars[team].zone
        assert {row["closes_at"].astimezone(zone).hour for row in closed.values() if row["team"] == team} == {hour}
    sent = Counter(row["digest_key"] for row in all_of(engine, outbox))
    assert sent == {key: 2 if row["team"] == "support" else 1 for key, row in closed.items()}


def test_the_command_shows_the_next_digest(engine, address, tmp_path):
    (tmp_path / "routing.toml").write_text(RULES)
    accepted(engine, [entry(f"text {number}", at=NOON) for number in range(3)])
    accepted(engine, [entry("for others", team="product", at=NOON)])

    def run(*options):
        command = [sys.executable, "-m", "feedback", "deliver", "digest", "--store", address]
        command += ["--rules", str(tmp_path / "routing.toml"), *map(str, options)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    shown = run()
    assert "3 pieces of feedback for Customer support" in shown.stdout
    assert "that of support, if it were sent now" in shown.stderr
    assert "1 piece of feedback for Product" in run("--team", "product").stdout
    assert [body["count"] for body in json.loads(run("--json").stdout)] == [3, 1]
    assert run("--team", "support", "--html", tmp_path / "digest.html").returncode == 0
    assert "3 pieces of feedback" in (tmp_path / "digest.html").read_text()
    for options, message in (
        (("--team", "suport"), "unknown team 'suport'; did you mean 'support'"),
        (("--html", "x.html"), "name it with --team"),
    ):
        refused = run(*options)
        assert (refused.returncode, message in refused.stderr.replace("\n", " ")) == (2, True), refused.stderr
    assert all_of(engine, digests) == []
