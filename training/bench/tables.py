"""What was measured, for people: tables for the terminal and a page in Markdown."""

from collections.abc import Iterator, Mapping
from statistics import mean, stdev
from typing import Any

#: As :func:`training.bench.quality.measure` gives them.
Figures = dict[str, Any]


def tables(report: Figures) -> Iterator[tuple[str, list[str], list[list[str]], int]]:
    """The report as tables: title, columns, rows, and how many columns are names."""
    rows = []
    for row in report["sets"]:
        figures, parts = row["figures"], row["parts"]
        better = max(parts[part]["macro_f1"] for part in ("linear", "transformer") if part in parts)
        rows.append(
            [
                *(row["set"], row["task"], row["encoder"]),
                f"{row['learned']:,}{' (sample)' if row['sampled'] else ''} → {figures['n']:,}",
                *(f"{parts[part]['macro_f1']:.3f}" for part in ("linear", "transformer")),
                f"{figures['macro_f1']:.3f} ({figures['macro_f1'] - better:+.3f})",
                *(f"{figures[key]:.3f}" for key in ("accuracy", "micro_f1", "ece")),
                f"{figures['coverage']:.2f} / {figures['kept_precision'] or 0:.3f}",
                f"{figures['answered_by_linear'] or 0:.2f}",
                f"{row['seconds']:,.0f}",
                "; ".join(map(_verdict, row["targets"])),
            ]
        )
    columns = ["set", "task", "encoder", "rows", "linear", "transformer", "combined (to the better part)", "accuracy"]
    columns += ["micro-F1", "calibration error", "kept / right of these", "by linear", "seconds", "target"]
    yield "Trained on train, measured on dev (macro-F1 where nothing else is said)", columns, rows, 3
    rows = []
    for row in report["few"]:
        numbers = []
        for side in ("ours", "SetFit"):
            found = [run[side]["macro_f1"] for run in row["runs"]]
            spread = f" ± {stdev(found):.3f}" if len(found) > 1 else ""
            numbers += [f"{mean(found):.3f}{spread}", f"{mean(run[side]['seconds'] for run in row['runs']):,.0f}"]
        ways = ", ".join(sorted({run["regime"]["name"] for run in row["runs"]}))
        rows.append([row["set"], row["encoder"], ways, str(row["per_label"]), *numbers])
    if rows:
        columns = ["set", "encoder", "way", "rows of a label", "macro-F1", "seconds", "SetFit macro-F1", "seconds"]
        yield "Few labels, mean over seeds", columns, rows, 3


def _verdict(target: Mapping[str, Any]) -> str:
    value = target["reached"]
    what = target["figure"].replace("_", " ") + (f" of {target['product']}" if "product" in target else "")
    if value is None:
        return f"{what} not measured"
    return f"{what} {value:.3f} {'≥' if value >= target['least'] else '<'} {target['least']}"


def markdown(report: Figures) -> str:
    """The tables, and under them the commands of every row."""
    parts = []
    for title, columns, rows, names in tables(report):
        lines = [columns, ["---"] * names + ["---:"] * (len(columns) - names), *rows]
        parts.append(f"## {title}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines))
    commands = [command for row in report["sets"] for command in row["commands"]]
    commands += [command for row in report["few"] for run in row["runs"] for command in run["commands"]]
    parts.append("## Commands\n\n```\n" + "\n".join(dict.fromkeys(commands)) + "\n```")
    return "\n\n".join(["# Quality", *parts]) + "\n"
