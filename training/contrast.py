"""Teaching an encoder from few labels which texts belong together.

Texts of a label are drawn together and the others apart, all pairs of a batch at once (supervised contrastive
learning, Khosla et al. 2020; for few labels, Tunstall et al. 2022). On what it then says of a text a regression
reads every label.
"""

import random
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import get_linear_schedule_with_warmup, set_seed

from models.encoding import has_fast_bf16, prepare_for_training
from models.errors import TrainingError
from models.labels import LabelSchema
from models.progress import Advance
from models.scores import Array
from models.transformer import TransformerModel
from training.config import TrainConfig
from training.datasets import Dataset
from training.linear import fit_head

#: Texts of a batch, and how many of them share a label at least, where there are so many.
_BATCH, _TOGETHER = 64, 2
#: By what the likeness of two texts is divided: small makes the nearest wrong neighbours count most.
_TEMPERATURE = 0.05
#: Inverse of the regularisation of the heads; vectors are of unit length.
_STRENGTH = 100.0
#: Share of the steps in which the rate rises; then it falls to nothing.
_WARMUP = 0.1


def frozen(train: Dataset, schema: LabelSchema, config: TrainConfig, encoder: Path) -> TransformerModel:
    """The encoder as it is, with heads by regression on its vectors."""
    set_seed(config.seed)
    model = TransformerModel.from_encoder(
        encoder, schema, max_length=config.max_length, dropout=config.dropout, unit_vectors=True
    )
    _fit_heads(model, train, config.seed)
    return model


def contrasted(
    train: Dataset, schema: LabelSchema, config: TrainConfig, encoder: Path, advance: Advance
) -> TransformerModel:
    """The encoder taught by ``train`` which texts belong together, with heads by regression on its vectors.

    Args:
        train: rows to learn from; of a task with several labels texts are alike as their labels overlap.
        schema: tasks and class order.
        config: ``seed``, ``contrast_epochs``, ``contrast_rate``, ``max_length``, ``dropout``, ``weight_decay`` and
            ``bf16`` count.
        encoder: folder of the pretrained encoder.
        advance: told the texts of every step; see :func:`texts_seen`.

    Raises:
        TrainingError: the loss is no number any more.
    """
    set_seed(config.seed)
    model = TransformerModel.from_encoder(
        encoder, schema, max_length=config.max_length, dropout=config.dropout, unit_vectors=True
    )
    network = model.network
    prepare_for_training(network.encoder)
    network.train()
    device = next(network.parameters()).device
    ids = model.tokenise(train.texts).ids
    alike = {name: _likeness(train.targets[name]) for name in schema.tasks}
    batches = list(_batches(train, schema, config))
    optimizer = torch.optim.AdamW(
        network.encoder.parameters(), lr=config.contrast_rate, weight_decay=config.weight_decay, fused=True
    )
    schedule = get_linear_schedule_with_warmup(optimizer, round(_WARMUP * len(batches)), len(batches))
    for rows in batches:
        inputs = {name: tensor.to(device) for name, tensor in model.pad([ids[row] for row in rows]).items()}
        with torch.autocast(device.type, torch.bfloat16, enabled=config.bf16 and has_fast_bf16()):
            pooled = network.pool(**inputs)
        vectors = nn.functional.normalize(pooled.float(), dim=1)
        wanted = [torch.from_numpy(found[np.ix_(rows, rows)]).to(device) for found in alike.values()]
        loss = torch.stack([contrastive_loss(vectors, each, _TEMPERATURE) for each in wanted]).sum()
        if not loss.isfinite():
            raise TrainingError(
                f"the contrastive training diverged: the loss is {loss.item()}; set contrast_rate lower than "
                f"{config.contrast_rate:g}, or bf16=false"
            )
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
        advance(len(rows))
    _fit_heads(model, train, config.seed)
    return model


def texts_seen(rows: int, config: TrainConfig) -> int:
    """How many texts the contrastive training of so many rows goes through."""
    return _steps(rows, config) * min(_BATCH, rows)


def contrastive_loss(vectors: Tensor, alike: Tensor, temperature: float) -> Tensor:
    """How badly the likeness of vectors tells which texts are alike, a scalar.

    Args:
        vectors: (B, H), of unit length.
        alike: (B, B), from 0, of different labels, to 1, of the same; NaN where a text is not labelled.
        temperature: what likenesses are divided by.

    The mean over texts that another one is alike to of the cross-entropy between ``alike``, as shares of the other
    texts, and the softmax of the likenesses (Khosla et al. 2020, equation 2, with weights).
    """
    others = ~torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    known = others & ~alike.isnan()
    weights = torch.where(known, alike, 0.0)
    total = weights.sum(dim=1)
    scores = (vectors @ vectors.T / temperature).masked_fill(~known, -torch.inf)
    chances = torch.where(known, scores - scores.logsumexp(dim=1, keepdim=True), 0.0)
    losses = -(weights * chances).sum(dim=1)[total > 0] / total[total > 0]
    return losses.mean() if len(losses) else vectors.sum() * 0


def _likeness(targets: Array) -> Array:
    """For each two of N rows the share of their labels that they have in common (N, N); NaN if one is unlabelled."""
    common = targets @ targets.T
    counts = targets.sum(axis=1)
    either = counts[:, None] + counts[None, :] - common
    # two texts that no label applies to are alike
    result: Array = np.where(either == 0, 1, common / np.maximum(either, 1)).astype(np.float32)
    result[np.isnan(common)] = np.nan
    return result


def _batches(train: Dataset, schema: LabelSchema, config: TrainConfig) -> Iterator[list[int]]:
    """Rows of every step: some labels by chance, and of each some rows."""
    chance = random.Random(config.seed)
    groups = _groups(train, schema)
    size = min(_BATCH, len(train.texts))
    labels = min(len(groups), max(1, size // _TOGETHER))
    of_each = -(-size // labels)
    for _ in range(_steps(len(train.texts), config)):
        drawn = [chance.sample(group, min(of_each, len(group))) for group in chance.sample(groups, labels)]
        yield [row for rows in drawn for row in rows][:size]


def _groups(train: Dataset, schema: LabelSchema) -> list[list[int]]:
    """Rows of the same labels, by the task that has the most."""
    most = max(schema.tasks, key=lambda name: len(schema.tasks[name].labels))
    groups: dict[bytes, list[int]] = defaultdict(list)
    for row, target in enumerate(train.targets[most]):
        groups[target.tobytes()].append(row)
    return list(groups.values())


def _steps(rows: int, config: TrainConfig) -> int:
    return max(1, round(config.contrast_epochs_for(rows) * rows / min(_BATCH, rows)))


def _fit_heads(model: TransformerModel, train: Dataset, seed: int) -> None:
    vectors = model.read(train.texts).vectors
    unit: NDArray[np.float32] = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
    for (name, task), head in zip(model.schema.tasks.items(), model.network.heads, strict=True):
        rows = train.labelled(name)
        found = fit_head(task, unit[rows], train.targets[name][rows], _STRENGTH, seed)
        head.load_state_dict({"weight": torch.from_numpy(found.weights), "bias": torch.from_numpy(found.bias)})
