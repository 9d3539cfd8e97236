"""The trials of a search for people: a sentence on what was chosen, and a row for each."""

from collections.abc import Mapping, Sequence
from typing import Any

#: A trial as ``report.json`` has it, see :class:`training.search.Trial`.
Row = Mapping[str, Any]


def columns(trials: Sequence[Row]) -> list[str]:
    """Headings of :func:`rows`; the first two are of text."""
    return ["trial", "", "macro-F1", *trials[0]["settings"], "seconds"]


def rows(trials: Sequence[Row]) -> list[list[str]]:
    """Per trial its number, what became of it, its macro-F1 on dev, its settings and how long it took."""
    return [
        [
            str(trial["number"]),
            _fate(trial),
            "–" if trial["macro_f1"] is None else f"{trial['macro_f1']:.3f}",
            *[f"{value:.3g}" for value in trial["settings"].values()],
            f"{trial['seconds']:.1f}",
        ]
        for trial in trials
    ]


def verdict(trials: Sequence[Row]) -> str:
    """What was chosen, how much better it was on dev than the settings given, and what that is worth."""
    given, chosen = trials[0], next(trial for trial in trials if trial["chosen"])
    reached = f"macro-F1 {chosen['macro_f1']:.3f} of the encoder alone on dev"
    if chosen is given:
        return f"chosen: the settings given, {reached}, the best of {len(trials)} trial(s)"
    settings = ", ".join(f"{name} {value:.3g}" for name, value in chosen["settings"].items())
    if given["macro_f1"] is None:
        gain = "where the settings given failed"
    else:
        gain = f"{chosen['macro_f1'] - given['macro_f1']:.3f} above the settings given"
    return (
        f"chosen: trial {chosen['number']} of {len(trials)} ({settings}), {reached}, {gain}; "
        "dev chose it and flatters it: measure on rows that had no part in this"
    )


def _fate(trial: Row) -> str:
    words = ["as given"] if trial["number"] == 1 else []
    if trial["chosen"]:
        words.append("chosen")
    elif trial["state"] != "complete":
        words.append({"pruned": "given up", "failed": "failed"}[trial["state"]])
    return ", ".join(words)
