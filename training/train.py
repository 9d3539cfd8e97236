"""A training run from a file of labelled feedback to a model on disk."""

import shutil
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from models import artifact
from models.classifier import Classifier, language_of
from models.encoders import resolve_encoder
from models.errors import ConfigError
from models.files import write_json
from models.labels import LabelSchema
from models.progress import Progress
from models.workspace import path_of
from training import datasets
from training.config import NO_ENCODER, TrainConfig
from training.corrections import Changes
from training.evaluate import Figures, joined, report, score
from training.fit import Fitted, fit, train_along
from training.gather import Gathered, gather
from training.processes import count, is_follower
from training.tune import tune

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
    corrections: Sequence[str] = (),
    labels: Path | None = None,
    columns: Mapping[str, str] | None = None,
    strict: Set[str] = frozenset(),
    search: int | None = None,
    download: bool = False,
    overwrite: bool = False,
    progress: Progress,
) -> Run:
    """Train on ``data`` and write the model to ``out``.

    Of several processes that ``torchrun`` started the first does so; the others help with the fine-tuning.

    Args:
        data, dev: sources as :func:`models.readers.read_items` reads them. Without ``dev`` a share
            of the data is held back by a hash of the text.
        corrections: further sources, each of which replaces the labels of the same items in ``data``, in ``dev`` and in
            those before it, and may add items (:func:`training.corrections.correct`).
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
    read = partial(
        gather,
        data,
        config=config,
        dev=dev,
        corrections=corrections,
        schema=schema,
        columns=columns,
        strict=strict,
        encoder=encoder,
        search=search is not None,
        progress=progress,
    )
    if is_follower():
        # rows that it cannot read the first process tells of
        with TemporaryDirectory() as own:
            train_along(read(Path(own) / out.name), config, encoder, out)
        return Run(out, None, [])
    gathered = read(out)
    if search is not None and not gathered.dev.rows:
        raise ConfigError(
            f"--search {search}: expected labelled rows to compare trials on, got none to hold back "
            f"of {len(gathered.learn.rows)}; give --dev, or leave --search out"
        )
    with artifact.new_folder(out, overwrite=overwrite) as folder:
        fitted = fit(gathered, config, encoder, out, search, progress)
        languages = [language_of(item) for item in gathered.dev.items]
        settings = tune(
            fitted.classifier, gathered.learn.dataset, gathered.dev.dataset, languages, fitted.parts, fitted.config
        )
        classifier = replace(fitted.classifier, settings=settings)
        figures = _figures(classifier, gathered, fitted, progress) if gathered.dev.rows else None
        with progress.stage("writing the model"):
            classifier.save(folder)
        tried = _runtimes(classifier, folder, gathered, fitted.config, progress)
        if figures is not None and tried is not None:
            figures["runtimes"] = tried
        with progress.stage("writing the report"):
            manifest = _manifest(out.name, gathered, fitted, figures)
            _write_reports(folder, manifest, figures, gathered.changes)
            artifact.write_manifest(folder, manifest)
    if fitted.regime is not None and fitted.regime.name == "full":
        shutil.rmtree(path_of(out))
    return Run(out, figures, gathered.notes)


def _runtimes(
    classifier: Classifier, folder: Path, gathered: Gathered, config: TrainConfig, progress: Progress
) -> dict[str, Any] | None:
    """What each runtime did beside the reference, as :class:`models.runtimes.admission.Parity` has it."""
    if classifier.transformer is None:
        return None
    # imported here, so that the linear part alone is trained without loading torch
    from models.transformer import TransformerModel
    from training.parity import try_runtimes

    if not isinstance(classifier.transformer, TransformerModel):
        raise TypeError(f"expected a network that was trained, got {type(classifier.transformer).__name__}")
    items = gathered.dev.items or gathered.learn.items
    admission, why = try_runtimes(
        classifier,
        classifier.transformer,
        folder / artifact.TRANSFORMER,
        items,
        config.runtimes,
        config.threads,
        progress,
    )
    if why is not None:
        gathered.notes.append(f"the encoder could not be exported, so torch alone runs it: {why}")
    return {
        name: {**parity.model_dump(mode="json"), "admitted": parity.admitted}
        for name, parity in admission.tried.items()
    }


def _figures(classifier: Classifier, gathered: Gathered, fitted: Fitted, progress: Progress) -> Figures:
    """Of the rows that the model was tuned by, and of those out of scope."""
    rows = [*gathered.dev.rows, *gathered.outside]
    parts = joined([fitted.parts, score(classifier, [row.item for row in gathered.outside], progress)])
    counts = datasets.label_counts(gathered.learn.dataset, gathered.schema)
    figures = report(classifier, [row.item for row in rows], parts, counts, [row.place for row in rows])
    figures["crossed"] = gathered.crossed
    if gathered.changes is not None:
        figures["corrections"] = gathered.changes.as_json()
    figures["data_checks"] = [found.as_json() for found in gathered.findings]
    if fitted.regime is not None:
        figures["regime"] = asdict(fitted.regime)
    if fitted.trials:
        figures["search"] = [asdict(trial) for trial in fitted.trials]
    return figures


def _check_search(trials: int, config: TrainConfig) -> None:
    if count() > 1:
        raise ConfigError(f"--search {trials}: expected one process, got {count()}; search without torchrun")
    if config.frozen_layers:
        raise ConfigError(
            f"--search {trials}: expected no frozen layers, got frozen_layers={config.frozen_layers}; trials train all"
        )
    if trials < 1:
        raise ConfigError(f"--search {trials}: expected one trial or more, got {trials}; give a larger number")
    if config.encoder == NO_ENCODER:
        raise ConfigError(
            f"--search {trials}: expected an encoder whose fine-tuning is searched, got --encoder {NO_ENCODER}; "
            "give another encoder, or leave --search out"
        )


def _write_reports(folder: Path, manifest: artifact.Manifest, figures: Figures | None, changes: Changes | None) -> None:
    """The figures for machines, a page and a card for people.

    No text of a customer stands in them; of their words only those that give a label away.
    """
    # imported here: it loads what draws pictures
    from training.report.page import card, page
    from training.report.regime import in_words

    content = manifest.model_dump()
    (folder / artifact.CARD).write_text(
        card(figures, content, None if changes is None else changes.in_words()), encoding="utf-8"
    )
    if figures is not None:
        write_json(folder / artifact.REPORT, figures)
        how = f", {in_words(figures['regime'])}" if "regime" in figures else ""
        about = {"encoder": f"{manifest.encoder}{how}", "learned from": f"{manifest.data['rows']} rows"}
        title = f"{manifest.name} on {'every row, left out in turn' if figures['crossed'] else 'the rows held back'}"
        (folder / artifact.PAGE).write_text(page(figures, title=title, model=about, texts={}), encoding="utf-8")


def _manifest(name: str, gathered: Gathered, fitted: Fitted, figures: Figures | None) -> artifact.Manifest:
    headline = ("n", "accuracy", "macro_f1", "micro_f1", "ece")
    tasks: dict[str, Any] = figures["tasks"] if figures else {}
    return artifact.Manifest(
        name=name,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        label_schema=gathered.schema.digest,
        encoder=fitted.config.encoder,
        data={
            "rows": len(gathered.learn.rows),
            "dev_rows": len(gathered.dev.rows),
            "fingerprint": datasets.data_fingerprint(gathered.learn.items, gathered.schema),
        },
        label_counts=datasets.label_counts(gathered.learn.dataset, gathered.schema),
        configuration=fitted.config.model_dump(),
        metrics={task: {key: found[key] for key in headline} for task, found in tasks.items()},
        libraries={library: version(library) for library in _LIBRARIES},
    )
