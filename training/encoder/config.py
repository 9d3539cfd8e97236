"""Every setting of an encoder recipe, with its default, in one place."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(gt=0, lt=1)]
Weight = Annotated[float, Field(ge=0)]


class ExtendConfig(BaseModel):
    """Settings of ``feedback encoder extend``; written to the encoder's card as they were used."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 13
    threads: Positive | None = None
    bf16: bool = True

    #: Pieces of the new vocabulary, and lines per language it is learned from.
    vocabulary: Annotated[int, Field(ge=300, le=500_000)] = 48_000
    vocabulary_lines: Positive = 25_000
    #: Rounds of expectation maximisation of the word alignment.
    alignment_rounds: Positive = 3
    #: Rounds of the regression over whole sentences, and how it is held near the alignment.
    regression_rounds: Annotated[int, Field(ge=0)] = 10
    regression_strength: Annotated[float, Field(gt=0)] = 1.0

    steps: Positive = 6_000
    #: Padded tokens of one batch, and most sentences in it.
    batch_tokens: Positive = 1_536
    batch_sentences: Positive = 128
    max_length: Annotated[int, Field(ge=8, le=512)] = 128
    #: Learning rates; the first is that of the heads that are thrown away afterwards.
    label_rate: Rate = 2e-3
    embedding_rate: Rate = 5e-4
    layer_rate: Rate = 1e-4
    weight_decay: Share = 0.01
    warmup_share: Share = 0.02

    #: Share of batches' sentences that are English.
    english_share: Share = 0.12
    #: Languages that are drawn twice as often.
    favour: tuple[str, ...] = ()
    #: How many times as often a pair of --in-domain is drawn as one of --pairs.
    in_domain_weight: Annotated[float, Field(gt=0)] = 4.0
    #: Long texts made by joining this many pairs' sentences.
    long_texts: Annotated[int, Field(ge=0)] = 12_000
    #: Share of sentences written as customers write: a typo, no diacritics, no punctuation.
    noise_share: Share = 0.15

    #: Of the squared distance to the target, and of the ranking, beside that of the angle, 1.
    distance_weight: Weight = 1.0
    ranking_weight: Weight = 0.3
    #: Of guessing the labels of sentences that are labelled.
    label_weight: Weight = 0.5
    #: Tokens of --mono read beside each batch, with pieces to be guessed; 0: none. And what the guesses count.
    masked_tokens: Annotated[int, Field(ge=0)] = 0
    masked_weight: Weight = 0.1
    ranking_temperature: Annotated[float, Field(gt=0)] = 0.05

    held_back: Positive = 300
    evaluate_every: Positive = 1_000
    save_every: Positive = 500
