"""What came lately is not computed again."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from models.classifier import Classifier
from models.recent import Recent
from models.records import FeedbackItem, Prediction


class Counting:
    """A model that counts what it is asked."""

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier
        self.asked: list[FeedbackItem] = []

    def __call__(self, items: Sequence[FeedbackItem]) -> list[Prediction]:
        self.asked += items
        return self.classifier.predict(items)


def items(*texts: str, language: str | None = None) -> list[FeedbackItem]:
    return [FeedbackItem(text=text, language=language) for text in texts]


def test_the_answers_are_those_of_the_model_and_each_is_computed_once(classifier: Classifier) -> None:
    model = Counting(classifier)
    told: list[int] = []
    recent = Recent(model, 10, told.append)
    asked = items("late again", "great", "late again")
    assert recent(asked) == classifier.predict(asked)
    assert [item.text for item in model.asked] == ["late again", "great"]
    assert recent(items("great", "new")) == classifier.predict(items("great", "new"))
    assert [item.text for item in model.asked[2:]] == ["new"]
    assert recent([]) == []
    assert told == [1, 1, 0]


def test_the_language_is_part_of_what_was_asked(classifier: Classifier) -> None:
    model = Counting(classifier)
    recent = Recent(model, 10)
    said = [recent(items("gift", language=language))[0].language for language in ("en", "de", "en")]
    assert said == ["en", "de", "en"]
    assert len(model.asked) == 2


@given(st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=6), max_size=12), st.integers(0, 4))
def test_no_more_is_kept_than_was_said_and_what_is_kept_is_what_came_last(asked: list[list[str]], most: int) -> None:
    computed: list[str] = []

    def echo(given: Sequence[FeedbackItem]) -> list[Prediction]:
        computed.extend(item.text for item in given)
        return [item.text for item in given]  # type: ignore[misc]  # whatever it is, it is given back

    recent = Recent(echo, most)
    last: list[str] = []
    for texts in asked:
        before = len(computed)
        assert recent(items(*texts)) == texts
        assert computed[before:] == [text for text in dict.fromkeys(texts) if text not in last]
        for text in dict.fromkeys(texts):
            last = [kept for kept in last if kept != text] + [text]
        last = last[len(last) - most :] if most < len(last) else last


def test_a_model_answers_what_is_said_twice_once(classifier: Classifier) -> None:
    asked = items("late again", "great", "late again", " late   again")
    found = classifier.predict(asked)
    assert found[0] == found[2] == found[3]
    assert found == [classifier.predict([item])[0] for item in asked]
