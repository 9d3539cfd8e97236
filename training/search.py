"""Searching the settings of the fine-tuning, by Optuna behind the Hugging Face Trainer."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Literal

import numpy as np
import optuna
import torch
from optuna.pruners import BasePruner
from optuna.samplers import TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState
from torch import nn
from transformers import EarlyStoppingCallback

from models.errors import TrainingError
from models.labels import LabelSchema
from models.progress import Advance, Progress
from training.config import TrainConfig
from training.datasets import Dataset
from training.finetune import fresh_model
from training.trainer import make_trainer, rows_of, tuned_arguments

#: Lowest and highest value; chosen on a logarithmic scale where the lowest is above zero.
RANGES = {
    "learning_rate": (2e-5, 4e-4),
    "head_learning_rate": (3e-4, 1e-2),
    "warmup_share": (0.0, 0.2),
    "dropout": (0.0, 0.3),
    "weight_decay": (1e-3, 1e-1),
}
BATCH_SIZES = (16, 32, 64)

#: No trial is given up before so many are complete, nor before so many epochs of its own.
_TRIALS_BEFORE, _EPOCHS_BEFORE = 5, 2
_JOURNAL, _STUDY = "trials.jsonl", "search"
_STATES: dict[TrialState, Literal["complete", "pruned", "failed"]] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


@dataclass(frozen=True)
class Trial:
    """One fine-tuning of a search.

    ``number`` counts from 1, the settings given. ``macro_f1`` is the mean over tasks on dev, of the
    best epoch; None of a trial that failed. A ``pruned`` one was given up because others had been
    better after as many epochs; a ``failed`` one diverged or did not fit into memory, ``reason``
    says so. One of all is ``chosen``.
    """

    number: int
    settings: dict[str, float]
    macro_f1: float | None
    state: Literal["complete", "pruned", "failed"]
    seconds: float
    chosen: bool
    reason: str | None


def search(
    train: Dataset,
    dev: Dataset,
    schema: LabelSchema,
    config: TrainConfig,
    encoder: Path,
    workspace: Path,
    trials: int,
    progress: Progress,
) -> tuple[TrainConfig, list[Trial]]:
    """Fine-tune ``trials`` times with different settings, and choose those best on ``dev``.

    The first trial has the settings given; the others are drawn at random until ten have ended, and
    then where these did well (TPE, Bergstra et al. 2011). What a trial is depends on the seed and
    the trials before it, not on how many there will be: a search may go on with a larger number.

    Args:
        train, dev: rows to learn from, and to measure every epoch by.
        schema: tasks and class order.
        config: the settings given; those that are not searched hold for every trial.
        encoder: folder of the pretrained encoder.
        workspace: folder of this search, the caller's to remove. Trials that ended there, with the
            same rows, schema, settings and encoder, are not repeated.
        trials: how many, from 1.
        progress: advanced by texts; those that a trial leaves out by ending early count as done.

    Returns:
        The settings to train with, and every trial in its order.

    Raises:
        TrainingError: every trial failed.
    """
    # what it says of every trial stands in the report
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    workspace.mkdir(parents=True, exist_ok=True)
    storage = _open(workspace / _JOURNAL)
    study = optuna.create_study(storage=storage, study_name=_STUDY, direction="maximize", load_if_exists=True)
    texts = len(train.texts) * config.epochs_for(len(train.texts))
    done = min(trials, len(_finished(study)))
    try:
        with progress.stage(f"searching, {trials} trials", texts * trials, "texts", done=texts * done) as advance:
            share = _Share(advance, texts)
            run_trial = _runner(train, dev, schema, config, encoder, workspace, share)
            for number in range(done, trials):
                if number == 0 and not study.get_trials(states=[TrialState.WAITING]):
                    study.enqueue_trial({name: getattr(config, name) for name in (*RANGES, "batch_size")})
                try:
                    run_trial(
                        storage=storage,
                        study_name=_STUDY,
                        load_if_exists=True,
                        sampler=TPESampler(seed=_seed(config.seed, number)),
                        pruner=_MedianOfEpoch(),
                    )
                except (TrainingError, torch.OutOfMemoryError) as error:
                    study.set_user_attr(_failed(study.trials[-1]), str(error))
                share.end()
    except BaseException:
        if not _finished(study):
            shutil.rmtree(workspace)
        raise
    found = _report(study, trials)
    chosen = next((trial for trial in found if trial.chosen), None)
    if chosen is None:
        shutil.rmtree(workspace)
        raise TrainingError(f"expected a trial of the search to succeed, got {trials} that failed; {found[0].reason}")
    return config.model_copy(update=chosen.settings), found


def _runner(
    train: Dataset,
    dev: Dataset,
    schema: LabelSchema,
    config: TrainConfig,
    encoder: Path,
    folder: Path,
    advance: Advance,
) -> Callable[..., object]:
    """What runs one trial of the study that it is called with."""
    model = fresh_model(train, schema, config, encoder)

    def network(trial: optuna.Trial | None = None) -> nn.Module:
        if trial is None:
            return model.network
        return fresh_model(train, schema, _settled(trial, config), encoder).network

    def space(trial: optuna.Trial) -> dict[str, Any]:
        trainer.config = _settled(trial, config)
        return tuned_arguments(trainer.config)

    def best_so_far(metrics: dict[str, float]) -> float:
        return max(metrics["eval_macro_f1"], trainer.state.best_metric or 0.0)

    rows, checked = rows_of(train, model), rows_of(dev, model)
    trainer = make_trainer(model, rows, checked, config, folder, advance, model_init=network)
    trainer.add_callback(_Patience(config.patience))
    return partial(
        trainer.hyperparameter_search,
        hp_space=space,
        compute_objective=best_so_far,
        n_trials=1,
        direction="maximize",
        backend="optuna",
    )


def _open(journal: Path) -> JournalStorage:
    """The trials so far, less what a run that was killed left half-written; no other is at work here."""
    journal.with_name(f"{journal.name}.lock").unlink(missing_ok=True)
    if journal.exists():
        os.truncate(journal, journal.read_bytes().rfind(b"\n") + 1)
    return JournalStorage(JournalFileBackend(str(journal)))


def _settled(trial: optuna.Trial, given: TrainConfig) -> TrainConfig:
    """The configuration of a trial; the ranges are widened to hold the settings given."""
    settings: dict[str, float] = {}
    for name, (low, high) in RANGES.items():
        value = getattr(given, name)
        low, high = min(low, value), max(high, value)
        settings[name] = trial.suggest_float(name, low, high, log=low > 0)
    settings["batch_size"] = trial.suggest_categorical("batch_size", sorted({*BATCH_SIZES, given.batch_size}))
    return given.model_copy(update=settings)


def _seed(seed: int, number: int) -> int:
    """A sampler goes on as it would have after a search was stopped, if each trial has its own."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


def _finished(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that ended; one that was under way when the search was stopped is begun again."""
    ended = (TrialState.COMPLETE, TrialState.PRUNED)
    return [trial for trial in study.trials if trial.state in ended or _failed(trial) in study.user_attrs]


def _failed(trial: FrozenTrial) -> str:
    """Under which name the study keeps why a trial failed: to Optuna, being interrupted is failing too."""
    return f"failed {trial.number}"


def _report(study: optuna.Study, trials: int) -> list[Trial]:
    finished = _finished(study)[:trials]
    complete = [trial for trial in finished if trial.state is TrialState.COMPLETE]
    best = max(complete, key=lambda trial: trial.value or 0.0, default=None)
    return [
        Trial(
            number=number,
            settings=trial.params,
            macro_f1=trial.value,
            state=_STATES[trial.state],
            seconds=0.0 if trial.duration is None else trial.duration.total_seconds(),
            chosen=trial is best,
            reason=study.user_attrs.get(_failed(trial)),
        )
        for number, trial in enumerate(finished, start=1)
    ]


class _MedianOfEpoch(BasePruner):
    """Gives up a trial that is below the median of what the complete ones had reached in as many epochs.

    Optuna's own counts steps, of which an epoch has more or fewer by the batch size.
    """

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Whether to give up ``trial``, which has just been measured."""
        epoch = len(trial.intermediate_values)
        others = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
        if epoch < _EPOCHS_BEFORE or len(others) < _TRIALS_BEFORE:
            return False
        return _reached(trial, epoch) < median(_reached(other, epoch) for other in others)


def _reached(trial: FrozenTrial, epoch: int) -> float:
    """The best macro-F1 of its first epochs, as many as there were."""
    values = [trial.intermediate_values[step] for step in sorted(trial.intermediate_values)]
    return values[min(epoch, len(values)) - 1]


class _Patience(EarlyStoppingCallback):
    """Early stopping without the warning that the best epoch is not loaded: of a trial none is kept."""

    def on_train_begin(self, args: object, state: object, control: object, **kwargs: object) -> None:
        """Nothing: with the first evaluation of a trial its patience begins anew."""


class _Share:
    """Advances by the texts of a trial, and in the end by those it left out."""

    def __init__(self, advance: Advance, texts: int) -> None:
        self._advance, self._texts, self._left = advance, texts, texts

    def __call__(self, texts: int) -> None:
        texts = min(texts, self._left)
        self._left -= texts
        self._advance(texts)

    def end(self) -> None:
        self(self._left)
        self._left = self._texts
