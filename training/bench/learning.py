"""How long a training takes to the same quality, beside the Trainer as it comes and, with few labels, SetFit."""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from datasets import Dataset as Rows
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    EvalPrediction,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from models.encoders import resolve_encoder
from models.encoding import quiet_library
from models.errors import ConfigError
from models.figures import Figure, at_least
from models.labels import LabelSchema, Task
from models.progress import Progress
from models.records import LabeledItem
from models.text import normalise
from models.threads import use_threads
from training import datasets
from training.calibrate import best_f1
from training.config import TrainConfig
from training.contrast import contrasted
from training.datasets import Dataset, of_each, ranked
from training.finetune import fresh_model
from training.metrics import quality
from training.peers import setfit_answerer
from training.trainer import make_trainer, rows_of
from training.workspace import KeepCheckpoints

#: Rows of a label where there are few.
FEW = 16
#: Times that the project wants to be faster.
TIMES, TIMES_FEW = 2.0, 1.0


class Reached(NamedTuple):
    """Seconds of training, evaluations excepted, at the end of every epoch, and the macro-F1 on dev there."""

    seconds: list[float]
    macro_f1: list[float]

    def until(self, wanted: float) -> float | None:
        """Seconds until the macro-F1 was ``wanted`` or more; None if it never was."""
        found = zip(self.seconds, self.macro_f1, strict=True)
        return next((seconds for seconds, reached in found if reached >= wanted), None)


def bench_learning(
    train: Sequence[LabeledItem],
    dev: Sequence[LabeledItem],
    schema: LabelSchema,
    config: TrainConfig,
    seeds: Sequence[int],
    progress: Progress,
) -> dict[str, Any]:
    """Train on the first task with one answer, in turn with the others, once for each seed.

    Args:
        train, dev: labelled rows.
        schema: of which the task is taken.
        config: encoder, threads and whatever else is set of our training; the others have their own defaults.
        seeds: of the trainings.
        progress: is told of every training.
    """
    use_threads(config.threads)
    name, alone = _one_task(schema)
    encoder = resolve_encoder(config.encoder)
    learn, check = ([row for row in rows if row.labels(name) is not None] for rows in (train, dev))
    known, held = (datasets.build(rows, alone, every_task=False) for rows in (learn, check))
    whole: list[dict[str, Any]] = []
    few: list[dict[str, Any]] = []
    with progress.stage("training", 4 * len(seeds), "trainings") as advance:
        for seed in seeds:
            ours = _ours(known, held, alone, config.model_copy(update={"seed": seed}), encoder)
            advance(1)
            theirs = _trainer(known, held, alone.tasks[name], name, encoder, config, seed)
            advance(1)
            wanted = max(theirs.macro_f1)
            whole.append(
                {"seed": seed, "wanted": wanted, "ours": ours.until(wanted), "trainer": theirs.until(wanted)}
                | {"epochs": {"ours": ours._asdict(), "trainer": theirs._asdict()}}
            )
            rows = of_each(ranked(learn, seed), name, FEW)
            few.append({"seed": seed, "ours": _few_ours(rows, check, alone, name, config, encoder, seed)})
            advance(1)
            few[-1]["setfit"] = _setfit(rows, check, name, config, encoder, seed)
            advance(1)
    report = {"task": name, "rows": len(learn), "whole": whole, "few": few}
    return {**report, "bars": [figure.as_dict() for figure in bars(report)]}


def bars(report: dict[str, Any]) -> list[Figure]:
    """What the project wants to reach, and what it did, seed by seed."""
    # one that never came as far is no faster
    times = [one["trainer"] / one["ours"] if one["ours"] else 0.0 for one in report["whole"]]
    few = [one["setfit"]["seconds"] / one["ours"]["seconds"] for one in report["few"]]
    gain = [one["ours"]["macro_f1"] / one["setfit"]["macro_f1"] for one in report["few"]]
    return [
        at_least("to the same macro-F1 beside the Trainer's defaults", "×", times, TIMES),
        at_least(f"with {FEW} rows a label beside SetFit", "×", few, TIMES_FEW),
        at_least(f"macro-F1 with {FEW} rows a label, by SetFit's", "%", [100 * each for each in gain], 100),
    ]


def table(report: dict[str, Any]) -> list[list[str]]:
    """A row a seed: seconds of both to the Trainer's best macro-F1, then with few labels seconds and macro-F1."""
    rows = []
    for whole, few in zip(report["whole"], report["few"], strict=True):
        ours = "never" if whole["ours"] is None else f"{whole['ours']:.1f}"
        seconds = [ours, f"{whole['trainer']:.1f}"]
        other = [f"{few[who]['seconds']:.1f} s, {few[who]['macro_f1']:.3f}" for who in ("ours", "setfit")]
        rows.append([str(whole["seed"]), f"{whole['wanted']:.3f}", *seconds, *other])
    return rows


def _one_task(schema: LabelSchema) -> tuple[str, LabelSchema]:
    for name, task in schema.tasks.items():
        if task.kind == "single":
            return name, schema.model_copy(update={"tasks": {name: task}})
    raise ConfigError("bench training: expected a task of one answer, which the peers can learn; got none")


def _ours(train: Dataset, dev: Dataset, schema: LabelSchema, config: TrainConfig, encoder: Path) -> Reached:
    model = fresh_model(train, schema, config, encoder)
    clock = _Clock()
    with tempfile.TemporaryDirectory(prefix="feedback-bench-") as folder:
        rows = [rows_of(some, model) for some in (train, dev)]
        trainer = make_trainer(model, rows[0], rows[1], config, Path(folder), lambda texts: None)
        trainer.add_callback(clock)
        trainer.add_callback(KeepCheckpoints())
        trainer.train()
    return Reached(clock.seconds, clock.macro_f1)


def _trainer(
    train: Dataset, dev: Dataset, task: Task, name: str, encoder: Path, config: TrainConfig, seed: int
) -> Reached:
    """The Trainer with its own settings: float32, 3 epochs, batches of 8 as they come, each as long as its longest."""
    set_seed(seed)
    with quiet_library():
        tokenizer = AutoTokenizer.from_pretrained(encoder, local_files_only=True)
        network = AutoModelForSequenceClassification.from_pretrained(
            encoder, num_labels=len(task.labels), local_files_only=True
        )
    sets = [
        Rows.from_dict(
            {
                **tokenizer(some.texts, truncation=True, max_length=config.max_length),
                "labels": some.targets[name].argmax(axis=1),
            }
        )
        for some in (train, dev)
    ]

    def measured(evaluation: EvalPrediction) -> dict[str, float]:
        return {"macro_f1": best_f1(task, dev.targets[name], np.asarray(evaluation.predictions))}

    clock = _Clock()
    with tempfile.TemporaryDirectory(prefix="feedback-bench-") as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            eval_strategy="epoch",
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            logging_strategy="no",
            dataloader_pin_memory=False,
            seed=seed,
        )
        trainer = Trainer(
            model=network,
            args=arguments,
            train_dataset=sets[0],
            eval_dataset=sets[1],
            data_collator=DataCollatorWithPadding(tokenizer),
            compute_metrics=measured,
            callbacks=[clock],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.remove_callback(ProgressCallback)
        trainer.train()
    return Reached(clock.seconds, clock.macro_f1)


class _Clock(TrainerCallback):
    """Runs while it is trained, and stands while it is evaluated and saved."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.macro_f1: list[float] = []
        self._begin = 0.0

    def on_epoch_begin(self, args: object, state: object, control: object, **kwargs: object) -> None:
        self._begin = time.perf_counter()

    def on_epoch_end(self, args: object, state: object, control: object, **kwargs: object) -> None:
        before = self.seconds[-1] if self.seconds else 0.0
        self.seconds.append(before + time.perf_counter() - self._begin)

    def on_evaluate(self, args: object, state: object, control: object, **kwargs: Any) -> None:
        self.macro_f1.append(kwargs["metrics"]["eval_macro_f1"])


def _few_ours(
    rows: Sequence[LabeledItem],
    dev: Sequence[LabeledItem],
    schema: LabelSchema,
    name: str,
    config: TrainConfig,
    encoder: Path,
    seed: int,
) -> dict[str, float]:
    settings = config.model_copy(update={"seed": seed})
    start = time.perf_counter()
    model = contrasted(datasets.build(rows, schema, every_task=False), schema, settings, encoder, lambda texts: None)
    seconds = time.perf_counter() - start
    keys = schema.tasks[name].keys
    said = model.read([normalise(item.text) for item in dev]).scores[name].argmax(axis=1)
    return _few(seconds, dev, name, [(keys[row],) for row in said])


def _setfit(
    rows: Sequence[LabeledItem],
    dev: Sequence[LabeledItem],
    name: str,
    config: TrainConfig,
    encoder: Path,
    seed: int,
) -> dict[str, float]:
    texts = [normalise(item.text) for item in rows]
    start = time.perf_counter()
    answer = setfit_answerer(
        encoder, texts, [item.labels(name) or () for item in rows], max_length=config.max_length, seed=seed
    )
    seconds = time.perf_counter() - start
    return _few(seconds, dev, name, answer([normalise(item.text) for item in dev]))


def _few(seconds: float, dev: Sequence[LabeledItem], name: str, said: Sequence[tuple[str, ...]]) -> dict[str, float]:
    found = quality([item.labels(name) or () for item in dev], said)
    return {"seconds": seconds, "macro_f1": float(found["macro_f1"])}
