"""A training run from a file of labelled feedback to a model on disk."""

import shutil
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models import artifact
from models.calibration import Settings
from models.classifier import Classifier, language_of
from models.encoders import resolve_encoder
from models.errors import ConfigError, DataError
from models.files import sha256, write_json
from models.labels import LabelSchema
from models.progress import Progress
from models.records import LabeledItem, ModelName
from training import datasets
from training.checks.check import check_rows, forbid
from training.config import NO_ENCODER, TrainConfig
from training.datasets import Dataset
from training.evaluate import Figures, joined, report, score
from training.linear import fit_linear
from training.scope import fit_centres, is_out_of_scope
from training.tune import tune

if TYPE_CHECKING:
    from training.search import Trial

#: Rows whose labels a training run has judged; `feedback data check` looks at more.
_JUDGED = 4_000
#: Where in the workspace a search keeps its trials and what is made of the best.
_SEARCH = "search"
_LIBRARIES = ("torch", "transformers", "scikit-learn", "numpy", "safetensors")


@dataclass(frozen=True)
class Run:
    """What a run made: the model's folder, its figures on dev (None without dev rows), and notes
    a person should read."""

    folder: Path
    report: Figures | None
    notes: list[str]


def train(
    data: str,
    out: Path,
    config: TrainConfig,
    *,
    dev: str | None = None,
    labels: Path | None = None,
    columns: Mapping[str, str] | None = None,
    strict: Set[str] = frozenset(),
    search: int | None = None,
    download: bool = False,
    overwrite: bool = False,
    progress: Progress,
) -> Run:
    """Train on ``data`` and write the model to ``out``.

    Args:
        data, dev: sources as :func:`models.readers.read_items` reads them. Without ``dev`` a share
            of the data is held back by a hash of the text.
        out: a new folder; it appears when everything has been written.
        config: every setting.
        labels: a label schema; without it one is derived from the data.
        columns: what the sources call the fields.
        strict: checks of the data (:data:`training.checks.check.CHECKS`) whose findings stop the run.
        search: how many trials may be spent on finding better settings of the fine-tuning
            (:func:`training.search.search`); None trains with those of ``config``.
        download: whether the encoder may be fetched from the hub.
        overwrite: whether a model in ``out`` may be replaced.
        progress: shows the stages.

    Raises:
        InputError: data, schema, encoder or ``out`` cannot be used; nothing was written but
            ``OUT.rejects.jsonl`` with the rows that could not be read.
    """
    if search is not None:
        _check_search(search, config)
    out = out.absolute()
    artifact.check_target(out, overwrite=overwrite)
    encoder = None if config.encoder == NO_ENCODER else resolve_encoder(config.encoder, download=download)
    schema = None if labels is None else LabelSchema.load(labels)
    notes: list[str] = []
    rows = datasets.read_rows(data, out.with_name(f"{out.name}.rejects.jsonl"), columns, notes, progress)
    if dev is None:
        train_rows, dev_rows = datasets.split(rows, config.dev_share)
    else:
        dev_rejects = out.with_name(f"{out.name}.dev-rejects.jsonl")
        train_rows, dev_rows = rows, datasets.read_rows(dev, dev_rejects, columns, notes, progress)
    tasks = datasets.DERIVED_TASKS if schema is None else tuple(schema.tasks)
    outside = [row for row in dev_rows if is_out_of_scope(row.item, tasks, config.out_of_scope)]
    train_rows = [row for row in train_rows if not is_out_of_scope(row.item, tasks, config.out_of_scope)]
    dev_rows = [row for row in dev_rows if not is_out_of_scope(row.item, tasks, config.out_of_scope)]
    train_items, dev_items = [row.item for row in train_rows], [row.item for row in dev_rows]
    # from dev as well: a rare label that only dev has is no reason to stop
    schema = schema or datasets.derive([*train_items, *dev_items])
    train_set = datasets.build(train_items, schema)
    dev_set = datasets.build(dev_items, schema, every_task=False)
    if not any(len(dev_set.labelled(task)) for task in schema.tasks):
        if dev is not None:
            raise DataError(f"{dev}: expected labels for {', '.join(schema.tasks)} in some row, got none")
        if search is not None:
            raise ConfigError(
                f"--search {search}: expected labelled rows to compare trials on, got none to hold back "
                f"of {len(rows)}; give --dev, or leave --search out"
            )
        dev_items, dev_set = [], datasets.build([], schema, every_task=False)
        notes.append("no labelled rows to hold back: every epoch is run and nothing is measured; give --dev")
    findings = check_rows(
        train_rows,
        # of a split by a hash of the text no text stands on both sides
        dev_rows if dev is not None else None,
        schema,
        encoder=encoder,
        max_length=config.max_length,
        judged=_JUDGED,
        seed=config.seed,
        progress=progress,
    )
    forbid(findings, strict)
    notes += [f"{found.check}: {found.message}" for found in findings]

    with artifact.new_folder(out, overwrite=overwrite) as folder:
        classifier, config, trials = _fit(train_set, dev_set, schema, config, encoder, out, search, progress)
        parts = score(classifier, dev_items, progress)
        languages = [language_of(item) for item in dev_items]
        classifier = replace(classifier, settings=tune(classifier, train_set, dev_set, languages, parts, config))
        counts = datasets.label_counts(train_set, schema)
        figures = None
        if dev_items:
            measured = [*dev_rows, *outside]
            parts = joined([parts, score(classifier, [row.item for row in outside], progress)])
            figures = report(classifier, [row.item for row in measured], parts, counts, [row.place for row in measured])
            figures["data_checks"] = [found.as_json() for found in findings]
            if trials:
                figures["search"] = [asdict(trial) for trial in trials]
        with progress.stage("writing the model"):
            classifier.save(folder)
            manifest = _manifest(out.name, config, schema, train_items, dev_items, counts, figures)
            _write_reports(folder, manifest, figures)
            artifact.write_manifest(folder, manifest)
    if encoder is not None:
        from training.workspace import path_of

        shutil.rmtree(path_of(out))
    return Run(out, figures, notes)


def _check_search(trials: int, config: TrainConfig) -> None:
    if trials < 1:
        raise ConfigError(f"--search {trials}: expected one trial or more, got {trials}; give a larger number")
    if config.encoder == NO_ENCODER:
        raise ConfigError(
            f"--search {trials}: expected an encoder whose fine-tuning is searched, got --encoder {NO_ENCODER}; "
            "give another encoder, or leave --search out"
        )


def _fit(
    train_set: Dataset,
    dev_set: Dataset,
    schema: LabelSchema,
    config: TrainConfig,
    encoder: Path | None,
    out: Path,
    trials: int | None,
    progress: Progress,
) -> tuple[Classifier, TrainConfig, list["Trial"]]:
    """The fitted parts, the settings they were fitted with, and the trials that found these."""
    with progress.stage("fitting the linear part", 1 + len(schema.tasks)) as advance:
        linear = fit_linear(
            train_set,
            schema,
            strength=config.linear_strength,
            max_features=config.linear_features,
            seed=config.seed,
            advance=advance,
        )
    transformer = None
    found: list[Trial] = []
    if encoder is not None:
        # imported here, so that the linear part alone is trained without loading torch
        from models.threads import use_threads
        from training.finetune import finetune
        from training.workspace import last_checkpoint, open_workspace

        use_threads(config.threads)
        recipe = _recipe(train_set, dev_set, schema, config, encoder)
        with open_workspace(out, recipe, _start_anew) as workspace:
            try:
                stop_by = dev_set if dev_set.texts else None
                folder = workspace
                if trials is not None:
                    from training.search import search

                    folder = workspace / _SEARCH
                    config, found = search(train_set, dev_set, schema, config, encoder, folder, trials, progress)
                    # a folder for each: with more trials another one may be the best
                    folder /= f"best-{next(trial.number for trial in found if trial.chosen)}"
                transformer = finetune(train_set, stop_by, schema, config, encoder, folder, progress)
            except BaseException:
                if last_checkpoint(workspace) is None and not (workspace / _SEARCH).exists():
                    shutil.rmtree(workspace)
                raise
    name = ModelName(name=out.name, version="")
    centres = None
    if transformer is not None:
        with progress.stage("looking where the texts lie"):
            centres = fit_centres(transformer, train_set.texts, config.seed)
    return Classifier(schema, linear, transformer, Settings.untuned(schema.tasks), name, centres), config, found


def _recipe(
    train_set: Dataset, dev_set: Dataset, schema: LabelSchema, config: TrainConfig, encoder: Path
) -> dict[str, Any]:
    """Everything the fine-tuning depends on.

    The number of trials of a search is no part: those that were run are the first of any number.
    """
    return {
        "train": datasets.digest(train_set),
        "dev": datasets.digest(dev_set),
        "schema": schema.digest,
        "encoder": {file.name: sha256(file) for file in sorted(encoder.glob("*.safetensors"))},
        "settings": config.model_dump(mode="json", exclude={"threads"}),
    }


def _start_anew(workspace: Path, changed: list[str]) -> None:
    """Minutes of another training are no loss: a person who stopped it did so to change something."""
    for path in [*workspace.glob("checkpoint-*"), *workspace.glob(_SEARCH)]:
        shutil.rmtree(path)


def _write_reports(folder: Path, manifest: artifact.Manifest, figures: Figures | None) -> None:
    """The figures for machines, a page and a card for people.

    No text of a customer stands in them; of their words only those that give a label away.
    """
    # imported here: it loads what draws pictures
    from training.report.page import card, page

    content = manifest.model_dump()
    (folder / artifact.CARD).write_text(card(figures, content), encoding="utf-8")
    if figures is not None:
        write_json(folder / artifact.REPORT, figures)
        about = {
            "encoder": manifest.encoder,
            "learned from": f"{manifest.data['rows']} rows",
        }
        title = f"{manifest.name} on the rows held back"
        (folder / artifact.PAGE).write_text(page(figures, title=title, model=about, texts={}), encoding="utf-8")


def _manifest(
    name: str,
    config: TrainConfig,
    schema: LabelSchema,
    train_items: Sequence[LabeledItem],
    dev_items: Sequence[LabeledItem],
    counts: Mapping[str, Mapping[str, int]],
    figures: Figures | None,
) -> artifact.Manifest:
    headline = ("n", "accuracy", "macro_f1", "micro_f1", "ece")
    tasks: dict[str, Any] = figures["tasks"] if figures else {}
    return artifact.Manifest(
        name=name,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        label_schema=schema.digest,
        encoder=config.encoder,
        data={
            "rows": len(train_items),
            "dev_rows": len(dev_items),
            "fingerprint": datasets.data_fingerprint(train_items, schema),
        },
        label_counts=counts,
        configuration=config.model_dump(),
        metrics={task: {key: found[key] for key in headline} for task, found in tasks.items()},
        libraries={library: version(library) for library in _LIBRARIES},
    )
