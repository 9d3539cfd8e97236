"""Options that several commands have, and what they begin with."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from models.progress import Progress
from serving.places import CURRENT_MODEL

if TYPE_CHECKING:
    from models.classifier import Classifier

Model = Annotated[
    Path | None, typer.Option(metavar="DIR", help=f"The model; else FEEDBACK_MODEL, else {CURRENT_MODEL}.")
]
Rules = Annotated[Path | None, typer.Option("--rules", metavar="FILE", help="Routing rules; else those shipped.")]
Store = Annotated[
    str | None, typer.Option(metavar="URL", help="The store; else FEEDBACK_STORE, else SQLite in artifacts/.")
]
Threads = Annotated[int | None, typer.Option(min=1, help="Compute threads; else the free cores.")]
Columns = Annotated[
    list[str] | None, typer.Option("--column", metavar="FIELD=NAME", help="What the data calls a field. Repeatable.")
]
Json = Annotated[bool, typer.Option("--json", help="Write JSON to standard output.")]


def load_model(folder: Path, progress: Progress, threads: int | None = None) -> "Classifier":
    """The model in ``folder``, ready to compute with so many threads; ArtifactError if it is unfit."""
    from models.classifier import Classifier

    with progress.stage("loading the model"):
        return Classifier.load(folder, threads)
