"""The command `feedback`: each sub-command lives in its package and is imported when it is used."""

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from models import terminal
from models.threads import calm_barriers

#: Name: where it is, and what it does in a line (so that --help imports none of them).
COMMANDS = {
    "labels": ("training.commands:labels", "Derive a label schema from data, check one, or change it everywhere."),
    "data": ("training.checks.commands:data", "Check labelled feedback before a model learns from it."),
    "train": ("training.commands:train", "Train a model on labelled feedback."),
    "encoder": ("training.encoder.commands:encoder", "Make a multilingual encoder, and measure it."),
    "evaluate": ("training.commands:evaluate", "Measure a model on labelled feedback."),
    "compare": ("training.commands:compare", "Compare two models on the same feedback."),
    "bench": ("training.bench.commands:bench", "Measure the project, beside others."),
    "classify": ("serving.commands:classify", "Classify a file of feedback."),
    "serve": ("serving.commands:serve", "Serve a model over HTTP, with routing."),
    "deliver": ("serving.delivery.commands:deliver", "Send what the rules say; see and re-drive what waits."),
    "import": ("serving.store_commands:import_app", "Store a file of feedback, classified and routed."),
    "export": ("serving.store_commands:export_app", "Write stored feedback to a table."),
    "mistakes": ("serving.store_commands:mistakes_app", "Lay what people found wrong to model, rules or labels."),
    "rules": ("serving.rules_commands:rules", "Check, explain, test and replay routing rules."),
    "label": ("labeling.commands:label", "Work with Label Studio."),
}

#: Where further sub-commands of a group are.
MORE = {"bench": ("serving.bench.commands:bench",)}

#: What `labels migrate` changes beside schema and data: each package knows what it owns.
MIGRATED = ("serving.taxonomy.parts:parts", "labeling.taxonomy.parts:parts")


def _load(place: str) -> Any:
    module, _, attribute = place.partition(":")
    return getattr(import_module(module), attribute)


class Lazy(TyperGroup):
    """A group that imports a sub-command only when it is run."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return TyperCommand(cmd_name, help=COMMANDS[cmd_name][1]) if cmd_name in COMMANDS else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        command: Any
        name, command, rest = super().resolve_command(ctx, args)
        if name in COMMANDS:
            command = typer.main.get_command(_load(COMMANDS[name][0]))
            for place in MORE.get(name, ()):
                more: Any = typer.main.get_command(_load(place))
                command.commands |= more.commands
        return name, command, rest


app = typer.Typer(cls=Lazy, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)


@app.callback(epilog="Start with: make demo. Each command explains itself: feedback train --help")
def _feedback(ctx: typer.Context) -> None:
    """Classify customer feedback, route it to the team that owns it, learn from corrections."""
    ctx.obj = {"parts": lambda: [_load(place) for place in MIGRATED]}


def main() -> None:
    """Entry point of the command line."""
    calm_barriers()
    terminal.run(app)


if __name__ == "__main__":
    main()
