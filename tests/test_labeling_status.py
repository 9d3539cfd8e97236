"""Corrections and figures of a project, from its state alone."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from labeling_support import DEFECT, OTHER, QUALITY, SCHEMA, add_answer, add_item, predicted
from support import read_jsonl
from typer.testing import CliRunner

from feedback import app
from labeling.pull.corrections import answered, write_corrections
from labeling.push.queue import state_file
from labeling.state import State
from labeling.status.estimates import per_label, share_of, wilson
from labeling.status.status import status
from models.labels import LabelSchema
from models.readers import read_items
from models.records import LabeledItem

YES = {"category": [DEFECT], "sentiment": ["negative"]}


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    opened = State(tmp_path / "state.db")
    yield opened
    opened.close()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """States of projects lie below the folder that a command runs in."""
    with contextlib.chdir(tmp_path):
        yield tmp_path


# 0 of 10: z² / (n + z²) is the upper end
@pytest.mark.parametrize(
    ("share", "n", "low", "high"), [(0.0, 10, 0.0, 0.2775), (0.5, 10, 0.2366, 0.7634), (1.0, 10, 0.7225, 1.0)]
)
def test_the_interval_of_a_share(share: float, n: int, low: float, high: float) -> None:
    assert wilson(share, n) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def test_items_count_by_the_inverse_of_their_probability() -> None:
    found = share_of([True, False], [0.1, 0.5])
    assert found["share"] == pytest.approx(10 / 12)
    assert share_of([True, True, False], [0.5] * 3) == share_of([True, True, False])
    assert share_of([]) == {"n": 0, "share": None, "low": None, "high": None}


def test_weighting_undoes_a_lopsided_draw() -> None:
    rng = np.random.default_rng(1)
    right = rng.random(20_000) < np.where(np.arange(20_000) < 10_000, 0.9, 0.5)
    chance = np.where(np.arange(20_000) < 10_000, 0.02, 0.1)
    drawn = np.flatnonzero(rng.random(20_000) < chance)
    found = share_of([bool(right[row]) for row in drawn], [float(chance[row]) for row in drawn])
    plain = share_of([bool(right[row]) for row in drawn])
    assert found["low"] < right.mean() < found["high"]
    assert plain["high"] < right.mean()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.floats(0.01, 1)), min_size=1, max_size=50))
def test_an_interval_holds_its_share_and_lies_in_zero_to_one(drawn) -> None:
    found = share_of([hit for hit, _ in drawn], [chance for _, chance in drawn])
    assert 0 <= found["low"] <= found["share"] + 1e-9
    assert found["share"] - 1e-9 <= found["high"] <= 1


def test_figures_of_labels() -> None:
    given_ = [[DEFECT], [DEFECT], [OTHER], []] * 5
    said = [[DEFECT], [OTHER], [OTHER], []] * 5
    found = per_label((DEFECT, OTHER, QUALITY), given_, said, [0.5] * 20)
    assert set(found) == {DEFECT, OTHER}
    assert (found[DEFECT]["precision"]["share"], found[DEFECT]["recall"]["share"]) == (1, 0.5)
    assert found[DEFECT]["f1"]["f1"] == pytest.approx(2 / 3)
    assert found[DEFECT]["f1"]["low"] < 2 / 3 < found[DEFECT]["f1"]["high"]
    assert per_label((OTHER,), given_[:4], said[:4], [1.0] * 4)[OTHER]["f1"]["low"] is None


def test_a_correction_tells_who_when_what_was_shown_and_what_changed(state: State, tmp_path: Path) -> None:
    said = predicted([OTHER], "negative")
    add_item(state, "i1", 1, text="Broken lid", prediction=said, probability=0.25, external_id="x", meta={"team": "a"})
    number = add_answer(state, 1, YES, note="a lid")
    found = answered(state, SCHEMA)
    assert write_corrections(tmp_path / "c.jsonl", found.items, SCHEMA) == 1
    (record,) = read_jsonl(tmp_path / "c.jsonl")
    about = record["meta"].pop("correction")
    assert record == {
        **{"id": "i1", "text": "Broken lid", "external_id": "x", "meta": {"team": "a"}},
        **{"categories": [DEFECT], "sentiment": "negative"},
    }
    assert about == {
        **{"by": ["ana@example.com"], "at": "2026-03-10T09:30:00.000001Z", "blind": False, "model": "m-1"},
        "annotations": [{"id": number, "updated_at": "2026-03-10T09:30:00.000001Z"}],
        **{key: {"category": [OTHER], "sentiment": ["negative"]} for key in ("shown", "predicted")},
        **{"changed": ["category"], "why": "uncertain", "probability": 0.25, "seconds": 4.0, "notes": ["a lid"]},
    }
    (item,) = read_items(str(tmp_path / "c.jsonl"))
    assert isinstance(item, LabeledItem)
    assert (item.labels("category"), item.labels("sentiment")) == ((DEFECT,), ("negative",))


def test_only_what_is_settled_is_written(state: State, tmp_path: Path) -> None:
    for task in range(1, 6):
        add_item(state, f"i{task}", task)
    add_answer(state, 1, YES)
    add_answer(state, 1, {**YES, "category": [OTHER]}, who="bob@example.com")
    add_answer(state, 2, {}, set_aside="not_feedback")
    add_answer(state, 3, YES, how="deleted")
    add_answer(state, 4, {}, how="skipped")
    add_answer(state, 5, {"category": [], "sentiment": ["neutral"]})
    items = answered(state, SCHEMA).items
    write_corrections(tmp_path / "c.jsonl", items, SCHEMA)
    aside, empty = read_jsonl(tmp_path / "c.jsonl")
    assert (aside["id"], aside["meta"]["set_aside"], "sentiment" in aside) == ("i2", "not_feedback", False)
    assert (empty["id"], empty["categories"], empty["meta"]["correction"]["shown"]) == ("i5", [], None)
    found = answered(state, SCHEMA, "majority", ["bob@example.com"]).items
    assert found[0].joined.labels["category"] == (OTHER,)


def test_a_task_of_ones_own_comes_back_from_the_file(state: State, tmp_path: Path) -> None:
    tasks = {
        "category": {"kind": "single", "labels": [{"key": "a"}, {"key": "b"}]},
        "urgency": {"kind": "multi", "labels": [{"key": "high"}, {"key": "low"}]},
    }
    schema = LabelSchema.model_validate({"tasks": tasks})
    add_item(state, "i1", 1)
    add_answer(state, 1, {"category": ["b"], "urgency": ["high", "low"]})
    write_corrections(tmp_path / "c.jsonl", answered(state, schema).items, schema)
    (item,) = read_items(str(tmp_path / "c.jsonl"))
    assert (item.category, item.labels("category"), item.labels("urgency")) == ("b", ("b",), ("high", "low"))


def test_labels_of_an_earlier_schema_are_told_and_not_dropped(state: State) -> None:
    add_item(state, "i1", 1)
    add_item(state, "i2", 2)
    add_answer(state, 1, {"category": ["product/warranty", DEFECT], "sentiment": ["negative"]})
    add_answer(state, 2, YES)
    found = answered(state, SCHEMA)
    assert [item.item_id for item in found.items] == ["i2"]
    assert "label 'product/warranty', which is not in the label schema" in found.rejects[0].reason


def project(state: State) -> None:
    """Thirty items: chance drew half of them, every fifth is blind; the model is right on two of three."""
    for number in range(30):
        add_item(
            state,
            f"i{number}",
            number + 1,
            language="de" if number % 2 else "en",
            probability=0.5 if number < 15 else None,
            blind=number % 5 == 0,
            prediction=predicted([DEFECT if number % 3 else OTHER], "negative"),
            meta={"team": "north"} if number < 10 else {},
        )
        if number < 25:
            add_answer(state, number + 1, YES, seconds=number)
        if number < 12:
            add_answer(state, number + 1, YES if number else {**YES, "category": [OTHER]}, who="bob@example.com")


def test_status_tells_how_it_stands(state: State) -> None:
    project(state)
    found = status(state, SCHEMA)
    counts = found["progress"]
    assert (counts["pushed"], counts["waiting"], counts["settled"], counts["to_be_settled"]) == (30, 5, 24, 1)
    assert found["people"]["each"]["bob@example.com"]["answers"] == 12
    assert found["people"]["each"]["ana@example.com"]["median_seconds"] == 12
    assert found["agreement"]["answered_twice"] == 12
    assert found["agreement"]["tasks"]["sentiment"]["labels"]["alpha"] is None  # all said the same
    assert found["open"][0]["item"] == "i0"
    shown, blind = (found["acceptance"]["category"][name] for name in ("shown", "blind"))
    assert (shown["n"], blind["n"]) == (20, 4)
    audit = found["audit"]
    assert (audit["drawn"], audit["answered"]) == (15, 15)
    accuracy = audit["tasks"]["category"]["accuracy"]
    assert (accuracy["n"], accuracy["share"]) == (14, pytest.approx(10 / 14))
    assert audit["tasks"]["category"]["stands_for"] == 28
    assert set(audit["tasks"]["category"]["slices"]["language"]) == {"de", "en"}
    assert audit["tasks"]["category"]["slices"]["team"]["north"]["n"] == 9
    assert audit["tasks"]["category"]["per_label"][DEFECT]["recall"]["share"] == pytest.approx(10 / 14)


def test_an_empty_project_has_figures_too(state: State) -> None:
    found = status(state, SCHEMA)
    assert found["progress"]["pushed"] == 0
    assert found["audit"] == {"tasks": {}, "drawn": 0, "answered": 0}
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("filled", [True, False])
def test_the_command_shows_tables_or_json(filled: bool, elsewhere: Path) -> None:
    opened = State(state_file("http://127.0.0.1:1", 7))
    if filled:
        project(opened)
    opened.close()
    command = ["label", "status", "--project", "7", "--url", "http://127.0.0.1:1"]
    shown = CliRunner().invoke(app, command)
    assert shown.exit_code == 0, shown.output
    assert "Project 7, items" in shown.stdout
    assert "Krippendorff" in shown.stdout
    assert ("to be settled: item i0: category: " in shown.stderr) == filled
    told = CliRunner().invoke(app, [*command, "--json"])
    assert json.loads(told.stdout)["progress"]["pushed"] == (30 if filled else 0)


def test_a_project_that_is_not_known_is_told(elsewhere: Path) -> None:
    done = CliRunner().invoke(app, ["label", "status", "--project", "7", "--url", "http://127.0.0.1:1"])
    assert "expected what is known of project 7" in str(done.exception)
