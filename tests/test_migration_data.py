"""Files of feedback under new labels, changed in place in every format; and the command from end to end."""

import gzip
import json
import os
import subprocess
import sys

import pyarrow
import pytest
from migration_support import DELIVERY, EACH, LATE, PRIVACY, QUALITY, SPEED, TRUST, migration_of
from pyarrow import parquet
from support import ROOT, read_jsonl, write_jsonl
from typer.testing import CliRunner

from feedback import app
from models.errors import DataError
from models.labels import LabelSchema
from models.progress import Silent
from models.readers import read_items
from models.records import LabeledItem
from models.rewrite import rewrite
from training.corrections import correct
from training.datasets import Row
from training.taxonomy.parts import DataFile
from training.taxonomy.queue import joined, read_queue, write_queue

JSONL = (
    b'{"text":  "It came late","category":"customer_service/delivery_returns", "b": 1}\r\n'
    b"\n"
    b"{broken\n"
    b'{"text": "Fine", "categories": ["other"]}'
)
CSV = (
    b"\xef\xbb\xbftext;category;nr\r\n"
    b'"It came; ""late""";customer_service/delivery_returns;01\r\n'
    b'"Fine";other;"02"\r\n'
    b'"two\r\nlines";product/performance|other;3\r\n'
    b"too;many;cells;here\r\n"
    b"open;brand_loyalty/trust|other;4\r\n"
)


def migrate(path, migration, columns=None):
    part = DataFile(str(path), columns or {}, migration)
    plan = part.plan(Silent())
    part.apply(plan.queue, Silent())
    return plan


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_json_lines_change_where_a_label_stands_and_nowhere_else(tmp_path, packed):
    path = tmp_path / ("d.jsonl.gz" if packed else "d.jsonl")
    path.write_bytes(gzip.compress(JSONL) if packed else JSONL)
    plan = migrate(path, migration_of(tmp_path))
    after = gzip.decompress(path.read_bytes()) if packed else path.read_bytes()
    assert after.splitlines(keepends=True)[1:] == JSONL.splitlines(keepends=True)[1:]
    assert after.startswith(b'{"text": "It came late", "category": "shipping/late", "b": 1}\r\n')
    assert [line.changes for line in plan.lines] == [1]


def test_a_table_keeps_its_form(tmp_path):
    path = tmp_path / "d.csv"
    path.write_bytes(CSV)
    plan = migrate(path, migration_of(tmp_path))
    assert path.read_bytes() == CSV.replace(DELIVERY.encode(), LATE.encode()).replace(
        b"product/performance", QUALITY.encode()
    ).replace(b"brand_loyalty/trust|other", b"")
    assert plan.queue == [{"text": "open", "nr": "4", "meta": {"unsettled": {"category": [TRUST, "other"]}}}]


def test_columns_may_be_called_otherwise(tmp_path):
    path = tmp_path / "d.tsv"
    path.write_text(f'Review\tTopics\nlate\t{DELIVERY}|other\nslow\t["{SPEED}"]\n', encoding="utf-8")
    migrate(path, migration_of(tmp_path), {"text": "Review", "categories": "Topics"})
    assert path.read_text(encoding="utf-8") == f'Review\tTopics\nlate\t{LATE}|other\nslow\t"[""{QUALITY}""]"\n'


def test_parquet_keeps_its_types(tmp_path):
    path = tmp_path / "d.parquet"
    rows = {"text": ["late", "fine", "open"], "categories": [[DELIVERY], ["other"], [TRUST]], "n": [1, None, 3]}
    parquet.write_table(pyarrow.table(rows), path)
    shape = parquet.read_schema(path)
    migrate(path, migration_of(tmp_path))
    assert parquet.read_table(path).to_pydict() == {**rows, "categories": [[LATE], ["other"], None]}
    assert parquet.read_schema(path).equals(shape)


@pytest.mark.parametrize("name", ["d.jsonl", "d.csv", "d.parquet"])
def test_what_is_done_is_not_done_again(tmp_path, name):
    path, migration = tmp_path / name, migration_of(tmp_path)
    if name.endswith("parquet"):
        parquet.write_table(pyarrow.table({"text": ["late"], "category": [DELIVERY]}), path)
    else:
        path.write_bytes(JSONL if name.endswith("jsonl") else CSV)
    migrate(path, migration)
    before = path.stat().st_ino, path.read_bytes()
    again = migrate(path, migration)
    assert (again.lines[0].changes, again.queue) == (0, [])
    assert (path.stat().st_ino, path.read_bytes()) == before


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("absent.jsonl", None, "no such file"),
        ("empty.jsonl", b"", "got an empty file"),
        ("d.txt", b"x", "unknown format"),
        ("d.csv", b"a,b\n1,2\n", "expected a column 'text'"),
        ("d.jsonl.gz", b"no gzip", "damaged file"),
        ("d.csv.gz", b"no gzip", "damaged file"),
        ("d.parquet", b"no parquet", "not a readable Parquet file"),
        ("hf:name", None, "cannot be changed"),
    ],
)
def test_a_file_that_cannot_be_migrated_is_refused(tmp_path, name, content, fault):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    source = name if name.startswith("hf:") else str(tmp_path / name)
    with pytest.raises(DataError, match=fault):
        rewrite(source, {}, lambda row: None, lambda rows: None)


def test_training_learns_no_label_that_is_to_be_given_anew(tmp_path):
    """Nor does the label come back that a person had corrected."""
    migration = migration_of(tmp_path)
    later = write_jsonl(
        tmp_path / "corrections.jsonl",
        [{"text": "You sell my data", "categories": [TRUST], "sentiment": "negative", "meta": {"correction": {}}}],
    )
    migrate(later, migration)
    base = [Row("base:1", LabeledItem(text="You sell my data", categories=("other",), sentiment="neutral"))]
    items = [Row("c:1", item) for item in read_items(later)]
    (row,), _, _ = correct(base, [], [("corrections.jsonl", items)], ("category", "sentiment"), [])
    assert (row.item.labels("category"), row.item.labels("sentiment")) == (None, ("negative",))
    answered = [Row("d:1", LabeledItem(text="You sell my data", categories=(PRIVACY,)))]
    (row,), _, _ = correct([row], [], [("answers.jsonl", answered)], ("category", "sentiment"), [])
    assert (row.item.labels("category"), row.item.labels("sentiment")) == ((PRIVACY,), ("negative",))


def test_a_queue_holds_each_text_once_with_all_its_tasks(tmp_path):
    def row(text, **labels):
        return {"text": text, "meta": {"unsettled": labels}}

    both = joined([row("A b", category=["x"])], [row("a B!", sentiment=["y"]), row("c", category=["x"])])
    assert both == [row("A b", category=["x"], sentiment=["y"]), row("c", category=["x"])]
    write_queue(tmp_path / "q.jsonl", both)
    assert read_queue(tmp_path / "q.jsonl") == both


# --- the command


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "m.toml").write_text(EACH, encoding="utf-8")
    text = (ROOT / "models/labels.toml").read_text(encoding="utf-8")
    (tmp_path / "labels.toml").write_text(text, encoding="utf-8")
    write_jsonl(tmp_path / "d.jsonl", [{"text": "late", "category": DELIVERY}, {"text": "open", "category": TRUST}])
    for name in ("routing.toml", "routing.cases.toml"):
        (tmp_path / name).write_bytes((ROOT / "serving/routing" / name).read_bytes())
    return tmp_path


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def run(folder, *options, code=0):
    named = ["--labels", folder / "labels.toml", "--data", folder / "d.jsonl"]
    arguments = ["labels", "migrate", folder / "m.toml", *named, *options]
    done = CliRunner().invoke(app, [str(one) for one in arguments], catch_exceptions=code != 0)
    assert done.exit_code == code, done.output
    return done


def test_the_command_migrates_everything_that_is_named(folder):
    before = contents(folder)
    run(folder, "--rules", folder / "routing.toml", "--dry-run")
    assert contents(folder) == before
    done = run(folder, "--rules", folder / "routing.toml")
    assert "a model that is trained already keeps the old labels" in done.stderr
    assert "1 item(s) are to be labelled again" in done.stderr
    assert (folder / "labels.toml").read_text(encoding="utf-8").startswith("# The label schema a model is trained")
    assert LATE in LabelSchema.load(folder / "labels.toml").tasks["category"].keys
    assert [row.get("category") for row in read_jsonl(folder / "d.jsonl")] == [LATE, None]
    assert [row["text"] for row in read_jsonl(folder / "m.relabel.jsonl")] == ["open"]
    check = ["rules", "check", str(folder / "routing.toml"), "--labels", str(folder / "labels.toml")]
    assert CliRunner().invoke(app, check).exit_code == 0
    after = contents(folder)
    again = json.loads(run(folder, "--rules", folder / "routing.toml", "--json").stdout)
    assert sum(line["changes"] for line in again["changes"]) == 0
    assert contents(folder) == after


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (["--rules", "absent.toml"], "absent.toml: cannot be read"),
        (["--cases", "x.toml"], "--cases goes with --rules"),
        (["--store", "sqlite:///absent.db"], "found no file absent.db"),
        (["--store", "mysql://x"], "expected sqlite:///FILE or postgresql"),
        (["--project", "1", "--url", "http://127.0.0.1:9"], "Label Studio cannot be reached"),
        (["--data", "absent.jsonl"], "absent.jsonl: no such file"),
    ],
    ids=["rules", "cases", "store", "other store", "server down", "data"],
)
def test_nothing_changes_where_a_part_cannot_be_migrated(folder, options, fault):
    before = contents(folder)
    named = ["--labels", folder / "labels.toml", "--data", folder / "d.jsonl", *options]
    command = [sys.executable, "feedback.py", "labels", "migrate", folder / "m.toml", *named]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "LABEL_STUDIO_API_KEY": "0" * 40}
    done = subprocess.run(
        list(map(str, command)), cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode in (1, 2)
    assert fault in " ".join(done.stderr.split())
    assert contents(folder) == before
