"""First embeddings: of the word alignment, and of the regression over sentences."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import sparse

from training.encoder.alignment import associate, first_embeddings
from training.encoder.regression import agree

LAW = settings(deadline=None, derandomize=True, max_examples=200)


# 0 never stands without 1, which stands elsewhere too: 0 translates 0, 1 translates 1, 2 translates 2
TOY = [([0, 1], [0, 1])] * 3 + [([1], [1])] * 2 + [([2, 1], [1, 2])]


def association(sentences, rounds, sizes=(4, 3)):
    return associate([new for new, _ in sentences], [old for _, old in sentences], *sizes, rounds).toarray()


def test_association_begins_with_the_dice_coefficient():
    dice = [[1, 2 * 3 / 9, 0], [2 * 3 / 9, 1, 2 * 1 / 7], [0, 2 * 1 / 7, 1], [0, 0, 0]]
    assert association(TOY, 0) == pytest.approx(np.array(dice))


def test_a_word_that_always_stands_beside_another_is_explained_away():
    before, after = association(TOY, 0), association(TOY, 10)
    assert before[0, 1] > 0.6
    assert after[0, 1] < 0.06
    assert after[1, 0] < 0.01
    assert after[[0, 1, 2], [0, 1, 2]].min() > 0.95


def test_one_round_of_expectation_maximisation_is_that_of_the_book():
    # shares of each sentence's old pieces by Dice, then Dice of their sums
    counts = 3 * np.array([[1 / (1 + 2 / 3), (2 / 3) / (1 + 2 / 3)]])
    assert association(TOY, 1)[0, :2] == pytest.approx((2 * counts / [3 + 3, 3 + 6])[0])


def test_a_piece_counts_once_in_a_sentence():
    doubled = [(new * 2, [*old, old[0]]) for new, old in TOY]
    assert (association(doubled, 3) == association(TOY, 3)).all()


def test_many_sentences_associate_as_few_of_the_same_kind_do():
    assert association(TOY * 4000, 3) == pytest.approx(association(TOY, 3), abs=1e-5)


sentences = st.lists(
    st.tuples(st.lists(st.integers(0, 5), max_size=6), st.lists(st.integers(0, 4), max_size=6)), min_size=1, max_size=12
)


@LAW
@given(sentences=sentences, rounds=st.integers(0, 5))
@example(sentences=[([], [])], rounds=1)
def test_association_is_between_0_and_1_and_nothing_where_two_never_meet(sentences, rounds):
    found = association(sentences, rounds, (6, 5))
    met = np.zeros((6, 5), bool)
    for new, old in sentences:
        met[np.ix_(new, old)] = True
    assert found.shape == (6, 5)
    assert found.min() >= 0
    assert found.max() <= 1 + 1e-6
    assert not found[~met].any()
    if rounds == 0:
        assert found[met].all()


TEACHER = np.array([[9, 9], [1, 0], [0, 1], [4, 0], [0, 4], [8, 8]], np.float32)
SPELLING = {"ok": [1, 2], "grinning face": [3, 4], "plus": [5], "face": [5]}


def spell(text):
    return SPELLING.get(text, [])


def began(piece, associated=None, special=None):
    """How the one piece began, and its embedding."""
    table = sparse.csr_matrix((1, len(TEACHER)))
    if associated:
        table = sparse.csr_matrix(
            (list(associated.values()), ([0] * len(associated), list(associated))), (1, len(TEACHER))
        )
    start = first_embeddings([piece], table, TEACHER, spell, special or {}, 1)
    (way,) = (way for way, count in start.counts.items() if count)
    assert start.embeddings.shape == (1, 2)
    return way, start.embeddings[0].tolist()


BEGINNINGS = {
    "special": ("[PAD]", None, {0: 5}, "special", [8, 8]),
    "special before all else": ("▁ok", {3: 1.0}, {0: 5}, "special", [8, 8]),
    "one translation": ("▁gatto", {3: 0.2}, None, "aligned", [4, 0]),
    "weighted by the square": ("▁gatto", {3: 0.2, 4: 0.1}, None, "aligned", [3.2, 0.8]),
    "aligned before spelled": ("▁ok", {3: 0.2}, None, "aligned", [4, 0]),
    "spelled": ("▁ok", None, None, "spelled", [0.5, 0.5]),
    "spelled inside a word": ("ok", None, None, "spelled", [0.5, 0.5]),
    "emoji by its name": ("😀", None, None, "spelled", [2, 2]),
    "emoji after a blank": ("▁😀", None, None, "spelled", [2, 2]),
}


@pytest.mark.parametrize(("piece", "associated", "special", "way", "embedding"), BEGINNINGS.values(), ids=BEGINNINGS)
def test_a_piece_begins_as_what_is_known_of_it_says(piece, associated, special, way, embedding):
    found = began(piece, associated, special)
    assert found == (way, pytest.approx(embedding))


@pytest.mark.parametrize("piece", ["▁", "gatto", "😡", "▁okay", "\U0001fae8\U0001fae8"])
def test_a_piece_of_which_nothing_is_known_begins_at_random(piece):
    assert began(piece)[0] == "random"


def test_the_eight_most_associated_make_the_embedding():
    teacher = np.eye(10, dtype=np.float32)
    weight = np.array([0.1, 0.5, 0.5, 0.5, 0.5, 0.2, 0.5, 0.5, 0.5, 0.5])
    start = first_embeddings(["x"], sparse.csr_matrix(weight), teacher, spell, {}, 1)
    assert start.embeddings[0] == pytest.approx(np.where(weight == 0.5, 1 / 8, 0))


def test_every_piece_is_counted_once_and_random_ones_have_the_mean_and_spread_of_the_teacher():
    pieces = ["[PAD]", "▁gatto", "ok", "😀", *["?"] * 4000]
    table = sparse.csr_matrix(([0.3], ([1], [2])), (len(pieces), len(TEACHER)))
    one, same, other = (first_embeddings(pieces, table, TEACHER, spell, {0: 0}, seed) for seed in (1, 1, 2))
    assert one.embeddings.shape == (len(pieces), 2)
    assert one.embeddings.dtype == np.float32
    assert one.counts == {"special": 1, "aligned": 1, "spelled": 2, "random": 4000}
    assert sum(one.counts.values()) == len(pieces)
    assert (one.embeddings == same.embeddings).all()
    assert (one.embeddings[:4] == other.embeddings[:4]).all()
    assert (one.embeddings[4:] != other.embeddings[4:]).all()
    assert one.embeddings[4:].mean(0) == pytest.approx(TEACHER.mean(0), abs=0.2)
    assert one.embeddings[4:].std(0) == pytest.approx(TEACHER.std(0), rel=0.1)


def sentences_of(count: int, size: int, seed: int) -> list[list[int]]:
    chance = np.random.default_rng(seed)
    return [chance.integers(0, size, chance.integers(2, 9)).tolist() for _ in range(count)]


def test_embeddings_that_agree_over_sentences_are_found_again() -> None:
    teacher = np.random.default_rng(1).normal(size=(30, 8)).astype(np.float32)
    sentences = sentences_of(400, 30, 2)
    shuffled = np.random.default_rng(3).permutation(30)  # the new number of each old piece
    new = [[int(shuffled[piece]) for piece in sentence] for sentence in sentences]
    start = np.zeros((30, 8), np.float32)
    found = agree(start, new, sentences, teacher, strength=1e-3, rounds=60, advance=lambda units: None)
    np.testing.assert_allclose(found[shuffled], teacher, atol=1e-2)


def test_what_no_sentence_has_stays_as_it_began() -> None:
    teacher = np.random.default_rng(1).normal(size=(30, 8)).astype(np.float32)
    start = np.ones((40, 8), np.float32)
    sentences = sentences_of(50, 30, 2)
    found = agree(start, sentences, sentences, teacher, strength=1.0, rounds=5, advance=lambda units: None)
    np.testing.assert_array_equal(found[30:], start[30:])
    assert np.abs(found[:30] - start[:30]).min() > 0


def test_the_stronger_it_is_held_the_nearer_it_stays() -> None:
    teacher = np.random.default_rng(1).normal(size=(30, 8)).astype(np.float32)
    start = np.zeros((30, 8), np.float32)
    sentences = sentences_of(50, 30, 2)
    moved = [
        np.abs(agree(start, sentences, sentences, teacher, strength=strength, rounds=20, advance=lambda n: None)).mean()
        for strength in (0.1, 10.0, 1000.0)
    ]
    assert moved[0] > 2 * moved[1] > 20 * moved[2]


def test_each_round_of_the_regression_is_told() -> None:
    told: list[int] = []
    table = np.ones((3, 2), np.float32)
    agree(table, [[0, 1]], [[1, 2]], table, strength=1.0, rounds=4, advance=told.append)
    assert told == [1, 1, 1, 1]
