"""Pictures of a report, as SVG to stand within a page."""

import io
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import matplotlib

matplotlib.use("svg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

INK, GREY, BLUE, RED = "#1f2933", "#9aa5b1", "#2563a8", "#c2410c"
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "feedback",
    "text.parse_math": False,  # a label may hold a dollar sign
    "font.family": "sans-serif",
    "font.sans-serif": ["system-ui", "DejaVu Sans"],
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
}
_MOST_LABELS = 25


def parts(named: Mapping[str, float], interval: Sequence[float] | None) -> str:
    """Macro-F1 of each part as bars, the whole model last, with its interval."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(5.2, 0.5 + 0.42 * len(named)))
        names, values = list(named), list(named.values())
        colours = [*[GREY] * (len(names) - 1), BLUE]
        axes.barh(names, values, color=colours, height=0.62)
        if interval is not None:
            low, high = interval
            error = [[max(0.0, values[-1] - low)], [max(0.0, high - values[-1])]]
            axes.errorbar([values[-1]], [names[-1]], xerr=error, color=INK, capsize=3, linewidth=1.2)
        for place, value in enumerate(values):
            axes.text(0.01, place, f"{value:.3f}", va="center", color="white" if value > 0.12 else INK)
        axes.set_xlim(0, 1)
        axes.invert_yaxis()
        axes.set_xlabel("macro-F1")
        return _svg(figure)


def reliability(bins: Sequence[Sequence[float]]) -> str:
    """Stated probability against how often it held; on the line it means what it says."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(3.6, 3.4))
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--")
        most = max((number for _, _, number in bins), default=1)
        axes.scatter(
            [stated for stated, _, _ in bins],
            [held for _, held, _ in bins],
            s=[20 + 50 * number / most for _, _, number in bins],
            color=BLUE,
            alpha=0.85,
            linewidths=0,
        )
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="stated probability", ylabel="share that held")
        return _svg(figure)


def risk_coverage(curve: Sequence[Sequence[float]], kept: tuple[float, float] | None) -> str:
    """The share of wrong answers among the surest ones; a dot where the model stops."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(3.6, 3.4))
        axes.plot([coverage for coverage, _ in curve], [risk for _, risk in curve], color=BLUE, linewidth=1.8)
        if kept is not None:
            axes.plot(*kept, marker="o", color=RED)
            axes.annotate("kept", kept, textcoords="offset points", xytext=(-8, 8), color=RED, ha="right")
        top = max([risk for _, risk in curve] + ([kept[1]] if kept else []) + [0.05])
        axes.set(xlim=(0, 1), ylim=(0, top * 1.15), xlabel="share of answers kept, surest first", ylabel="share wrong")
        return _svg(figure)


def confusion(pairs: Sequence[Sequence[Any]], order: Sequence[str]) -> str | None:
    """Labels given against labels said; None where there are too many labels to be read."""
    labels = [label for label in order if any(label in pair[:2] for pair in pairs)]
    labels += sorted({str(label) for pair in pairs for label in pair[:2]} - set(labels))
    if len(labels) > _MOST_LABELS:
        return None
    place = {label: number for number, label in enumerate(labels)}
    counts = [[0] * len(labels) for _ in labels]
    for given, said, count in pairs:
        counts[place[given]][place[said]] = count
    shares = [[count / max(1, sum(row)) for count in row] for row in counts]
    with plt.rc_context(STYLE):
        side = 1.6 + 0.42 * len(labels)
        figure, axes = plt.subplots(figsize=(side + 1.2, side))
        edges = [place - 0.5 for place in range(len(labels) + 1)]
        axes.pcolormesh(edges, edges, shares, cmap="Blues", vmin=0, vmax=1, edgecolors="white", linewidth=1)
        axes.set_aspect("equal")
        axes.invert_yaxis()
        _name_axes(axes, labels)
        for row, line in enumerate(counts):
            for column, count in enumerate(line):
                if count:
                    colour = "white" if shares[row][column] > 0.5 else INK
                    axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=8)
        return _svg(figure)


def trials(reached: Sequence[float | None], chosen: int) -> str:
    """Macro-F1 of the trials of a search in their order, the best so far as a line; one that failed is left out."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(5.2, 2.6))
        places = [place for place, value in enumerate(reached, start=1) if value is not None]
        values = [value for value in reached if value is not None]
        axes.step(places, list(accumulate(values, max)), where="post", color=GREY, linewidth=1.2)
        colours = [RED if place == chosen else BLUE for place in places]
        axes.scatter(places, values, s=30, color=colours, linewidths=0, zorder=2)
        axes.set(xlim=(0.5, len(reached) + 0.5), xlabel="trial", ylabel="macro-F1 on dev")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        return _svg(figure)


def _name_axes(axes: Axes, labels: Sequence[str]) -> None:
    names = [label or "(none)" for label in labels]
    axes.set_xticks(range(len(labels)), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(labels)), names)
    axes.set(xlabel="said", ylabel="given")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    undated = {"Date": None, "Creator": None}
    figure.savefig(buffer, format="svg", bbox_inches="tight", transparent=True, metadata=undated)
    plt.close(figure)
    text = buffer.getvalue()
    return text[text.index("<svg") :]
