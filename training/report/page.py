"""A report for people: one page that stands by itself, and a model card."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from training.report import pictures, trials
from training.report.regime import in_words

_ORDER = ("majority", "linear", "transformer")


def page(figures: Mapping[str, Any], *, title: str, model: Mapping[str, Any], texts: Mapping[str, str]) -> str:
    """HTML with pictures and tables of the figures that :func:`training.evaluate.report` gives.

    Everything that comes from data is escaped; nothing is loaded from elsewhere, and no script runs.

    Args:
        figures: of the model on the rows.
        title: what was measured on what.
        model: what the page tells of the model, name to value.
        texts: texts of rows by their place, shown beside the worst errors; {} shows places alone.
    """
    tasks = {name: _task(name, figures, texts) for name in figures["tasks"]}
    template = _environment().get_template("page.html.j2")
    search = _search(figures["search"]) if "search" in figures else None
    return template.render(title=title, model=model, figures=figures, tasks=tasks, search=search)


def card(figures: Mapping[str, Any] | None, manifest: Mapping[str, Any], corrections: str | None = None) -> str:
    """A model card in Markdown (Mitchell et al. 2019): what it is, what it was made from, how good it is.

    ``corrections`` says in a line what later data changed.
    """
    search = trials.verdict(figures["search"]) if figures and "search" in figures else None
    regime = in_words(figures["regime"]) if figures and "regime" in figures else None
    template = _environment().get_template("card.md.j2")
    return template.render(figures=figures, manifest=manifest, search=search, regime=regime, corrections=corrections)


def _task(name: str, figures: Mapping[str, Any], texts: Mapping[str, str]) -> dict[str, Any]:
    whole = figures["tasks"][name]
    shown = {part: found[name]["macro_f1"] for part in _ORDER if name in (found := figures["parts"].get(part, {}))}
    kept = None if whole["kept_precision"] is None else (whole["coverage"], 1 - whole["kept_precision"])
    drawn = {
        "parts": pictures.parts({**shown, "whole": whole["macro_f1"]}, whole["intervals"]["macro_f1"]),
        "reliability": pictures.reliability(whole["reliability"]),
        "risk_coverage": pictures.risk_coverage(whole["risk_coverage"], kept),
        "confusion": pictures.confusion(whole["confusion"], list(whole["per_label"])) if whole["confusion"] else None,
    }
    return {
        "whole": whole,
        "pictures": {what: _as_is(svg) for what, svg in drawn.items() if svg},
        "slices": {
            by: {value: found[name] for value, found in values.items() if name in found}
            for by, values in figures["slices"].items()
        },
        "worst": [
            {**error, "place": Path(error["place"]).name, "text": texts.get(error["place"], "")}
            for error in whole["worst"]
        ],
    }


def _search(found: Sequence[trials.Row]) -> dict[str, Any]:
    chosen = next(trial["number"] for trial in found if trial["chosen"])
    picture = pictures.trials([trial["macro_f1"] for trial in found], chosen)
    return {
        "verdict": trials.verdict(found),
        "picture": _as_is(picture),
        "columns": trials.columns(found),
        "rows": trials.rows(found),
        "chosen": chosen,
        "failed": {trial["number"]: trial["reason"] for trial in found if trial["reason"]},
    }


def _as_is(svg: str) -> Markup:
    """A picture that is not to be escaped again."""
    return Markup(svg)  # noqa: S704 (matplotlib drew it here and escaped the texts in it)


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=select_autoescape(["html.j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["share"] = lambda value: "–" if value is None else f"{value:.3f}"
    environment.filters["percent"] = lambda value: "–" if value is None else f"{value:.0%}"
    environment.filters["named"] = lambda labels: ", ".join(labels) or "(none)"
    return environment
