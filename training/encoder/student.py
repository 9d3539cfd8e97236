"""The student: the teacher's body with embeddings for the new vocabulary."""

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from models.encoding import quiet_library
from training.encoder.alignment import Floats


def new_student(teacher: nn.Module, embeddings: Floats, padding: int) -> Any:
    """A copy of ``teacher`` that reads the vocabulary of ``embeddings`` (V, E).

    Its dropout is off: what it is to say is known for every sentence, so it cannot learn by heart.
    """
    student: Any = deepcopy(teacher)
    table = nn.Embedding(embeddings.shape[0], embeddings.shape[1], padding_idx=padding)
    with torch.no_grad():
        table.weight.copy_(torch.from_numpy(embeddings))
    student.set_input_embeddings(table)
    student.config.vocab_size = len(embeddings)
    student.config.pad_token_id = padding
    for module in student.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return student


def save_student(
    student: Any, weights: Mapping[str, torch.Tensor], tokenizer: PreTrainedTokenizerBase, folder: Path
) -> None:
    """Write the encoder with ``weights`` in 16 bits, and its tokenizer, into ``folder``."""
    halves = {name: weight.half() for name, weight in weights.items()}
    with quiet_library():
        student.save_pretrained(folder, state_dict=halves)
        tokenizer.save_pretrained(folder)


def embedding_table(encoder: Any) -> Floats:
    """The input embeddings (V, E) of an encoder."""
    weights: Floats = encoder.get_input_embeddings().weight.detach().cpu().float().numpy().astype(np.float32)
    return weights
