"""Distillation on pairs: the student says of a sentence, in any language, what the teacher says of the English one.

Reimers and Gurevych (2020) take the squared error alone. Here the direction counts too, and the
other sentences of a batch are wrong answers that must lie farther off than the right one (the
ranking loss of Henderson et al. 2017), which keeps sentences apart that differ in little. Where
pairs are labelled, a head that is thrown away afterwards guesses the labels, so that the vectors
hold what the teacher never had to tell: how the customer feels (Phang et al. 2018).
"""

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase, Trainer, TrainerCallback, TrainingArguments, set_seed
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from models.encoding import has_fast_bf16, mean_of_tokens, padded, padding_of, prepare_for_training
from models.progress import Progress
from training.encoder.config import ExtendConfig
from training.encoder.masking import MaskedHead, MaskedTexts
from training.encoder.noise import roughen
from training.encoder.pairs import Pairs
from training.encoder.runlog import RunLog
from training.encoder.sampling import Draw
from training.workspace import KeepCheckpoints, last_checkpoint

#: The teacher finds two sentences the same from this cosine on; then neither is a wrong answer to the other.
_SAME = 0.97
_LOG_EVERY = 50

Halves = np.ndarray[Any, np.dtype[np.float16]]


class Distillation(nn.Module):
    """The student, heads that guess ``labels`` labels and, if ``masked``, hidden pieces, and their loss."""

    def __init__(self, student: Any, labels: int, config: ExtendConfig, *, masked: bool = False) -> None:
        super().__init__()
        self.student = student
        width = student.config.hidden_size
        self.head = nn.Linear(width, labels) if labels else None
        self.masked = MaskedHead(width, student.get_input_embeddings()) if masked else None
        self._config = config

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        target: Tensor,
        labels: Tensor,
        masked_ids: Tensor | None = None,
        masked_mask: Tensor | None = None,
        hidden_ids: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Loss of token ids and mask (B, T) whose mean vector is to be ``target`` (B, H).

        ``labels`` (B, K) holds 1 for a label of the sentence; rows of zeros are not labelled.
        The last three are a batch of :class:`MaskedTexts`, if there is one.
        """
        hidden = self.student(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        with torch.autocast(hidden.device.type, enabled=False):
            vector = mean_of_tokens(hidden.float(), attention_mask)
            loss = self._distance(vector, target) + self._guesses(vector, labels)
        if self.masked is not None:
            read = self.student(input_ids=masked_ids, attention_mask=masked_mask).last_hidden_state
            guesses = self.masked(read, self.student.get_input_embeddings().weight, hidden_ids)
            loss = loss + self._config.masked_weight * guesses
        return {"loss": loss}

    def _distance(self, vector: Tensor, target: Tensor) -> Tensor:
        config = self._config
        squared = (vector - target).square().sum(1).mean()
        ours, theirs = functional.normalize(vector, dim=1), functional.normalize(target, dim=1)
        turned = (1 - (ours * theirs).sum(1)).mean()
        scores = ours @ theirs.T / config.ranking_temperature  # (B, B)
        right = torch.arange(len(scores), device=scores.device)
        same = (theirs @ theirs.T > _SAME).fill_diagonal_(False)
        scores = scores.masked_fill(same, -1e4)
        ranking = (functional.cross_entropy(scores, right) + functional.cross_entropy(scores.T, right)) / 2
        return config.distance_weight * squared + turned + config.ranking_weight * ranking

    def _guesses(self, vector: Tensor, labels: Tensor) -> Tensor:
        if self.head is None:
            return vector.new_zeros(())
        each = functional.binary_cross_entropy_with_logits(self.head(vector), labels, reduction="none").sum(1)
        known = labels.any(1)
        return self._config.label_weight * (each * known).sum() / known.sum().clamp(min=1)


class Steps(Dataset[dict[str, Tensor]]):
    """The batches of a run, each made when it is asked for and always the same.

    ``masked``: monolingual text with hidden pieces, a batch of it beside each.
    """

    def __init__(
        self,
        plan: Sequence[Sequence[Draw]],
        pairs: Pairs,
        targets: Halves,
        tokenizer: PreTrainedTokenizerBase,
        config: ExtendConfig,
        masked: MaskedTexts | None = None,
    ) -> None:
        self.plan, self.masked = plan, masked
        self._pairs, self._targets, self._tokenizer, self._config = pairs, targets, tokenizer, config
        self.labels = sorted({label for labels in pairs.labels for label in labels})

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        chance = random.Random(f"{self._config.seed} {step}")
        texts = [self._pairs.text(draw.row, draw.language) for draw in self.plan[step]]
        texts = [roughen(text, chance) if chance.random() < self._config.noise_share else text for text in texts]
        ids = self._tokenizer(texts, truncation=True, max_length=self._config.max_length, verbose=False)["input_ids"]
        target = self._targets[[draw.row for draw in self.plan[step]]]
        labels = [[float(label in self._pairs.labels[draw.row]) for label in self.labels] for draw in self.plan[step]]
        return {
            **padded(ids, padding_of(self._tokenizer)),
            "target": torch.from_numpy(target.astype(np.float32)),
            "labels": torch.tensor(labels),
            **(self.masked[step] if self.masked else {}),
        }


def distil(
    student: Any,
    steps: Steps,
    config: ExtendConfig,
    workspace: Path,
    log: RunLog,
    measure: Callable[[Any], Mapping[str, float]],
    progress: Progress,
) -> dict[str, Tensor]:
    """Train ``student``, going on where a run in ``workspace`` stopped, and return its weights.

    Args:
        student: the encoder; trained in place.
        steps: batches, one a step and process.
        config: every setting.
        workspace: folder for checkpoints.
        log: gets loss and retrieval.
        measure: retrieval of the student as it stands, by language.
        progress: advanced by sentences.
    """
    set_seed(config.seed)
    prepare_for_training(student)
    network = Distillation(student, len(steps.labels), config, masked=steps.masked is not None)
    last = last_checkpoint(workspace)
    done = int(last.name.rpartition("-")[2]) if last else 0
    log.keep_until(done)
    sentences, before = sum(map(len, steps.plan)), sum(map(len, steps.plan[:done]))
    with progress.stage("distillation", sentences, "sentences", done=before) as advance:
        trainer = Trainer(
            model=network,
            args=_arguments(config, workspace),
            train_dataset=steps,
            data_collator=lambda batches: batches[0],
            optimizers=(_optimizer(network, config), None),
            callbacks=[_Watch(network, steps, config, log, measure, advance), KeepCheckpoints(newest=2)],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.remove_callback(ProgressCallback)
        trainer.train(resume_from_checkpoint=str(last) if last else None)
    return {name: weight.detach().cpu() for name, weight in student.state_dict().items()}


def _arguments(config: ExtendConfig, workspace: Path) -> TrainingArguments:
    on_gpu = torch.cuda.is_available()
    return TrainingArguments(
        output_dir=str(workspace),
        max_steps=config.steps,
        per_device_train_batch_size=1,  # a row of the dataset is a whole batch
        train_sampling_strategy="sequential",
        warmup_steps=config.warmup_share,
        lr_scheduler_type="linear",
        max_grad_norm=1.0,
        bf16=config.bf16 and has_fast_bf16(),
        use_cpu=not on_gpu,
        eval_strategy="no",
        save_strategy="steps",
        save_steps=config.save_every,
        logging_steps=min(_LOG_EVERY, config.evaluate_every),
        remove_unused_columns=False,
        dataloader_pin_memory=on_gpu,
        disable_tqdm=True,
        report_to=[],
        seed=config.seed,
        data_seed=config.seed,
    )


def _optimizer(network: Distillation, config: ExtendConfig) -> torch.optim.Optimizer:
    table = network.student.get_input_embeddings().weight
    heads = [*(network.head or nn.Module()).parameters(), *(network.masked or nn.Module()).parameters()]
    body = [weight for weight in network.student.parameters() if weight is not table]
    groups = [
        {"params": [table], "lr": config.embedding_rate, "weight_decay": 0.0},
        {"params": body, "lr": config.layer_rate, "weight_decay": config.weight_decay},
        *([{"params": heads, "lr": config.label_rate, "weight_decay": config.weight_decay}] if heads else []),
    ]
    return torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True)


class _Watch(TrainerCallback):
    """Tells how far the run is, and keeps its log."""

    def __init__(
        self,
        network: Distillation,
        steps: Steps,
        config: ExtendConfig,
        log: RunLog,
        measure: Callable[[Any], Mapping[str, float]],
        advance: Callable[[int], None],
    ) -> None:
        self._network, self._steps, self._config, self._log = network, steps, config, log
        self._measure, self._advance = measure, advance

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._advance(len(self._steps.plan[state.global_step - 1]) * args.world_size)
        last = state.global_step == self._config.steps
        if state.is_world_process_zero and (last or state.global_step % self._config.evaluate_every == 0):
            self._log.add(state.global_step, retrieval=self._measure(self._network.student))
            self._network.train()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if state.is_world_process_zero and logs and "loss" in logs:
            self._log.add(state.global_step, loss=float(logs["loss"]))
