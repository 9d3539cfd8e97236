"""`feedback serve` watches over its processes: the delivery worker is started again, the end of the service is told."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from support import ROOT, TO_A_FILE, free_port

from serving.beside import FIRST, MOST, Restarted, next_pause
from serving.server import ServerError, check_ended_well, environment_for
from serving.settings import Settings


def until(holds: Callable[[], object], said: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, said()
        time.sleep(0.1)


class Served:
    """`feedback serve` in a folder of its own, with all that it starts in one group of processes."""

    def __init__(self, folder: Path, model: Path) -> None:
        (folder / "routing.toml").write_text(TO_A_FILE)
        # who keeps feedback in a folder may have a file there that is called like a module
        (folder / "sqlalchemy.py").write_text("raise SystemExit('a file of the caller was taken for a module')")
        self.folder, self.port, self._log = folder, free_port(), folder / "log"
        command = [sys.executable, "-P", "-m", "feedback", "serve", "--model", str(model), "--port", str(self.port)]
        command += ["--rules", "routing.toml", "--store", "sqlite:///feedback.db", "--threads", "1"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=folder, env=environment, stderr=log, start_new_session=True)

    @property
    def said(self) -> str:
        return self._log.read_text()

    def started(self, times: int = 1) -> bool:
        """Whether it serves, and a worker has begun to deliver so many times."""
        return self.said.count("delivering; stop with Ctrl-C") == times and "Try:" in self.said

    def child(self, command: str) -> psutil.Process:
        children = psutil.Process(self.process.pid).children()
        return next(one for one in children if command in " ".join(one.cmdline()))

    def post(self, text: str) -> None:
        body, headers = json.dumps({"text": text}).encode(), {"Content-Type": "application/json"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/feedback", body, headers)
        urllib.request.urlopen(request, timeout=30).close()


@pytest.fixture
def served(linear_folder: Path, tmp_path: Path) -> Iterator[Served]:
    found = Served(tmp_path, linear_folder)
    try:
        until(found.started, lambda: found.said)
        yield found
    finally:
        if found.process.poll() is None:
            os.killpg(found.process.pid, signal.SIGKILL)
            found.process.wait()


def test_a_delivery_worker_that_is_killed_is_started_again_and_goes_on(served: Served) -> None:
    served.child("deliver run").kill()
    until(lambda: served.started(2), lambda: served.said)
    assert "warning: the delivery worker ended with status -9 (Killed); " in served.said
    served.post("The lid is cracked")
    out = served.folder / "artifacts/outbox/file.jsonl"
    until(lambda: out.exists() and "The lid is cracked" in out.read_text(), lambda: served.said)
    worker = served.child("deliver run")
    # as systemd stops a service: all its processes at once
    os.killpg(served.process.pid, signal.SIGTERM)
    assert served.process.wait(30) == 0
    assert not worker.is_running()
    assert served.said.count("the delivery worker ended") == 1


def test_the_end_of_a_service_that_is_killed_is_an_error_and_delivery_ends_with_it(served: Served) -> None:
    worker = served.child("deliver run")
    served.child("bentoml").kill()
    assert served.process.wait(30) == 1
    assert "error: the service ended by itself with status -9 (Killed); " in served.said
    assert not worker.is_running()


def test_a_worker_that_cannot_be_started_is_tried_again_later_each_time(tmp_path: Path) -> None:
    script, warnings = tmp_path / "worker", []
    script.write_text(f"#!{sys.executable}\nraise SystemExit(3)\n")
    script.chmod(0o755)
    worker = Restarted([str(script)], dict(os.environ), warnings.append)

    def warned(times: int) -> bool:
        worker.look()
        return len(warnings) == times

    until(lambda: warned(1), lambda: warnings)
    script.rename(tmp_path / "elsewhere")
    until(lambda: warned(2), lambda: warnings)
    (tmp_path / "elsewhere").rename(script)
    until(lambda: warned(3), lambda: warnings)
    worker.end()
    rest = "what is due waits until it is started again in"
    assert warnings == [
        f"the delivery worker ended with status 3; {rest} 1 s",
        f"the delivery worker cannot be started: No such file or directory; {rest} 2 s",
        f"the delivery worker ended with status 3; {rest} 4 s",
    ]


def test_the_pause_grows_to_a_bound_and_is_short_again_for_one_that_lived() -> None:
    pauses = [0.0]
    for _ in range(9):
        pauses.append(next_pause(pauses[-1], 0.1))
    assert pauses[1:] == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert next_pause(MOST, MOST) == FIRST


@pytest.mark.parametrize("status", [0, -signal.SIGTERM, -signal.SIGINT])
def test_a_service_that_was_told_to_stop_has_ended_well(status: int) -> None:
    check_ended_well(status)


@pytest.mark.parametrize(("status", "said"), [(1, "status 1; its messages"), (-9, r"status -9 \(Killed\); the system")])
def test_a_service_that_ended_otherwise_is_an_error(status: int, said: str) -> None:
    with pytest.raises(ServerError, match=f"the service ended by itself with {said}"):
        check_ended_well(status)


def test_what_runs_the_encoder_is_passed_on() -> None:
    assert environment_for(Settings(runtime="onnx-fp32"))["FEEDBACK_RUNTIME"] == "onnx-fp32"
    assert "FEEDBACK_RUNTIME" not in environment_for(Settings(runtime=None))
