"""What people do with items: states follow each other, teams hand on, corrections are kept apart; on each database."""

import threading
from datetime import timedelta

import pytest
from pydantic import ValidationError
from rules_support import rules_of
from sqlalchemy import select
from store_support import NOON, accepted, entry

from models.errors import InputError, SchemaError
from serving.life import STATES, Act, ConflictError, act, act_on_group
from serving.store.engine import reading
from serving.store.groups import add_to_group, get_group, make_group
from serving.store.queries import Filter, find
from serving.store.record import get
from serving.store.tables import digest_items, outbox

RULES = """
version = 1
default = { team = "triage" }
teams.triage.title = "Triage"
teams.support.title = "Support"
[teams.product]
title = "Product"
time_zone = "Europe/Bucharest"
hours = { mon-fri = "09:00-17:00" }
[[rules]]
name = "first"
when = { sentiment = "negative" }
then = { team = "support", due_hours = 4, urgency = "high" }
"""
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def rules():
    return rules_of(RULES)


@pytest.fixture
def do(engine, rules, schema):
    """Does something with an item an hour after the one before."""
    times = iter(range(1, 1000))

    def done(identity, kind, **fields):
        wanted = Act(kind=kind, actor=fields.pop("actor", "ana@example.com"), **fields)
        return act(engine, identity, wanted, rules, schema, NOON + next(times) * HOUR)

    return done


def one(engine, text="The lid is cracked", *categories, **fields):
    (receipt,) = accepted(engine, [entry(text, *categories, **fields)])
    return receipt.id


def events(engine, identity):
    return [event["kind"] for event in get(engine, identity)["events"]]


def test_an_item_is_followed_until_the_customer_has_been_told(engine, do):
    item = one(engine)
    for state in STATES[1:]:
        assert do(item, state, note=f"now {state}")[:3] == (True, state, "support")
        assert do(item, state)[:2] == (False, state), "done before"
        assert get(engine, item)["state"] == state
    assert events(engine, item) == ["received", *STATES[1:]]
    told = get(engine, item)["events"][-1]
    assert (told["actor"], told["body"], told["at"]) == ("ana@example.com", {"note": "now told"}, NOON + 7 * HOUR)
    assert do("no-such-item", "resolved") is None


@pytest.mark.parametrize("before", STATES)
@pytest.mark.parametrize("after", STATES[1:])
def test_states_only_go_forward(engine, do, before, after):
    item = one(engine)
    if before != "routed":
        do(item, before)
    if STATES.index(after) < STATES.index(before):
        with pytest.raises(ConflictError, match=f"is {before.replace('_', ' ')} already, and cannot become {after}"):
            do(item, after)
    else:
        assert do(item, after).changed == (after != before)


def test_a_settled_item_can_be_opened_again_with_another_time(engine, do):
    item = one(engine, due_at=NOON + HOUR)
    assert not do(item, "reopened").changed
    do(item, "resolved")
    found = do(item, "reopened", note="it broke again")
    assert (found.state, found.due_at) == ("in_progress", NOON + 3 * HOUR + 4 * HOUR)
    assert get(engine, item)["due_at"] == found.due_at


def test_a_team_hands_on_what_is_not_its_own(engine, do):
    item = one(engine, due_at=NOON + HOUR, urgency="high", deliver="now")
    do(item, "acknowledged")
    found = do(item, "not_ours", team="product", note="hardware")
    # four hours from two o'clock UTC, which is four in Bucharest, where they work until five
    assert found == (True, "routed", "product", NOON + 22 * HOUR)
    stored = get(engine, item)
    assert (stored["team"], stored["state"], stored["urgency"], stored["rule"]) == (
        "product",
        "routed",
        "high",
        "handed-on",
    )
    first, second = stored["decisions"]
    assert (first["cause"], second["cause"]) == ("intake", "not_ours")
    assert second["body"]["reasons"] == ["support said that it is not theirs", "handed on to product"]
    assert stored["events"][-1]["body"] == {"note": "hardware", "from": "support", "to": "product", "named": True}
    assert [(row["kind"], row["team"]) for row in stored["deliveries"]] == [("item", "support"), ("item", "product")]
    assert stored["corrections"] == [], "whose it is says nothing of its labels"


def test_what_nobody_knows_the_owner_of_goes_to_the_default_team(engine, do):
    item = one(engine)
    assert do(item, "not_ours").team == "triage"
    assert get(engine, item)["needs_review"]
    with pytest.raises(InputError, match="triage gets what nobody owns; name the `team`"):
        do(item, "not_ours")
    assert not do(item, "not_ours", team="triage").changed
    assert do(item, "not_ours", team="support").team == "support"
    with pytest.raises(InputError, match="unknown team 'suport'; did you mean 'support'"):
        do(item, "not_ours", team="suport")
    do(item, "resolved")
    with pytest.raises(ConflictError, match="is resolved; reopen it before"):
        do(item, "not_ours", team="product")


def test_a_digest_that_was_not_sent_yet_leaves_out_what_was_handed_on(engine, do):
    item = one(engine)
    do(item, "not_ours", team="product")
    with reading(engine) as connection:
        assert connection.execute(select(digest_items.c.team)).scalars().all() == ["product"]
        assert connection.execute(select(outbox)).all() == []
    do(item, "not_ours", team="support")
    with reading(engine) as connection:
        assert connection.execute(select(digest_items.c.team)).scalars().all() == ["support"]


def test_a_correction_changes_what_an_item_is_found_by_and_not_whose_it_is(engine, do):
    item = one(engine, "hm", "other", sentiment="negative", needs_review=True)
    labels = {"category": ["product/defect", "product/quality"], "sentiment": ["neutral"]}
    assert do(item, "corrected", labels=labels).changed
    stored = get(engine, item)
    assert (stored["categories"], stored["sentiment"]) == (["product/defect", "product/quality"], "neutral")
    assert (stored["team"], stored["state"], stored["needs_review"]) == ("support", "routed", False)
    found = {row["task"]: (row["labels"], row["shown"], row["actor"]) for row in stored["corrections"]}
    assert found == {
        "category": (["product/defect", "product/quality"], ["other"], "ana@example.com"),
        "sentiment": (["neutral"], ["negative"], "ana@example.com"),
    }
    assert stored["predictions"][0]["body"]["tasks"]["category"]["labels"] == ["other"], "what the model said stays"
    for wanted, count in (({"category": "product/*"}, 1), ({"category": "other"}, 0), ({"sentiment": "neutral"}, 1)):
        assert len(find(engine, Filter(**wanted), NOON).items) == count
    assert do(item, "corrected", labels={"category": []}).changed
    assert get(engine, item)["categories"] == [], "no label fits"


def test_a_correction_that_is_sent_twice_is_written_once(engine, do):
    item = one(engine)
    again = {"labels": {"category": ["product/defect"]}, "origin": "labelstudio", "origin_id": "7@2026-03-10"}
    assert [do(item, "corrected", **again).changed for _ in range(3)] == [True, False, False]
    assert len(get(engine, item)["corrections"]) == 1
    assert do(item, "corrected", **{**again, "origin_id": "7@2026-03-11"}).changed


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        ({"category": ["product/defct"]}, SchemaError, "unknown category label 'product/defct'; did you mean"),
        ({"categry": ["other"]}, SchemaError, "no task 'categry' in the label schema; did you mean 'category'"),
        ({"sentiment": []}, InputError, "sentiment: expected one label, got 0"),
        ({"category": ["other", "other"]}, InputError, "category: expected each label once"),
    ],
)
def test_a_label_that_there_is_not_is_refused(engine, do, labels, error, message):
    item = one(engine)
    with pytest.raises(error, match=message):
        do(item, "corrected", labels=labels)
    assert events(engine, item) == ["received"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "done", "actor": "a"}, "Input should be 'acknowledged'"),
        ({"kind": "resolved"}, "actor"),
        ({"kind": "resolved", "actor": "  "}, "at least 1 character"),
        ({"kind": "resolved", "actor": "a", "team": "support"}, "`team` goes with `not_ours` only"),
        ({"kind": "corrected", "actor": "a"}, "`labels` go with `corrected`"),
        ({"kind": "noted", "actor": "a"}, "`noted` needs a `note`"),
        ({"kind": "resolved", "actor": "a", "sate": 1}, "Extra inputs"),
    ],
)
def test_what_means_nothing_is_refused(fields, message):
    with pytest.raises(ValidationError, match=message):
        Act.model_validate(fields)


def test_of_two_who_do_the_same_at_once_one_has_done_it(engine, do):
    item = one(engine)
    found = []
    threads = [threading.Thread(target=lambda: found.append(do(item, "resolved").changed)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [False] * 7 + [True]
    assert events(engine, item) == ["received", "resolved"]


def test_one_resolution_settles_a_group_and_tells_who_is_to_be_told(engine, do):
    reports = [one(engine, f"no coffee {number}", external_id=f"t-{number}", source="web") for number in range(5)]
    other = one(engine, "something else")
    group = make_group(engine, "Pump fails", "ana", NOON)
    assert add_to_group(engine, group, [*reports, reports[0]], "ana", NOON) == 5
    assert add_to_group(engine, group, reports, "ana", NOON) == 0
    do(reports[0], "told")
    resolve = Act(kind="resolved", actor="ana", note="a new seal")
    assert act_on_group(engine, group, resolve, NOON + HOUR) == 4
    assert act_on_group(engine, group, resolve, NOON + HOUR) == 0
    assert get_group(engine, group) == {
        "id": group,
        "title": "Pump fails",
        "created_at": NOON,
        "actor": "ana",
        "items": 5,
        "states": {"resolved": 4, "told": 1},
    }
    to_tell = find(engine, Filter(group=group, state=("resolved",)), NOON).items
    assert sorted(row["external_id"] for row in to_tell) == ["t-1", "t-2", "t-3", "t-4"]
    assert act_on_group(engine, group, Act(kind="told", actor="ana"), NOON + 2 * HOUR) == 4
    assert events(engine, reports[1]) == ["received", "grouped", "resolved", "told"]
    assert get(engine, reports[1])["group"] == group
    assert get(engine, other)["state"] == "routed"


def test_a_group_takes_only_items_that_there_are(engine):
    item = one(engine)
    group = make_group(engine, "Pump fails", "ana", NOON)
    with pytest.raises(InputError, match="no item 'nobody', and 1 more"):
        add_to_group(engine, group, [item, "nobody", "neither"], "ana", NOON)
    assert get_group(engine, group)["items"] == 0
    assert add_to_group(engine, "no-such-group", [item], "ana", NOON) is None
    assert get_group(engine, "no-such-group") is None
    assert act_on_group(engine, "no-such-group", Act(kind="told", actor="a"), NOON) is None
    with pytest.raises(InputError, match=r"expected one of acknowledged, .* for a group, got 'not_ours'"):
        act_on_group(engine, group, Act(kind="not_ours", actor="a"), NOON)
