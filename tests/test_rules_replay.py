"""Past items decided by old and by new rules."""

import json
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import ROOT, write_jsonl

from models.errors import DataError
from models.labels import LabelSchema
from models.records import FeedbackItem, ModelName, Prediction, TaskPrediction
from models.rejects import Reject
from serving.routing.decide import decide
from serving.routing.history import CHUNK, Past, pairs_of, read_lines
from serving.routing.load import load_rules
from serving.routing.replay import Bounds, replay, replay_files

SCHEMA = LabelSchema.load()
START = datetime(2026, 3, 2, 6, tzinfo=UTC)
HEAD = """
version = 1
default = { team = "rest" }
[teams.rest]
title = "Rest"
[teams.shop]
title = "Shop"
owns = ["marketing_sales/*"]
time_zone = "Asia/Shanghai"
[teams.care]
title = "Care"
hours = { mon-fri = "09:00-17:00" }
"""
OLD = f"""{HEAD}
[[rules]]
name = "unhappy"
when = {{ sentiment = ["negative"], nps = {{ max = 6 }} }}
then = {{ team = "care", urgency = "high", due_hours = 8 }}
[[rules]]
name = "defect"
when.category = ["product/defect"]
then = {{ team = "care" }}
"""
NEW = f"""{HEAD}
[[rules]]
name = "angry"
when = {{ sentiment = ["negative"], nps = {{ max = 3 }} }}
then = {{ team = "care", urgency = "urgent", due_hours = 4 }}
[[rules]]
name = "defect-again"
when.category = ["product/defect"]
then = {{ team = "care" }}
[[rules]]
name = "pricing"
when.category = ["marketing_sales/pricing"]
then = {{ team = "rest", urgency = "low" }}
"""
LABELS = ("product/defect", "marketing_sales/pricing", "marketing_sales/promotion", "other")


@pytest.fixture(scope="module")
def rules(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rules")
    (folder / "old.toml").write_text(OLD)
    (folder / "new.toml").write_text(NEW)
    return load_rules(folder / "old.toml", SCHEMA), load_rules(folder / "new.toml", SCHEMA)


def past(label: str = "other", sentiment: str = "neutral", nps: int | None = None, hours: float = 0, **fields) -> Past:
    answer = TaskPrediction(labels=(label,), confidence=0.8, abstained=False, probabilities={})
    prediction = Prediction(
        tasks={"category": answer, "sentiment": answer.model_copy(update={"labels": (sentiment,)})},
        language="en",
        truncated=False,
        tier="linear",
        model=ModelName(name="m", version="1"),
        label_schema=SCHEMA.digest,
    )
    return Past(FeedbackItem(text="x", nps=nps, **fields), prediction, START + timedelta(hours=hours))


PASTS = st.lists(
    st.builds(
        past,
        label=st.sampled_from(LABELS),
        sentiment=st.sampled_from(["negative", "neutral", "positive"]),
        nps=st.none() | st.integers(0, 10),
        hours=st.floats(0, 500),
    ),
    max_size=30,
)


@settings(deadline=None, max_examples=100)
@given(pasts=PASTS, answers=PASTS)
def test_the_counts_equal_deciding_each_item_twice(pasts, answers, rules):
    old, new = rules
    pairs = [(one, one._replace(prediction=other.prediction)) for one, other in zip(pasts, answers, strict=False)]
    found = replay(pairs, old, new)
    decisions = [
        (
            decide(one.item, one.prediction, old, one.received_at),
            decide(other.item, other.prediction, new, other.received_at),
        )
        for one, other in pairs
    ]
    assert found.n == len(decisions)
    for side in (0, 1):
        teams = Counter(pair[side].team for pair in decisions)
        assert {team: counts[side] for team, counts in found.teams.items() if counts[side]} == teams
        urgencies = Counter(pair[side].urgency for pair in decisions)
        assert {name: counts[side] for name, counts in found.urgencies.items() if counts[side]} == urgencies
    differs = [(a.team, a.urgency, a.due_at) != (b.team, b.urgency, b.due_at) for a, b in decisions]
    assert found.moved == sum(differs)
    assert found.other_rule == sum(
        a.rule != b.rule and not moved for (a, b), moved in zip(decisions, differs, strict=True)
    )
    assert found.matrix == Counter((a.team, b.team) for a, b in decisions if a.team != b.team)
    assert sum(found.due.values()) == sum(a.due_at != b.due_at for a, b in decisions)
    assert found.due["earlier"] == sum(bool(a.due_at and b.due_at and b.due_at < a.due_at) for a, b in decisions)
    assert found.newly_urgent == sum(b.urgency == "urgent" != a.urgency for a, b in decisions)
    assert found.newly_default == sum(b.rule == "default" != a.rule for a, b in decisions)
    loads = {(team, day): counts for team, days in found.load.items() for day, counts in days.items()}
    assert sum(counts[0] for counts in loads.values()) == sum(counts[1] for counts in loads.values()) == found.n


def test_a_day_is_one_of_the_team_that_gets_the_item(rules):
    # 22:00 in UTC is the next day in Shanghai
    found = replay([(late, late) for late in [past("marketing_sales/promotion", hours=16)]], *rules)
    assert [day.isoformat() for day in found.load["shop"]] == ["2026-03-03"]


def test_each_kind_of_move_has_a_few_examples(rules):
    pairs = [(one, one) for one in [past("marketing_sales/pricing", id=str(number)) for number in range(9)]]
    found = replay(pairs, *rules)
    assert {kind: [move.id for move in moves] for kind, moves in found.examples.items()} == {
        "shop → rest": ["0", "1", "2"],
        "urgency normal → low": ["0", "1", "2"],
    }


def test_bounds_that_are_broken_are_said_in_words(rules):
    moving, staying = past("marketing_sales/pricing"), past()
    found = replay([(moving, moving), *[(staying, staying)] * 3], *rules)
    assert Bounds(0.25, {"rest": 4}).broken(found, rules[1]) == []
    assert Bounds(0.2, {"rest": 3, "shop": 0}).broken(found, rules[1]) == [
        "25.00% of the items move, more than 20.00%",
        "team 'rest' would get up to 4 items a day, more than 3",
    ]
    with pytest.raises(DataError, match="unknown team 'ret'; did you mean 'rest'"):
        Bounds(None, {"ret": 3}).broken(found, rules[1])


def row(one: Past, **extra: object) -> dict:
    return {
        **one.item.model_dump(mode="json", exclude_unset=True),
        "prediction": one.prediction.model_dump(mode="json"),
        **extra,
    }


def test_items_come_in_when_the_file_says_so(tmp_path):
    rows = [
        row(past(), received_at="2026-05-01T10:00:00+02:00", created_at="2026-04-01T10:00:00Z"),
        row(past(), created_at="2026-04-01T10:00:00Z"),
        row(past()),
    ]
    lines = list(read_lines(write_jsonl(tmp_path / "a.jsonl", rows), None))
    found = [one.received_at for one, _ in pairs_of(lines, START, pytest.fail)]
    assert found == [datetime(2026, 5, 1, 8, tzinfo=UTC), datetime(2026, 4, 1, 10, tzinfo=UTC), START]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"prediction": None}, "expected a `prediction` as `feedback classify --out FILE.jsonl` writes it"),
        ({"prediction": {"tasks": {}}}, "'language' is missing"),
        ({"text": ""}, "text: expected some text, got an empty one"),
        ({"received_at": "yesterday"}, "received_at: input should be a valid datetime"),
    ],
)
def test_a_row_that_cannot_be_replayed_is_named(change, reason, tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", [row(past()) | change, row(past())])
    rejects: list[Reject] = []
    (good,) = pairs_of(list(read_lines(path, None)), START, rejects.append)
    (bad,) = rejects
    assert reason in str(bad)
    assert "a.jsonl:1" in str(bad)
    assert isinstance(good[0], Past)


def test_two_models_are_compared_on_the_same_items_only(tmp_path):
    first = write_jsonl(tmp_path / "a.jsonl", [row(past()), row(past())])
    second = write_jsonl(tmp_path / "b.jsonl", [row(past("product/defect")), row(past()) | {"text": "another"}])
    rejects: list[Reject] = []
    pairs = pairs_of(list(read_lines(first, second)), START, rejects.append)
    labels = [one.prediction.tasks["category"].labels for one in next(pairs)]
    assert labels == [("other",), ("product/defect",)]
    with pytest.raises(DataError, match=r"a.jsonl:2 and \S+b.jsonl:2 are not the same item"):
        next(pairs)
    longer = write_jsonl(tmp_path / "c.jsonl", [row(past())] * 3)
    with pytest.raises(DataError, match=r"do not hold the same items: one ends at row 3"):
        list(read_lines(first, longer))


def test_a_large_file_is_counted_like_a_small_one_by_several_processes(tmp_path):
    (tmp_path / "old.toml").write_text(OLD)
    (tmp_path / "new.toml").write_text(NEW)
    kinds = [past("product/defect", nps=1, sentiment="negative"), past("marketing_sales/pricing", id="p"), past()]
    rows = [row(one) for _ in range(CHUNK) for one in kinds] + [{"text": "no prediction"}]
    rows[0]["id"] = "first"
    data = write_jsonl(tmp_path / "a.jsonl", rows)
    counted: list[int] = []
    files = (tmp_path / "old.toml", tmp_path / "new.toml")
    found, rejected, first = replay_files(read_lines(data, None), *files, SCHEMA, counted.append)
    assert sum(counted) == len(rows)
    assert len(counted) == 4
    assert (rejected, first.place) == (1, f"{data}:{len(rows)}")
    rules = [load_rules(tmp_path / name, SCHEMA) for name in ("old.toml", "new.toml")]
    alone = replay([(one, one) for one in kinds], *rules)
    assert (found.n, found.moved) == (3 * CHUNK, alone.moved * CHUNK)
    assert found.matrix == Counter({move: n * CHUNK for move, n in alone.matrix.items()})
    assert found.teams == {team: (one * CHUNK, other * CHUNK) for team, (one, other) in alone.teams.items()}
    assert [move.id for move in found.examples["urgency high → urgent"]] == ["first", None, None]


def run(folder: Path, *options: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "feedback", "rules", "replay", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_the_command_shows_what_moves_and_fails_where_a_bound_is_broken(tmp_path):
    (tmp_path / "old.toml").write_text(OLD)
    (tmp_path / "new.toml").write_text(NEW)
    data = write_jsonl(
        tmp_path / "a.jsonl", [row(past("marketing_sales/pricing", id="p")), row(past()), {"text": "no prediction"}]
    )
    files = ["--old", str(tmp_path / "old.toml"), "--new", str(tmp_path / "new.toml"), "--data", str(data)]
    done = run(tmp_path, *files, "--max-moved", "5%", "--max-load", "rest=1/day")
    assert done.returncode == 2
    assert "2 items decided both ways: 1 move (50.00%)" in done.stdout + done.stderr
    assert "p: “x” (owned → pricing)" in done.stderr
    assert "1 row(s) left out" in done.stderr
    assert "too much: 50.00% of the items move, more than 5.00%" in done.stderr
    assert "too much: team 'rest' would get up to 2 items a day, more than 1" in done.stderr
    as_json = run(tmp_path, *files, "--json")
    assert as_json.returncode == 0
    assert json.loads(as_json.stdout)["teams"] == {"rest": [1, 2], "shop": [1, 0]}
