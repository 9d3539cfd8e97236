"""Fitting the parts of a model to rows, and what they say of rows that they did not see."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.calibration import Settings
from models.classifier import Classifier, PartScores
from models.encoders import weights_of
from models.labels import LabelSchema
from models.linear import LinearModel
from models.progress import Advance, Progress, Silent
from models.records import ModelName
from training import datasets, processes
from training.calibrate import best_f1
from training.config import TrainConfig
from training.crossing import answered_in_turn, folds_of
from training.datasets import Dataset
from training.evaluate import score
from training.gather import Gathered
from training.linear import fit_linear
from training.regime import Name, Regime
from training.scope import fit_centres

if TYPE_CHECKING:
    from models.transformer import TransformerModel
    from training.search import Trial

#: Where in the workspace a search keeps its trials and what is made of the best.
_SEARCH = "search"


@dataclass(frozen=True)
class Fitted:
    """The parts of a model, not tuned yet, and ``parts``, what they say of the rows to tune by.

    ``config`` holds the settings that were used, ``trials`` how a search found them. ``regime`` is None without an
    encoder.
    """

    classifier: Classifier
    parts: PartScores
    regime: Regime | None
    config: TrainConfig
    trials: list["Trial"]


def fit(
    gathered: Gathered, config: TrainConfig, encoder: Path | None, out: Path, trials: int | None, progress: Progress
) -> Fitted:
    """Fit all parts.

    Args:
        gathered: the rows.
        config: every setting.
        encoder: folder of the pretrained encoder; None fits the linear part alone.
        out: beside it lies the work that a stopped run goes on from.
        trials: how many a search of settings may spend; None for no search.
        progress: shows the stages.
    """
    if encoder is None:
        return _without_encoder(gathered, config, progress)
    # imported here, so that the linear part alone is trained without loading torch
    from models.threads import use_threads

    use_threads(config.threads)
    if gathered.ways == ("full",):
        return _full(gathered, config, encoder, out, trials, progress)
    return _few(gathered, config, encoder, progress)


def train_along(gathered: Gathered, config: TrainConfig, encoder: Path | None, out: Path) -> None:
    """Do the share of a process that only helps: of the fine-tuning, where there is one; see :func:`fit`."""
    if encoder is None or gathered.ways != ("full",):
        return
    from models.threads import use_threads
    from training.finetune import finetune
    from training.workspace import open_run

    use_threads(config.threads)
    schema, train_set, dev_set = gathered.schema, gathered.learn.dataset, gathered.dev.dataset
    with open_run(out, {}, _start_anew) as workspace:
        finetune(train_set, dev_set if dev_set.texts else None, schema, config, encoder, workspace, Silent())


def _without_encoder(gathered: Gathered, config: TrainConfig, progress: Progress) -> Fitted:
    schema, learn = gathered.schema, gathered.learn

    def fitted(dataset: Dataset, progress: Progress) -> Classifier:
        return _classifier(schema, _linear(dataset, schema, config, progress), None, dataset, config)

    classifier = fitted(learn.dataset, progress)
    if not gathered.crossed:
        return Fitted(classifier, score(classifier, gathered.dev.items, progress), None, config, [])
    folds = folds_of(learn, schema)
    with progress.stage("leaving rows out in turn"):
        parts = answered_in_turn(learn, folds, (fitted(fold.rest, Silent()) for fold in folds))
    return Fitted(classifier, parts, None, config, [])


def _full(
    gathered: Gathered,
    config: TrainConfig,
    encoder: Path,
    out: Path,
    trials: int | None,
    progress: Progress,
) -> Fitted:
    from training.finetune import finetune
    from training.workspace import last_checkpoint, open_run

    schema, train_set, dev_set = gathered.schema, gathered.learn.dataset, gathered.dev.dataset
    linear = _linear(train_set, schema, config, progress)
    found: list[Trial] = []
    with open_run(out, _recipe(train_set, dev_set, schema, config, encoder), _start_anew) as workspace:
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
    classifier = _classifier(schema, linear, transformer, train_set, config)
    parts = score(classifier, gathered.dev.items, progress)
    return Fitted(classifier, parts, Regime("full", gathered.why, _quality(gathered, {"full": parts})), config, found)


def _few(gathered: Gathered, config: TrainConfig, encoder: Path, progress: Progress) -> Fitted:
    """The way that is best on rows left out: on dev, or where there is none, each row in its turn."""
    from training.contrast import texts_seen

    schema, learn = gathered.schema, gathered.learn
    whole = _linear(learn.dataset, schema, config, progress)
    folds = folds_of(learn, schema) if gathered.crossed else []
    linears = [_linear(fold.rest, schema, config, Silent()) for fold in folds]
    sizes = [len(dataset.texts) for dataset in (*(fold.rest for fold in folds), learn.dataset)]

    def trained(name: Name, dataset: Dataset, linear: LinearModel, advance: Advance) -> Classifier:
        model = _transformer(name, dataset, schema, config, encoder, advance)
        return _classifier(schema, linear, model, dataset, config)

    said: dict[str, PartScores] = {}
    fitted: dict[str, Classifier] = {}
    for name in gathered.ways:
        texts = sum(texts_seen(size, config) for size in sizes) if name == "contrastive" else None
        with progress.stage(f"training, {name}", texts, "texts") as advance:
            fitted[name] = trained(name, learn.dataset, whole, advance)
            if gathered.crossed:
                pairs = zip(folds, linears, strict=True)
                models = (trained(name, fold.rest, linear, advance) for fold, linear in pairs)
                said[name] = answered_in_turn(learn, folds, models)
            else:
                said[name] = score(fitted[name], gathered.dev.items, Silent())
    tried = _quality(gathered, said)
    best = max(gathered.ways, key=lambda name: tried.get(name, 0.0))
    return Fitted(fitted[best], said[best], Regime(best, gathered.why, tried), config, [])


def _transformer(
    name: Name, dataset: Dataset, schema: LabelSchema, config: TrainConfig, encoder: Path, advance: Advance
) -> "TransformerModel":
    from training.contrast import contrasted, frozen

    if name == "frozen":
        return frozen(dataset, schema, config, encoder)
    return contrasted(dataset, schema, config, encoder, advance)


def _linear(dataset: Dataset, schema: LabelSchema, config: TrainConfig, progress: Progress) -> LinearModel:
    with progress.stage("fitting the linear part", 1 + len(schema.tasks)) as advance:
        return fit_linear(
            dataset,
            schema,
            strength=config.linear_strength,
            max_features=config.linear_features,
            seed=config.seed,
            advance=advance,
        )


def _classifier(
    schema: LabelSchema,
    linear: LinearModel,
    transformer: "TransformerModel | None",
    dataset: Dataset,
    config: TrainConfig,
) -> Classifier:
    centres = None if transformer is None else fit_centres(transformer, dataset.texts, config.seed)
    # the name is known when all is written: the version is a digest of that
    unnamed = ModelName(name="", version="")
    return Classifier(schema, linear, transformer, Settings.untuned(schema.tasks), unnamed, centres)


def _quality(gathered: Gathered, said: Mapping[str, PartScores]) -> dict[str, float]:
    """Mean over tasks of the macro-F1 that the encoder's part reaches on the rows to tune by; {} if there are none."""
    found: dict[str, float] = {}
    dev = gathered.dev.dataset
    for name, parts in said.items():
        each = []
        for key, task in gathered.schema.tasks.items():
            rows = dev.labelled(key)
            if len(rows) and parts.transformer is not None:
                each.append(best_f1(task, dev.targets[key][rows], parts.transformer[key][rows]))
        if each:
            found[name] = float(np.mean(each))
    return found


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
        "encoder": weights_of(encoder),
        "processes": processes.count(),
        "settings": config.model_dump(mode="json", exclude={"threads"}),
    }


def _start_anew(workspace: Path, changed: list[str]) -> None:
    """Minutes of another training are no loss: a person who stopped it did so to change something."""
    for path in [*workspace.glob("checkpoint-*"), *workspace.glob(_SEARCH)]:
        shutil.rmtree(path)
