"""Classifying a file by workers on Ray: several processes of this machine, or a cluster.

Ray's actors, and not Ray Data, which reads its input in tasks of its own: places of bad rows, shards and resuming would
have to be made a second time there, while here they stay with :mod:`serving.bulk.classifying`. Nor ``ActorPool.map``,
which reads all of its input before the first answer. Workers send back finished lines, not predictions: to unpack those
and to write them costs this process several times as much as to read the file.
"""

import errno
import logging
import os
import signal
import socket
import tempfile
import threading
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayError, RayTaskError

from models import artifact
from models.errors import ArtifactError, ConfigError, FeedbackError
from models.labels import LabelSchema
from models.progress import Progress
from models.records import LabeledItem
from models.runtimes.runtime import Name
from models.threads import calm_barriers, free_cores

if TYPE_CHECKING:
    from serving.bulk.engine import InProcess

#: Chunks per worker that are out at a time: one at work, and others while the lines of an earlier one are awaited.
_AHEAD = 4
#: How often a chunk is given to a worker again that died over it.
_TRIES = 3
#: Bytes of shared memory for what is out, on this machine.
_SHARED = 512 * 1024**2
#: Seconds to wait for a cluster to be reached.
_KNOCK = 10.0


class Worker:
    """What an actor does: it loads the model when it is first needed, also after it was killed and started again."""

    def __init__(self, model: str, version: str, runtime: Name | None, threads: int) -> None:
        self._model, self._version, self._runtime, self._threads = Path(model), version, runtime, threads

    @cached_property
    def _engine(self) -> "InProcess":
        calm_barriers()  # before what it is for is imported
        from models.classifier import Classifier
        from serving.bulk.engine import InProcess

        engine = InProcess(Classifier.load(self._model, self._threads, self._runtime))
        if engine.version != self._version:
            raise ArtifactError(
                f"{self._model}: expected version {self._version}, a worker on {os.uname().nodename} found "
                f"{engine.version}; give a folder that all machines share"
            )
        return engine

    def ready(self) -> None:
        """Have the model; ArtifactError if it is unfit or another one."""
        _ = self._engine

    def lines(self, items: Sequence[LabeledItem], name: str) -> str:
        """The lines of the file ``name`` for these items."""
        return next(self._engine.lines([items], name))


class RayEngine:
    """Workers that are ready; see :func:`on_ray`."""

    def __init__(self, schema: LabelSchema, version: str, workers: Sequence[Any]) -> None:
        self._schema, self._version, self._workers = schema, version, workers

    @property
    def schema(self) -> LabelSchema:
        """Tasks and class order of the answers."""
        return self._schema

    @property
    def version(self) -> str:
        """Which model answers."""
        return self._version

    def lines(self, chunks: Iterable[Sequence[LabeledItem]], name: str) -> Iterator[str]:
        """The lines of the file ``name`` for each chunk, in the order of the chunks.

        What a worker had that was killed is given to it again once it is back.

        Raises:
            OSError: workers died several times over the same chunk, or the cluster is gone.
        """
        out: deque[Any] = deque()
        busy: dict[Any, int] = {}
        for items in chunks:
            if len(out) >= _AHEAD * len(self._workers):
                yield _result(out.popleft())
            number = self._idlest(busy)
            out.append(self._workers[number].lines.remote(items, name))
            busy[out[-1]] = number
        while out:
            yield _result(out.popleft())

    def _idlest(self, busy: dict[Any, int]) -> int:
        """Which worker has the fewest chunks; what is done no longer counts in ``busy``."""
        if busy:
            for done in ray.wait(list(busy), num_returns=len(busy), timeout=0, fetch_local=False)[0]:
                del busy[done]
        load = Counter(busy.values())
        return min(range(len(self._workers)), key=lambda number: load[number])


@contextmanager
def on_ray(
    model: Path, *, address: str | None, workers: int | None, threads: int | None, progress: Progress
) -> Iterator[RayEngine]:
    """Workers that have loaded the model; they end with the block. Nothing is told to the makers of Ray.

    Args:
        model: the folder, at the same path on every machine of a cluster.
        address: of a cluster, ``auto`` for the one that this machine is part of; None starts Ray on this machine alone.
        workers: how many; None for one per free core of this machine, or per core of the cluster.
        threads: compute threads of each; None for one.
        progress: is told what is waited for.

    Raises:
        ArtifactError: the model is unfit, or another one on another machine.
        ConfigError: there is no such cluster, or it is too small.
        OSError: the workers do not start.
    """
    folder, cores = model.resolve(), threads or 1
    manifest = artifact.verify(folder)
    runtime = None
    if (folder / artifact.TRANSFORMER).is_dir():
        # imported here: the linear part alone needs none of it
        from models.runtimes.choice import chosen

        # by one for all, since runtimes differ in the last digits
        runtime = chosen(folder / artifact.TRANSFORMER, manifest.version, cores)
    with ExitStack() as stack:
        with progress.stage("starting Ray" if address is None else f"connecting to Ray at {address}"):
            if address is None:
                workers = workers or max(1, free_cores() // cores)
                temporary = stack.enter_context(tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True))
                stack.callback(ray.shutdown)
                _start_here(workers * cores, temporary)
            else:
                stack.callback(ray.shutdown)
                workers = _join(address, workers, cores)
        kind: Any = ray.remote(Worker)
        kind = kind.options(num_cpus=cores, max_restarts=-1, max_task_retries=_TRIES)
        actors = [kind.remote(str(folder), manifest.version, runtime, cores) for _ in range(workers)]
        with progress.stage("loading the model", workers, "workers") as advance:
            for starting in [actor.ready.remote() for actor in actors]:
                _result(starting)
                advance(1)
        yield RayEngine(LabelSchema.load(folder / artifact.LABELS), manifest.version, actors)


def _start_here(cores: int, temporary: str) -> None:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    _init(
        address="local",
        num_cpus=cores,
        object_store_memory=_SHARED,
        include_dashboard=False,
        _node_ip_address="127.0.0.1",  # nobody else is to reach it
        _temp_dir=temporary,
    )


def _join(address: str, workers: int | None, cores: int) -> int:
    """Become part of a cluster; returns how many workers are to be started."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    try:
        if port.isdecimal():  # Ray would try for many minutes
            socket.create_connection((host, int(port)), _KNOCK).close()
        _init(address=address)
    except (OSError, OverflowError, RuntimeError, ValueError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ConfigError(
            f"--ray-address {address}: expected a Ray cluster: {reason}; start one by `ray start --head` (set "
            "RAY_AUTH_MODE=token where it asks for a token), or leave the option out to work on this machine alone"
        ) from None
    there = int(ray.cluster_resources().get("CPU", 0))
    wanted = workers or max(1, there // cores)
    if wanted * cores > there:
        raise ConfigError(
            f"--workers {wanted}: expected at most the cores of the cluster at {address}, {there}, of which a worker "
            f"takes {cores}; give fewer, or fewer --threads"
        )
    return wanted


def _init(**settings: Any) -> None:
    """Start or join Ray. It sets what is done when this process is told to end: that is undone."""
    told = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **settings)
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, told)


def _result(promised: Any) -> Any:
    """What a worker answered; an error of the project as it was raised there, one of Ray as OSError."""
    try:
        return ray.get(promised)
    except RayTaskError as error:
        if isinstance(error.cause, FeedbackError):
            raise error.cause from None
        raise
    except RayError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise OSError(
            errno.EIO, f"a worker cannot go on: {reason}; it may lack memory, or this program on its machine", "Ray"
        ) from None
