"""What was measured over HTTP, for people: a table and a picture."""

import math
import statistics
from collections.abc import Sequence
from pathlib import Path

from models.files import atomic_write
from serving.bench.http import Measured, middle
from serving.bench.servers import BENTOML, NAMES, OURS, STARLETTE

COLUMNS = ["server", "", "items/s in time", "lowest to highest", "answered/s", "p50 ms", "p99 ms", "refusal p99 ms"]
COLUMNS += ["CPU ms/item", "ours to it"]


def table_rows(rows: Sequence[Measured]) -> list[list[str]]:
    """A line for each, in the columns :data:`COLUMNS`; the last says how many times its goodput ours has."""
    ours = {(row.callers, row.items): statistics.median(row.goodput) for row in rows if row.server == OURS}
    found = []
    for row in rows:
        goodput = statistics.median(row.goodput)
        ratio = ours[row.callers, row.items] / goodput if goodput else float("inf")
        found.append(
            [
                *(row.server, row.case, f"{goodput:,.0f}", f"{min(row.goodput):,.0f}–{max(row.goodput):,.0f}"),
                f"{statistics.median(row.answered):,.0f}",
                *(_shown(row.p50), _shown(row.p99), _shown(row.refusal), _shown(row.cpu, 2)),
                f"{ratio:.2f}" if row.server in (BENTOML, STARLETTE) and math.isfinite(ratio) else "",
            ]
        )
    return found


def _shown(values: Sequence[float], digits: int = 1) -> str:
    value = middle(values)
    return "" if value is None else f"{value:,.{digits}f}"


def picture(rows: Sequence[Measured], file: Path) -> None:
    """Write a PNG: goodput and p99 of single items by callers, a group for each case, a bar for each server."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = drawn.subplots(1, 2)
    single = [row for row in rows if row.items == 1]
    names = {row.callers: row.case.partition(",")[0] for row in single}
    cases = list(names)
    for place, name in enumerate(NAMES):
        own = {row.callers: row for row in single if row.server == name}
        spots = [number + (place - 1.5) * 0.2 for number in range(len(cases))]
        good = [statistics.median(own[case].goodput) for case in cases]
        spread = [
            [value - min(own[case].goodput) for value, case in zip(good, cases, strict=True)],
            [max(own[case].goodput) - value for value, case in zip(good, cases, strict=True)],
        ]
        left.bar(spots, good, 0.2, yerr=spread, label=name, capsize=2)
        right.bar(spots, [middle(own[case].p99) or 0 for case in cases], 0.2, label=name)
    for axes, title in ((left, "items a second answered in time"), (right, "p99 of these, milliseconds")):
        axes.set_title(title)
        axes.set_xticks(range(len(cases)), list(names.values()))
        axes.grid(axis="y", alpha=0.3)
    right.set_yscale("log")
    left.legend(fontsize="small")
    with atomic_write(file, "wb") as target:
        drawn.savefig(target, format="png", dpi=120)
