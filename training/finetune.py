"""Fine-tuning the encoder with one head per task, by the Hugging Face Trainer."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset as Rows
from torch import Tensor
from transformers import EarlyStoppingCallback, set_seed

from models.encoding import has_fast_bf16, padding_of, prepare_for_training
from models.labels import LabelSchema
from models.progress import Progress
from models.scores import Array
from models.transformer import TransformerModel
from training.config import TrainConfig
from training.datasets import Dataset
from training.lower_layers import LowerLayers
from training.processes import processes
from training.trainer import Inputs, make_trainer, rows_of, token_ids
from training.workspace import KeepCheckpoints, last_checkpoint


def finetune(
    train: Dataset,
    dev: Dataset | None,
    schema: LabelSchema,
    config: TrainConfig,
    encoder: Path,
    workspace: Path,
    progress: Progress,
) -> TransformerModel:
    """Train encoder and heads; the epoch of best mean macro-F1 on ``dev`` is kept.

    Args:
        train: rows to learn from; a task's loss counts the rows labelled for it.
        dev: rows to stop by; without them all epochs are run and the last is kept.
        schema: tasks and class order.
        config: every setting.
        encoder: folder of the pretrained encoder.
        workspace: folder for checkpoints, the caller's to remove; from the last whole one the run goes on.
        progress: advanced by rows.

    Raises:
        TrainingError: the loss is no number any more.
    """
    model = fresh_model(train, schema, config, encoder)
    epochs = config.epochs_for(len(train.texts))
    last = last_checkpoint(workspace)
    done = 0 if last is None else len(train.texts) * _epochs_of(last)
    stage = f"fine-tuning, at most {epochs} epochs"
    given = [rows_of(some, model) for some in (train, dev) if some is not None]
    with (
        _trained_part(model, given, config, progress) as (rows, inputs),
        progress.stage(stage, len(train.texts) * epochs, "texts", done=done) as advance,
    ):
        checked = None if dev is None else rows[1]
        trainer = make_trainer(model, rows[0], checked, config, workspace, advance, inputs=inputs)
        trainer.add_callback(KeepCheckpoints())
        if dev is not None:
            trainer.add_callback(EarlyStoppingCallback(config.patience))
        trainer.train(resume_from_checkpoint=str(last) if last else None)
    # the best checkpoint is read by all before anybody removes it
    processes().wait_for_everyone()
    model.network.eval()
    return model


@contextmanager
def _trained_part(
    model: TransformerModel, rows: list[Rows], config: TrainConfig, progress: Progress
) -> Iterator[tuple[list[Rows], Inputs]]:
    """The rows, and how a batch of them is given to what is trained of the network: all, or the upper layers."""
    if not config.frozen_layers:
        yield rows, partial(token_ids, model)
        return
    network, bf16 = model.network, config.bf16 and has_fast_bf16()
    lower = LowerLayers(network.encoder, config.frozen_layers, padding_of(model.tokenizer), bf16=bf16)
    with progress.stage("reading by the frozen layers", sum(map(len, rows)), "texts") as advance:
        rows = [some.add_column("number", list(lower.keep(some["input_ids"], advance))) for some in rows]
    whole = network.encoder
    with lower.above() as upper:
        network.encoder = upper
        try:
            yield rows, lower.inputs
        finally:
            network.encoder = whole


def fresh_model(train: Dataset, schema: LabelSchema, config: TrainConfig, encoder: Path) -> TransformerModel:
    """What the fine-tuning begins with; the seed alone decides over its heads.

    Args:
        train: rows whose label frequencies the heads of multi tasks begin with.
        schema: tasks and class order.
        config: ``seed``, ``max_length`` and ``dropout`` count.
        encoder: folder of the pretrained encoder.
    """
    set_seed(config.seed)
    model = TransformerModel.from_encoder(encoder, schema, max_length=config.max_length, dropout=config.dropout)
    prepare_for_training(model.network.encoder)
    model.network.start_from([_label_shares(train.targets[name]) for name in schema.tasks])
    # building it drew numbers; what is drawn from here on is that of the training
    set_seed(config.seed)
    return model


def _epochs_of(checkpoint: Path) -> int:
    state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    epochs: float = state["epoch"]
    return round(epochs)


def _label_shares(targets: Array) -> Tensor:
    return torch.from_numpy(np.nanmean(targets, axis=0))
