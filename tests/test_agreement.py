"""Krippendorff's alpha: the worked examples of the literature, and what holds for any answers."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labeling.status.agreement import agreement, alpha, masi, nominal, squared
from models.labels import LabelSchema

# Krippendorff 2011, sections A to C; a dot is no answer
TWO_VALUES = ["0100000010", "1110010000"]
TWO_OBSERVERS = ["aabbdcccedda", "babbbccceddd"]
FOUR_OBSERVERS = ["123321412...", "1233224125.3", ".3332342251.", "12332441251."]


def units(observers: list[str]) -> list[list[str]]:
    return [[value for value in unit if value != "."] for unit in zip(*observers, strict=True)]


@pytest.mark.parametrize(
    ("observers", "expected"), [(TWO_VALUES, 0.095), (TWO_OBSERVERS, 0.692), (FOUR_OBSERVERS, 0.743)]
)
def test_nominal_examples_of_krippendorff(observers: list[str], expected: float) -> None:
    assert alpha(units(observers), nominal).alpha == pytest.approx(expected, abs=5e-4)


def test_the_interval_example_of_krippendorff() -> None:
    places = [[float(value) for value in unit] for unit in units(FOUR_OBSERVERS)]
    found = alpha(places, squared)
    assert found.alpha == pytest.approx(0.849, abs=5e-4)
    assert found.units == 11  # one unit of twelve was answered once


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("ab", "ab", 0),
        ("", "", 0),
        ("", "a", 1),
        ("a", "b", 1),
        ("a", "ab", 1 - 2 / 3 / 2),
        ("abc", "ab", 1 - 2 / 3 * 2 / 3),
        ("ab", "bc", 1 - 1 / 3 / 3),
    ],
)
def test_sets_lie_apart_as_passonneau_says(one: str, other: str, expected: float) -> None:
    assert masi(frozenset(one), frozenset(other)) == pytest.approx(expected)
    assert masi(frozenset(other), frozenset(one)) == pytest.approx(expected)


@pytest.mark.parametrize("answers", [[], [["a"], ["b"]], [["a", "a"], ["a", "a"]]])
def test_where_nothing_can_differ_there_is_no_alpha(answers: list[list[str]]) -> None:
    assert alpha(answers, nominal).alpha is None


def test_few_units_have_no_interval() -> None:
    found = alpha([["a", "a"], ["a", "b"], ["b", "b"]], nominal)
    assert found.alpha is not None
    assert (found.low, found.high) == (None, None)


def test_the_interval_holds_alpha_and_is_the_same_each_time() -> None:
    answers = [["a", "a"], ["b", "b"], ["a", "b"], ["b", "b"]] * 20
    found = alpha(answers, nominal)
    assert found == alpha(answers, nominal)
    assert found.low < found.alpha < found.high


ANSWERS = st.lists(st.lists(st.sampled_from("abc"), max_size=4), max_size=12)


@settings(max_examples=200, deadline=None)
@given(ANSWERS, st.randoms())
def test_neither_order_nor_names_matter_and_one_is_the_most(answers, chance) -> None:
    found = alpha(answers, nominal)
    shuffled = [chance.sample(unit, len(unit)) for unit in chance.sample(answers, len(answers))]
    renamed = [[value.upper() for value in unit] for unit in shuffled]
    other = alpha(renamed, nominal)
    assert other.alpha == (None if found.alpha is None else pytest.approx(found.alpha))
    if found.alpha is not None:
        assert found.alpha <= 1
        alike = all(one == two for unit in answers for one, two in pairwise(unit))
        assert (found.alpha == pytest.approx(1)) == alike


def test_every_task_gets_what_fits_it() -> None:
    schema = LabelSchema.load()
    one = {"category": ("product/defect",), "sentiment": ("negative",)}
    other = {"category": ("product/defect", "delivery/late"), "sentiment": ("negative",)}
    third = {"category": (), "sentiment": ("positive",)}
    found = agreement([[one, other], [third, third], [one]], schema)
    assert set(found["category"]) == {"labels", "per_label"}
    assert found["category"]["labels"]["units"] == 2
    assert found["category"]["per_label"]["product/defect"]["alpha"] == 1
    assert found["sentiment"]["labels"]["alpha"] == 1
    assert found["sentiment"]["scale"]["alpha"] == 1
