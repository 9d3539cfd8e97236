"""What the project wants to reach, and what it did: all that was measured, in one table and one picture."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict, cast

from models.errors import ConfigError
from models.files import atomic_write

#: Files of figures that hold ``bars``, and what they are about.
FILES = {
    "speed.json": "a model on one core",
    "training.json": "training",
    "service.json": "the service",
    "files.json": "large files",
    "start.json": "start",
}


class Bar(TypedDict):
    """Something that is wanted. ``score`` tells how well it is kept: 1 or more where it is, 0.5 where half of it is."""

    name: str
    found: float
    wanted: str
    kept: bool
    score: float


def at_least(name: str, wanted: float, found: float) -> Bar:
    """The more the better."""
    return Bar(
        name=name, found=found, wanted=f"≥ {wanted:,g}", kept=found >= wanted, score=found / wanted if wanted else 1.0
    )


def at_most(name: str, wanted: float, found: float) -> Bar:
    """The less the better."""
    return Bar(name=name, found=found, wanted=f"≤ {wanted:,g}", kept=found <= wanted, score=wanted / max(found, 1e-9))


def read_bars(folder: Path) -> list[tuple[str, Bar]]:
    """What is about what, of all figures in ``folder``.

    Raises:
        ConfigError: there are none.
    """
    found: list[tuple[str, Bar]] = []
    for file, about in FILES.items():
        path = folder / file
        if path.is_file():
            found += [(about, _bar(each)) for each in json.loads(path.read_text(encoding="utf-8"))["bars"]]
    if not found:
        raise ConfigError(f"{folder}: expected figures, one of {', '.join(FILES)}, got none; make bench measures them")
    return found


def _bar(each: dict[str, Any]) -> Bar:
    """As it stands, or made of a figure of the service, which has a median, and its bound in words."""
    if "score" in each:
        return cast(Bar, each)
    sign, bound = each["wanted"].split(" ", 1)
    wanted, name = float(bound.replace(",", "")), f"{each['name']}, {each['unit']}"
    return at_least(name, wanted, each["median"]) if sign == "≥" else at_most(name, wanted, each["high"])


def table(bars: Sequence[tuple[str, Bar]]) -> list[list[str]]:
    """A row each: about what, what, found, wanted, whether it is kept."""
    return [
        [about, bar["name"], _shown(bar["found"]), bar["wanted"], "kept" if bar["kept"] else "missed"]
        for about, bar in bars
    ]


def _shown(value: float) -> str:
    return f"{value:,.2f}" if value < 100 else f"{value:,.0f}"


def picture(bars: Sequence[tuple[str, Bar]], file: Path) -> None:
    """How well each is kept, on a line from badly to well, as PNG; right of the mark it is."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 0.34 * len(bars) + 1), layout="constrained")
    axes = figure.subplots()
    for place, (_, bar) in enumerate(bars):
        score = min(max(bar["score"], 0.02), 50)
        colour = "#2563a8" if bar["kept"] else "#c2410c"
        axes.plot([1, score], [place, place], color=colour, linewidth=1.5)
        axes.scatter([score], [place], color=colour, s=28)
    axes.axvline(1, color="#1f2933", linewidth=1)
    axes.set_xscale("log")
    axes.set_xticks([0.1, 0.25, 0.5, 1, 2, 4, 10], ["a tenth", "a quarter", "half", "as wanted", "2 ×", "4 ×", "10 ×"])
    axes.minorticks_off()
    axes.set_yticks(range(len(bars)), [f"{about}: {bar['name']}" for about, bar in bars], fontsize=8)
    axes.invert_yaxis()
    axes.spines[["top", "right", "left"]].set_visible(False)
    with atomic_write(file, "wb") as target:
        figure.savefig(target, format="png", dpi=150)
