"""The comparison as tables and as a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models.figures import Figure
from models.files import atomic_write
from training.bench.speed.ours import CHOSEN, LINEAR

COLUMNS = ["", "texts a second", "lowest–highest", "beside the best other", "largest shift", "other answers"]
#: What each group is compared with; the floor stands for itself.
_OURS = {"encoder": CHOSEN, "n-grams": LINEAR}


def tables(report: dict[str, Any]) -> list[tuple[str, list[str], list[list[str]]]]:
    """Titles, columns and rows: a table for each set of texts, and one of the bounds."""
    found = []
    for one in report["sets"]:
        best = _best_other(one["rates"])
        rows = []
        for rate in sorted(one["rates"], key=lambda rate: (rate["group"], -rate["median"])):
            times = rate["median"] / best[rate["group"]] if rate["group"] in best else None
            rows.append(
                [
                    rate["name"],
                    f"{rate['median']:,.0f}",
                    f"{rate['low']:,.0f}–{rate['high']:,.0f}",
                    "" if times is None else f"{times:.2f} ×",
                    "" if rate["shift"] is None else f"{rate['shift']:.4f}",
                    "" if rate["changed"] is None else f"{rate['changed']:.1%}",
                ]
            )
        found.append((f"{one['name']} ({one['texts']} of {one['tokens']:.0f} tokens), one core", COLUMNS, rows))
    rows = [Figure(**bar).as_row() for bar in report["bars"]]
    cascade = report["cascade"]
    for task, (some, every) in cascade["macro_f1"].items():
        shown = f"{some:.3f} with it, {every:.3f} without"
        rows.append([f"cascade, macro-F1 of {task} ({cascade['by_linear']:.0%} by n-grams alone)", shown, "", ""])
    return [*found, ("What the project wants to reach", ["", "found", "wanted", ""], rows)]


def _best_other(rates: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The rate of the fastest of each group that is none of ours."""
    found: dict[str, float] = {}
    for rate in rates:
        if rate["group"] in _OURS and not rate["name"].startswith("ours"):
            found[rate["group"]] = max(rate["median"], found.get(rate["group"], 0.0))
    return found


def picture(report: dict[str, Any], file: Path) -> None:
    """Bars of every rate, a panel for each set of texts, as PNG."""
    # imported here: it is slow to load
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    sets = report["sets"]
    figure, panels = plt.subplots(
        1, len(sets), figsize=(4.2 * len(sets) + 2.5, 0.34 * len(sets[0]["rates"]) + 1.2), sharey=True, squeeze=False
    )
    order = sorted(sets[0]["rates"], key=lambda rate: (rate["group"], -rate["median"]))
    names = [rate["name"] for rate in order]
    for axes, one in zip(panels[0], sets, strict=True):
        by_name = {rate["name"]: rate for rate in one["rates"]}
        for place, name in enumerate(names):
            rate = by_name[name]
            colour = "#2563a8" if name.startswith("ours") else "#c9ced6" if rate["group"] == "floor" else "#9aa5b1"
            spread = [[rate["median"] - rate["low"]], [rate["high"] - rate["median"]]]
            axes.barh(place, rate["median"], color=colour, height=0.7, xerr=spread, ecolor="#1f2933")
            axes.text(rate["high"] * 1.15, place, f"{rate['median']:,.0f}", va="center", fontsize=8)
        axes.set_xscale("log")
        axes.set_xlim(right=3 * max(rate["high"] for rate in one["rates"]))
        axes.set_title(one["name"], fontsize=10)
        axes.set_xlabel("texts a second, one core")
        axes.spines[["top", "right"]].set_visible(False)
    panels[0][0].set_yticks(range(len(names)), names, fontsize=8)
    panels[0][0].invert_yaxis()
    figure.tight_layout()
    with atomic_write(file, "wb") as target:
        figure.savefig(target, format="png", dpi=150)
    plt.close(figure)
