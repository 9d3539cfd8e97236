"""Pulling from a real Label Studio: each version once, edits and deletions followed, whatever happens in between."""

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from label_studio_sdk.client import LabelStudio
from labeling_support import DEFECT, OTHER, SCHEMA, result
from labelstudio_support import Desk, environment_of, fill, new_project
from support import ROOT, free_port, read_jsonl
from typer.testing import CliRunner

from feedback import app
from labeling.pull.corrections import answered
from labeling.pull.handed import begin, settle
from labeling.pull.pull import Pulled, pull
from labeling.push.queue import state_file
from labeling.state import FOLDER, State
from labeling.studio.client import LabelStudioError, connect
from labeling.studio.interface import labeling_interface
from labeling.studio.server import Studio, find_binary, running
from models.labels import LabelSchema
from models.progress import Advance, Silent


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
    number = desk.answer(0, DEFECT)
    desk.answer(1, DEFECT)
    desk.pull()
    state = State(desk.path)
    settle(state, begin(state, {one.item_id: one.joined for one in answered(state, SCHEMA).items}))
    desk.client.annotations.update(id=number, result=result(OTHER, sentiment="neutral"))
    assert figures(desk.pull()) == (0, 1, 0, 0)
    edited, same = answered(state, SCHEMA).items
    state.close()
    assert edited.joined.labels == {"category": (OTHER,), "sentiment": ("neutral",)}
    assert (edited.reported, same.reported) == (False, True)


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


class Stages(Silent):
    """Remembers which stages began."""

    def __init__(self) -> None:
        self.titles: list[str] = []

    @contextmanager
    def stage(self, title: str, total: int | None = None, unit: str = "", *, done: int = 0) -> Iterator[Advance]:
        self.titles.append(title)
        yield lambda units: None


def test_what_was_skipped_does_not_make_every_pull_look_at_everything(desk: Desk) -> None:
    desk.answer(0, result=[], was_cancelled=True)
    desk.answer(1, DEFECT)
    desk.pull()
    stages = Stages()
    pull(desk.client, desk.project, desk.path, SCHEMA, stages)
    assert stages.titles == ["looking for what changed"]


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


def wider() -> LabelSchema:
    """The schema with one more task, of which none may apply."""
    topic = {"kind": "multi", "labels": [{"key": "price"}, {"key": "taste"}]}
    return LabelSchema.model_validate(
        {**SCHEMA.model_dump(), "tasks": {**SCHEMA.model_dump()["tasks"], "topic": topic}}
    )


def topics(desk: Desk) -> list[list[str] | None]:
    return [json.loads(row["labels"]).get("topic") for row in desk.rows()]


def test_an_answer_from_before_a_task_was_asked_does_not_say_that_none_applies(desk: Desk) -> None:
    desk.answer(0, DEFECT)
    desk.pull()
    desk.answer(1, DEFECT)
    desk.answer(2, "product/warranty")
    desk.client.projects.update(desk.project, label_config=labeling_interface(wider()))
    for _ in range(2):
        desk.pull(schema=wider())
    assert topics(desk)[:2] == [None, None]
    desk.answer(3, DEFECT)
    desk.client.annotations.update(id=desk.rows()[0]["annotation_id"], result=result(OTHER))
    labels = [{"key": key} for key in ("product/warranty", *SCHEMA.tasks["category"].keys)]
    tasks = {**wider().model_dump()["tasks"], "category": {"kind": "multi", "labels": labels}}
    desk.pull(schema=LabelSchema.model_validate({"tasks": tasks}))
    assert topics(desk) == [[], None, None, []]
    assert desk.states() == ["live"] * 4


def test_the_command_that_changes_the_interface_notes_when_it_asked_for_more(
    studio: Studio, studio_client: LabelStudio, tmp_path: Path
) -> None:
    (tmp_path / "labels.toml").write_text(wider().to_toml(), encoding="utf-8")
    with contextlib.chdir(tmp_path), new_project(studio_client, SCHEMA) as project:
        desk = Desk(studio_client, project.id, state_file(studio.url, project.id), [])
        fill(desk, 2)
        desk.answer(0, DEFECT)
        command = ["label", "project", "--project", str(project.id), "--labels", "labels.toml"]
        done = CliRunner().invoke(app, command, env=environment_of(studio), catch_exceptions=False)
        assert "was changed" in done.output
        desk.answer(1, DEFECT)
        desk.pull(schema=wider())
        assert topics(desk) == [None, []]


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


def test_nobody_else_pulls_until_all_is_handed_on(studio: Studio, desk: Desk, tmp_path: Path) -> None:
    desk.answer(0, DEFECT)
    with contextlib.chdir(tmp_path):
        FOLDER.mkdir(parents=True)
        path = desk.path.rename(state_file(studio.url, desk.project).absolute())
    with socket.create_server(("127.0.0.1", 0)) as service:
        service.settimeout(60)
        address = f"http://127.0.0.1:{service.getsockname()[1]}"
        command = [sys.executable, "-m", "feedback", "label", "pull", "--project", str(desk.project)]
        environment = {**os.environ, **environment_of(studio), "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen([*command, "--report", address], cwd=tmp_path, env=environment)
        connection, _ = service.accept()
        with path.with_suffix(".pull.lock").open("a") as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        connection.close()
        assert process.wait(60) != 0, "it was not answered"
    assert figures(desk._replace(path=path).pull()) == (0, 0, 0, 0)


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


def test_two_annotators_agree_or_leave_it_to_a_third(desk: Desk) -> None:
    bob, eve = "bob@example.com", "eve@example.com"
    known = {user.email for user in desk.client.users.list()}
    for who in {bob, eve} - known:
        desk.client.users.create(email=who, username=who.partition("@")[0])
    both = [{"result": result(DEFECT)}, {"result": result(DEFECT, OTHER), "completed_by": {"email": bob}}]
    desk.tasks.clear()
    fill(desk, 2, annotations=both)
    desk.answer(0, DEFECT, sentiment="neutral")  # the first labeler again: the later answer counts
    desk.client.annotations.update(
        id=desk.client.annotations.list(id=desk.tasks[1])[0].id, result=result(DEFECT, OTHER)
    )
    assert desk.pull().new == 5
    state = State(desk.path)
    differ, agree = answered(state, SCHEMA).items
    assert differ.joined.open == ("category: product/defect 2, other 1 of 2", "sentiment: negative 1, neutral 1 of 2")
    assert agree.joined.labels == {"category": (DEFECT, OTHER), "sentiment": ("negative",)}
    assert {one.annotator for one in agree.joined.by} == {bob, "labeler@example.com"}
    state.close()


def test_an_answer_is_to_the_prediction_that_the_server_says_was_shown(desk: Desk) -> None:
    # answered while a push brought the tasks to another model: the state has that one already
    def told(task: int, label: str) -> dict[str, Any]:
        return {"task": task, "model_version": "m-0", "score": 0.5, "result": result(label)}

    predictions = [told(desk.tasks[0], OTHER), told(desk.tasks[1], DEFECT)]
    desk.client.projects.import_predictions(desk.project, request=predictions)
    desk.client.projects.update(desk.project, model_version="m-0")
    for number in range(3):
        desk.answer(number, OTHER)
    desk.pull()
    state = State(desk.path)
    first, second, third = answered(state, SCHEMA).items
    state.close()
    assert (first.model_version, first.predicted, first.changed) == (
        "m-0",
        {"category": (OTHER,), "sentiment": ("negative",)},
        [],
    )
    assert (second.model_version, second.changed) == ("m-0", ["category"])
    assert (third.model_version, third.changed) == ("m-1", ["category"]), "of what the server does not say"


def test_a_state_of_an_earlier_version_is_taken_on(tmp_path: Path) -> None:
    state = State(tmp_path / "state.db")
    with state.changing() as connection:
        connection.execute("DROP TABLE reports")
        for column in ("shown", "unsettled"):
            connection.execute(f"ALTER TABLE annotations DROP COLUMN {column}")
        connection.execute("ALTER TABLE annotations ADD COLUMN reported_at TEXT")
        connection.execute("PRAGMA user_version = 1")
    state.close()
    for _ in range(2):
        state = State(tmp_path / "state.db")
        assert state.rows("SELECT shown, unsettled FROM annotations") == state.rows("SELECT * FROM reports") == []
        state.close()


class Killer(Silent):
    """Ends what it is given when a stage begins."""

    def __init__(self, title: str, process: psutil.Process) -> None:
        self._title, self._process = title, process

    @contextmanager
    def stage(self, title: str, total: int | None = None, unit: str = "", *, done: int = 0) -> Iterator[Advance]:
        if title.startswith(self._title):
            self._process.kill()
            self._process.wait()
        yield lambda units: None


def process_of(studio: Studio) -> psutil.Process:
    port = studio.url.rpartition(":")[2]
    (found,) = [one for one in psutil.Process().children() if port in one.cmdline()]
    return found


def test_a_server_that_dies_in_the_middle_changes_nothing_and_the_next_pull_has_it_all(tmp_path: Path) -> None:
    folder, port = tmp_path / "server", free_port()
    with running(folder, find_binary(ROOT), Silent(), port=port) as studio:
        client = connect(studio.url, studio.key)
        project = client.projects.create(title="of a test", label_config=labeling_interface(SCHEMA))
        desk = Desk(client, project.id, tmp_path / "state.db", [])
        fill(desk, 1, annotations=[{"result": result(DEFECT)}])
        assert desk.pull().new == 1
        fill(desk, 150, annotations=[{"result": result(OTHER)}])
        desk.client.annotations.update(id=desk.client.annotations.list(id=desk.tasks[0])[0].id, result=result(OTHER))
        before = desk.rows(), desk.rows("SELECT * FROM marks")
        with pytest.raises(LabelStudioError, match="Label Studio cannot be reached"):
            pull(client, project.id, desk.path, SCHEMA, Killer("reading annotations", process_of(studio)))
        assert (desk.rows(), desk.rows("SELECT * FROM marks")) == before
    with running(folder, find_binary(ROOT), Silent(), port=port):
        assert figures(desk.pull()) == (150, 1, 0, 0)
        assert figures(desk.pull()) == (0, 0, 0, 0)


DYING = """
import os, signal, sys
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from labeling.pull.pull import pull
from labeling.studio.client import connect
from models.labels import LabelSchema

class Dying:
    @contextmanager
    def stage(self, title, total=None, unit="", *, done=0):
        def advance(units):
            if title == "reading annotations":
                os.kill(os.getpid(), signal.SIGKILL)
        yield advance

pull(connect(), int(sys.argv[1]), Path(sys.argv[2]), LabelSchema.load(), Dying())
"""


def test_a_pull_that_is_killed_has_changed_nothing_and_the_next_takes_each_version_once(
    studio: Studio, desk: Desk, tmp_path: Path
) -> None:
    number = desk.answer(0, DEFECT)
    desk.pull()
    fill(desk, 230, annotations=[{"result": result(OTHER)}])  # more than one request
    desk.client.annotations.update(id=number, result=result(OTHER))
    before = desk.rows(), desk.rows("SELECT * FROM marks")
    environment = {**os.environ, **environment_of(studio), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", DYING, str(desk.project), str(desk.path)]
    done = subprocess.run(command, env=environment, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert (desk.rows(), desk.rows("SELECT * FROM marks")) == before
    with contextlib.chdir(tmp_path):
        FOLDER.mkdir(parents=True)
        path = desk.path.rename(state_file(studio.url, desk.project).absolute())
    desk = desk._replace(path=path)
    arguments = ["label", "pull", "--project", str(desk.project), "--out", "corrections.jsonl"]
    command = [sys.executable, "-m", "feedback", *arguments]
    for delay in (0.0, 0.3):  # seconds after it has begun, wherever that is
        lock = path.with_suffix(".pull.lock")
        lock.unlink(missing_ok=True)
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not lock.exists():
            assert time.monotonic() < deadline
            time.sleep(0.005)
        time.sleep(delay)
        process.kill()
        process.wait()
        assert len(desk.rows()) in (1, 231), "half of a pull was written"
        assert not list(tmp_path.glob("*.jsonl")) or len(read_jsonl(tmp_path / "corrections.jsonl")) == 231
    subprocess.run(command, cwd=tmp_path, env=environment, timeout=60, check=True)
    assert {row["state"] for row in desk.rows()} == {"live"}
    versions = [(row["annotation_id"], row["updated_at"]) for row in desk.rows()]
    assert sorted(versions) == desk.versions()
    assert len({row["id"] for row in read_jsonl(tmp_path / "corrections.jsonl")}) == 231
    assert figures(desk.pull()) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        ([], {"LABEL_STUDIO_API_KEY": "0" * 40}, r"did not accept the key \(401"),
        (["--url", "http://127.0.0.1:9"], {}, "Label Studio cannot be reached"),
        (["--project", "99999"], {}, r"reading project 99999: Label Studio does not know that \(404"),
    ],
)
def test_what_is_wrong_is_said_and_no_file_is_touched(
    arguments: list[str], environment: dict[str, str], message: str, studio: Studio, tmp_path: Path
) -> None:
    with contextlib.chdir(tmp_path):
        Path("corrections.jsonl").write_text("as it was")
        command = ["label", "pull", "--project", "1", "--out", "corrections.jsonl", *arguments]
        done = CliRunner().invoke(app, command, env={**environment_of(studio), **environment})
        assert done.exit_code != 0
        with pytest.raises(LabelStudioError, match=message):
            raise done.exception
        assert Path("corrections.jsonl").read_text() == "as it was"


def test_the_command_pulls_and_writes_corrections(studio: Studio, desk: Desk, tmp_path: Path) -> None:
    desk.answer(0, OTHER)
    desk.answer(1, "product/warranty")
    with contextlib.chdir(tmp_path):
        FOLDER.mkdir(parents=True)
        desk.path.rename(state_file(studio.url, desk.project))
        command = ["label", "pull", "--project", str(desk.project), "--out", "corrections.jsonl"]
        done = CliRunner().invoke(app, command, env=environment_of(studio))
        assert done.exit_code == 0, done.output
        (record,) = read_jsonl(Path("corrections.jsonl"))
        (reject,) = read_jsonl(Path("corrections.jsonl.rejects.jsonl"))
    assert "2 new answer(s)" in done.stderr
    assert "1 row(s) left out, kept in corrections.jsonl.rejects.jsonl" in done.stderr
    assert (record["categories"], record["meta"]["correction"]["changed"]) == ([OTHER], ["category"])
    assert "unknown category choice 'product/warranty'" in reject["reason"]
