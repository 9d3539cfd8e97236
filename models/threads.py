"""How many threads to compute with.

Two compute threads on two cores of which one is busy can be many times slower than one thread:
each parallel section ends in a barrier, and threads that are done spin in it. So the number of
threads is set from the cores that are free when the work begins, and spinning is kept short.
"""

import os
from pathlib import Path

#: GNU OpenMP, which torch uses, reads it when it is loaded. Fine-tuning on two cores: as fast as
#: the default when both are free (99 to 88 texts/s), 1.8 times as fast when one is busy (54 to 30).
_SHORT_SPIN = ("GOMP_SPINCOUNT", "1000")
#: OpenBLAS, which NumPy and SciPy use, spins whatever one tells it. ``feedback train --encoder none`` on the starter
#: data, both cores busy with other work: 189 s with OPENBLAS_NUM_THREADS=2, 27 s with 1.
_ONE_FOR_NUMPY = ("OPENBLAS_NUM_THREADS", "1")


def calm_barriers() -> None:
    """Let waiting threads sleep soon, or none wait; call before torch, NumPy or SciPy is imported."""
    os.environ.setdefault(*_SHORT_SPIN)
    os.environ.setdefault(*_ONE_FOR_NUMPY)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def free_cores(seconds: float = 0.2) -> int:
    """Cores this process may use, less those that were busy during ``seconds``; at least one.

    A container's share of the machine counts as its cores; processes that ``torchrun`` started here share them.
    """
    import psutil

    mine = os.sched_getaffinity(0)
    shares = psutil.cpu_percent(interval=seconds, percpu=True)
    idle: int = sum(core >= len(shares) or shares[core] <= 50 for core in mine)
    sharing = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return max(1, min(idle, _container_cores()) // sharing)


def _container_cores(file: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Whole cores of the cgroup's quota, or very many where there is none."""
    try:
        quota, period = file.read_text(encoding="utf-8").split()
        return int(quota) // int(period)
    except (OSError, ValueError):  # no such file, or "max"
        return 1_000_000


def use_threads(count: int | None = None) -> int:
    """Set torch to ``count`` threads, or to the free cores, and return the number."""
    import torch

    threads = count or free_cores()
    torch.set_num_threads(threads)
    return threads
