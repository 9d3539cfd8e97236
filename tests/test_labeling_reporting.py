"""Corrections handed on to the real service: each written once there, whatever is repeated, edited or refused."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from labeling_support import DEFECT, OTHER, SCHEMA, add_answer, add_item
from support import free_port

from labeling.pull.corrections import answered
from labeling.pull.handed import adopt, begin, settle
from labeling.pull.joining import Joined
from labeling.pull.reporting import report
from labeling.service import ServiceError
from labeling.state import State
from models.errors import ConfigError
from models.progress import Silent
from serving.server import base_url, running
from serving.settings import Settings

YES = {"category": [DEFECT], "sentiment": ["negative"]}


@pytest.fixture(scope="module")
def service(linear_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    store = f"sqlite:///{tmp_path_factory.mktemp('reporting') / 'feedback.db'}"
    with running(Settings(model=linear_folder, threads=1, store=store), "127.0.0.1", port, Silent()):
        yield base_url("127.0.0.1", port)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    opened = State(tmp_path / "state.db")
    yield opened
    opened.close()


def stored(service: str, text: str) -> str:
    answer = httpx.post(f"{service}/feedback", json={"text": text}, trust_env=False)
    return str(answer.json()["id"])


def item_of(service: str, identity: str) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{service}/feedback/{identity}", trust_env=False).json()
    return found


def corrected(service: str, identity: str) -> list[dict[str, Any]]:
    return [event for event in item_of(service, identity)["events"] if event["kind"] == "corrected"]


def categories(service: str, identity: str) -> list[list[str]]:
    return [event["body"]["labels"]["category"] for event in corrected(service, identity)]


def settled(state: State) -> dict[str, Joined]:
    return {item.item_id: item.joined for item in answered(state, SCHEMA).items}


def moment(day: int) -> str:
    return f"2026-04-0{day}T00:00:00.000000Z"


def edit(state: State, number: int, /, **fields: str) -> None:
    """An annotation as a later pull finds it."""
    with state.changing() as connection:
        for name, value in fields.items():
            statement = f"UPDATE annotations SET {name} = ? WHERE annotation_id = ?"  # noqa: S608  (the tests' own names)
            connection.execute(statement, (value, number))


def hand_on(url: str, state: State) -> tuple[int, list[str]]:
    done, rejects = report(url, state, answered(state, SCHEMA).items, Silent())
    return done, [str(reject) for reject in rejects]


def test_a_correction_is_written_once_and_an_edit_again(service: str, state: State) -> None:
    identity = stored(service, "The lid came broken")
    add_item(state, identity, 1)
    number = add_answer(state, 1, YES, note="the lid")
    assert hand_on(service, state) == (1, [])
    assert hand_on(service, state) == (0, [])
    with state.changing() as connection:  # it was killed before it wrote down that it had handed it on
        connection.execute("UPDATE reports SET taken_at = NULL")
    assert hand_on(service, state) == (1, [])
    (event,) = corrected(service, identity)
    assert (event["actor"], event["body"]["note"]) == ("ana@example.com", "the lid")
    for label, day in ((OTHER, 1), (DEFECT, 2)):  # and what was changed back, too
        edit(state, number, labels=f'{{"category": ["{label}"], "sentiment": ["negative"]}}', updated_at=moment(day))
        assert hand_on(service, state) == (1, [])
    assert categories(service, identity) == [[DEFECT], [OTHER], [DEFECT]]


def test_what_says_nothing_new_is_not_handed_on_over_what_was_corrected_since(service: str, state: State) -> None:
    identity = stored(service, "The lid came broken once more")
    add_item(state, identity, 1)
    number, other = add_answer(state, 1, YES), add_answer(state, 1, {}, who="eve@example.com", how="skipped")
    assert hand_on(service, state) == (1, [])
    act = {"kind": "corrected", "actor": "Bob", "labels": {"category": [OTHER]}, "origin_id": "by hand"}
    httpx.post(f"{service}/feedback/{identity}/events", json=act, trust_env=False).raise_for_status()
    add_answer(state, 1, {}, who="bob@example.com", how="skipped")
    edit(state, other, state="deleted")
    edit(state, number, updated_at=moment(1))  # sent in again as it was
    assert hand_on(service, state) == (0, [])
    assert categories(service, identity) == [[DEFECT], [OTHER]]


def test_what_another_rule_makes_of_the_same_answers_is_handed_on(service: str, state: State) -> None:
    identity = stored(service, "The lid came broken as ever")
    add_item(state, identity, 1)
    for who, label in (("a", DEFECT), ("b", DEFECT), ("boss", OTHER)):
        add_answer(state, 1, {**YES, "category": [label]}, who=who)
    for adjudicators in ([], ["boss"], [], []):
        report(service, state, answered(state, SCHEMA, "majority", adjudicators).items, Silent())
    assert categories(service, identity) == [[DEFECT], [OTHER], [DEFECT]]


def test_a_correction_that_was_begun_goes_on_under_its_name_and_another_under_another(state: State) -> None:
    add_item(state, "i1", 1)
    number = add_answer(state, 1, YES)
    first = begin(state, settled(state))
    assert begin(state, settled(state)) == first
    settle(state, first)
    edit(state, number, labels='{"category": ["other"]}', updated_at=moment(1))
    second = begin(state, settled(state))  # and it was stopped before the service had answered
    edit(state, number, labels=json.dumps(YES), updated_at=moment(2))
    (item,) = answered(state, SCHEMA).items
    assert not item.reported, "the service may have the second one"
    assert len({name["i1"] for name in (first, second, begin(state, settled(state)))}) == 3


def test_a_file_of_an_earlier_version_hands_on_only_what_was_not_handed_on(tmp_path: Path) -> None:
    state = State(tmp_path / "old.db")
    for task in (1, 2, 3):
        add_item(state, f"i{task}", task)
        add_answer(state, task, YES)
    with state.changing() as connection:
        connection.execute("DROP TABLE reports")
        connection.execute("ALTER TABLE annotations DROP COLUMN unsettled")
        connection.execute("ALTER TABLE annotations ADD COLUMN reported_at TEXT")
        connection.execute("UPDATE annotations SET reported_at = '2026-01-01' WHERE task_id < 3")
        connection.execute("PRAGMA user_version = 2")
    state.close()
    for _ in range(2):
        state = State(tmp_path / "old.db")
        adopt(state, lambda state=state: settled(state))
        assert [item.reported for item in answered(state, SCHEMA).items] == [True, True, False]
        state.close()
    state = State(tmp_path / "old.db")
    edit(state, 1, labels='{"category": ["other"]}', updated_at=moment(1))
    add_answer(state, 2, {}, who="bob@example.com", how="skipped")
    assert [item.reported for item in answered(state, SCHEMA).items] == [False, True, False]
    state.close()


def test_what_the_service_does_not_take_is_told_and_the_rest_goes_on(service: str, state: State) -> None:
    identity = stored(service, "Another broken lid")
    add_item(state, "no-such-item", 1)
    add_item(state, identity, 2)
    add_item(state, "aside", 3)
    add_answer(state, 1, YES)
    add_answer(state, 2, YES)
    add_answer(state, 3, {}, set_aside="not_feedback")
    done, (reject,) = hand_on(service, state)
    assert done == 1
    assert reject.startswith("item no-such-item: the service answered 404")
    assert len(corrected(service, identity)) == 1


def test_a_service_that_is_away_loses_nothing(service: str, state: State) -> None:
    identity = stored(service, "A third broken lid")
    add_item(state, identity, 1)
    add_answer(state, 1, YES)
    with pytest.raises(ServiceError, match="0 of 1 corrections were handed on, the others are kept"):
        hand_on(f"http://127.0.0.1:{free_port()}", state)
    assert hand_on(service, state) == (1, [])
    with pytest.raises(ConfigError, match="expected the address of a service"):
        hand_on("127.0.0.1:3000", state)
