"""The figures of `label status` as tables for a terminal."""

from collections.abc import Mapping
from typing import Any

from labeling.status.estimates import FEW
from models import terminal

Figures = Mapping[str, Any]

#: Items to be settled that are named.
_NAMED = 10


def show(figures: Figures, project: int) -> None:
    """Print what :func:`labeling.status.status.status` found."""
    counts = figures["progress"]
    names = {
        "pushed": "pushed",
        "settled": "settled",
        "to_be_settled": "annotators differ",
        "cannot_tell": "cannot tell",
        "not_feedback": "not feedback",
        "skipped": "skipped",
        "waiting": "waiting for an answer",
    }
    rows = [[name, str(counts[key]), _part(counts[key], counts["pushed"])] for key, name in names.items()]
    terminal.table(f"Project {project}, items", ["", "items", "of those pushed"], rows)
    people = [["all", figures["people"]["all"]], *figures["people"]["each"].items()]
    rows = [
        [who, str(one["answers"]), _number(one["median_seconds"]), _number(one["most_seconds"])] for who, one in people
    ]
    terminal.table("Answers", ["by", "answers", "seconds, median", "nine of ten within"], rows)
    _show_agreement(figures["agreement"])
    rows = [
        [task, *[cell for name in ("shown", "blind") for cell in _cells(found[name])]]
        for task, found in figures["acceptance"].items()
    ]
    columns = ["task", "shown", "left as it was (95 %)", "not shown", "met all the same (95 %)"]
    terminal.table("Predictions and what people settled on", columns, rows)
    _show_audit(figures["audit"])
    for one in figures["open"][:_NAMED]:
        terminal.say(f"to be settled: item {one['item']}: {'; '.join(one['what'])} ({', '.join(one['by'])})")
    if len(figures["open"]) > _NAMED:
        terminal.say(f"and {len(figures['open']) - _NAMED} more; --json lists all")
    for reject in figures["rejects"]:
        terminal.warn(reject)
    if counts["unreadable_annotations"]:
        terminal.warn(f"{counts['unreadable_annotations']} answer(s) cannot be used; feedback label pull says why")


def _show_agreement(agreement: Figures) -> None:
    rows = []
    for task, found in agreement["tasks"].items():
        rows.append([task, "labels", *_alpha(found["labels"])])
        if "scale" in found:
            rows.append(["", "place on the scale", *_alpha(found["scale"])])
        # a label that nobody gave has no alpha
        rows += [["", key, *_alpha(one)] for key, one in found.get("per_label", {}).items() if one["alpha"] is not None]
    title = f"Agreement of annotators (Krippendorff's alpha), {agreement['answered_twice']} items answered twice"
    terminal.table(title, ["task", "", "items", "alpha", "95 %"], rows, left=2)


def _show_audit(audit: Figures) -> None:
    rows = []
    for task, found in audit["tasks"].items():
        rows.append([task, "accuracy", *_cells(found["accuracy"]), "", "", ""])
        for by, values in found["slices"].items():
            rows += [["", f"{by} {value}", *_cells(one), "", "", ""] for value, one in values.items()]
        for label, one in found["per_label"].items():
            whole = one["precision"]["share"], one["recall"]["share"]
            rows.append(["", label, str(one["given"]), "", *map(_share, whole), _interval(one["f1"], "f1")])
    title = f"The model on live data: {audit['answered']} of {audit['drawn']} items that chance drew, weighted"
    columns = ["task", "", "items", "accuracy (95 %)", "precision", "recall", "F1 (95 %)"]
    terminal.table(title, columns, rows, left=2)
    if audit["answered"] < FEW:
        terminal.say(f"of {audit['answered']} items these figures are little more than chance; the intervals tell")


def _cells(found: Figures) -> list[str]:
    return [str(found["n"]), _interval(found, "share")]


def _alpha(found: Figures) -> list[str]:
    ends = "too few" if found["low"] is None else f"{found['low']:.2f} to {found['high']:.2f}"
    return [str(found["units"]), "–" if found["alpha"] is None else f"{found['alpha']:.2f}", ends]


def _interval(found: Figures, name: str) -> str:
    ends = "" if found["low"] is None else f" ({found['low']:.3f} to {found['high']:.3f})"
    return _share(found[name]) + ends


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _part(count: int, whole: int) -> str:
    return f"{count / whole:.0%}" if whole else "–"
