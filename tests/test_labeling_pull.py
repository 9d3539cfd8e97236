"""Pulling from a real Label Studio: each version once, edits and deletions followed, whatever happens in between."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from label_studio_sdk.client import LabelStudio
from labelstudio_support import new_project

from labeling.client import LabelStudioError
from labeling.interface import labeling_interface
from labeling.pull import Pulled, pull
from labeling.state import State
from models.labels import LabelSchema
from models.progress import Silent
from models.records import FeedbackItem, ModelName, Prediction, TaskPrediction

SCHEMA = LabelSchema.load()
DEFECT, OTHER = "product/defect", "other"


class Desk(NamedTuple):
    """A project with tasks, a state that knows of them, and what labelers do there."""

    client: LabelStudio
    project: int
    path: Path
    tasks: list[int]

    def answer(self, number: int, *categories: str, sentiment: str = "negative", **fields: Any) -> int:
        made = self.client.annotations.create(
            id=self.tasks[number], **({"result": result(*categories, sentiment=sentiment), "lead_time": 4.0} | fields)
        )
        return int(made.id)

    def pull(self, *, schema: LabelSchema = SCHEMA, full: bool = False) -> Pulled:
        return pull(self.client, self.project, self.path, schema, Silent(), full=full)

    def rows(self, statement: str = "SELECT * FROM annotations ORDER BY annotation_id") -> list[dict[str, Any]]:
        state = State(self.path)
        found = [dict(row) for row in state.rows(statement)]
        state.close()
        return found

    def states(self) -> list[str]:
        return [row["state"] for row in self.rows()]


def result(*categories: str, sentiment: str = "negative") -> list[dict[str, Any]]:
    def region(name: str, *choices: str) -> dict[str, Any]:
        return {"from_name": name, "to_name": "text", "type": "choices", "value": {"choices": list(choices)}}

    return [region("category", *categories), region("sentiment", sentiment)]


def predicted(category: str, sentiment: str) -> Prediction:
    def of(label: str) -> TaskPrediction:
        return TaskPrediction(labels=(label,), confidence=0.9, abstained=False, probabilities={label: 0.9})

    return Prediction(
        tasks={"category": of(category), "sentiment": of(sentiment)},
        language="en",
        truncated=False,
        tier="linear",
        model=ModelName(name="m", version="1"),
        label_schema=SCHEMA.digest,
    )


def fill(desk: Desk, count: int) -> None:
    """Tasks on the server, and items in the state as a push writes them."""
    state = State(desk.path)
    texts = [f"feedback number {number}" for number in range(count)]
    made = desk.client.projects.import_tasks(
        desk.project, request=[{"data": {"text": text}} for text in texts], return_task_ids=True
    )
    desk.tasks.extend(made.task_ids)
    with state.changing() as connection:
        connection.executemany(
            "INSERT INTO items"
            " (item_id, task_id, record, why, probability, blind, prediction, model_version, chosen_at)"
            " VALUES (?, ?, ?, 'audit', 0.5, 0, ?, 'm-1', '2026-01-01')",
            [
                (
                    f"item-{task}",
                    task,
                    FeedbackItem(text=text, language="en").model_dump_json(exclude_unset=True),
                    predicted(DEFECT, "negative").model_dump_json(),
                )
                for task, text in zip(made.task_ids, texts, strict=True)
            ],
        )
    state.close()


@pytest.fixture
def desk(studio_client: LabelStudio, tmp_path: Path) -> Iterator[Desk]:
    with new_project(studio_client, SCHEMA) as project:
        made = Desk(studio_client, project.id, tmp_path / "state.db", [])
        fill(made, 6)
        yield made


def figures(found: Pulled) -> tuple[int, int, int, int]:
    return found.new, found.edited, found.deleted, found.skipped


def test_what_was_answered_comes_once(desk: Desk) -> None:
    assert figures(desk.pull()) == (0, 0, 0, 0)
    first = desk.answer(0, DEFECT, OTHER)
    assert figures(desk.pull()) == (1, 0, 0, 0)
    second = desk.answer(1, sentiment="positive")
    assert figures(desk.pull()) == (1, 0, 0, 0)
    assert figures(desk.pull()) == (0, 0, 0, 0)
    assert figures(desk.pull(full=True)) == (0, 0, 0, 0)
    one, other = desk.rows()
    assert (one["annotation_id"], other["annotation_id"]) == (first, second)
    assert json.loads(one["labels"]) == {"category": [DEFECT, OTHER], "sentiment": ["negative"]}
    assert json.loads(other["labels"]) == {"category": [], "sentiment": ["positive"]}
    assert (one["annotator"], one["seconds"], one["state"]) == ("labeler@example.com", 4.0, "live")


def test_edits_are_followed_and_handed_on_again(desk: Desk) -> None:
    number, other = desk.answer(0, DEFECT), desk.answer(1, DEFECT)
    desk.pull()
    state = State(desk.path)
    with state.changing() as connection:
        connection.execute("UPDATE annotations SET reported_at = '2026-01-01'")
    state.close()
    desk.client.annotations.update(id=number, result=result(OTHER, sentiment="neutral"))
    assert figures(desk.pull()) == (0, 1, 0, 0)
    edited, same = desk.rows()
    assert json.loads(edited["labels"]) == {"category": [OTHER], "sentiment": ["neutral"]}
    assert (edited["reported_at"], same["annotation_id"], same["reported_at"]) == (None, other, "2026-01-01")


def test_deletions_are_followed_of_one_of_many_and_of_whole_tasks(desk: Desk) -> None:
    numbers = [desk.answer(number, DEFECT) for number in range(5)]
    desk.pull()
    desk.client.annotations.delete(id=numbers[0])
    assert figures(desk.pull()) == (0, 0, 1, 0)
    chosen = {"all": False, "included": desk.tasks[1:3]}
    desk.client.actions.create(id="delete_tasks_annotations", project=desk.project, selected_items=chosen)
    assert figures(desk.pull()) == (0, 0, 2, 0)
    desk.client.tasks.delete(id=desk.tasks[3])
    assert figures(desk.pull()) == (0, 0, 1, 0)
    assert desk.states() == ["deleted"] * 4 + ["live"]
    assert figures(desk.pull()) == (0, 0, 0, 0)


def test_skipped_items_are_known_and_can_be_taken_up_again(desk: Desk) -> None:
    number = desk.answer(0, result=[], was_cancelled=True)
    assert figures(desk.pull()) == (1, 0, 0, 1)
    assert desk.states() == ["skipped"]
    desk.client.annotations.update(id=number, was_cancelled=False, result=result(DEFECT))
    assert figures(desk.pull()) == (0, 1, 0, 0)
    assert desk.states() == ["live"]


def test_an_unknown_choice_is_named_and_the_rest_goes_on(desk: Desk) -> None:
    number = desk.answer(0, "product/warranty")
    desk.answer(1, DEFECT)
    for _ in range(2):  # it is told until it is settled
        found = desk.pull()
        (reject,) = found.rejects
        assert reject.place == f"annotation {number} of task {desk.tasks[0]}"
        assert "unknown category choice 'product/warranty'" in reject.reason
        assert "pull again" in reject.reason
    assert desk.states() == ["unreadable", "live"]
    labels = [{"key": key} for key in ("product/warranty", DEFECT)]
    wider = LabelSchema.model_validate({"tasks": {"category": {"kind": "multi", "labels": labels}}})
    assert figures(desk.pull(schema=wider)) == (0, 1, 0, 0)
    assert desk.states() == ["live", "live"]


def test_an_interface_that_was_edited_by_hand_is_told(desk: Desk) -> None:
    config = labeling_interface(SCHEMA).replace('name="category"', 'name="topic"')
    desk.client.projects.update(desk.project, label_config=config)
    desk.answer(0, result=result(DEFECT)[1:])
    found = desk.pull()
    assert any("does not ask for category" in note for note in found.notes)
    assert any("also asks for topic" in note for note in found.notes)
    assert json.loads(desk.rows()[0]["labels"]) == {"sentiment": ["negative"]}  # and not "no category applies"


def test_answers_on_tasks_of_others_are_kept_and_told(desk: Desk) -> None:
    made = desk.client.projects.import_tasks(desk.project, request=[{"data": {"text": "x"}}], return_task_ids=True)
    desk.client.annotations.create(id=made.task_ids[0], result=result(DEFECT))
    found = desk.pull()
    assert figures(found) == (1, 0, 0, 0)
    assert found.notes[0].startswith("1 answered task(s) are of no item that was pushed from here")


def test_two_pulls_at_once_take_everything_once(desk: Desk) -> None:
    for number in range(6):
        desk.answer(number, DEFECT)
    found: list[Pulled] = []
    threads = [threading.Thread(target=lambda: found.append(desk.pull())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.new for one in found) == [0, 0, 6]
    assert len(desk.rows()) == 6


def test_hints_in_any_order_or_none_change_nothing(desk: Desk) -> None:
    number = desk.answer(0, DEFECT)
    desk.client.annotations.update(id=number, result=result(OTHER))
    desk.client.annotations.update(id=number, result=result(DEFECT, OTHER))
    found = [desk.pull() for _ in range(3)]  # what three hints bring about, the first of them late
    assert [figures(one)[:2] for one in found] == [(1, 0), (0, 0), (0, 0)]
    assert json.loads(desk.rows()[0]["labels"])["category"] == [DEFECT, OTHER]


def test_a_project_that_was_deleted_is_told_and_nothing_is_lost(studio_client: LabelStudio, tmp_path: Path) -> None:
    with new_project(studio_client, SCHEMA) as project:
        desk = Desk(studio_client, project.id, tmp_path / "state.db", [])
        fill(desk, 1)
        desk.answer(0, DEFECT)
        desk.pull()
    with pytest.raises(LabelStudioError, match=r"reading project \d+: Label Studio does not know that \(404"):
        desk.pull()
    assert desk.states() == ["live"]
