"""Corrections handed on to the real service: each written once there, whatever is repeated, edited or refused."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from labeling_support import DEFECT, OTHER, SCHEMA, add_answer, add_item
from support import free_port

from labeling.pull.corrections import answered
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
        connection.execute("UPDATE annotations SET reported_at = NULL")
    assert hand_on(service, state) == (1, [])
    (event,) = corrected(service, identity)
    assert (event["actor"], event["body"]["note"]) == ("ana@example.com", "the lid")
    with state.changing() as connection:
        connection.execute(
            "UPDATE annotations SET labels = ?, updated_at = '2026-04-01T00:00:00.000000Z', reported_at = NULL"
            " WHERE annotation_id = ?",
            ('{"category": ["other"], "sentiment": ["negative"]}', number),
        )
    assert hand_on(service, state) == (1, [])
    assert [event["body"]["labels"]["category"] for event in corrected(service, identity)] == [[DEFECT], [OTHER]]


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
