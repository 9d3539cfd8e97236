"""What the project wants to reach, and what it did: all that was measured, in one table and one picture."""

import json
from collections.abc import Sequence
from pathlib import Path

from models.errors import ConfigError
from models.figures import Figure
from models.files import atomic_write

#: Files of figures that hold ``bars``, and what they are about.
FILES = {
    "speed.json": "a model on one core",
    "training.json": "training",
    "service.json": "the service",
    "files.json": "large files",
    "start.json": "start",
}


def read_bars(folder: Path) -> list[tuple[str, Figure]]:
    """What is about what, of all figures in ``folder``.

    Raises:
        ConfigError: there are none.
    """
    found: list[tuple[str, Figure]] = []
    for file, about in FILES.items():
        path = folder / file
        if path.is_file():
            found += [(about, Figure(**each)) for each in json.loads(path.read_text(encoding="utf-8"))["bars"]]
    if not found:
        raise ConfigError(f"{folder}: expected figures, one of {', '.join(FILES)}, got none; make bench measures them")
    return found


def picture(bars: Sequence[tuple[str, Figure]], file: Path) -> None:
    """How well each is kept, on a line from badly to well, as PNG; right of the mark it is."""
    from matplotlib.figure import Figure as Drawing

    figure = Drawing(figsize=(9, 0.34 * len(bars) + 1), layout="constrained")
    axes = figure.subplots()
    for place, (_, bar) in enumerate(bars):
        score = min(max(bar.score or 0.0, 0.02), 50)
        colour = "#2563a8" if bar.reached else "#c2410c"
        axes.plot([1, score], [place, place], color=colour, linewidth=1.5)
        axes.scatter([score], [place], color=colour, s=28)
    axes.axvline(1, color="#1f2933", linewidth=1)
    axes.set_xscale("log")
    axes.set_xticks([0.1, 0.25, 0.5, 1, 2, 4, 10], ["a tenth", "a quarter", "half", "as wanted", "2 ×", "4 ×", "10 ×"])
    axes.minorticks_off()
    axes.set_yticks(range(len(bars)), [f"{about}: {bar.name}" for about, bar in bars], fontsize=8)
    axes.invert_yaxis()
    axes.spines[["top", "right", "left"]].set_visible(False)
    with atomic_write(file, "wb") as target:
        figure.savefig(target, format="png", dpi=150)
