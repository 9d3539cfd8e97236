"""Giving items to labelers in a real Label Studio: each is there once, whatever is killed in between."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from labeling_support import result
from labelstudio_support import environment_of, new_project
from support import ROOT, free_port, write_jsonl
from typer.testing import CliRunner

from feedback import app
from labeling.choice.selection import Candidate, Mix
from labeling.pull.pull import pull
from labeling.push.push import Pushed, enqueue, push
from labeling.push.queue import state_file
from labeling.push.sources import Source
from labeling.studio.client import LabelStudioError, connect
from labeling.studio.server import find_binary, running
from models.errors import ConfigError, SchemaError
from models.labels import LabelSchema
from models.progress import Advance, Silent
from models.records import FeedbackItem, ModelName, Prediction, TaskPrediction

NONE = Pushed(added=0, why={}, blind=0, resumed=0, found=0, removed=0, updated=0, without=0, open=0, apart=0)


def said(schema: LabelSchema, number: int, version: str = "1", **labels: str) -> Prediction:
    """A prediction that depends on the number, so that a task with another's can be told."""
    tasks = {}
    for name, task in schema.tasks.items():
        label = labels.get(name, task.keys[number % len(task.keys)])
        probabilities = {key: 0.9 if key == label else 0.1 / len(task.keys) for key in task.keys}
        tasks[name] = TaskPrediction(
            labels=(label,), confidence=0.5 + number / 1000, abstained=number % 9 == 0, probabilities=probabilities
        )
    return Prediction(
        tasks=tasks,
        language="en",
        truncated=False,
        tier="linear",
        model=ModelName(name="demo", version=version),
        label_schema=schema.digest,
    )


def items(schema: LabelSchema, count: int, version: str = "1") -> list[Candidate]:
    return [
        Candidate(f"e{n}", FeedbackItem(text=f"the parcel number {n} is late", nps=n % 10), said(schema, n, version))
        for n in range(count)
    ]


def source(candidates: Sequence[Candidate]) -> Source:
    return Source(lambda: candidates)


def listed(client: Any, project: int) -> list[Any]:
    return list(client.tasks.list(project=project, fields="all", page_size=1000))


def external_ids(client: Any, project: int) -> Counter[str]:
    pages = client.tasks.list(project=project, fields="task_only", include="id,data", page_size=1000)
    return Counter(task.data["external_id"] for task in pages)


def rows(path: Path, statement: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(path)
    try:
        with connection:
            return connection.execute(statement).fetchall()
    finally:
        connection.close()


@pytest.fixture
def project(studio_client: Any, schema: LabelSchema) -> Iterator[int]:
    with new_project(studio_client, schema) as made:
        yield made.id


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "project.db"


def test_what_is_pushed_shows_its_prediction_unless_blind(studio_client, schema, project, path) -> None:
    found = items(schema, 100)
    done = push(studio_client, project, path, source(found), 60, Mix(blind=0.3), Silent())
    assert done.added == done.open == sum(done.why.values()) == 60
    assert 0 < done.blind < 60
    blind = dict(rows(path, "SELECT item_id, blind FROM items"))
    by_id = {one.id: one for one in found}
    tasks = listed(studio_client, project)
    assert len(tasks) == 60
    for task in tasks:
        ours = by_id[task.data["external_id"]]
        assert task.data["text"] == ours.item.text
        assert task.data["context"] == f"NPS {ours.item.nps} of 10"
        assert set(task.data) == {"text", "external_id", "context"}, "a labeler could see why it was chosen"
        if blind[ours.id]:
            assert task.predictions == []
            continue
        (shown,) = task.predictions
        given = {region["from_name"]: tuple(region["value"]["choices"]) for region in shown.result}
        assert given == {name: answer.labels for name, answer in ours.prediction.tasks.items()}
        assert shown.model_version == "demo-1"
    kept = rows(path, "SELECT count(*) FROM items WHERE prediction IS NOT NULL AND model_version = 'demo-1'")
    assert kept == [(60,)], "a copy of what is shown, or would be, is kept"
    audit = rows(path, "SELECT DISTINCT probability FROM items WHERE why = 'audit'")
    assert audit == [(pytest.approx(0.2 * 60 / 100),)]


def test_pushing_again_adds_nothing_until_answers_are_pulled(studio_client, schema, project, path) -> None:
    first = push(studio_client, project, path, source(items(schema, 80)), 30, Mix(), Silent())
    again = push(studio_client, project, path, source(items(schema, 80)), 30, Mix(), Silent())
    assert first.added == 30
    assert (again.added, again.open) == (0, 30)
    answered = [row[0] for row in rows(path, "SELECT task_id FROM items LIMIT 10")]
    for number, task in enumerate(answered):
        columns = "annotation_id, updated_at, task_id, annotator, state, labels, seen_at"
        rows(path, f"INSERT INTO annotations ({columns}) VALUES ({number}, '', {task}, 'a', 'live', '{{}}', '')")  # noqa: S608
    third = push(studio_client, project, path, source(items(schema, 80)), 30, Mix(), Silent())
    assert (third.added, third.open) == (10, 30)
    assert set(external_ids(studio_client, project).values()) == {1}
    assert push(studio_client, project, path, source(items(schema, 35)), 100, Mix(), Silent()).added < 35


def test_an_id_of_several_texts_is_no_name_of_an_item(studio_client, schema, project, path) -> None:
    texts = ("The lid came broken", "Late again", "Nobody answers")
    ordered = [Candidate("c-7", FeedbackItem(text=text, id="c-7"), said(schema, 1)) for text in texts]
    done = push(studio_client, project, path, source(ordered[:2]), 9, Mix(audit=0), Silent())
    assert (done.added, done.apart) == (2, 2)
    assert push(studio_client, project, path, source(ordered[:2]), 9, Mix(audit=0), Silent()).added == 0
    for added in (1, 0):
        assert enqueue(studio_client, project, path, [*ordered, *ordered[1:]], "split", Silent()) == (added, added)
    kept = dict(rows(path, "SELECT json_extract(record, '$.text'), json_extract(record, '$.id') FROM items"))
    assert kept.keys() == set(texts)
    assert {name.partition("#")[0] for name in kept.values()} == {"c-7"}
    assert external_ids(studio_client, project) == Counter(kept.values())


def test_what_was_sent_and_not_written_down_is_found_again(studio_client, schema, project, path) -> None:
    push(studio_client, project, path, source(items(schema, 60)), 40, Mix(), Silent())
    before = dict(rows(path, "SELECT item_id, task_id FROM items"))
    rows(path, "UPDATE items SET task_id = NULL, pushed_at = NULL WHERE rowid % 2")
    done = push(studio_client, project, path, source(items(schema, 60)), 40, Mix(), Silent())
    assert (done.added, done.found, done.resumed, done.open) == (0, 20, 0, 40)
    assert dict(rows(path, "SELECT item_id, task_id FROM items")) == before
    assert set(external_ids(studio_client, project).values()) == {1}


def test_what_is_there_twice_is_removed_but_never_an_answer(studio_client, schema, project, path) -> None:
    push(studio_client, project, path, source(items(schema, 20)), 20, Mix(), Silent())
    (one, first), (other, second) = rows(path, "SELECT item_id, task_id FROM items LIMIT 2")
    # as by a request that the server finished long after its sender was gone
    data = [{"data": {"text": "x", "external_id": item}} for item in (one, other)]
    twins = studio_client.projects.import_tasks(project, request=data, return_task_ids=True).task_ids
    region = {"from_name": "sentiment", "to_name": "text", "type": "choices", "value": {"choices": ["negative"]}}
    studio_client.annotations.create(twins[1], result=[region], lead_time=1.0)
    done = push(studio_client, project, path, source(items(schema, 20)), 20, Mix(), Silent())
    assert (done.added, done.removed) == (0, 2)
    now = dict(rows(path, "SELECT item_id, task_id FROM items"))
    assert now[one] == first
    assert now[other] == twins[1] != second
    assert set(external_ids(studio_client, project).values()) == {1}


def test_another_machine_does_not_push_what_is_there(studio_client, schema, project, path, tmp_path) -> None:
    push(studio_client, project, path, source(items(schema, 50)), 50, Mix(), Silent())
    done = push(studio_client, project, tmp_path / "other.db", source(items(schema, 60)), 60, Mix(), Silent())
    assert done.added == 10
    assert len(external_ids(studio_client, project)) == 60


def test_open_tasks_follow_a_new_model(studio_client, schema, project, path) -> None:
    push(studio_client, project, path, source(items(schema, 60)), 30, Mix(blind=0.2), Silent())
    (answered,) = rows(path, "SELECT item_id, task_id FROM items WHERE NOT blind LIMIT 1")
    region = {"from_name": "sentiment", "to_name": "text", "type": "choices", "value": {"choices": ["negative"]}}
    studio_client.annotations.create(answered[1], result=[region], lead_time=1.0)
    shown = rows(path, "SELECT count(*) FROM items WHERE NOT blind")[0][0]
    # begun before and interrupted: one task has the new prediction already
    early = rows(path, "SELECT task_id FROM items WHERE NOT blind")[1][0]
    studio_client.projects.import_predictions(
        project, request=[{"task": early, "model_version": "demo-2", "score": 0.5, "result": []}]
    )
    rows(path, "INSERT INTO marks VALUES ('updating_to', 'demo-2')")
    done = push(studio_client, project, path, source(items(schema, 60, "2")), 30, Mix(), Silent())
    assert (done.added, done.updated, done.without) == (0, shown - 1, 0)
    assert studio_client.projects.get(id=project).model_version == "demo-2"
    versions = Counter(
        (len(task.predictions), *(one.model_version for one in task.predictions))
        for task in listed(studio_client, project)
    )
    assert versions == {(1, "demo-2"): shown - 1, (0,): 30 - shown + 1}
    kept = rows(path, f"SELECT model_version FROM items WHERE item_id = '{answered[0]}'")  # noqa: S608
    assert kept == [("demo-1",)], "what an answer was given with is kept"
    assert rows(path, "SELECT * FROM marks WHERE name = 'updating_to'") == []
    assert push(studio_client, project, path, source(items(schema, 60, "2")), 30, Mix(), Silent()).updated == 0


def test_who_answers_a_task_after_another_is_shown_the_new_model(studio_client, schema, path) -> None:
    with new_project(studio_client, schema, maximum_annotations=2) as made:
        push(studio_client, made.id, path, source(items(schema, 4)), 4, Mix(audit=0, blind=0), Silent())
        half, finished, *_ = (task.id for task in listed(studio_client, made.id))
        other = studio_client.users.create(email="second@example.com", username="second").id
        for task in (half, finished):
            studio_client.annotations.create(id=task, result=result("other"))
        studio_client.annotations.create(id=finished, result=result("other"), completed_by=other)
        assert pull(studio_client, made.id, path, schema, Silent()).new == 3
        done = [
            push(studio_client, made.id, path, source(items(schema, 4, "2")), 2, Mix(), Silent()).updated for _ in "12"
        ]
        assert done == [3, 0]
        shown = {task.id: [one.model_version for one in task.predictions] for task in listed(studio_client, made.id)}
        assert shown.pop(finished) == []
        assert list(shown.values()) == [["demo-2"]] * 3


def test_a_model_of_other_labels_is_refused_before_anything_is_written(studio_client, schema, project, path) -> None:
    wrong = [Candidate("e1", FeedbackItem(text="late"), said(schema, 1, sentiment="furious"))]
    with pytest.raises(SchemaError, match=r"(?s)nothing was sent.*feedback label config.*item e1: .*furious"):
        push(studio_client, project, path, source(wrong), 5, Mix(blind=0), Silent())
    assert rows(path, "SELECT count(*) FROM items") == [(0,)]
    assert external_ids(studio_client, project) == {}


def test_without_predictions_none_is_shown_and_another_seed_is_refused(studio_client, schema, project, path) -> None:
    bare = [Candidate(one.id, one.item) for one in items(schema, 20)]
    done = push(studio_client, project, path, source(bare), 10, Mix(), Silent(), seed=5)
    assert done.added == done.without == 10
    assert set(done.why) <= {"audit", "diverse"}
    with pytest.raises(ConfigError, match="--seed 6: this project was begun with 5"):
        push(studio_client, project, path, source(bare), 10, Mix(), Silent(), seed=6)


def test_a_task_that_was_deleted_is_not_sent_again_and_makes_room(studio_client, schema, project, path) -> None:
    push(studio_client, project, path, source(items(schema, 40)), 10, Mix(), Silent())
    chosen = dict(rows(path, "SELECT item_id, task_id FROM items"))
    gone = list(chosen)[:2]
    for item in gone:
        studio_client.tasks.delete(id=chosen[item])
    done = push(studio_client, project, path, source(items(schema, 40)), 10, Mix(), Silent())
    assert (done.added, done.open) == (2, 10)
    there = external_ids(studio_client, project)
    assert len(there) == 10
    assert not set(gone) & set(there)


@pytest.mark.parametrize(
    ("edit", "error", "message"),
    [
        (('name="sentiment"', 'name="mood"'), SchemaError, r"(?s)nothing was sent.*feedback label config.*sentiment"),
        (("$text", "$body"), LabelStudioError, r"adding 5 tasks to project \d+: .*body"),
    ],
)
def test_an_interface_that_was_edited_by_hand_is_told(
    edit, error, message, studio_client, schema, project, path
) -> None:
    studio_client.projects.update(project, label_config=label_config(schema).replace(*edit))
    with pytest.raises(error, match=message):
        push(studio_client, project, path, source(items(schema, 20)), 5, Mix(blind=0), Silent())
    assert external_ids(studio_client, project) == {}
    # put right again, the same push goes on
    studio_client.projects.update(project, label_config=label_config(schema))
    push(studio_client, project, path, source(items(schema, 20)), 5, Mix(blind=0), Silent())
    assert len(external_ids(studio_client, project)) == 5


def test_a_project_that_was_deleted_is_told_and_what_is_known_is_kept(studio_client, schema, path) -> None:
    with new_project(studio_client, schema) as made:
        push(studio_client, made.id, path, source(items(schema, 20)), 5, Mix(), Silent())
    with pytest.raises(LabelStudioError, match=r"does not know that \(404.*may have been deleted"):
        push(studio_client, made.id, path, source(items(schema, 20)), 10, Mix(), Silent())
    assert rows(path, "SELECT count(task_id) FROM items") == [(5,)]


class Interrupting:
    """Progress that does something when so many units of a stage are done."""

    def __init__(self, stage: str, units: int, act: Callable[[], None]) -> None:
        self._stage, self._left, self._act = stage, units, act

    @contextmanager
    def stage(self, title: str, total: int | None = None, unit: str = "", *, done: int = 0) -> Iterator[Advance]:
        """Count the units of the stage."""

        def advance(units: int) -> None:
            if title.startswith(self._stage) and self._left > 0:
                self._left -= units
                if self._left <= 0:
                    self._act()

        yield advance


def test_a_server_that_is_killed_loses_and_doubles_nothing(schema, tmp_path, path) -> None:
    port, binary = free_port(), find_binary(ROOT)

    def kill() -> None:
        for process in psutil.Process().children(recursive=True):
            if "--port" in process.cmdline() and str(port) in process.cmdline():
                # in the middle of the next request, and not between two
                threading.Timer(0.05, process.kill).start()

    with running(tmp_path / "server", binary, Silent(), port=port) as studio:
        client = connect(studio.url, studio.key)
        made = client.projects.create(title="of a test", label_config=label_config(schema)).id
        killing = Interrupting("sending", 60, kill)
        with pytest.raises(LabelStudioError, match=r"chosen item\(s\) are kept, the same command sends them"):
            push(client, made, path, source(items(schema, 250)), 200, Mix(), killing, batch=20)
    sent = rows(path, "SELECT count(task_id) FROM items")[0][0]
    assert 60 <= sent < 200
    with running(tmp_path / "server", binary, Silent(), port=port) as studio:
        client = connect(studio.url, studio.key)
        done = push(client, made, path, source(items(schema, 250)), 200, Mix(), Silent(), batch=20)
        assert done.added == done.removed == 0
        assert done.found + done.resumed == 200 - sent
        found = external_ids(client, made)
        assert len(found) == 200
        assert set(found.values()) == {1}
        shown = {task.data["external_id"]: bool(task.predictions) for task in listed(client, made)}
        assert shown == {item: not blind for item, blind in rows(path, "SELECT item_id, blind FROM items")}


def label_config(schema: LabelSchema) -> str:
    from labeling.studio.interface import labeling_interface

    return labeling_interface(schema)


@pytest.fixture
def answers(schema: LabelSchema, tmp_path: Path) -> Path:
    """A file as `feedback classify` writes it."""
    return write_jsonl(
        tmp_path / "answers.jsonl",
        [
            {"id": one.id, "text": one.item.text, "prediction": one.prediction.model_dump(mode="json")}
            for one in items(schema, 180)
        ],
    )


def pushing(studio: Any, project: int, answers: Path, folder: Path, n: int) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "feedback", "label", "push", "--project", str(project), "--from", str(answers)]
    environment = {**os.environ, **environment_of(studio), "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([*command, "--n", str(n), "--json"], cwd=folder, env=environment, stdout=subprocess.PIPE)


def test_two_pushes_at_once_push_everything_once(studio, studio_client, project, answers, tmp_path) -> None:
    both = [pushing(studio, project, answers, tmp_path, 150) for _ in range(2)]
    told = [json.loads(one.communicate(timeout=120)[0]) for one in both]
    assert sorted(one["added"] for one in told) == [0, 150]
    assert len(external_ids(studio_client, project)) == 150
    assert set(external_ids(studio_client, project).values()) == {1}


def test_a_push_that_is_killed_goes_on(studio, studio_client, project, answers, tmp_path) -> None:
    state = state_file(studio.url, project, tmp_path / "artifacts/labeling")
    process = pushing(studio, project, answers, tmp_path, 170)
    deadline = time.monotonic() + 60
    while not (state.exists() and _chosen(state)):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)  # written down, and on its way or not
    process.communicate()
    # at once: the server may still be at work on what it was sent
    again = pushing(studio, project, answers, tmp_path, 170)
    again.communicate(timeout=120)
    assert again.returncode == 0
    pushing(studio, project, answers, tmp_path, 170).communicate(timeout=120)
    assert len(external_ids(studio_client, project)) == 170
    assert set(external_ids(studio_client, project).values()) == {1}


def _chosen(state: Path) -> bool:
    try:
        return rows(state, "SELECT count(*) FROM items")[0][0] > 0
    except sqlite3.OperationalError:
        return False


def invoke(studio: Any, *arguments: str, **environment: str) -> Any:
    return CliRunner().invoke(app, ["label", "push", *arguments], env={**environment_of(studio), **environment})


def test_the_command_says_what_it_would_choose_and_what_it_did(studio, project, answers, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    common = ["--project", str(project), "--from", str(answers), "--n", "20"]
    dry = json.loads(invoke(studio, *common, "--dry-run", "--json").stdout)
    table = invoke(studio, *common, "--dry-run")
    assert "20 item(s) would be pushed" in table.stdout
    assert not (tmp_path / "artifacts").exists()
    done = invoke(studio, *common)
    assert f"project {project}: 20 task(s) added" in done.stderr
    state = state_file(studio.url, project, tmp_path / "artifacts/labeling")
    assert {row["id"] for row in dry} == {row[0] for row in rows(state, "SELECT item_id FROM items")}
    assert "nothing to add" in invoke(studio, *common).stderr
    customers = write_jsonl(tmp_path / "c.jsonl", [{"id": "c-7", "text": "broken"}, {"id": "c-7", "text": "late"}])
    for dry_run in (["--dry-run"], []):
        told = invoke(studio, "--project", str(project), "--from", str(customers), "--n", "22", *dry_run)
        assert "2 of them have an id that other texts have too" in " ".join(told.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        ([], {"LABEL_STUDIO_API_KEY": "0" * 40}, r"did not accept the key \(401"),
        (["--url", "http://127.0.0.1:9"], {}, "Label Studio cannot be reached"),
        (["--project", "99999"], {}, r"reading project 99999: Label Studio does not know that \(404"),
        (["--from", "http://127.0.0.1:9"], {}, "the service does not answer"),
        (["--from", "none.jsonl"], {}, "no such file"),
        (["--only", "channel"], {}, "expected NAME=VALUE"),
    ],
)
def test_what_is_wrong_is_said_with_the_remedy(
    arguments, environment, message, studio, project, answers, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoke(studio, "--project", str(project), "--from", str(answers), *arguments, **environment)
    assert result.exit_code != 0
    with pytest.raises(type(result.exception), match=message):
        raise result.exception
