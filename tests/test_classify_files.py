"""`feedback classify` on files of any size: stopped and resumed, sharded, in every format."""

import gzip
import itertools
import json
import signal
import subprocess
import sys
import time

import pytest
from pyarrow import parquet
from support import ROOT, read_jsonl, write_jsonl

from models.classifier import Classifier
from models.errors import ConfigError, DataError, InputError
from models.progress import Silent
from serving.bulk import classifying
from serving.bulk.classifying import Shard, classify_file, shard_of
from serving.bulk.engine import InProcess
from serving.bulk.unfinished import open_unfinished


@pytest.fixture(scope="module")
def linear(linear_folder):
    return InProcess(Classifier.load(linear_folder))


def rows(count):
    return [{"text": f"The parcel number {n} came late", "id": str(n)} for n in range(count)]


class Stopped(BaseException):
    """What a signal makes of a run."""


class StopsAfter:
    """Progress that ends the run after so many rows."""

    def __init__(self, left):
        self.left = left

    def stage(self, title, total=None, unit="", *, done=0):
        self.total, self.done = total, done
        return self

    def __enter__(self):
        return self.advance

    def __exit__(self, *_):
        return None

    def advance(self, count):
        self.left -= count
        if self.left <= 0:
            raise Stopped


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz", ".csv", ".csv.gz", ".parquet"])
def test_a_run_that_was_stopped_gives_the_same_file_when_it_goes_on(tmp_path, linear, ending):
    data = write_jsonl(tmp_path / "in.jsonl", rows(2500))
    lines = data.read_text().splitlines()
    data.write_text("\n".join([*lines[:1500], "{broken", *lines[1500:], '{"text": ""}']) + "\n")
    whole, stopped = tmp_path / f"whole{ending}", tmp_path / f"stopped{ending}"
    assert classify_file(linear, str(data), whole, progress=Silent()).rows == 2500
    for _ in range(2):
        with pytest.raises(Stopped):
            classify_file(linear, str(data), stopped, progress=StopsAfter(1), resume=True)
        assert not stopped.exists()
    watched = StopsAfter(10_000)
    done = classify_file(linear, str(data), stopped, progress=watched, resume=True)
    assert (done.rows, watched.total if ending != ".parquet" else 2502) == (2500, 2502)
    assert "2 row(s) left out" in done.left_out
    assert not stopped.with_name(f"{stopped.name}.work").exists()
    if ending == ".parquet":
        assert parquet.read_table(stopped).equals(parquet.read_table(whole))
    elif ending.endswith(".gz"):
        assert gzip.decompress(stopped.read_bytes()) == gzip.decompress(whole.read_bytes())
    else:
        assert stopped.read_bytes() == whole.read_bytes()
    kept = [
        [reject["place"] for reject in read_jsonl(path.with_name(f"{path.name}.rejects.jsonl"))]
        for path in (whole, stopped)
    ]
    assert kept[0] == kept[1] == [f"{data}:1501", f"{data}:2502"]


def test_a_killed_run_loses_and_doubles_nothing(tmp_path, linear_folder):
    data = write_jsonl(tmp_path / "in.jsonl", rows(30_000))
    out = tmp_path / "out.jsonl"
    command = [
        sys.executable,
        "feedback.py",
        "classify",
        "--model",
        linear_folder,
        "--in",
        data,
        "--out",
        out,
        "--resume",
    ]
    journal = tmp_path / "out.jsonl.work/journal.json"
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE)
    try:
        while not journal.exists():
            assert process.poll() is None, process.stderr.read().decode()
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stderr.close()
    marked = json.loads(journal.read_text())["done"]["rows"]
    assert 0 < marked < 30_000
    assert not out.exists()
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    assert [row["id"] for row in read_jsonl(out)] == [str(n) for n in range(30_000)]


def test_shards_are_the_whole_in_parts(tmp_path, linear):
    data = write_jsonl(tmp_path / "in.jsonl", rows(10))
    data.write_text(data.read_text() + "{broken\n")
    parts = []
    for number in (1, 2, 3):
        out = tmp_path / f"{number}.jsonl"
        classify_file(linear, str(data), out, progress=Silent(), shard=Shard(number, 3))
        parts.append([row["id"] for row in read_jsonl(out)])
    assert parts == [["0", "3", "6", "9"], ["1", "4", "7"], ["2", "5", "8"]]
    assert not (tmp_path / "1.jsonl.rejects.jsonl").exists()
    assert [row["place"] for row in read_jsonl(tmp_path / "2.jsonl.rejects.jsonl")] == [f"{data}:11"]
    empty = tmp_path / "12.csv"
    assert classify_file(linear, str(data), empty, progress=Silent(), shard=Shard(12, 12)).rows == 0
    assert empty.read_text().startswith("text,id,language")


@pytest.mark.parametrize("text", ["0/2", "3/2", "2", "a/b", "1/0", "-1/2", ""])
def test_a_shard_that_is_none_is_refused(text):
    with pytest.raises(ConfigError, match="expected I/N"):
        shard_of(text)


def test_a_table_of_answers_has_types(tmp_path, linear):
    first = {"text": "Great", "rating": 5, "meta": {"shop": "a"}, "categories": ["product/quality", "other"]}
    items = [first, {"text": "Bad"}]
    data = write_jsonl(tmp_path / "in.jsonl", items)
    classify_file(linear, str(data), tmp_path / "out.parquet", progress=Silent())
    table = parquet.read_table(tmp_path / "out.parquet")
    assert table.column("rating").to_pylist() == [5.0, None]
    assert table.column("meta").to_pylist() == ['{"shop": "a"}', None]
    for name in ("predicted_sentiment_abstained", "predicted_out_of_scope"):
        assert str(table.schema.field(name).type) == "bool"
    assert str(table.schema.field("predicted_sentiment_score").type) == "double"
    again = tmp_path / "again.jsonl"
    assert classify_file(linear, str(tmp_path / "out.parquet"), again, progress=Silent()).rows == 2
    read = read_jsonl(again)[0]
    assert (read["categories"], read["meta"]["shop"]) == (["product/quality", "other"], "a")


def test_other_work_does_not_go_on_where_this_was_stopped(tmp_path, linear):
    data, out = write_jsonl(tmp_path / "in.jsonl", rows(2000)), tmp_path / "out.jsonl"
    with pytest.raises(Stopped):
        classify_file(linear, str(data), out, progress=StopsAfter(1))
    with pytest.raises(InputError, match="shard was 1/1, is 1/2"):
        classify_file(linear, str(data), out, progress=Silent(), resume=True, shard=Shard(1, 2))
    said = []
    assert classify_file(linear, str(data), out, progress=Silent(), lost=said.append).rows == 2000
    assert said == [1024]


def test_two_runs_do_not_write_one_file(tmp_path, linear):
    data, out = write_jsonl(tmp_path / "in.jsonl", rows(3)), tmp_path / "out.jsonl"
    with (
        open_unfinished(out, {}, packed=False, resume=False, lost=lambda rows: None),
        pytest.raises(InputError, match="another run is at work here"),
    ):
        classify_file(linear, str(data), out, progress=Silent())
    (tmp_path / "own.jsonl.work").mkdir()
    (tmp_path / "own.jsonl.work/notes").touch()
    with pytest.raises(InputError, match="expected no such folder"):
        classify_file(linear, str(data), tmp_path / "own.jsonl", progress=Silent())


def test_what_is_read_is_never_written_over(tmp_path, linear):
    data = write_jsonl(tmp_path / "in.jsonl", rows(3))
    with pytest.raises(DataError, match="written over"):
        classify_file(linear, str(data), data, progress=Silent())
    assert len(read_jsonl(data)) == 3


def test_answers_are_on_disk_before_the_file_is_read_to_its_end(tmp_path, linear):
    data = tmp_path / "in.jsonl"
    with data.open("w") as file:
        for row in itertools.islice(itertools.cycle(rows(10)), 5 * classifying._CHUNK):
            file.write(json.dumps(row) + "\n")
    watched = StopsAfter(2 * classifying._CHUNK)
    with pytest.raises(Stopped):
        classify_file(linear, str(data), tmp_path / "out.jsonl", progress=watched)
    journal = json.loads((tmp_path / "out.jsonl.work/journal.json").read_text())
    assert journal["done"]["rows"] == 2 * classifying._CHUNK
