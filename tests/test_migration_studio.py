"""A Label Studio project under new labels, on a real server, and what is known of it here."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from labeling_support import add_answer, add_item, predicted, result
from labelstudio_support import environment_of, new_project
from migration_support import DELIVERY, EACH, ETHICS, LATE, PRIVACY, QUALITY, SPEED, TRUST, migration_of
from support import ROOT, read_jsonl, write_jsonl

from labeling.choice.selection import Candidate, Mix
from labeling.pull.annotations import Annotations
from labeling.pull.corrections import answered, record_of
from labeling.pull.handed import begin, settle
from labeling.pull.pull import pull
from labeling.push.push import push
from labeling.push.queue import open_items, state_file
from labeling.push.sources import Source
from labeling.state import State
from labeling.studio.client import LabelStudioError
from labeling.studio.interface import labeling_interface
from labeling.taxonomy.beside import changes_beside
from labeling.taxonomy.known import change_known, known_changes
from labeling.taxonomy.project import Project
from models.errors import SchemaError
from models.labels import LabelSchema
from models.progress import Silent
from models.records import FeedbackItem

SAID = {"late": [DELIVERY], "slow": [SPEED, QUALITY], "spies": [TRUST, "other"], "odd": ["other"]}


def choices(results, task="category"):
    return sorted(one for region in results if region["from_name"] == task for one in region["value"]["choices"])


class Tried:
    """A project with four answered items, pushed and pulled, and what is known of it."""

    def __init__(self, client, project, folder: Path, url: str) -> None:
        self.client, self.id = client, project
        self.path = state_file(url, project, folder)
        told = [
            Candidate(text, FeedbackItem(text=text), predicted(labels, "negative")) for text, labels in SAID.items()
        ]
        push(client, project, self.path, Source(lambda: told), 10, Mix(audit=0, blind=0), Silent())
        self.tasks = {task.data["external_id"]: task.id for task in client.tasks.list(project=project)}
        for text, labels in SAID.items():
            client.annotations.create(id=self.tasks[text], result=result(*labels), lead_time=2.0)
        pull(client, project, self.path, LabelSchema.load(), Silent())

    def on_server(self):
        """Categories that were answered, by item; and those predicted."""
        found, said = {}, {}
        for text, task in self.tasks.items():
            one = self.client.tasks.get(id=str(task))
            found[text] = [choices(a["result"]) for a in one.annotations]
            said[text] = [choices(p.result) for p in self.client.predictions.list(task=task)]
        return found, said

    def answers(self):
        """All answers, at the cost of one request."""
        return sorted(choices(one["result"]) for task in self._exported() for one in task["annotations"])

    def predictions(self):
        """All predictions, at the cost of one request."""
        return sorted(choices(one.result) for one in self.client.predictions.list(project=self.id))

    def _exported(self):
        return list(Annotations(self.client, self.id).tasks(None, lambda tasks: None))

    def known(self, schema):
        """What is known here: categories by item, and items that wait for an answer."""
        state = State(self.path)
        try:
            items = answered(state, schema).items
            records = {one.item_id: record_of(one, schema) for one in items}
            return records, sorted(one.item_id for one in open_items(state))
        finally:
            state.close()


@pytest.fixture
def tried(studio, studio_client, schema, tmp_path):
    with new_project(studio_client, schema) as project:
        yield Tried(studio_client, project.id, tmp_path / "state", studio.url)


AFTER = {"late": [[LATE]], "slow": [[QUALITY]], "spies": [], "odd": [["other"]]}
SHOWN = {"late": [[LATE]], "slow": [[QUALITY]], "spies": [["other"]], "odd": [["other"]]}


def test_the_whole_circle(tried, tmp_path):
    """Answers follow; what was split is asked again, and is a correction when it is answered."""
    migration = migration_of(tmp_path)
    part = Project(tried.client, tried.id, tried.path, migration)
    before = tried.on_server()
    plan = part.plan(Silent())
    assert tried.on_server() == before
    counted = [(line.what, line.changes, line.relabel) for line in plan.lines]
    assert counted == [("interface", 1, 0), ("annotations", 3, 1), ("predictions", 3, 0), ("rows", 6, 0)]
    assert plan.queue == [{"id": "spies", "text": "spies", "meta": {"unsettled": {"category": [TRUST, "other"]}}}]
    stored = {"id": "s-1", "text": "You sell my data", "meta": {"unsettled": {"category": [TRUST]}}}
    part.apply([*plan.queue, stored], Silent())

    assert tried.on_server() == (AFTER, SHOWN)
    project = tried.client.projects.get(id=tried.id)
    assert project.label_config.strip() == labeling_interface(migration.new).strip()
    asked = {task.data["external_id"]: task.data for task in tried.client.tasks.list(project=tried.id)}
    assert asked["spies"]["context"] == f"labelled before: {TRUST}, other"
    assert asked["s-1"]["context"] == f"labelled before: {TRUST}"
    records, waiting = tried.known(migration.new)
    assert {name: record.get("categories") for name, record in records.items()} == {
        "late": [LATE],
        "slow": [QUALITY],
        "spies": None,
        "odd": ["other"],
    }
    assert records["spies"]["sentiment"] == "negative"
    assert records["spies"]["meta"]["unsettled"] == {"category": [TRUST, "other"]}
    assert records["slow"]["meta"]["correction"]["predicted"] == {"category": [QUALITY], "sentiment": ["negative"]}
    assert waiting == ["s-1", "spies"]
    # the changes of the migration are nobody's edits
    pulled = pull(tried.client, tried.id, tried.path, migration.new, Silent(), full=True)
    assert (pulled.new, pulled.edited, pulled.deleted, pulled.rejects) == (0, 0, 0, [])

    made = {}
    for name, label in (("spies", PRIVACY), ("s-1", ETHICS)):
        task = next(one.id for one in tried.client.tasks.list(project=tried.id) if one.data["external_id"] == name)
        made[name] = tried.client.annotations.create(id=task, result=result(label)).id
    assert pull(tried.client, tried.id, tried.path, migration.new, Silent()).new == 2
    records, waiting = tried.known(migration.new)
    assert (records["spies"]["categories"], records["s-1"]["categories"], waiting) == ([PRIVACY], [ETHICS], [])
    assert [one["id"] for one in records["spies"]["meta"]["correction"]["annotations"]] == [made["spies"]]
    assert "unsettled" not in records["spies"]["meta"]
    assert records["s-1"]["meta"]["correction"]["why"] == "split"
    assert "unsettled" not in records["s-1"]["meta"]

    again = Project(tried.client, tried.id, tried.path, migration)
    plan = again.plan(Silent())
    assert sum(line.changes for line in plan.lines) == 0
    again.apply([stored], Silent())
    assert len(list(tried.client.tasks.list(project=tried.id))) == 5


def test_answers_that_come_in_meanwhile_follow_too(tried, tmp_path):
    """Somebody whose page is older than the new interface sends an old label."""
    migration = migration_of(tmp_path)
    part = Project(tried.client, tried.id, tried.path, migration)
    part.apply([], Silent())
    tried.client.annotations.create(id=tried.tasks["odd"], result=result(DELIVERY))
    part.apply([], Silent())
    assert sorted(tried.on_server()[0]["odd"]) == [["other"], [LATE]]


def test_an_answer_with_a_split_label_is_pulled_before_it_is_removed(tried, tmp_path):
    """What it says of other tasks is nowhere else; also where the labeler's page was older than the new interface."""
    migration = migration_of(tmp_path)
    part = Project(tried.client, tried.id, tried.path, migration)
    for schema in (LabelSchema.load(), migration.new):
        said = result(TRUST, sentiment="positive")
        one = tried.client.annotations.create(id=tried.tasks["odd"], result=said).id
        before = tried.on_server()
        for step in (lambda: part.plan(Silent()), lambda: part.apply([], Silent())):
            message = rf"1 were not: {one} of task {tried.tasks['odd']}; run `feedback label pull --project {tried.id}`"
            with pytest.raises(LabelStudioError, match=message):
                step()
        assert tried.on_server() == before
        pull(tried.client, tried.id, tried.path, schema, Silent())
        part.plan(Silent())
        part.apply([], Silent())
        assert pull(tried.client, tried.id, tried.path, migration.new, Silent(), full=True).deleted == 0
        state = State(tried.path)
        (item,) = [each for each in answered(state, migration.new).items if each.item_id == "odd"]
        state.close()
        assert [given.labels for given in item.given if given.annotation_id == one] == [{"sentiment": ("positive",)}]


def test_what_a_split_leaves_of_an_answer_that_cannot_be_used_counts_for_nothing(tmp_path):
    migration = migration_of(tmp_path)
    state = State(tmp_path / "state.db")
    for task, mood in enumerate(("positive", "unheard of")):
        add_item(state, mood, task)
        add_answer(state, task, {"category": [TRUST], "sentiment": [mood]}, how="unreadable")
    change_known(state, migration, [])
    items = {one.item_id: one.joined.labels for one in answered(state, migration.new).items}
    state.close()
    assert items == {"positive": {"sentiment": ("positive",)}}


def test_a_skipped_answer_is_none_and_keeps_no_old_label(tried, tmp_path):
    tried.client.annotations.create(id=tried.tasks["odd"], result=result(TRUST), was_cancelled=True)
    Project(tried.client, tried.id, tried.path, migration_of(tmp_path)).apply([], Silent())
    assert sorted(tried.on_server()[0]["odd"]) == [[], ["other"]]


def test_what_was_shown_and_handed_on_follows(tmp_path):
    """A prediction that was confirmed is no correction afterwards, and nothing is handed on again."""
    migration = migration_of(tmp_path)
    state = State(tmp_path / "state.db")
    for number, labels in enumerate([[DELIVERY], [SPEED, QUALITY], [TRUST, "other"], ["other"]], 1):
        add_item(state, f"i{number}", number, prediction=predicted(["other"], "negative"))
        add_answer(state, number, {"category": labels, "sentiment": ["negative"]})
        shown = {"model": "m-0", "labels": {"category": labels, "sentiment": ["negative"]}}
        with state.changing() as connection:
            connection.execute("UPDATE annotations SET shown = ? WHERE task_id = ?", (json.dumps(shown), number))
    settle(state, begin(state, {one.item_id: one.joined for one in answered(state, LabelSchema.load()).items}))
    change_known(state, migration, [])
    found = [
        (one.joined.labels.get("category"), one.changed, one.reported) for one in answered(state, migration.new).items
    ]
    assert [each for each in found if each[0]] == [((LATE,), [], True), ((QUALITY,), [], True), (("other",), [], True)]
    told = state.rows("SELECT json_extract(shown, '$.labels.category') FROM annotations WHERE task_id = 3")
    assert json.loads(told[0][0]) == ["other"]
    assert known_changes(state, migration).total(changes_beside(state, migration)) == 0
    state.close()


def test_a_draft_with_an_old_label_is_told_before_anything_changes(tried, tmp_path):
    ask = tried.client._client_wrapper.httpx_client.request
    body = {"result": result(DELIVERY), "task": tried.tasks["odd"], "lead_time": 1.0}
    draft = ask(f"api/tasks/{tried.tasks['odd']}/drafts", method="POST", json=body)
    assert draft.status_code == 201
    part = Project(tried.client, tried.id, tried.path, migration_of(tmp_path))
    before = tried.on_server()
    with pytest.raises(LabelStudioError, match=rf"drafts hold labels that there are no more: {DELIVERY} \(1\)"):
        part.plan(Silent())
    assert tried.on_server() == before
    ask(f"api/drafts/{draft.json()['id']}/", method="DELETE")
    part.plan(Silent())


def test_labels_that_label_studio_cannot_hold_are_refused_before_anything_changes(tried, tmp_path):
    before = tried.on_server()
    text = f'[[rename]]\ntask = "category"\nfrom = "{DELIVERY}"\nto = "shipping/\\u0001"'
    with pytest.raises(SchemaError, match="a character that XML cannot"):
        Project(tried.client, tried.id, tried.path, migration_of(tmp_path, text)).plan(Silent())
    assert tried.on_server() == before


def test_a_migration_that_is_killed_is_finished_by_the_same_command(studio, tried, tmp_path):
    """Killed when the first answer has changed, and when the first prediction has."""
    (tmp_path / "m.toml").write_text(EACH, encoding="utf-8")
    (tmp_path / "labels.toml").write_text(LabelSchema.load().to_toml(), encoding="utf-8")
    write_jsonl(tmp_path / "d.jsonl", [{"text": "new lie", "category": TRUST}, {"text": "late", "category": DELIVERY}])
    (tmp_path / "artifacts/labeling").mkdir(parents=True)
    for file in tried.path.parent.glob("*.db*"):
        file.rename(tmp_path / "artifacts/labeling" / file.name)
    tried.path = tmp_path / "artifacts/labeling" / tried.path.name
    command = [sys.executable, "-m", "feedback", "labels", "migrate", "m.toml", "--labels", "labels.toml"]
    command += ["--data", "d.jsonl", "--project", str(tried.id)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment_of(studio)}
    answers, said = tried.answers(), tried.predictions()
    moments = [lambda: tried.answers() != answers, lambda: tried.predictions() != said]
    for moment in moments:
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL)
        while process.poll() is None and not moment():
            time.sleep(0.05)
        process.kill()
        process.wait()
        assert process.returncode == -signal.SIGKILL
        assert LabelSchema.load(tmp_path / "labels.toml").migrations == ()
        if moment is moments[0]:
            assert tried.on_server() != (AFTER, SHOWN)
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert tried.on_server() == (AFTER, SHOWN)
    records, waiting = tried.known(LabelSchema.load(tmp_path / "labels.toml"))
    assert sorted(records) == ["late", "odd", "slow", "spies"]
    assert (records["spies"].get("categories"), records["spies"]["sentiment"]) == (None, "negative")
    assert [row.get("category") for row in read_jsonl(tmp_path / "d.jsonl")] == [None, LATE]
    asked = [task.data["text"] for task in tried.client.tasks.list(project=tried.id)]
    assert sorted(asked) == sorted([*SAID, "new lie"])
    assert len(waiting) == 2
    again = Project(tried.client, tried.id, tried.path, migration_of(tmp_path)).plan(Silent())
    assert sum(line.changes for line in again.lines) == 0
