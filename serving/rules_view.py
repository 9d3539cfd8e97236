"""What the commands `feedback rules explain` and `replay` show."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from models import terminal
from models.records import FeedbackItem, Prediction
from serving.explain import Word, strongest
from serving.routing.decision import Decision
from serving.routing.replay import Move, Replay

#: Pairs of teams shown between which items move: those with the most.
_MATRIX_ROWS = 20


def show_explanation(
    item: FeedbackItem, prediction: Prediction, words: Mapping[str, Mapping[str, Sequence[Word]]], decision: Decision
) -> None:
    """Prediction, the words that carried it, the way through the rules, and the decision."""
    scope = ", out of scope" if prediction.out_of_scope else ""
    terminal.say(
        f"language {prediction.language}, answered by {prediction.tier}{scope}, model {prediction.model.version}"
    )
    for task, labels in words.items():
        answer = prediction.tasks[task]
        if not labels:
            terminal.say(f"{task}: none" + (", not sure" if answer.abstained else ""))
        for label, carried in labels.items():
            sure = f"{answer.probabilities.get(label, answer.confidence):.2f}" + (
                ", not sure" if answer.abstained else ""
            )
            terminal.console.print(Text.assemble((f"{task}: {label}", "bold"), f" ({sure})"), soft_wrap=True)
            terminal.console.print(Text("  ").append_text(_marked(item.text, carried)), soft_wrap=True)
            said = [f"{item.text[one.start : one.end]} {one.weight:+.2f}" for one in strongest(carried)]
            terminal.say(f"  {'carried by ' + ', '.join(said) if said else 'no single word carries it'}")
    passed = [[rule, f"not: {failed}"] for rule, failed in (decision.passed_over or {}).items()]
    fired = [[f"→ {decision.rule}", "; ".join(decision.reasons)]]
    terminal.table(
        "the way through the rules", ["rule", "first condition that failed, or all that held"], passed + fired, left=2
    )
    due = "no time set" if decision.due_at is None else f"due {decision.due_at:%a %Y-%m-%d %H:%M %Z}"
    terminal.console.print(
        Text.assemble(
            "owner ",
            (decision.team, "bold green"),
            f", urgency {decision.urgency}, {due}, deliver {decision.deliver}",
        )
    )
    extra = {"also tell": decision.notify, "tags": decision.tags, "by rules": decision.also}
    for name, values in extra.items():
        if values:
            terminal.say(f"{name}: {', '.join(values)}")
    if decision.needs_review:
        terminal.say("people look at it")
    terminal.say(f"rules version {decision.rules_version}")


def explanation_json(
    item: FeedbackItem, prediction: Prediction, words: Mapping[str, Mapping[str, Sequence[Word]]], decision: Decision
) -> dict[str, Any]:
    """The same for machines."""
    return {
        "prediction": prediction.model_dump(mode="json"),
        "decision": decision.model_dump(mode="json"),
        "words": {
            task: {
                label: [{"text": item.text[one.start : one.end], **one._asdict()} for one in carried]
                for label, carried in labels.items()
            }
            for task, labels in words.items()
        },
    }


def show_replay(found: Replay, busiest: Mapping[str, tuple[int, int]]) -> None:
    """What moves: by team, urgency and due time, from where to where, and examples."""
    terminal.say(
        f"{found.n:,} items decided both ways: {found.moved:,} move ({found.share_moved:.2%}), "
        f"{found.other_rule:,} only take another rule"
    )
    terminal.table(
        "team",
        ["team", "before", "after", "change", "most a day before", "after"],
        [
            [team, f"{one:,}", f"{other:,}", _change(one, other), *(f"{most:,}" for most in busiest[team])]
            for team, (one, other) in found.teams.items()
        ],
    )
    terminal.table(
        "urgency",
        ["urgency", "before", "after", "change"],
        [[name, f"{one:,}", f"{other:,}", _change(one, other)] for name, (one, other) in found.urgencies.items()],
    )
    if found.due:
        terminal.table("due time", ["changes", "items"], [[name, f"{n:,}"] for name, n in sorted(found.due.items())])
    if found.matrix:
        rows = found.matrix.most_common(_MATRIX_ROWS)
        terminal.table("moves", ["from", "to", "items"], [[one, other, f"{n:,}"] for (one, other), n in rows], left=2)
    terminal.say(f"newly urgent: {found.newly_urgent:,}; newly left to the default: {found.newly_default:,}")
    for kind, moves in found.examples.items():
        terminal.say(f"{kind}, e.g.")
        for move in moves:
            terminal.say(f"  {_example(move)}")


def _example(move: Move) -> str:
    name = f"{move.id}: " if move.id else ""
    text = " ".join(move.text.split())
    return f"{name}“{text}” ({move.before.rule} → {move.after.rule})"


def _change(before: int, after: int) -> str:
    return f"{after - before:+,}" if after != before else "0"


def _marked(text: str, words: Sequence[Word]) -> Text:
    """The text with what speaks for the label in green and what speaks against it in red."""
    shown = Text(text)
    for word in strongest(words):
        shown.stylize("bold green" if word.weight > 0 else "red", word.start, word.end)
    return shown
