"""What the processor at hand can do, and what it is called."""

from functools import cache
from pathlib import Path

_CPU = Path("/proc/cpuinfo")


@cache
def _told() -> str:
    return _CPU.read_text(encoding="utf-8") if _CPU.exists() else ""


def cpu_has_bf16() -> bool:
    """Whether it multiplies bfloat16 in hardware; else that would be slower than float32."""
    return any(flag in _told() for flag in ("avx512_bf16", "amx_bf16", " bf16"))


def cpu_name() -> str:
    """What tells processors of different speed apart."""
    told = dict(line.split(":", 1) for line in _told().splitlines() if ":" in line)
    fields = {name.strip(): value.strip() for name, value in told.items()}
    return " ".join(fields.get(name, "") for name in ("vendor_id", "cpu family", "model", "stepping", "model name"))
