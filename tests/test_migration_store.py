"""The store under new labels, on each database: everything that holds one, in one transaction."""

import os
import signal
import subprocess
import sys
from datetime import timedelta

import pytest
from migration_support import DELIVERY, LATE, QUALITY, SPEED, TRUST, migration_of
from sqlalchemy import Text, cast, func, insert, select
from store_support import NOON, accepted, entry
from support import ROOT

from models.labels import LabelSchema
from models.migration.parts import Line
from models.progress import Silent
from serving.failpoints import VARIABLE
from serving.life import Act, act
from serving.routing.load import DEFAULT_RULES, load_rules
from serving.store.engine import reading, writing
from serving.store.queries import Filter, find
from serving.store.record import get
from serving.store.tables import corrections, digests, events, item_categories, items, predictions
from serving.taxonomy.stored import Store

LATER = NOON + timedelta(hours=1)
MOOD = """
[[merge]]
task = "sentiment"
from = ["neutral", "positive"]
to = "calm"
"""


def correct(engine, identity, origin_id, **labels):
    wanted = Act(kind="corrected", actor="Ana", labels=labels, origin="labelstudio", origin_id=origin_id)
    assert act(engine, identity, wanted, load_rules(DEFAULT_RULES), LabelSchema.load(), LATER).changed


@pytest.fixture
def stored(engine):
    """Ids of five items: renamed, merged, split by a model, split by a person, and one that stays."""
    made = [
        entry("late", DELIVERY, external_id="1"),
        entry("slow", SPEED, QUALITY, external_id="2"),
        entry("spies", TRUST, "other", external_id="3"),
        entry("lies", "other", external_id="4"),
        entry("odd", "other", external_id="5"),
    ]
    ids = [receipt.id for receipt in accepted(engine, made)]
    correct(engine, ids[0], "1@1", category=[DELIVERY, SPEED])
    correct(engine, ids[3], "4@1", category=[TRUST], sentiment=["negative"])
    return ids


def migrate(engine, migration, relabel=10):
    part = Store(engine, migration, relabel)
    plan = part.plan(Silent())
    part.apply(plan.queue, Silent())
    return plan


def said(engine):
    """Everything that the store holds, as text, without what items were called before they became unsettled."""
    with reading(engine) as connection:
        found = []
        for table in (items, item_categories, predictions, corrections, digests):
            for row in connection.execute(select(table)).mappings():
                found.append(str({**row}))
        found += map(str, connection.execute(select(events.c.body).where(events.c.kind == "corrected")).scalars())
    return "\n".join(found)


def test_no_old_label_is_left_and_items_are_found_by_the_new_ones(engine, stored, tmp_path):
    migration = migration_of(tmp_path)
    plan = migrate(engine, migration)
    counts = {line.what: line.changes for line in plan.lines}
    assert counts == {"predictions": 3, "corrections": 2, "items": 4, "events": 1, "digests": 0}
    # what somebody said of a label that was split stays as they said it, in the event of it
    text = said(engine).replace(f"'labels': {{'category': ['{TRUST}']", "")
    assert [label for label in (DELIVERY, SPEED, TRUST) if label in text] == []
    for label, ids in ((LATE, stored[:1]), (QUALITY, [stored[1], stored[0]]), ("shipping/*", stored[:1]), (TRUST, [])):
        assert [one["id"] for one in find(engine, Filter(category=label), LATER).items] == ids
    assert find(engine, Filter(category="customer_service/*"), LATER).items == []
    first = get(engine, stored[0])
    assert (first["categories"], first["corrections"][0]["labels"]) == ([QUALITY, LATE], [LATE, QUALITY])
    assert first["corrections"][0]["shown"] == [LATE]
    assert first["predictions"][0]["body"]["tasks"]["category"]["labels"] == [LATE]


def test_items_with_a_label_that_was_split_wait_for_people(engine, stored, tmp_path):
    plan = migrate(engine, migration_of(tmp_path))
    assert plan.queue == [
        {"text": "spies", "external_id": "3", "id": stored[2], "meta": {"unsettled": {"category": [TRUST, "other"]}}},
        {"text": "lies", "external_id": "4", "id": stored[3], "meta": {"unsettled": {"category": [TRUST]}}},
    ]
    by_model, by_person = get(engine, stored[2]), get(engine, stored[3])
    assert (by_model["categories"], by_model["needs_review"]) == (["other"], True)
    assert by_model["predictions"][0]["body"]["tasks"]["category"]["abstained"] is True
    assert (by_person["categories"], by_person["needs_review"]) == ([], True)
    assert [(one["task"], one["labels"]) for one in by_person["corrections"]] == [("sentiment", ["negative"])]
    assert by_person["events"][-1]["body"] == {"labels": {"category": [TRUST]}, "unsettled": ["category"]}
    correct(engine, stored[3], "4@2", category=["other"])
    assert get(engine, stored[3])["needs_review"] is False


def test_of_what_only_a_model_labelled_so_many_are_put_to_people(engine, stored, tmp_path):
    plan = Store(engine, migration_of(tmp_path), 0).plan(Silent())
    assert [row["text"] for row in plan.queue] == ["lies"]
    assert "1 more stored item(s)" in plan.notes[0]


def test_a_later_correction_counts_and_not_the_one_before(engine, stored, tmp_path):
    correct(engine, stored[3], "4@2", category=["other"])
    plan = migrate(engine, migration_of(tmp_path))
    assert [row["text"] for row in plan.queue] == ["spies"]
    assert get(engine, stored[3])["categories"] == ["other"]


def test_what_is_done_is_not_done_again(engine, stored, tmp_path):
    migration = migration_of(tmp_path)
    migrate(engine, migration)
    with reading(engine) as connection:
        before = said(engine), connection.execute(select(func.count()).select_from(events)).scalar_one()
    plan = migrate(engine, migration)
    with reading(engine) as connection:
        after = said(engine), connection.execute(select(func.count()).select_from(events)).scalar_one()
    assert (sum(line.changes for line in plan.lines), plan.queue, after == before) == (0, [], True)


def test_planning_changes_nothing(engine, stored, tmp_path):
    before = said(engine)
    Store(engine, migration_of(tmp_path), 10).plan(Silent())
    assert said(engine) == before


def test_sentiments_and_digests_follow(engine, stored, tmp_path):
    body = {
        "count": 5,
        "before": 4,
        "categories": [{"label": SPEED, "count": 2, "before": 1}, {"label": QUALITY, "count": 1, "before": 0}],
        "sentiments": [{"label": label, "count": 2, "before": None} for label in ("neutral", "positive")],
        "languages": [{"label": "en", "count": 5, "before": 4}],
        "items": [{"id": "x", "text": "slow", "categories": [SPEED, QUALITY], "sentiment": "positive"}],
        "reminders": [],
        "escalations": [],
    }  # fmt: skip
    with writing(engine) as connection:
        moments = {"opens_at": NOON, "closes_at": LATER, "closed_at": LATER}
        connection.execute(insert(digests).values(team="support", body=body, **moments))
    plan = migrate(engine, migration_of(tmp_path, MOOD + '[[merge]]\ntask = "category"\n'
                                                  f'from = ["{SPEED}", "{QUALITY}"]\nto = "{QUALITY}"'))  # fmt: skip
    assert Line(str(engine.url.render_as_string(hide_password=True)), "digests", 1) in plan.lines
    with reading(engine) as connection:
        found = connection.execute(select(digests.c.body)).scalar_one()
        feelings = connection.execute(select(items.c.sentiment).order_by(items.c.key)).scalars().all()
    assert found["categories"] == [{"label": QUALITY, "count": 3, "before": 1}]
    assert found["sentiments"] == [{"label": "calm", "count": 4, "before": None}]
    assert found["items"] == [{"id": "x", "text": "slow", "categories": [QUALITY], "sentiment": "calm"}]
    assert (found["languages"], feelings) == (body["languages"], ["calm", "calm", "calm", "negative", "calm"])


def test_many_batches_are_one_transaction_and_a_kill_changes_nothing(engine, tmp_path, address):
    many = [entry(f"late {n}", DELIVERY, external_id=str(n)) for n in range(1100)]
    for start in range(0, len(many), 64):
        accepted(engine, many[start : start + 64])
    (tmp_path / "m.toml").write_text(f'[[rename]]\ntask = "category"\nfrom = "{DELIVERY}"\nto = "{LATE}"')
    before = said(engine)
    command = [sys.executable, "-m", "feedback", "labels", "migrate", str(tmp_path / "m.toml"), "--store", address]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    killed = subprocess.run(command, cwd=ROOT, env={**environment, VARIABLE: "labels-before-commit"}, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert said(engine) == before
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert DELIVERY not in said(engine)
    with reading(engine) as connection:
        renamed = select(func.count()).where(cast(predictions.c.body, Text).contains(LATE))
        assert connection.execute(renamed).scalar_one() == len(many)
