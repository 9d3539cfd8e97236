"""Files into the store and out of it."""

import csv
import io
import json
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select
from store_support import NOON
from support import ROOT, STARTER, read_jsonl, write_jsonl

from models.classifier import Classifier
from models.errors import DataError
from models.rejects import Reject
from serving.bulk.importing import import_file
from serving.intake import take
from serving.routing.load import DEFAULT_RULES, load_rules
from serving.similar import Similar
from serving.store.engine import open_engine, reading
from serving.store.queries import Filter, every
from serving.store.tables import items


@pytest.fixture(scope="module")
def model(linear_folder):
    return Classifier.load(linear_folder)


@pytest.fixture(scope="module")
def rules():
    return load_rules(DEFAULT_RULES)


def stored(engine) -> int:
    with reading(engine) as connection:
        return connection.execute(select(func.count()).select_from(items)).scalar_one()


def test_a_file_is_stored_once_however_often_it_is_imported(engine, model, rules, tmp_path):
    rows = [{"text": f"text {number}"} for number in range(150)] + [{"text": ""}, {"txt": "x"}]
    rows += [{"text": "own", "external_id": "e1", "source": "web", "category": "other"}]
    source = write_jsonl(tmp_path / "a.jsonl", rows)
    rejects: list[Reject] = []
    first = import_file(engine, source, model.predict, rules, rejects.append, lambda _: None)
    assert first == (151, 0, 2)
    assert [one.place for one in rejects] == [f"{source}:151", f"{source}:152"]
    again = import_file(engine, source, model.predict, rules, rejects.append, lambda _: None)
    assert again == (0, 151, 2)
    assert stored(engine) == 151
    newest = next(iter(every(engine, Filter(), NOON)))
    assert (newest["external_id"], newest["source"]) == ("e1", "web")


def test_rows_without_an_id_are_told_apart_by_their_file_though_they_name_a_source(engine, model, rules, tmp_path):
    for month in ("january", "february", "january"):
        rows = [{"text": f"{month} {number}", "source": "app-store"} for number in range(3)]
        found = import_file(
            engine, write_jsonl(tmp_path / f"{month}.jsonl", rows), model.predict, rules, lambda _: None, lambda _: None
        )
    assert found == (0, 3, 0)
    assert stored(engine) == 6


def test_a_text_that_the_model_fails_at_is_refused_alone(engine, model, rules, tmp_path, caplog):
    def predict(items):
        if any("poison" in item.text for item in items):
            raise ValueError("what a customer wrote")
        return model.predict(items)

    source = write_jsonl(tmp_path / "a.jsonl", [{"text": text} for text in ("one", "poison", "three")])
    rejects: list[Reject] = []
    assert import_file(engine, source, predict, rules, rejects.append, lambda _: None) == (2, 0, 1)
    assert [one.place for one in rejects] == [f"{source}:2"]
    assert "the model failed at this item" in str(rejects[0])
    assert "customer" not in caplog.text


def test_an_import_that_was_stopped_goes_on(engine, model, rules, tmp_path):
    source = write_jsonl(tmp_path / "a.jsonl", [{"text": f"text {number}"} for number in range(200)])
    seen = 0

    def stop_later(count: int) -> None:
        nonlocal seen
        seen += count
        if seen > 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_file(engine, source, model.predict, rules, lambda _: None, stop_later)
    before = stored(engine)
    assert 0 < before < 200
    found = import_file(engine, source, model.predict, rules, lambda _: None, lambda _: None)
    assert found == (200 - before, before, 0)


def test_a_changed_item_is_refused_and_named(engine, model, rules, tmp_path):
    first = write_jsonl(tmp_path / "a.jsonl", [{"text": "one", "external_id": "1"}])
    import_file(engine, first, model.predict, rules, lambda _: None, lambda _: None)
    rejects: list[Reject] = []
    second = write_jsonl(tmp_path / "b.jsonl", [{"text": "another", "external_id": "1"}])
    with pytest.raises(DataError, match="no row can be stored; 1 refused"):
        import_file(engine, second, model.predict, rules, rejects.append, lambda _: None)
    assert "belong to an item with other content" in rejects[0].reason


def run(*options: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "feedback", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_the_commands_store_a_file_and_write_it_out_again(linear_folder, tmp_path):
    store = f"sqlite:///{tmp_path / 'feedback.db'}"
    source = tmp_path / "inbox.jsonl"
    source.write_bytes((STARTER / "test.jsonl").read_bytes() + b'{"text": ""}\n')
    done = run("import", str(source), "--model", str(linear_folder), "--store", store)
    rows = len(read_jsonl(STARTER / "test.jsonl"))
    assert done.returncode == 0
    assert f"{rows} item(s) stored, 0 were there already, 1 refused" in done.stderr
    assert "text: expected some text, got an empty one" in Path(f"{source}.rejects.jsonl").read_text()
    out = tmp_path / "triage.csv"
    done = run("export", "--only", "team=triage", "--out", str(out), "--store", store)
    assert done.returncode == 0
    found = list(csv.DictReader(io.StringIO(out.read_text(encoding="utf-8"), newline="")))
    assert found
    assert {row["team"] for row in found} == {"triage"}
    assert f"{len(found):,} item(s) written" in done.stderr
    engine = open_engine(store)
    assert len(list(every(engine, Filter(), NOON))) == rows
    engine.dispose()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["export", "--out", "a.doc"], "unknown format"),
        (["export", "--out", "a.csv", "--only", "tema=x"], "unknown field 'tema'; did you mean 'team'?"),
        (["export", "--out", "a.csv", "--only", "team"], "expected FIELD=VALUE"),
        (["export", "--out", "a.csv", "--store", "mysql://u:hunter2@h/n"], "store: expected sqlite:///FILE"),
        (["import", "nothing.jsonl", "--store", "sqlite:///:memory:"], "expected"),
    ],
)
def test_what_cannot_be_done_is_said_without_secrets(options, message, linear_folder, tmp_path):
    extra = ["--model", str(linear_folder)] if options[0] == "import" else []
    store = [] if "--store" in options else ["--store", f"sqlite:///{tmp_path / 'feedback.db'}"]
    done = run(*options, *extra, *store)
    assert done.returncode == 2
    assert message in done.stderr
    assert "hunter2" not in json.dumps(done.stderr)


def test_stored_items_are_explained_and_replayed(linear_folder, tmp_path):
    store = f"sqlite:///{tmp_path / 'feedback.db'}"
    source = write_jsonl(tmp_path / "a.jsonl", [{"text": "The charger caught fire", "nps": 3, "external_id": "1"}])
    assert run("import", str(source), "--model", str(linear_folder), "--store", store).returncode == 0
    engine = open_engine(store)
    (found,) = every(engine, Filter(), NOON)
    engine.dispose()
    done = run("rules", "explain", "--id", found["id"], "--model", str(linear_folder), "--store", store)
    assert done.returncode == 0
    assert "danger" in done.stdout
    assert "owner safety" in done.stderr
    missing = run("rules", "explain", "--id", "nothing", "--model", str(linear_folder), "--store", store)
    assert (missing.returncode, "no item 'nothing' in the store" in missing.stderr) == (2, True)
    new = tmp_path / "new.toml"
    new.write_text(DEFAULT_RULES.read_text(encoding="utf-8").replace('team = "safety"', 'team = "legal"'))
    done = run("rules", "replay", "--new", str(new), "--store", store, "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["moves"] == [{"from": "safety", "to": "legal", "n": 1}]
    empty = run("rules", "replay", "--new", str(new), "--store", f"sqlite:///{tmp_path / 'empty.db'}")
    assert (empty.returncode, "the store has no items yet" in empty.stderr) == (2, True)


SIMILAR = """
version = 1
default = { team = "first" }
[teams.first]
title = "First"
[teams.batch]
title = "Batch"
[[rules]]
name = "many"
when.similar = { min = 3 }
then.team = "batch"
"""


def test_similar_items_of_the_last_day_are_counted(engine, model, tmp_path):
    (tmp_path / "routing.toml").write_text(SIMILAR)
    rules = load_rules(tmp_path / "routing.toml")
    similar = Similar(engine)

    def send(number: int, product: str | None, at: datetime) -> str:
        raw = {"text": "The same text about the same thing", "external_id": str(number)}
        (found,) = take(engine, [raw | ({"product": product} if product else {})], model.predict, rules, similar, at)
        return found.decision.team

    assert [send(number, "kettle", NOON) for number in range(4)] == ["first", "first", "first", "batch"]
    assert send(10, "lamp", NOON) == "first"
    assert send(11, None, NOON) == "batch"
    assert send(12, "kettle", NOON + timedelta(days=2)) == "first"
    # another process has not taken anything in yet, and asks the store
    similar = Similar(engine)
    assert send(13, "kettle", NOON) == "batch"
