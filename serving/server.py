"""Starting the service as a process of its own, waiting for it, and sending it samples."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from models.errors import FeedbackError
from models.processes import end
from models.progress import Progress
from models.readers import read_items
from models.records import LabeledItem
from models.rejects import Reject
from models.threads import free_cores
from serving.parent import ends_with_this
from serving.settings import Settings
from serving.store.engine import absolute

#: What is shown of a decision.
DECIDED = ("team", "rule", "urgency", "deliver")
SERVICE = "serving.service:FeedbackService"
#: The service is on this machine: a proxy in the environment has no part in it.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
ROOT = Path(__file__).parent.parent
_READY_WITHIN = 120.0
#: Seconds between two looks at what runs.
_LOOK_EVERY = 0.2


class ServerError(FeedbackError):
    """The service could not be started, or ended by itself."""


def check_port(host: str, port: int) -> None:
    """Raise ServerError if something listens on ``port`` already."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            remedy = "stop what uses it, or take another with --port"
            if error.errno != errno.EADDRINUSE:
                remedy = "give another with --host or --port"
            raise ServerError(f"cannot listen on {host}:{port}: {error.strerror or error}; {remedy}") from None


@contextmanager
def running(settings: Settings, host: str, port: int, progress: Progress) -> Iterator["subprocess.Popen[bytes]"]:
    """The service as a child process, ready to answer; it is stopped when the block ends.

    Raises:
        ServerError: the port is taken, or the service does not become ready.
    """
    check_port(host, port)
    environment = environment_for(settings)
    # it runs in the folder of this code, so that no file of the caller is taken for a module
    command = [sys.executable, "-m", "bentoml", "serve", SERVICE, "--working-dir", str(ROOT), "--quiet"]
    with tempfile.TemporaryDirectory(prefix="feedback-serve-") as home:
        # in a shared one BentoML would remove the figures of whatever else serves
        environment["BENTOML_HOME"] = home
        process = subprocess.Popen([*command, "--host", host, "--port", str(port)], env=environment, cwd=ROOT)
        # whoever stops this process means the service
        previous = signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        try:
            with progress.stage("starting the service"):
                wait_until_ready(process, base_url(host, port))
            yield process
        finally:
            end(process)
            signal.signal(signal.SIGTERM, previous)


def environment_for(settings: Settings) -> dict[str, str]:
    """What a child process is given: the settings and nothing else that begins like them."""
    wanted = {
        "MODEL": settings.model.resolve(),
        "RULES": settings.rules and settings.rules.resolve(),
        "STORE": absolute(settings.address),
        "WORKERS": settings.workers,
        # several workers share the free cores between them
        "THREADS": settings.threads or (max(1, free_cores() // settings.workers) if settings.workers > 1 else None),
        "PUBLIC_URL": settings.public_url,
        "LINK_SECRET": settings.link_secret.get_secret_value() or None,
        "LINK_SECRET_FILE": settings.link_secret_file and settings.link_secret_file.resolve(),
        "LINK_DAYS": settings.link_days,
        "LEASE": settings.lease,
        "RUNTIME": settings.runtime,
        "TRACING": settings.tracing,
        "BATCH_ITEMS": settings.batch_items,
        "BATCH_CHARACTERS": settings.batch_characters,
        "BATCH_LINGER": settings.batch_linger,
        "QUEUE_WAIT": settings.queue_wait,
        "QUEUE_ITEMS": settings.queue_items,
        "QUEUE_ALWAYS": settings.queue_always,
        "RECENT": settings.recent,
        "LABELSTUDIO_SECRET": settings.labelstudio_secret.get_secret_value() or None,
        "LABELSTUDIO_FOLDER": settings.labelstudio_folder.resolve(),
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FEEDBACK_")}
    environment |= {f"FEEDBACK_{name}": str(value) for name, value in wanted.items() if value is not None}
    return environment | ends_with_this() | {"BENTOML_DO_NOT_TRACK": "True"}


def wait_until_ready(process: "subprocess.Popen[bytes]", url: str) -> None:
    """Return when the service at ``url`` answers; ServerError if it ends or takes too long."""
    deadline = time.monotonic() + _READY_WITHIN
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ServerError(
                f"the service ended at its start with status {process.returncode}; its messages stand above"
            )
        try:
            with _OPENER.open(f"{url}/readyz", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise ServerError(f"the service was not ready after {_READY_WITHIN:.0f} s; its messages stand above")


def until_ended(process: "subprocess.Popen[bytes]", look: Callable[[], object]) -> int:
    """The status with which the service ended, by itself or because this process was told to stop; until then ``look``
    is called again and again."""
    told = False

    def tell(*_: object) -> None:
        nonlocal told
        told = True
        process.terminate()

    previous = signal.signal(signal.SIGTERM, tell)
    try:
        # who stops a service often tells all its processes: what ends from then on has not ended by itself
        while process.poll() is None and not told:
            time.sleep(_LOOK_EVERY)
            if not told:
                look()
        return process.wait()
    finally:
        signal.signal(signal.SIGTERM, previous)


def check_ended_well(status: int) -> None:
    """Raise ServerError unless the service ended because it was told to."""
    if status not in (0, -signal.SIGTERM, -signal.SIGINT):
        more = "its messages stand above" if status > 0 else "the system's log may say why, e.g. for want of memory"
        raise ServerError(f"the service ended by itself with {how_it_ended(status)}; {more}; start it again")


def how_it_ended(status: int) -> str:
    """The status of a process for people, with the signal that ended it."""
    return f"status {status}" if status >= 0 else f"status {status} ({signal.strsignal(-status)})"


def base_url(host: str, port: int) -> str:
    """Where a client on this machine reaches the service."""
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)
    return f"http://{f'[{name}]' if ':' in name and not name.startswith('[') else name}:{port}"


def ask(
    url: str, items: Sequence[dict[str, Any]], timeout: float = 30.0, *, path: str = "/classify"
) -> list[dict[str, Any]]:
    """The answers of the service at ``url`` to raw items; ServerError if it refuses them."""
    body = json.dumps({"items": list(items)}).encode()
    request = urllib.request.Request(f"{url}{path}", body, {"Content-Type": "application/json"})
    try:
        with _OPENER.open(request, timeout=timeout) as answer:
            results: list[dict[str, Any]] = json.load(answer)
            return results
    except urllib.error.HTTPError as error:
        raise ServerError(f"{url}{path} answered {error.code}: {error.read(1000).decode(errors='replace')}") from None


def read_samples(source: Path) -> list[LabeledItem]:
    """The items of a small file; ServerError names the first row that is none."""
    items = []
    for row in read_items(source):
        if isinstance(row, Reject):
            raise ServerError(f"a sample cannot be used: {row}")
        items.append(row)
    return items


def sample_rows(items: Sequence[LabeledItem], results: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Table rows of text, language, answers, team, rule, urgency and delivery for items and their results."""
    rows = []
    for item, result in zip(items, results, strict=True):
        if result["error"] is not None:
            rows.append([item.text, "", result["error"], "", "", "", ""])
            continue
        prediction, decision = result["prediction"], result["decision"]
        answers = [_answer(task) for task in prediction["tasks"].values()]
        rows.append([item.text, prediction["language"], *answers, *(decision[name] for name in DECIDED)])
    return rows


def _answer(task: dict[str, Any]) -> str:
    labels = ", ".join(task["labels"]) or "none"
    return f"{labels} ({task['confidence']:.2f}{', not sure' if task['abstained'] else ''})"
