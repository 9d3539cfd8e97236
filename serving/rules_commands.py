"""The commands `feedback rules …`: thin parsers around importable functions."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from models import terminal
from models.errors import ConfigError
from serving import options
from serving.options import Json, Store
from serving.rules_inputs import bounds_of, item_of, stored_item, stored_lines
from serving.settings import load_settings

if TYPE_CHECKING:
    from models.labels import LabelSchema
    from serving.routing.check import Report

rules = typer.Typer(no_args_is_help=True, add_completion=False)

RulesFile = Annotated[Path | None, typer.Argument(metavar="[RULES]", help="The rules; else those shipped.")]
Labels = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Label schema the rules must fit; else the default taxonomy.")
]
Model = Annotated[Path | None, typer.Option(metavar="DIR", help="A model, for cases that give a text only.")]
CasesFile = Annotated[Path | None, typer.Option(metavar="FILE", help="The cases; else RULES' own, *.cases.toml.")]


@rules.callback(epilog="Start with: feedback rules check my-routing.toml")
def _rules() -> None:
    """Check, explain, test and replay routing rules."""


@rules.command("check")
def rules_check(
    file: RulesFile = None,
    labels: Labels = None,
    cases: CasesFile = None,
    model: Model = None,
    form: Annotated[
        str, typer.Option("--format", metavar="text|json|github", help="How findings are written.")
    ] = "text",
    notes: Annotated[bool, typer.Option("--notes", help="Show notes too, not only how many there are.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings count as errors.")] = False,
) -> None:
    """Check a rules file and report every fault at once, each with its line.

    Ends with 0 where the rules can be taken into use, with 2 where they have an error (with --strict, or a warning).

    Example: feedback rules check my-routing.toml --labels models/labels.toml
    """
    from serving.routing.check import FORMATS

    if form not in FORMATS:
        raise ConfigError(f"--format: expected one of {', '.join(FORMATS)}, got {form!r}")
    report = _report(file, labels, cases, model)
    if form == "json":
        typer.echo(report.as_json())
    elif form == "github":
        typer.echo(report.as_github())
    else:
        _show(report, notes)
    if report.of("error") or (strict and report.of("warning")):
        raise typer.Exit(2)


@rules.command("test")
def rules_test(file: RulesFile = None, labels: Labels = None, cases: CasesFile = None, model: Model = None) -> None:
    """Decide the cases beside a rules file and say which come out otherwise than expected.

    Ends with 0 where all come out, else with 2.

    Example: feedback rules test my-routing.toml
    """
    from serving.routing.cases import beside

    report = _report(file, labels, cases, model)
    if report.rules is None:
        _show(report, notes=False)
        raise typer.Exit(2)
    if cases is None and not beside(report.path).exists():
        raise ConfigError(f"{beside(report.path)}: there are no cases; write some, or name them with --cases")
    wrong = [one for one in report.findings if one.file is not None]  # those of the cases
    for finding in wrong:
        terminal.say(report.line(finding))
    terminal.say(f"{report.cases} case(s) decided, {len(wrong)} difference(s){_left_out(report)}")
    if wrong:
        raise typer.Exit(2)


@rules.command("explain")
def rules_explain(
    text: Annotated[str | None, typer.Argument(help="The feedback; or give --id.")] = None,
    identity: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="Of a stored item, instead of a text.")
    ] = None,
    store: Store = None,
    model: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The model; else FEEDBACK_MODEL or current.")
    ] = None,
    file: Annotated[Path | None, typer.Option("--rules", metavar="FILE", help="The rules; else those shipped.")] = None,
    given: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="A further field of the item, e.g. nps=3. Repeatable."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what the model makes of a text, which words carried that, who gets it, and why.

    Example: feedback rules explain "The charger caught fire" --set channel=email
    """
    import json
    from datetime import UTC, datetime

    from serving.explain import carried
    from serving.routing.decide import decide
    from serving.routing.load import DEFAULT_RULES, load_rules
    from serving.rules_view import explanation_json, show_explanation

    settings = load_settings(model=model, rules=file, store=store)
    if (text is None) == (identity is None):
        raise ConfigError("expected a text, or --id ID of a stored item")
    item = item_of(text, given or []) if text is not None else stored_item(settings.address, str(identity))
    classifier = options.load_model(settings.model, terminal.Terminal())
    rules = load_rules(settings.rules or DEFAULT_RULES, classifier.schema if settings.rules else None)
    prediction = classifier.predict([item])[0]
    words = carried(classifier, item, prediction)
    decision = decide(item, prediction, rules, datetime.now(UTC))
    if as_json:
        typer.echo(json.dumps(explanation_json(item, prediction, words, decision), ensure_ascii=False, indent=2))
    else:
        show_explanation(item, prediction, words, decision)


@rules.command("replay")
def rules_replay(
    data: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Past items with predictions, as `classify` writes them; else those stored."),
    ] = None,
    store: Store = None,
    old: Annotated[Path | None, typer.Option(metavar="RULES", help="The rules before; else those shipped.")] = None,
    new: Annotated[Path | None, typer.Option(metavar="RULES", help="The rules after; else the same.")] = None,
    against: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The same items with the predictions of another model, which come after."),
    ] = None,
    max_moved: Annotated[str | None, typer.Option(metavar="SHARE", help="Fail where more items move, e.g. 5%.")] = None,
    max_load: Annotated[
        list[str] | None,
        typer.Option(metavar="TEAM=N/day", help="Fail where a team would get more items on a day. Repeatable."),
    ] = None,
    labels: Labels = None,
    as_json: Json = False,
) -> None:
    """Decide past items by old and by new rules (or with the answers of two models), and say what moves.

    Ends with 2 where a bound that was given is broken.

    Example: feedback rules replay --old routing.toml --new my-routing.toml --data answers.jsonl --max-moved 5%
    """
    from serving.routing.history import read_lines
    from serving.routing.load import DEFAULT_RULES, load_rules
    from serving.routing.replay import as_json as json_of
    from serving.routing.replay import replay_files
    from serving.rules_view import show_replay

    if new is None and against is None:
        raise ConfigError("expected --new RULES, --against FILE or both: without them nothing changes")
    bounds = bounds_of(max_moved, max_load or [])
    schema = _schema(labels) if labels else None
    before = old or DEFAULT_RULES
    after = load_rules(new or before, schema)
    load_rules(before, schema)  # so that its faults are told before the work begins
    if data is not None:
        lines = read_lines(data, against)
    elif against is None:
        lines = stored_lines(load_settings(store=store).address)
    else:
        raise ConfigError("--against FILE needs --data FILE with the same items")
    with terminal.Terminal().stage("replaying", None, "items") as advance:
        found, rejected, first = replay_files(lines, before, new or before, schema, advance)
    if rejected:
        terminal.warn(f"{rejected:,} row(s) left out; first: {first}")
    if as_json:
        typer.echo(json_of(found))
    else:
        show_replay(found, {team: found.busiest(team) for team in found.teams})
    if broken := bounds.broken(found, after):
        for one in broken:
            terminal.say(f"too much: {one}")
        raise typer.Exit(2)


@rules.command("bench")
def rules_bench(
    repeats: Annotated[int, typer.Option(min=1, help="Runs of each engine.")] = 5,
    items: Annotated[int, typer.Option(min=1, help="Items that are replayed.")] = 100_000,
    as_json: Json = False,
) -> None:
    """Measure decisions a second on one core, beside rule-engine and CEL on equivalent rules, and a long replay.

    Example: feedback rules bench
    """
    import json
    from dataclasses import asdict

    try:
        from serving.bench.rules import bench, bench_replay

        found = bench(terminal.Terminal(), repeats)
        seconds, moved = bench_replay(terminal.Terminal(), items)
    except ImportError as error:
        raise ConfigError(f"{error.name} is not installed; pip install 'feedback-classifier[peers]'") from None
    if as_json:
        replayed = {"items": items, "seconds": seconds, "moved": moved}
        typer.echo(json.dumps({"engines": [asdict(one) for one in found], "replay": replayed}, indent=2))
        return
    columns = ["rules", "engine", "decisions a second", "lowest to highest", "ours is faster by"]
    rows = [
        [one.rules, one.engine, f"{one.rate:,.0f}", f"{one.lowest:,.0f} to {one.highest:,.0f}", f"{one.ratio:,.1f} ×"]
        for one in found
    ]
    terminal.table("decisions on one core", columns, rows, left=2)
    terminal.say(
        f"replay of {items:,} items by the shipped rules and more urgent ones: {seconds:.1f} s, {moved:,} move"
    )


def _report(file: Path | None, labels: Path | None, cases: Path | None, model: Path | None) -> "Report":
    from serving.routing.check import check
    from serving.routing.load import DEFAULT_RULES

    classify = None
    if model is not None:
        classifier = options.load_model(model, terminal.Terminal())
        classify = classifier.predict
        schema = classifier.schema if labels is None else _schema(labels)
    else:
        schema = _schema(labels)
    return check(file or DEFAULT_RULES, schema, cases=cases, classify=classify)


def _schema(labels: Path | None) -> "LabelSchema":
    from models.labels import DEFAULT_SCHEMA, LabelSchema

    return LabelSchema.load(labels or DEFAULT_SCHEMA)


def _show(report: "Report", notes: bool) -> None:
    shown = [one for one in report.findings if notes or one.severity != "note"]
    for finding in sorted(shown, key=lambda one: ("error", "warning", "note").index(one.severity)):
        terminal.say(report.line(finding))
    counts = f"{len(report.of('error'))} error(s), {len(report.of('warning'))} warning(s)"
    hidden = len(report.of("note"))
    more = f", {hidden} note(s)" + ("" if notes else " (--notes shows them)") if hidden else ""
    whole = "cannot be used"
    if report.rules is not None:
        file = report.rules.file
        sound = "sound" if not report.of("error") else "not fit for use"
        whole = f"{sound}; {len(file.rules)} rules, {len(file.teams)} teams, {report.cases} cases"
    terminal.say(f"{report.path.name}: {whole}; {counts}{more}{_left_out(report)}")


def _left_out(report: "Report") -> str:
    return f"; {report.left_out} case(s) need a model: --model DIR" if report.left_out else ""
