"""The benches of files and of the start run, at a tiny size, and say what they measured."""

import json
from itertools import islice

import pytest
from typer.testing import CliRunner

from models.errors import ConfigError, FeedbackError
from models.processes import watch_python
from models.progress import Silent
from training.bench.commands import bench
from training.bench.files import bench_files, varied_texts
from training.bench.growth import table_of, verdict
from training.bench.start import bench_start, row_of


def test_files_are_measured_as_they_grow(tmp_path, linear_folder):
    out = tmp_path / "files.json"
    own = [
        "files",
        "--model",
        linear_folder,
        "--rows",
        400,
        "--rows",
        200,
        "--repeats",
        2,
        "--threads",
        1,
        "--out",
        out,
    ]
    done = CliRunner().invoke(bench, list(map(str, own)), catch_exceptions=False)
    assert done.exit_code == 0
    growth = json.loads(out.read_text())
    assert [(size["rows"], len(size["runs"])) for size in growth["sizes"]] == [(200, 2), (400, 2)]
    for size in (growth["start"], *growth["sizes"]):
        assert all(run["seconds"] > 0 and 20 < run["memory_mb"] < 2000 for run in size["runs"])
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert "400" in done.stdout


def test_growth_is_said_in_words_and_rows():
    def size(rows, seconds, memory):
        run = {"seconds": seconds, "cpu_seconds": seconds / 2, "memory_mb": memory}
        return {"rows": rows, **run, "runs": [run]}

    growth = {
        "start": size(1, 1.0, 100.0),
        "sizes": [size(10_000, 3.0, 200.0), size(100_000, 21.0, 202.0)],
        "exponent": 1.0,
        "cpu_exponent": 0.99,
        "memory_growth": 1.01,
    }
    columns, rows = table_of(growth)
    assert [len(row) for row in rows] == [len(columns)] * 2
    assert rows[1] == ["100,000", "1", "21.0", "21.0–21.0", "10.5", "5,000", "202", "202–202"]
    assert verdict(growth) == (
        "from 10,000 to 100,000 rows: seconds grow with rows to the power of 1.00, those of processors 0.99 "
        "(beyond 1.0 s for a single row), memory by +1.0%"
    )


def test_one_size_tells_no_growth(tmp_path):
    with pytest.raises(ConfigError, match=r"expected at least two sizes, each of at least 2 rows, got \[5\]"):
        bench_files(tmp_path, Silent(), rows=[5])


def test_texts_are_distinct_and_the_same_every_time():
    texts = list(varied_texts(3000))
    assert len(set(texts)) == 3000
    assert len({text.rpartition(" (")[0] for text, _ in texts}) > 2500
    assert {"en", "zh-Hant"} <= {language for _, language in texts}
    assert list(islice(varied_texts(3000), 10)) == texts[:10]


def test_memory_is_that_of_a_process_and_what_it_starts(tmp_path):
    child = "import time; held = b'x' * 150_000_000; time.sleep(1)"
    parent = f"import subprocess, sys; held = b'x' * 100_000_000; subprocess.run([sys.executable, '-c', {child!r}])"
    assert 100 < watch_python(["-c", child.replace("150", "100")], tmp_path / "log").memory < 200
    assert 250 < watch_python(["-c", parent], tmp_path / "log").memory < 400


def test_a_command_that_fails_says_why(tmp_path):
    with pytest.raises(FeedbackError, match=r"(?s)exit code 3 of: python -c .*no luck"):
        watch_python(["-c", "import sys; print('no luck'); sys.exit(3)"], tmp_path / "log")


def test_the_start_is_measured(linear_folder):
    found = bench_start(linear_folder, Silent(), repeats=1)
    assert [one["command"] for one in found] == ["python -c pass", "feedback --help", "feedback classify, one text"]
    assert [one["bound"] for one in found] == [None, 0.5, 1.5]
    assert all(one["median"] > 0 for one in found)


@pytest.mark.parametrize(
    ("one", "row"),
    [
        (
            {"median": 0.4, "seconds": [0.3, 0.4, 0.6], "bound": 0.5},
            ["a", "0.40", "0.30–0.60", "0.20", "< 0.5", "kept"],
        ),
        ({"median": 0.5, "seconds": [0.5], "bound": 0.5}, ["a", "0.50", "0.50–0.50", "0.20", "< 0.5", "missed"]),
        ({"median": 0.1, "seconds": [0.1], "bound": None}, ["a", "0.10", "0.10–0.10", "0.20", "", ""]),
    ],
)
def test_a_start_is_shown_with_its_bound(one, row):
    assert row_of({"command": "a", "cpu": 0.2, **one}) == row
