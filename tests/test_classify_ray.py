"""`feedback classify --engine ray`: the same file as without, whoever is killed, on this machine and on a cluster."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest
import ray
from support import ROOT, free_port, write_jsonl

from models.classifier import Classifier
from models.errors import ArtifactError, ConfigError
from models.progress import Silent
from models.records import LabeledItem
from serving.bulk.classifying import Shard, classify_file
from serving.bulk.engine import InProcess
from serving.bulk.on_ray import RayEngine, Worker, on_ray

ROWS = 30_000


@pytest.fixture(scope="module")
def cluster():
    """The address of a Ray cluster of four cores, which is this machine."""
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        port = free_port()
        command = [Path(sys.executable).with_name("ray"), "start", "--head", "--block", "--disable-usage-stats"]
        command += [f"--port={port}", "--num-cpus=4", "--include-dashboard=false", f"--temp-dir={folder}"]
        command += ["--object-store-memory=200000000", "--node-ip-address=127.0.0.1"]
        environ = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_AUTH_MODE": "disabled"}
        with (Path(folder) / "said").open("wb") as said:
            process = subprocess.Popen(command, env=environ, stdout=said, stderr=said)
        try:
            wait_for(lambda: b"Ray runtime started" in (Path(folder) / "said").read_bytes(), 60)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(30)


@pytest.fixture(scope="module")
def engine(cluster, linear_folder):
    with on_ray(linear_folder, address=cluster, workers=2, threads=None, progress=Silent()) as found:
        yield found


@pytest.fixture(scope="module")
def alone(linear_folder):
    return InProcess(Classifier.load(linear_folder))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Many rows, and a bad one now and then."""
    path = tmp_path_factory.mktemp("data") / "in.jsonl"
    write_jsonl(path, [{"text": f"The parcel number {n} came late", "id": str(n)} for n in range(ROWS)])
    lines = path.read_text().splitlines()
    lines[2000::5000] = ["{broken"] * len(lines[2000::5000])
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def expected(alone, data, tmp_path_factory):
    out = tmp_path_factory.mktemp("expected") / "out.jsonl"
    classify_file(alone, str(data), out, progress=Silent())
    return out


def wait_for(holds, seconds=120):
    """Until it holds, at most so many seconds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def command(model, data, out, *more):
    own = ["classify", "--model", model, "--in", data, "--out", out, *more]
    return [sys.executable, "feedback.py", *map(str, own)]


def begun(process, out):
    """Wait until the process has marked what it did; returns all that were started for it."""
    wait_for(lambda: (out.with_name(f"{out.name}.work") / "journal.json").exists() or process.poll() is not None)
    assert process.poll() is None
    return psutil.Process(process.pid).children(recursive=True)


def rejects(out):
    return out.with_name(f"{out.name}.rejects.jsonl").read_bytes()


@pytest.mark.parametrize("ending", [".jsonl", ".csv.gz", ".parquet"])
def test_workers_make_the_same_file(tmp_path, data, alone, engine, ending):
    files = []
    for number, one in enumerate((alone, engine)):
        files.append(tmp_path / f"{number}{ending}")
        found = classify_file(one, str(data), files[-1], progress=Silent(), shard=Shard(1, 4))
        assert found.rows == ROWS / 4 - 6
    assert files[0].read_bytes() == files[1].read_bytes()
    assert rejects(files[0]) == rejects(files[1])


def test_a_worker_that_is_killed_is_replaced(tmp_path, data, linear_folder, expected):
    out = tmp_path / "out.jsonl"
    one = command(linear_folder, data, out, "--engine", "ray", "--workers", 2)
    with tempfile.TemporaryDirectory(prefix="t") as temporary:
        process = subprocess.Popen(one, cwd=ROOT, env={**os.environ, "TMPDIR": temporary})
        first, *_ = [child for child in begun(process, out) if child.name().startswith("ray::Worker")]
        first.kill()
        assert process.wait(120) == 0
        assert list(Path(temporary).iterdir()) == []
    assert out.read_bytes() == expected.read_bytes()
    assert rejects(out) == rejects(expected)


def test_a_run_that_was_killed_goes_on(tmp_path, data, linear_folder, expected, engine):
    out, journal = tmp_path / "out.jsonl", tmp_path / "out.jsonl.work/journal.json"
    one = command(linear_folder, data, out, "--engine", "ray", "--workers", 2)
    with tempfile.TemporaryDirectory(prefix="t", ignore_cleanup_errors=True) as temporary:
        process = subprocess.Popen(one, cwd=ROOT, env={**os.environ, "TMPDIR": temporary})
        started = begun(process, out)
        process.send_signal(signal.SIGKILL)
        process.wait()
        # Ray's agents look for a while whether somebody takes their logs
        assert psutil.wait_procs([one for one in started if not one.name().endswith("Agent")], 30)[1] == []
    assert 0 < json.loads(journal.read_text())["done"]["rows"] < ROWS
    classify_file(engine, str(data), out, progress=Silent(), resume=True)
    assert out.read_bytes() == expected.read_bytes()
    assert rejects(out) == rejects(expected)


def test_a_cluster_runs_the_encoder_alike(tmp_path, cluster, model_folder):
    data = write_jsonl(tmp_path / "in.jsonl", [{"text": f"The parcel number {n} came late"} for n in range(1500)])
    files = []
    for number, more in enumerate([[], ["--engine", "ray", "--ray-address", cluster, "--workers", 1]]):
        files.append(tmp_path / f"{number}.jsonl")
        one = command(model_folder, data, files[-1], "--threads", 1, *more)
        done = subprocess.run(one, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
        assert "1,500 row(s) classified" in done.stderr
    assert files[0].read_bytes() == files[1].read_bytes()


def test_another_model_on_a_machine_of_the_cluster_ends_the_run(linear_folder, engine):
    worker = ray.remote(Worker).options(num_cpus=0).remote(str(linear_folder), "another", None, 1)
    other = RayEngine(engine.schema, "another", [worker])
    with pytest.raises(ArtifactError, match=r"expected version another, a worker on .* found \w{12}"):
        list(other.lines([[LabeledItem(text="Great")]], "out.jsonl"))


def test_a_cluster_that_is_not_there_or_too_small_is_refused(cluster, linear_folder):
    for address, workers, message in [
        (f"127.0.0.1:{free_port()}", 1, r"expected a Ray cluster: .*refused; start one"),
        (cluster, 5, r"--workers 5: expected at most the cores of the cluster"),
    ]:
        one = command(linear_folder, "in.jsonl", "out.jsonl", "--engine", "ray", "--ray-address", address)
        done = subprocess.run([*one, "--workers", str(workers)], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == ConfigError.exit_code
        assert re.search(message, done.stderr), done.stderr


def test_without_ray_it_says_what_to_install(linear_folder):
    hidden = (
        "import sys, importlib.abc\n"
        "class Hidden(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name.partition('.')[0] == 'ray':\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Hidden())\n"
        "from feedback import main\n"
        "main()\n"
    )
    own = command(linear_folder, "in.jsonl", "out.jsonl", "--engine", "ray")[2:]
    done = subprocess.run([sys.executable, "-c", hidden, *own], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == ConfigError.exit_code
    assert "--engine ray: ray is not installed; pip install 'feedback-classifier[ray]'" in done.stderr


def test_options_of_ray_are_refused_without_it(linear_folder):
    one = command(linear_folder, "in.jsonl", "out.jsonl", "--workers", 2)
    done = subprocess.run(one, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == ConfigError.exit_code
    assert "--ray-address and --workers are for --engine ray" in done.stderr
