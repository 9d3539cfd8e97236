"""What was measured of files as they grow, for people: a table and a picture."""

from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import NullFormatter, NullLocator

from models.figures import Figure, at_most
from models.files import atomic_write
from training.bench.files import Growth
from training.report.pictures import BLUE, GREY, RED, STYLE

#: What counts as linear, and as flat.
LINEAR, FLAT = 1.05, 1.25


def table_of(growth: Growth) -> tuple[list[str], list[list[str]]]:
    """Columns and rows, a size each."""
    start = growth["start"]
    columns = ["rows", "runs", "seconds", "lowest to highest", "of processors", "rows a second"]
    columns += ["memory, MB", "lowest to highest"]
    return columns, [_row(size, start["seconds"]) for size in growth["sizes"]]


def _row(size: dict[str, Any], start: float) -> list[str]:
    seconds = [run["seconds"] for run in size["runs"]]
    memory = [run["memory_mb"] for run in size["runs"]]
    return [
        f"{size['rows']:,}",
        str(len(seconds)),
        f"{size['seconds']:,.1f}",
        f"{min(seconds):,.1f}–{max(seconds):,.1f}",
        f"{size['cpu_seconds']:,.1f}",
        f"{size['rows'] / max(size['seconds'] - start, 1e-3):,.0f}",
        f"{size['memory_mb']:,.0f}",
        f"{min(memory):,.0f}–{max(memory):,.0f}",
    ]


def verdict(growth: Growth) -> str:
    """What it comes to, in a sentence."""
    fewest, most = growth["sizes"][0]["rows"], growth["sizes"][-1]["rows"]
    return (
        f"from {fewest:,} to {most:,} rows: seconds grow with rows to the power of {growth['exponent']:.2f}, those of "
        f"processors {growth['cpu_exponent']:.2f} (beyond {growth['start']['seconds']:.1f} s for a single row), "
        f"memory by {growth['memory_growth'] - 1:+.1%}"
    )


def bars(growth: Growth) -> list[Figure]:
    """Cost grows with the rows, and memory does not."""
    return [
        at_most("seconds of processors, power of the rows", "", [growth["cpu_exponent"]], LINEAR),
        at_most("memory at the most rows beside the fewest", "×", [growth["memory_growth"]], FLAT),
    ]


def draw(growth: Growth, path: Path) -> None:
    """A picture of seconds and of memory against rows, as PNG; every run is a dot, the medians are a line."""
    sizes = growth["sizes"]
    rows = [size["rows"] for size in sizes]
    with rc_context(STYLE):
        figure = Drawing(figsize=(9, 3.6), layout="constrained")
        time, memory = figure.subplots(1, 2)
        for axes, name, colour, label in (
            (time, "seconds", BLUE, "until it was done"),
            (time, "cpu_seconds", RED, "of processors"),
            (memory, "memory_mb", BLUE, "a file"),
        ):
            axes.plot(rows, [size[name] for size in sizes], color=colour, linewidth=1.6, label=label)
            for size in sizes:
                values = [run[name] for run in size["runs"]]
                axes.scatter([size["rows"]] * len(values), values, s=16, color=colour, alpha=0.6, linewidths=0)
            axes.set(xscale="log", xlabel="rows")
            axes.xaxis.set_minor_locator(NullLocator())
            axes.set_xticks(rows, [f"{count:,}" for count in rows], rotation=20)
        start, last = growth["start"]["cpu_seconds"], sizes[-1]
        pace = (last["cpu_seconds"] - start) / last["rows"]
        time.plot(rows, [start + pace * count for count in rows], color=GREY, linestyle="--", label="linear")
        time.set(yscale="log", ylabel="seconds")
        # in plain digits: the signs of powers need what the style turns off
        time.yaxis.set_major_formatter("{x:,g}")
        time.yaxis.set_minor_formatter(NullFormatter())
        time.legend(frameon=False)
        memory.axhline(growth["start"]["memory_mb"], color=RED, linewidth=1, linestyle=":", label="a single row")
        memory.set(ylabel="memory at its peak, MB", ylim=(0, 1.25 * max(size["memory_mb"] for size in sizes)))
        memory.legend(frameon=False, loc="lower right")
        with atomic_write(path, "wb") as file:
            figure.savefig(file, format="png", dpi=150)
