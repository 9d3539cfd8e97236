"""Other libraries with the same encoder and the same head."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from setfit import SetFitModel
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from transformers import PreTrainedModel, TextClassificationPipeline
from transformers.modeling_outputs import SequenceClassifierOutput

from models.encoding import quiet_library
from models.labels import LabelSchema
from models.reading import ENCODER
from models.scores import Array, probabilities_of
from models.transformer import TransformerModel
from training.bench.speed.contender import Contender

#: Sizes of a batch that the pipeline is tried with; the fastest stands for it.
BATCHES = (1, 8, 32)


def encoder_peers(part: Path, schema: LabelSchema, task: str) -> list[Contender]:
    """The pipeline of transformers, sentence-transformers with a head, SetFit.

    Args:
        part: folder of the transformer part of a model.
        schema: of that model.
        task: one with a single answer.
    """
    model = TransformerModel.load(part, schema)
    head: Any = model.network.heads[list(schema.tasks).index(task)]
    weights, offsets = head.weight.detach().numpy(), head.bias.detach().numpy()
    sentences = _sentences(part / ENCODER, model.max_length)

    def by_head(texts: Sequence[str]) -> Array:
        vectors = sentences.encode(list(texts), show_progress_bar=False, convert_to_numpy=True)
        return probabilities_of(schema.tasks[task], vectors @ weights.T + offsets)

    return [
        *(_pipeline(model, head, size) for size in BATCHES),
        Contender("sentence-transformers and a head", "encoder", by_head, equal=True),
        _setfit(sentences, weights, offsets),
    ]


class _Sequence(PreTrainedModel):
    """Encoder, mean of the tokens and head as a model of the kind that the pipeline takes."""

    _supports_sdpa = True

    def __init__(self, model: TransformerModel, head: nn.Linear) -> None:
        encoder: Any = model.network.encoder
        config = encoder.config
        config.num_labels = head.out_features
        super().__init__(config)
        self.network, self.head = model.network, head

    def forward(self, input_ids: Tensor, attention_mask: Tensor, **_: object) -> SequenceClassifierOutput:
        return SequenceClassifierOutput(logits=self.head(self.network.pool(input_ids, attention_mask)))


def _pipeline(model: TransformerModel, head: nn.Linear, size: int) -> Contender:
    network: Any = _Sequence(model, head)
    with quiet_library():
        classify: Any = TextClassificationPipeline(model=network.eval(), tokenizer=model.tokenizer, device="cpu")

    def answer(texts: Sequence[str]) -> Array:
        with quiet_library():
            found = classify(list(texts), batch_size=size, top_k=None, truncation=True, max_length=model.max_length)
        return np.array([[one["score"] for one in sorted(each, key=_number)] for each in found], np.float32)

    return Contender(f"transformers.pipeline, batches of {size}", "encoder", answer, equal=True)


def _number(one: dict[str, Any]) -> int:
    return int(str(one["label"]).rpartition("_")[2])


def _sentences(encoder: Path, max_length: int) -> SentenceTransformer:
    with quiet_library():
        body = Transformer(str(encoder), max_seq_length=max_length)
    return SentenceTransformer(modules=[body, Pooling(body.get_embedding_dimension(), "mean")], device="cpu")


def _setfit(sentences: SentenceTransformer, weights: Array, offsets: Array) -> Contender:
    head = LogisticRegression()
    head.coef_, head.intercept_, head.classes_ = weights, offsets, np.arange(len(offsets))
    model = SetFitModel(model_body=sentences, model_head=head)

    def answer(texts: Sequence[str]) -> Array:
        found: Tensor = model.predict_proba(list(texts), show_progress_bar=False)
        return torch.as_tensor(found).numpy().astype(np.float32)

    return Contender("SetFit predict", "encoder", answer, equal=True)
