"""Overdue items: a reminder, then one escalation, each once; on each database."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from rules_support import rules_of
from sqlalchemy import select
from store_support import accepted, entry

from serving.delivery.digests import close_due, preview, waiting_teams
from serving.delivery.overdue import remind
from serving.life import Act, act
from serving.store.engine import reading
from serving.store.record import get
from serving.store.tables import digest_items, digests, outbox

RULES = """
version = 1
default = { team = "triage" }
teams.triage.title = "Triage"
[teams.support]
title = "Customer support"
time_zone = "Europe/Bucharest"
hours = { mon-fri = "09:00-17:00" }
escalate_hours = 4
escalate_to = "lead"
[teams.lead]
title = "Lead"
"""
# Tuesday, four in the afternoon in Bucharest
FOUR = datetime(2026, 3, 10, 14, tzinfo=UTC)
# the next morning there, when its digest is closed
NINE = datetime(2026, 3, 11, 7, tzinfo=UTC)


@pytest.fixture(scope="module")
def rules():
    return rules_of(RULES)


def sent(engine):
    with reading(engine) as connection:
        found = connection.execute(select(outbox.c.kind, outbox.c.team, outbox.c.channel).order_by(outbox.c.key))
        return [tuple(row) for row in found]


def test_an_overdue_item_is_reminded_of_and_then_escalated_once(engine, rules):
    (receipt,) = accepted(engine, [entry("a", due_at=FOUR, deliver="now", urgency="high")])
    assert remind(engine, rules, FOUR - timedelta(minutes=1)) == 0
    assert remind(engine, rules, FOUR + timedelta(minutes=1)) == 1
    assert remind(engine, rules, FOUR + timedelta(hours=1)) == 0
    # four hours of working time: three of them are on Wednesday
    assert remind(engine, rules, FOUR + timedelta(hours=19, minutes=59)) == 0
    assert remind(engine, rules, FOUR + timedelta(hours=20, minutes=2)) == 1
    assert remind(engine, rules, FOUR + timedelta(days=300)) == 0
    assert sent(engine) == [
        ("item", "support", "default"),
        ("reminder", "support", "default"),
        ("escalation", "lead", "default"),
    ]
    found = get(engine, receipt.id)["events"]
    assert [(event["kind"], event["body"]) for event in found] == [
        ("received", {}),
        ("reminded", {}),
        ("escalated", {"to": "lead"}),
    ]


def test_what_went_out_in_a_digest_is_reminded_of_in_one(engine, rules):
    accepted(engine, [entry("a", due_at=FOUR)])
    assert remind(engine, rules, FOUR) == 1
    # its team knows of it from the digest of the next day, and has four hours from then
    assert close_due(engine, rules, NINE) == 1
    assert remind(engine, rules, NINE + timedelta(hours=3, minutes=59)) == 0
    assert remind(engine, rules, NINE + timedelta(hours=4)) == 1
    with reading(engine) as connection:
        found = connection.execute(select(digest_items.c.team, digest_items.c.kind)).all()
    assert sorted(tuple(row) for row in found) == [
        ("lead", "escalation"),
        ("support", "item"),
        ("support", "reminder"),
    ]
    assert [kind for kind, _, _ in sent(engine)] == ["digest"]


def test_nothing_is_escalated_before_the_digest_that_reminds_of_it(engine, rules):
    accepted(engine, [entry("a", due_at=FOUR)])
    assert remind(engine, rules, FOUR) == 1
    assert remind(engine, rules, NINE + timedelta(hours=4)) == 0, "no worker ran, and the digest is late"
    assert close_due(engine, rules, NINE + timedelta(hours=5)) == 1
    assert remind(engine, rules, NINE + timedelta(hours=6)) == 0
    assert remind(engine, rules, NINE + timedelta(hours=30)) == 1


def test_what_is_settled_or_handed_on_stands_in_no_digest_as_overdue(engine, rules, schema):
    taken = accepted(engine, [entry(text, due_at=FOUR) for text in ("early", "late", "handed on", "left")])
    early, late, handed, _ = (receipt.id for receipt in taken)
    resolved = Act(kind="resolved", actor="a")

    def listed(team, name):
        with reading(engine) as connection:
            bodies = connection.execute(select(digests.c.body).where(digests.c.team == team)).scalars().all()
        return [[item["text"] for item in body[name]] for body in bodies]

    assert remind(engine, rules, FOUR) == 4
    act(engine, early, resolved, rules, schema, FOUR)
    assert waiting_teams(engine) == {"support": 7}
    assert close_due(engine, rules, NINE) == 1
    assert listed("support", "reminders") == [["late", "handed on", "left"]]
    assert remind(engine, rules, NINE + timedelta(hours=5)) == 3
    act(engine, late, resolved, rules, schema, NINE + timedelta(hours=6))
    wanted = Act(kind="not_ours", actor="a", team="triage")
    act(engine, handed, wanted, rules, schema, NINE + timedelta(hours=6))
    assert [item["text"] for item in preview(engine, rules, "lead", NINE)["escalations"]] == ["left"]
    close_due(engine, rules, NINE + timedelta(days=2))
    assert listed("lead", "escalations") == [["left"]]


def test_where_all_was_settled_meanwhile_there_is_no_digest(engine, rules, schema):
    (receipt,) = accepted(engine, [entry("a", at=FOUR - timedelta(days=1), due_at=FOUR)])
    assert close_due(engine, rules, FOUR) == 1
    assert remind(engine, rules, FOUR) == 1
    act(engine, receipt.id, Act(kind="resolved", actor="a"), rules, schema, FOUR)
    assert close_due(engine, rules, NINE) == 0
    with reading(engine) as connection:
        assert connection.execute(select(digest_items.c.kind)).scalars().all() == ["item"]
    assert [kind for kind, _, _ in sent(engine)] == ["digest"]


def test_of_what_is_settled_nobody_is_reminded(engine, rules, schema):
    for kind in ("resolved", "told"):
        (receipt,) = accepted(engine, [entry(kind, due_at=FOUR)])
        act(engine, receipt.id, Act(kind=kind, actor="a"), rules, schema, FOUR - timedelta(hours=1))
    assert remind(engine, rules, FOUR + timedelta(days=9)) == 0


def test_an_item_that_was_handed_on_has_its_own_time(engine, rules, schema):
    (receipt,) = accepted(engine, [entry("a", due_at=FOUR, deliver="now")])
    remind(engine, rules, FOUR)
    act(engine, receipt.id, Act(kind="not_ours", actor="a", team="lead"), rules, schema, FOUR + timedelta(minutes=1))
    assert remind(engine, rules, FOUR + timedelta(days=90)) == 0, "the rules leave the time of this team open"


def test_the_team_that_others_escalate_to_is_only_reminded(engine, rules):
    accepted(engine, [entry("a", team="triage", due_at=FOUR, deliver="now")])
    assert remind(engine, rules, FOUR) == 1
    assert remind(engine, rules, FOUR + timedelta(days=90)) == 0
    assert [kind for kind, _, _ in sent(engine)] == ["item", "reminder"]


def test_of_many_workers_one_reminds(engine, rules):
    accepted(engine, [entry(str(number), due_at=FOUR, deliver="now") for number in range(50)])
    done = []
    threads = [threading.Thread(target=lambda: done.append(remind(engine, rules, FOUR))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(done) == 50
    assert sum(kind == "reminder" for kind, _, _ in sent(engine)) == 50
