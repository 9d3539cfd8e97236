"""The servers that are compared, each as processes of its own: what they are sent, and the time they take of the cores.

All compute with the same model in one thread. Ours also checks, routes and describes what it answers; the others only
say what the model says.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import psutil
from pydantic import SecretStr

from models.processes import end
from models.progress import Progress
from serving.server import ROOT, base_url, check_port, running, wait_until_ready
from serving.settings import Settings

PATH = "/classify"
OURS, OURS_TWO, BENTOML, STARLETTE = "ours", "ours, two workers", "BentoML, adaptive batching", "Starlette"
NAMES = (OURS, OURS_TWO, BENTOML, STARLETTE)


class Server(NamedTuple):
    """A server that runs; ``body`` makes the body of a request for these texts."""

    name: str
    port: int
    process: psutil.Process
    body: Callable[[Sequence[str]], bytes]

    def cpu(self) -> float:
        """Seconds that its processes have computed so far."""
        found = 0.0
        for process in [self.process, *self.process.children(recursive=True)]:
            used = process.cpu_times()
            found += used.user + used.system
        return found


@contextmanager
def servers(settings: Settings, port: int, folder: str, progress: Progress) -> Iterator[list[Server]]:
    """All of them, on ports from ``port`` on; they are stopped when the block ends.

    Args:
        settings: the model; all compute with one thread.
        port: where the first listens.
        folder: for stores that are not needed afterwards.
        progress: is told what is waited for.

    Raises:
        ServerError: a port is taken, or a server does not become ready.
    """
    started = []
    with ExitStack() as stack:
        for place, workers in enumerate((1, 2)):
            own = settings.model_copy(
                update={"workers": workers, "threads": 1, "store": SecretStr(f"sqlite:///{folder}/{workers}.db")}
            )
            process = stack.enter_context(running(own, "127.0.0.1", port + place, progress))
            started.append(Server(NAMES[place], port + place, psutil.Process(process.pid), _items))
        for place, command in enumerate((_BENTOML, _STARLETTE), start=2):
            process = stack.enter_context(
                _peer([*command, "--port", str(port + place)], settings, port + place, progress)
            )
            started.append(Server(NAMES[place], port + place, psutil.Process(process.pid), _texts))
        yield started


_BENTOML = ["bentoml", "serve", "serving.bench.peer_bentoml:Peer", "--working-dir", str(ROOT), "--quiet"]
_STARLETTE = ["uvicorn", "serving.bench.peer_starlette:app", "--app-dir", str(ROOT), "--no-access-log"]
_STARLETTE += ["--log-level", "warning"]


@contextmanager
def _peer(
    command: Sequence[str], settings: Settings, port: int, progress: Progress
) -> Iterator["subprocess.Popen[bytes]"]:
    check_port("127.0.0.1", port)
    environment = {
        **os.environ,
        "FEEDBACK_MODEL": str(settings.model.resolve()),
        "OMP_NUM_THREADS": "1",
        "BENTOML_DO_NOT_TRACK": "True",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
    }
    process = subprocess.Popen([sys.executable, "-m", *command, "--host", "127.0.0.1"], env=environment, cwd=ROOT)
    try:
        with progress.stage(f"starting {command[0]}"):
            wait_until_ready(process, base_url("127.0.0.1", port))
        yield process
    finally:
        end(process)


def _items(texts: Sequence[str]) -> bytes:
    return json.dumps({"items": [{"text": text} for text in texts]}, ensure_ascii=False).encode()


def _texts(texts: Sequence[str]) -> bytes:
    return json.dumps({"texts": list(texts)}, ensure_ascii=False).encode()
