"""Which sentences a step of distillation sees: drawn by language, joined into long texts, batched by length."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.reading import batches_by_length
from training.encoder.config import ExtendConfig
from training.encoder.pairs import ENGLISH, Pairs

#: Sentences drawn at once, then sorted by length and cut into batches.
_POOL = 20_000


@dataclass(frozen=True)
class Draw:
    """One sentence for the student: the row of its pair, and the language it is read in."""

    row: int
    language: str


def with_long_texts(pairs: Pairs, count: int, seed: int) -> Pairs:
    """``pairs``, and ``count`` longer texts made of two to six of them that share a language."""
    chance = random.Random(seed)
    languages = sorted(pairs.translations)
    rows = {language: list(map(int, pairs.rows_of(language))) for language in languages}
    english = list(pairs.english)
    weight = list(map(float, pairs.weight))
    translations = {language: list(texts) for language, texts in pairs.translations.items()}
    for number in range(count):
        language = languages[number % len(languages)]
        first, *others = chance.sample(rows[language], min(60, len(rows[language])))
        # what is of one kind stays together
        near = [row for row in others if pairs.weight[row] == pairs.weight[first]]
        parts = [first, *near[: chance.randint(1, 5)]]
        joint = "" if language.startswith("zh") else " "
        english.append(" ".join(pairs.english[row] for row in parts))
        for each, texts in translations.items():
            texts.append(joint.join(pairs.text(row, language) for row in parts) if each == language else "")
        weight.append(float(pairs.weight[first]))
    return Pairs(english, translations, np.array(weight), [*pairs.labels, *[()] * count])


def shares(pairs: Pairs, config: ExtendConfig) -> dict[str, float]:
    """How often each language is drawn; English as ``english_share``, the others by the square root
    of their pairs, favoured ones twice as often. Sums to 1."""
    sizes = {
        language: len(pairs.rows_of(language)) ** 0.5 * (2 if language in config.favour else 1)
        for language in pairs.translations
    }
    whole = sum(sizes.values())
    rest = 1 - config.english_share
    return {ENGLISH: config.english_share} | {language: rest * size / whole for language, size in sizes.items()}


def batches(pairs: Pairs, lengths: Mapping[str, Sequence[int]], config: ExtendConfig, count: int) -> list[list[Draw]]:
    """``count`` batches of like length, the same ones for the same seed.

    Args:
        pairs: what to draw from.
        lengths: tokens of each pair's text, per language (N).
        config: shares, sizes, seed.
        count: how many.
    """
    chance = np.random.default_rng(config.seed)
    share = shares(pairs, config)
    languages = list(share)
    rows = {language: pairs.rows_of(language) for language in languages}
    odds = {language: pairs.weight[found] / pairs.weight[found].sum() for language, found in rows.items()}
    result: list[list[Draw]] = []
    while len(result) < count:
        drawn: list[Draw] = []
        for language, size in zip(languages, chance.multinomial(_POOL, list(share.values())), strict=True):
            picked = chance.choice(rows[language], size, p=odds[language])
            drawn.extend(Draw(int(row), language) for row in picked)
        cost = [min(lengths[draw.language][draw.row], config.max_length) for draw in drawn]
        cut = [
            [drawn[place] for place in batch[start : start + config.batch_sentences]]
            for batch in batches_by_length(cost, config.batch_tokens)
            for start in range(0, len(batch), config.batch_sentences)
        ]
        result.extend(cut[place] for place in chance.permutation(len(cut)))
    return result[:count]
