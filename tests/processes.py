"""The service and the delivery worker as processes that may be killed at any moment, and a sink for what they send."""

import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
from support import ROOT

from serving.failpoints import VARIABLE
from serving.server import SERVICE

#: One channel appends to a file, the other posts; some items are told to a second team too.
RULES = """
version = 1
default = { team = "support", urgency = "high" }
[teams.support]
title = "Support"
channels = ["file", "hook"]
[teams.product]
title = "Product"
channels = ["hook"]
[channels.file]
kind = "file"
to = "%s"
[channels.hook]
kind = "webhook"
to = "%s"
[[rules]]
name = "loud"
when.rating = { max = 1 }
then = { team = "support", urgency = "urgent", notify = ["product"] }
"""
SECRET = "whsec_" + "QUJD" * 8
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Sink(ThreadingHTTPServer):
    """Counts the deliveries that it has taken, by id; ``answers`` says with which status an attempt is answered, and
    after how many seconds."""

    def __init__(self) -> None:
        self.answers: Callable[[str, int], tuple[int, float]] = lambda identity, attempt: (200, 0.0)
        self.taken: Counter[str] = Counter()
        self.refused: Counter[int] = Counter()
        self.attempts: Counter[str] = Counter()
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook"

    def answer(self, identity: str) -> int:
        with self.lock:
            self.attempts[identity] += 1
            status, seconds = self.answers(identity, self.attempts[identity])
        time.sleep(seconds)
        with self.lock:
            if status == 200:
                self.taken[identity] += 1
            else:
                self.refused[status] += 1
        return status


class _Handler(BaseHTTPRequestHandler):
    server: Sink

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        status = self.server.answer(body["id"])
        self.send_response(status)
        if status == 429:
            self.send_header("Retry-After", "2")
        self.send_header("Content-Length", "0")
        try:
            self.end_headers()
        except OSError:  # who asked is dead
            return

    def log_message(self, *_: object) -> None:
        """Nothing."""


class Process:
    """A command that may be killed and started again; what it says goes to a file."""

    def __init__(self, command: list[str], environment: Mapping[str, str], log: Path) -> None:
        self._command, self._log = command, log
        self._process: subprocess.Popen | None = None
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FEEDBACK_")}
        self._environment = {**kept, "BENTOML_DO_NOT_TRACK": "True", "PYTHONPATH": str(ROOT), **environment}

    def start(self, point: str | None = None) -> None:
        """Begin; with a fail point the process will end itself there."""
        environment = self._environment | ({} if point is None else {VARIABLE: point})
        with self._log.open("ab") as log:
            self._begin = log.tell()
            self._process = subprocess.Popen(self._command, cwd=ROOT, env=environment, stderr=log, stdout=log)

    @property
    def said(self) -> str:
        """What it said since it was started."""
        return self._log.read_bytes()[self._begin :].decode(errors="replace")

    def kill(self) -> None:
        """End it, and whatever it has started, without a word."""
        if self._process is not None and self._process.poll() is None:
            own = psutil.Process(self._process.pid)
            for one in [own, *own.children(recursive=True)]:
                with suppress(psutil.NoSuchProcess):
                    one.kill()
            self._process.wait()

    def stop(self) -> int:
        """Ask it to end; its status."""
        self._process.terminate()
        return self._process.wait(30)

    def signal(self, number: int) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    @property
    def identity(self) -> int | None:
        """The number of the process that does the work; None if there is none."""
        return self._process.pid if self._process.poll() is None else None


class Service(Process):
    """`bentoml serve`, as `feedback serve` starts it: a process that watches over another, which does the work."""

    def __init__(self, port: int, environment: Mapping[str, str], log: Path) -> None:
        command = [sys.executable, "-m", "bentoml", "serve", SERVICE, "--working-dir", str(ROOT), "--quiet"]
        # a home of its own: BentoML removes the figures of whatever else serves from there
        environment = {"BENTOML_HOME": f"{log}.bentoml", **environment}
        super().__init__([*command, "--host", "127.0.0.1", "--port", str(port)], environment, log)
        self.url = f"http://127.0.0.1:{port}"

    @property
    def identity(self) -> int | None:
        try:
            children = psutil.Process(self._process.pid).children(recursive=True)
            return next((one.pid for one in children if "worker" in " ".join(one.cmdline())), None)
        except psutil.Error:
            return None

    def kill_outer(self) -> None:
        """End the watching process alone; the other ends by itself, and the port is free again."""
        orphan = self.identity
        self._process.kill()
        self._process.wait()
        deadline = time.monotonic() + 20
        while orphan is not None and psutil.pid_exists(orphan):
            assert time.monotonic() < deadline, "the worker of a service that was killed goes on"
            time.sleep(0.1)

    def is_ready(self, timeout: float = 2) -> bool:
        """Whether it answers that it is."""
        try:
            with _OPENER.open(f"{self.url}/readyz", timeout=timeout):
                return True
        except OSError:
            return False


def worker(environment: Mapping[str, str], log: Path) -> Process:
    """`feedback deliver run`."""
    return Process([sys.executable, "-m", "feedback", "deliver", "run"], environment, log)


def environment_of(folder: Path, address: str, sink: Sink, model: Path | None = None, lease: float = 60) -> dict:
    """What both processes are told; writes the rules."""
    (folder / "routing.toml").write_text(RULES % (folder / "out.jsonl", sink.url))
    found = {
        "FEEDBACK_STORE": address,
        "FEEDBACK_RULES": str(folder / "routing.toml"),
        "FEEDBACK_LEASE": str(lease),
        "FEEDBACK_CHANNEL_HOOK_SECRET": SECRET,
        "FEEDBACK_ALLOWED_TARGETS": "127.0.0.1",
        "FEEDBACK_THREADS": "1",
    }
    return found | ({} if model is None else {"FEEDBACK_MODEL": str(model)})


def lines_of(path: Path) -> Counter[str]:
    """How often each delivery stands in a file; a line that was cut off is none."""
    found: Counter[str] = Counter()
    if path.exists():
        for line in path.read_bytes().splitlines():
            try:
                found[json.loads(line)["id"]] += 1
            except ValueError:
                found[""] += 1
    return found
