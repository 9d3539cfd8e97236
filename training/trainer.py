"""The Hugging Face Trainer with the loss, the optimizer and the measure of a fine-tuning."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset as Rows
from torch import Tensor, nn
from transformers import EvalPrediction, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from models.encoding import has_fast_bf16
from models.errors import TrainingError
from models.labels import LabelSchema
from models.progress import Advance
from models.scores import probabilities_of
from models.transformer import TransformerModel
from training.calibrate import best_f1
from training.config import TrainConfig
from training.datasets import Dataset
from training.lower_layers import Batch
from training.processes import count

#: What the network is given of a batch of rows.
Inputs = Callable[[Batch], dict[str, Tensor]]


def make_trainer(
    model: TransformerModel,
    train: Rows,
    dev: Rows | None,
    config: TrainConfig,
    folder: Path,
    advance: Advance,
    *,
    inputs: Inputs | None = None,
    model_init: Callable[..., nn.Module] | None = None,
) -> "FineTuner":
    """The Trainer of a fine-tuning, or of the trials of a search.

    Args:
        model: tokenizer, schema and, for a fine-tuning, the network to train.
        train, dev: rows to learn from, and to measure every epoch by; see :func:`rows_of`.
        config: every setting.
        folder: for checkpoints, one an epoch.
        advance: told the texts of every step.
        inputs: what the network is given of a batch of rows; None gives token ids.
        model_init: gives the network of a trial, in place of that of ``model``; trials keep no checkpoints.
    """
    trainer = FineTuner(
        model.schema,
        config,
        model=model.network if model_init is None else None,
        model_init=model_init,
        args=_arguments(
            config,
            config.epochs_for(len(train)),
            folder,
            evaluate=dev is not None,
            save=model_init is None,
        ),
        train_dataset=train,
        eval_dataset=dev,
        data_collator=_Collator(inputs or partial(token_ids, model)),
        compute_metrics=_Quality(model.schema),
        callbacks=[_Advance(advance)],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    return trainer


def tuned_arguments(config: TrainConfig) -> dict[str, Any]:
    """Those arguments of the Trainer that settings which are searched decide."""
    # processes share a batch, so that a training has the same steps however many they are
    share = max(1, config.batch_size // count())
    return {
        "per_device_train_batch_size": share,
        "per_device_eval_batch_size": config.batch_size * 2,
        "weight_decay": config.weight_decay,
        "warmup_steps": config.warmup_share,
    }


def rows_of(dataset: Dataset, model: TransformerModel) -> Rows:
    """Token ids, their number and the targets of all tasks, row by row."""
    ids = model.tokenise(dataset.texts).ids
    labels = np.concatenate([dataset.targets[name] for name in model.schema.tasks], axis=1)
    return Rows.from_dict({"input_ids": ids, "length": [len(row) for row in ids], "labels": labels})


def _arguments(config: TrainConfig, epochs: int, folder: Path, *, evaluate: bool, save: bool) -> TrainingArguments:
    on_gpu = torch.cuda.is_available()
    return TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=epochs,
        **tuned_arguments(config),
        lr_scheduler_type="linear",
        bf16=config.bf16 and has_fast_bf16(),
        use_cpu=not on_gpu,
        train_sampling_strategy="group_by_length",
        length_column_name="length",
        eval_strategy="epoch" if evaluate else "no",
        save_strategy="epoch" if save else "no",
        restore_callback_states_from_checkpoint=True,
        load_best_model_at_end=evaluate and save,
        metric_for_best_model="macro_f1",
        greater_is_better=True,
        label_names=["labels"],
        remove_unused_columns=False,
        dataloader_pin_memory=on_gpu,
        ddp_find_unused_parameters=False,
        disable_tqdm=True,
        logging_strategy="no",
        report_to=[],
        seed=config.seed,
        data_seed=config.seed,
    )


def _optimizer(network: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        groups.setdefault((name.startswith("heads."), parameter.ndim < 2), []).append(parameter)
    settings = [
        {
            "params": parameters,
            "lr": config.head_learning_rate if is_head else config.learning_rate,
            "weight_decay": 0.0 if is_vector else config.weight_decay,
        }
        for (is_head, is_vector), parameters in groups.items()
    ]
    # fused: the step over MiniLM's 23 million weights takes 15 ms instead of 90
    return torch.optim.AdamW(settings, fused=True)


def token_ids(model: TransformerModel, rows: Batch) -> dict[str, Tensor]:
    """Token ids and mask of a batch of rows, (B, T) each."""
    return model.pad([row["input_ids"] for row in rows])


class _Collator:
    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs

    def __call__(self, rows: Batch) -> dict[str, Tensor]:
        labels = torch.tensor([row["labels"] for row in rows], dtype=torch.float32)
        return {**self._inputs(rows), "labels": labels}


class FineTuner(Trainer):
    """The Hugging Face Trainer with the loss of the tasks and the optimizer of ``config``.

    ``config`` may be changed between two trainings; the next one's optimizer follows it.
    """

    def __init__(self, schema: LabelSchema, config: TrainConfig, **options: Any) -> None:
        self.schema, self.config = schema, config
        super().__init__(**options)

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """AdamW with a rate for the encoder and one for the heads."""
        if self.optimizer is None:
            network: Any = self.model if model is None else model
            self.optimizer = _optimizer(network, self.config)
        return self.optimizer

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: object = None,
    ) -> Tensor | tuple[Tensor, dict[str, Tensor]]:
        labels = inputs.pop("labels")
        logits = model(**inputs)
        loss = multi_task_loss(self.schema, logits, labels)
        if not loss.isfinite():
            raise TrainingError(
                f"the training diverged at step {self.state.global_step + 1}: the loss is {loss.item()}; set "
                f"learning_rate lower than {self.config.learning_rate:g}, or bf16=false"
            )
        return (loss, {"logits": torch.cat(logits, dim=1)}) if return_outputs else loss


def multi_task_loss(schema: LabelSchema, logits: Sequence[Tensor], labels: Tensor) -> Tensor:
    """Sum over tasks of the mean loss of the rows labelled for it.

    Args:
        schema: tasks in the order of ``logits``.
        logits: per task (B, K).
        labels: (B, sum of K); NaN in the columns of a task the row is not labelled for.

    Cross-entropy for single tasks; for multi tasks binary cross-entropy summed over labels.
    """
    loss = torch.zeros((), device=labels.device)
    column = 0
    for task, output in zip(schema.tasks.values(), logits, strict=True):
        target = labels[:, column : column + len(task.labels)]
        column += len(task.labels)
        known = ~target[:, 0].isnan()
        if not known.any():
            loss = loss + output.float().sum() * 0
            continue
        output, target = output[known].float(), target[known]
        if task.kind == "single":
            loss = loss + nn.functional.cross_entropy(output, target)
        else:
            each = nn.functional.binary_cross_entropy_with_logits(output, target, reduction="none")
            loss = loss + each.sum(dim=1).mean()
    return loss


class _Quality:
    """Mean over tasks of the macro-F1 on dev."""

    def __init__(self, schema: LabelSchema) -> None:
        self._schema = schema

    def __call__(self, evaluation: EvalPrediction) -> dict[str, float]:
        logits, labels = np.asarray(evaluation.predictions), np.asarray(evaluation.label_ids)
        quality, column = [], 0
        for task in self._schema.tasks.values():
            columns = slice(column, column + len(task.labels))
            column += len(task.labels)
            known = ~np.isnan(labels[:, columns][:, 0])
            if known.any():
                probabilities = probabilities_of(task, logits[known, columns].astype(np.float32))
                quality.append(best_f1(task, labels[known, columns], probabilities))
        return {"macro_f1": float(np.mean(quality))}


class _Advance(TrainerCallback):
    def __init__(self, advance: Advance) -> None:
        self._advance = advance

    def on_step_end(self, args: TrainingArguments, state: object, control: object, **kwargs: object) -> None:
        self._advance(args.train_batch_size * args.world_size)
