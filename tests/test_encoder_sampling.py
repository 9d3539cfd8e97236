"""Which sentences a step of distillation sees."""

import random
import re
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.encoder.config import ExtendConfig
from training.encoder.pairs import Pairs
from training.encoder.sampling import batches, shares, with_long_texts

LAW = settings(deadline=None, derandomize=True, max_examples=200)


def sampled(sizes, weight=None):
    """Pairs with ``sizes`` translations per language, English beside each."""
    rows = max(sizes.values())
    translations = {
        language: [f"{language}{n}" if n < size else "" for n in range(rows)] for language, size in sizes.items()
    }
    english = [f"en{n}" for n in range(rows)]
    return Pairs(english, translations, np.ones(rows) if weight is None else np.asarray(weight, float), [()] * rows)


@LAW
@given(
    sizes=st.dictionaries(st.sampled_from(["it", "pl", "ro", "zh-Hans", "vi"]), st.integers(1, 50), min_size=1),
    english=st.floats(0, 1),
    favoured=st.booleans(),
)
def test_shares_sum_to_1_and_english_has_its_own(sizes, english, favoured):
    config = ExtendConfig(english_share=english, favour=tuple(sizes)[:1] if favoured else ())
    found = shares(sampled(sizes), config)
    assert found.keys() == {"en", *sizes}
    assert found["en"] == english
    assert sum(found.values()) == pytest.approx(1)


SHARES = {
    "alike": ({"it": 100, "pl": 100}, (), {"it": 0.4, "pl": 0.4}),
    "favoured": ({"it": 100, "pl": 100, "ro": 100}, ("pl",), {"it": 0.2, "pl": 0.4, "ro": 0.2}),
    "square root": ({"it": 900, "pl": 100}, (), {"it": 0.6, "pl": 0.2}),
    "favoured and few": ({"it": 400, "pl": 100}, ("pl",), {"it": 0.4, "pl": 0.4}),
}


@pytest.mark.parametrize(("sizes", "favour", "expected"), SHARES.values(), ids=SHARES)
def test_languages_are_drawn_by_the_square_root_of_their_pairs_and_favoured_ones_twice_as_often(
    sizes, favour, expected
):
    found = shares(sampled(sizes), ExtendConfig(english_share=0.2, favour=favour))
    assert found == pytest.approx({"en": 0.2, **expected})


def planned(pairs, count, lengths=None, **values):
    names = ("en", *pairs.translations)
    lengths = lengths or {language: [10] * len(pairs) for language in names}
    return batches(pairs, lengths, ExtendConfig(**values), count)


def test_batches_hold_languages_by_their_shares_and_only_texts_that_there_are():
    pairs = sampled({"it": 900, "pl": 100})
    draws = [draw for batch in planned(pairs, 300, english_share=0.2, favour=("pl",)) for draw in batch]
    assert len(draws) > 20_000
    found = Counter(draw.language for draw in draws)
    expected = {"en": 0.2, "it": 0.48, "pl": 0.32}
    assert {language: count / len(draws) for language, count in found.items()} == pytest.approx(expected, abs=0.02)
    assert all(pairs.text(draw.row, draw.language) for draw in draws)
    assert {draw.row for draw in draws if draw.language == "pl"} == set(range(100))


def test_a_pair_with_eight_times_the_weight_is_drawn_eight_times_as_often():
    pairs = sampled({"it": 120, "pl": 60}, weight=[8.0] * 20 + [1.0] * 100)
    draws = [draw for batch in planned(pairs, 300) for draw in batch]
    for language, others in (("en", 100), ("it", 100), ("pl", 40)):
        drawn = [draw.row < 20 for draw in draws if draw.language == language]
        assert np.mean(drawn) == pytest.approx(160 / (160 + others), abs=0.03)


def uneven(pairs, longest=300):
    chance = random.Random(3)
    return {language: [chance.randint(3, longest) for _ in pairs.english] for language in ("en", *pairs.translations)}


def test_batches_keep_to_their_tokens_and_sentences_and_hold_texts_of_like_length():
    pairs = sampled({"it": 400, "zh-Hans": 300})
    lengths = uneven(pairs)
    plan = planned(pairs, 500, lengths, batch_tokens=600, batch_sentences=16, max_length=100)
    assert len(plan) == 500
    costs = [[min(lengths[draw.language][draw.row], 100) for draw in batch] for batch in plan]
    assert all(len(cost) <= 16 and max(cost) * len(cost) <= 600 for cost in costs)
    assert any(len(cost) == 16 for cost in costs)
    assert any(max(cost) * (len(cost) + 1) > 600 for cost in costs)
    assert sum(max(cost) * len(cost) for cost in costs) < 1.05 * sum(map(sum, costs))
    # short and long ones come in no order
    assert sum(max(one) < max(two) for one, two in pairwise(costs)) > 100


def test_the_same_seed_is_the_same_plan_and_a_longer_plan_goes_on_from_it():
    pairs = sampled({"it": 400, "pl": 300})
    lengths = uneven(pairs)
    one, same, longer, other = (
        planned(pairs, count, lengths, seed=seed) for count, seed in ((20, 1), (20, 1), (4000, 1), (20, 2))
    )
    assert one == same == longer[:20]
    assert len(longer) == 4000
    assert one != other


def parts_of(text, language, pairs):
    """The rows whose texts ``text`` is made of."""
    return [pairs.translations[language].index(part) for part in re.findall(rf"{language}\d+", text)]


def test_long_texts_are_joined_of_two_to_six_real_ones_in_one_language():
    pairs = sampled({"it": 80, "zh-Hans": 50, "zh-Hant": 50})
    longer = with_long_texts(pairs, 90, 1)
    assert len(longer) == len(longer.weight) == len(longer.labels) == 80 + 90
    assert longer.take(range(80)).english == pairs.english
    assert {language: texts[:80] for language, texts in longer.translations.items()} == pairs.translations
    made = Counter()
    numbers = set()
    for row in range(80, 170):
        (language,) = (language for language, texts in longer.translations.items() if texts[row])
        rows = parts_of(longer.text(row, language), language, pairs)
        joint = "" if language.startswith("zh") else " "
        assert longer.text(row, language) == joint.join(pairs.text(part, language) for part in rows)
        assert longer.english[row] == " ".join(pairs.english[part] for part in rows)
        assert len(set(rows)) == len(rows)
        assert longer.labels[row] == ()
        made[language] += 1
        numbers.add(len(rows))
    assert made == {"it": 30, "zh-Hans": 30, "zh-Hant": 30}
    assert numbers == {2, 3, 4, 5, 6}


def test_long_texts_join_what_has_the_same_weight_and_have_it_too():
    pairs = sampled({"it": 80}, weight=[8.0, 1.0] * 40)
    longer = with_long_texts(pairs, 60, 1)
    for row in range(80, 140):
        rows = parts_of(longer.text(row, "it"), "it", pairs)
        assert {pairs.weight[part] for part in rows} == {longer.weight[row]}
    assert set(longer.weight[80:]) == {8.0, 1.0}


def test_long_texts_are_the_same_for_the_same_seed():
    pairs = sampled({"it": 80})
    one, same, other = (with_long_texts(pairs, 20, seed).english for seed in (1, 1, 2))
    assert one == same != other
    assert with_long_texts(pairs, 0, 1).english == pairs.english
