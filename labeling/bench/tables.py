"""What was measured, as tables for people."""

from collections.abc import Mapping
from typing import Any

from labeling.bench.circle import gain
from labeling.bench.speed import Speed
from models import terminal

#: Seconds that pushing ten thousand items and pulling a thousand corrections may take.
_MOST_PUSH, _MOST_PULL = 60, 5


def show(figures: Mapping[str, Any]) -> None:
    """Print what corrections are worth: every run, and the means over the seeds."""
    columns = ["set", "task", "seed", "before", "after, chosen", "after, by chance", "for 100, chosen", "by chance"]
    rows = [
        [
            *(row["set"], row["task"], str(row["seed"])),
            *(f"{row[name]:.3f}" for name in ("before", "chosen", "chance")),
            *(f"{gain(row, arm):+.4f}" for arm in ("chosen", "chance")),
        ]
        for row in figures["rows"]
    ]
    for row in figures["summary"]:
        gains = [
            f"{row[f'gain_{arm}']:+.4f}" + ("" if row[f"spread_{arm}"] is None else f" ± {row[f'spread_{arm}']:.4f}")
            for arm in ("chosen", "chance")
        ]
        rows.append(
            [
                *(row["set"], "all tasks" if row["task"] == "all" else row["task"], "mean"),
                *(f"{row[name]:.3f}" for name in ("before", "chosen", "chance")),
                *gains,
            ]
        )
    answers = figures["rows"][0]["answers"]
    terminal.table(
        f"Macro-F1 on rows that nobody touched: {figures['base']:,} labelled rows, then {answers:,} corrections more;"
        f" encoder {figures['encoder']}",
        columns,
        rows,
        left=3,
    )
    missed = [f"{row['set']}, {row['task']}" for row in figures["summary"] if not row["reached"]]
    if missed:
        terminal.warn(f"the choice gained no more than chance on: {'; '.join(missed)}")


def show_speed(found: Speed) -> None:
    """Print what the commands took, and what they may take."""
    rows = [
        ["push", f"{found.pushed:,} items", f"{found.push_seconds:.1f}", f"{_MOST_PUSH} for 10,000"],
        ["pull", f"{found.pulled:,} corrections", f"{found.pull_seconds:.1f}", f"{_MOST_PULL} for 1,000"],
    ]
    terminal.table(
        "Whole commands against a Label Studio on this machine", ["", "", "seconds", "at most"], rows, left=2
    )
