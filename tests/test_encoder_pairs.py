"""Pairs and monolingual sentences: read, checked, held back."""

import gzip
import json
import random
import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import write_jsonl

from models.errors import ConfigError, DataError
from models.rejects import RejectLog
from models.text import fingerprint
from training.encoder.pairs import Pairs, hold_back, read_mono, read_pairs, with_english

LAW = settings(deadline=None, derandomize=True, max_examples=200)


@pytest.fixture
def rejects(tmp_path):
    with RejectLog(tmp_path / "rejects.jsonl", "pairs") as log:
        yield log


def packed(path, rows):
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    return path


# pairs


def test_plain_and_packed_files_are_read_in_order_with_the_weight_of_their_file(tmp_path, rejects):
    plain = write_jsonl(tmp_path / "a.jsonl", [{"en": " Good\tday ", "it": "Buon giorno"}, {"en": "Yes", "pl": "Tak"}])
    small = packed(tmp_path / "b.jsonl.gz", [{"en": "No", "it": "No", "pl": "Nie"}])
    pairs, _ = read_pairs({plain: 1.0, small: 8.0}, ["it", "pl"], rejects)
    assert pairs.english == ["Good day", "Yes", "No"]
    assert pairs.translations == {"it": ["Buon giorno", "", "No"], "pl": ["", "Tak", "Nie"]}
    assert pairs.weight.tolist() == [1.0, 1.0, 8.0]
    assert rejects.count == 0


def test_pairs_tell_which_rows_have_a_language_and_can_be_taken_by_row():
    pairs = Pairs(["a", "b", "c"], {"it": ["x", "", "z"]}, np.array([1.0, 2.0, 3.0]), [("one",), (), ("three",)])
    assert (pairs.rows_of("en").tolist(), pairs.rows_of("it").tolist()) == ([0, 1, 2], [0, 2])
    assert (pairs.text(2, "en"), pairs.text(2, "it")) == ("c", "z")
    taken = pairs.take([2, 0])
    assert (taken.english, taken.translations) == (["c", "a"], {"it": ["z", "x"]})
    assert (taken.weight.tolist(), taken.labels) == ([3.0, 1.0], [("three",), ("one",)])


LABELS = {
    "none": ({}, ()),
    "sentiment": ({"sentiment": "negative"}, ("sentiment negative",)),
    "one category": ({"category": "billing"}, ("category billing",)),
    "categories": ({"categories": ["a/b", "c"]}, ("category a/b", "category c")),
    "both tasks": ({"sentiment": "mixed", "categories": ["a"]}, ("category a", "sentiment mixed")),
    "no category applies": ({"categories": [], "sentiment": "neutral"}, ("sentiment neutral",)),
    "empty list beside a category": ({"categories": [], "category": "a"}, ("category a",)),
    "blanks around": ({"category": " a ", "sentiment": "\tpositive"}, ("category a", "sentiment positive")),
    "blank": ({"category": " ", "sentiment": ""}, ()),
    "no text": ({"categories": [3, None, "a"], "sentiment": 5}, ("category a",)),
    "a number": ({"category": 5}, ()),
}


@pytest.mark.parametrize(("fields", "labels"), LABELS.values(), ids=LABELS)
def test_labels_are_those_of_sentiment_and_categories(tmp_path, rejects, fields, labels):
    file = write_jsonl(tmp_path / "pairs.jsonl", [{"en": "a", "it": "b", **fields}])
    pairs, _ = read_pairs({file: 1.0}, ["it"], rejects)
    assert pairs.labels == [labels]


BAD = {
    "no English": ('{"it": "b"}', "expected the English sentence under 'en'"),
    "blank English": ('{"en": " ", "it": "b"}', "expected the English sentence under 'en'"),
    "English that nobody sees": ('{"en": "\\u200b", "it": "b"}', "expected the English sentence under 'en'"),
    "English that is a number": ('{"en": 5, "it": "b"}', "expected the English sentence under 'en'"),
    "half a character": ('{"en": "a\\ud83d", "it": "b"}', "expected Unicode text, got a lone surrogate"),
    "half a character in a translation": ('{"en": "a", "it": "\\ude00"}', "got a lone surrogate"),
    "no object": ('["a", "b"]', "expected a JSON object, got list"),
    "no JSON": ('{"en": "a"', "not valid JSON"),
}


@pytest.mark.parametrize(("line", "reason"), BAD.values(), ids=BAD)
def test_a_bad_line_is_left_out_and_named_by_file_and_line(tmp_path, rejects, line, reason):
    file = tmp_path / "pairs.jsonl"
    file.write_text(f'{{"en": "a", "it": "b"}}\n{line}\n{{"en": "c", "it": "d"}}\n', encoding="utf-8")
    pairs, sources = read_pairs({file: 1.0}, ["it"], rejects)
    assert (pairs.english, pairs.translations["it"]) == (["a", "c"], ["b", "d"])
    assert sources.total() == 2
    assert rejects.count == 1
    assert rejects.first[0].place == f"{file}:2"
    assert reason in rejects.first[0].reason


def test_a_pair_in_other_languages_alone_is_left_aside_and_no_fault(tmp_path, rejects):
    rows = [{"en": "a", "it": "b"}, {"en": "c", "pl": "d"}, {"en": "e", "it": "\u200b"}, {"en": "f", "it": None}]
    pairs, sources = read_pairs({write_jsonl(tmp_path / "pairs.jsonl", rows): 1.0}, ["it"], rejects)
    assert pairs.english == ["a"]
    assert sources.total() == 1
    assert rejects.count == 0


def test_lines_are_counted_by_repository_and_licence(tmp_path, rejects):
    rows = [
        {"en": "a", "it": "b", "source": "owner/name:folder/one.po", "licence": "MIT"},
        {"en": "c", "it": "d", "source": "owner/name:folder/two.po", "licence": "MIT"},
        {"en": "e", "it": "f", "source": "owner/name"},
        {"en": "g", "it": "h"},
    ]
    _, sources = read_pairs({write_jsonl(tmp_path / "pairs.jsonl", rows): 1.0}, ["it"], rejects)
    assert sources == {
        ("owner/name", "MIT"): 2,
        ("owner/name", "not stated"): 1,
        ("pairs.jsonl", "not stated"): 1,
    }


UNLEARNABLE = {
    "in no pair": (["it", "pt"], "language 'pt': no pair has it; known: it, pl, zh-Hant"),
    "blank wherever it stands": (["de"], "language 'de': no pair has it; known: it, pl, zh-Hant"),
    "misspelt": (["zh_Hant"], "did you mean 'zh-Hant'"),
    "named twice": (["it", "pl", "it"], "'it' stands twice"),
    "English": (["it", "en"], "English is the teacher's language"),
    "none": ([], "expected at least one"),
}


@pytest.mark.parametrize(("languages", "error"), UNLEARNABLE.values(), ids=UNLEARNABLE)
def test_a_language_that_cannot_be_learned_is_refused(tmp_path, rejects, languages, error):
    one = write_jsonl(tmp_path / "one.jsonl", [{"en": "a", "it": "b", "de": " ", "source": "x", "sentiment": "y"}])
    two = write_jsonl(tmp_path / "two.jsonl", [{"en": "a", "pl": "b", "zh-Hant": "c"}])
    with pytest.raises(ConfigError, match=re.escape(error)):
        read_pairs({one: 1.0, two: 1.0}, languages, rejects)


USELESS = {
    "empty": b"",
    "blank lines": b"\n \n",
    "English alone": b'{"en": "a", "source": "somewhere"}\n',
    "rejected rows alone": b'{"it": "b"}\nno json\n',
}


@pytest.mark.parametrize("content", USELESS.values(), ids=USELESS)
def test_a_file_without_a_pair_is_refused_even_beside_a_good_one(tmp_path, rejects, content):
    good = write_jsonl(tmp_path / "good.jsonl", [{"en": "a", "it": "b"}])
    useless = tmp_path / "useless.jsonl"
    useless.write_bytes(content)
    with pytest.raises(DataError, match=r"useless\.jsonl: expected pairs"):
        read_pairs({good: 1.0, useless: 1.0}, ["it"], rejects)


def test_a_missing_or_damaged_file_is_refused(tmp_path, rejects):
    with pytest.raises(DataError, match=r"none\.jsonl: no such file"):
        read_pairs({tmp_path / "none.jsonl": 1.0}, ["it"], rejects)
    cut = packed(tmp_path / "cut.jsonl.gz", [{"en": f"sentence {n}", "it": f"frase {n}"} for n in range(500)])
    cut.write_bytes(cut.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"cut\.jsonl\.gz: damaged file"):
        read_pairs({cut: 1.0}, ["it"], rejects)


# monolingual sentences


def test_sentences_are_read_by_language_and_counted_beside_the_pairs(tmp_path, rejects):
    one = [
        {"text": " Ciao  a tutti ", "language": "it", "source": "owner/name:a", "licence": "MIT"},
        {"text": "Hello", "language": "en"},
        {"text": "Hallo", "language": "de"},
        {"text": "  ", "language": "it"},
    ]
    files = [
        write_jsonl(tmp_path / "one.jsonl", one),
        packed(tmp_path / "b.jsonl.gz", [{"text": "x", "language": "it"}]),
    ]
    sources = Counter({("owner/name", "MIT"): 5})
    texts = read_mono(files, ["it", "pl"], rejects, sources)
    assert texts == {"en": ["Hello"], "it": ["Ciao a tutti", "x"], "pl": []}
    assert sources == {
        ("owner/name", "MIT"): 6,
        ("one.jsonl", "not stated"): 1,
        ("b.jsonl.gz", "not stated"): 1,
    }
    assert rejects.count == 0


def test_no_file_is_no_sentence(rejects):
    assert read_mono([], ["it"], rejects, Counter()) == {"en": [], "it": []}


@pytest.mark.parametrize(
    "row",
    [{"text": "a"}, {"language": "it"}, {"text": 5, "language": "it"}, {"text": "a", "language": None}],
    ids=["no language", "no text", "a number", "language without a name"],
)
def test_a_row_that_is_no_sentence_is_named(tmp_path, rejects, row):
    file = write_jsonl(tmp_path / "mono.jsonl", [{"text": "Ciao", "language": "it"}, row])
    assert read_mono([file], ["it"], rejects, Counter())["it"] == ["Ciao"]
    assert [str(reject) for reject in rejects.first] == [f"{file}:2: expected 'text' and 'language'"]


@pytest.mark.parametrize(
    "rows", [[], [{"text": "Hallo", "language": "de"}], [{"text": " ", "language": "it"}]], ids=len
)
def test_a_file_without_a_sentence_is_refused(tmp_path, rejects, rows):
    good = write_jsonl(tmp_path / "good.jsonl", [{"text": "Ciao", "language": "it"}])
    useless = write_jsonl(tmp_path / "useless.jsonl", rows)
    with pytest.raises(DataError, match=r"useless\.jsonl: expected sentences in en, it, JSON objects"):
        read_mono([good, useless], ["it"], rejects, Counter())


# held back


def made_pairs(rows, languages=("it",)):
    """Pairs of (English, translation, ...) with weight 1 and no labels."""
    english = [row[0] for row in rows]
    translations = {language: [row[1 + n] for row in rows] for n, language in enumerate(languages)}
    return Pairs(english, translations, np.ones(len(rows)), [()] * len(rows))


@pytest.mark.parametrize(
    ("known", "count", "held"), [(100, 300, 10), (100, 4, 4), (109, 300, 10), (19, 5, 1), (10, 1, 1)]
)
def test_as_many_pairs_are_held_back_as_asked_for_and_at_most_a_tenth(known, count, held):
    rest, found = hold_back(made_pairs([(f"sentence {n}", f"frase {n}") for n in range(known)]), ["it"], count)
    assert (len(found["it"]), len(rest)) == (held, known - held)
    assert sorted([*rest.english, *found["it"].english]) == sorted(f"sentence {n}" for n in range(known))


def test_each_language_holds_back_a_tenth_of_its_own_and_what_one_holds_back_no_other_learns():
    rows = [(f"sentence {n}", f"frase {n}", f"zdanie {n}" if n < 30 else "") for n in range(100)]
    rest, held = hold_back(made_pairs(rows, ("it", "pl")), ["it", "pl"], 300)
    assert {language: len(pairs) for language, pairs in held.items()} == {"it": 10, "pl": 3}
    assert all(held["pl"].translations["pl"])
    assert not {*held["it"].english, *held["pl"].english} & set(rest.english)


@pytest.mark.parametrize("known", [0, 1, 9])
def test_a_language_with_too_few_pairs_to_hold_one_back_is_named(known):
    rows = [(f"sentence {n}", f"frase {n}", f"zdanie {n}" if n < known else "") for n in range(20)]
    with pytest.raises(DataError, match=f"language 'pl': expected at least 10 pairs.*got {known} pair"):
        hold_back(made_pairs(rows, ("it", "pl")), ["it", "pl"], 300)


def test_a_sentence_is_held_back_in_every_spelling():
    sentences = [f"The café opens at {n}" for n in range(100)]
    others = [f"the CAFE, opens at {n}!" for n in range(100)]
    rows = [*((text, f"frase {n}", "") for n, text in enumerate(sentences))]
    rows += [(text, "", f"zdanie {n}") for n, text in enumerate(others)]
    rest, held = hold_back(made_pairs(rows, ("it", "pl")), ["it"], 300)
    assert len(held["it"]) == 10
    assert len(rest) == 180
    assert not {*map(fingerprint, held["it"].english)} & {*map(fingerprint, rest.english)}


def test_what_is_held_back_depends_on_the_sentences_and_not_on_their_order_or_number():
    rows = [(f"sentence {n}", f"frase {n}") for n in range(200)]
    shuffled = random.Random(5).sample(rows, len(rows))
    one, other, more = (
        set(hold_back(made_pairs(some), ["it"], count)[1]["it"].english)
        for some, count in ((rows, 9), (shuffled, 9), (rows, 15))
    )
    assert one == other
    assert one < more
    assert one != {text for text, _ in rows[:9]}


def test_no_question_stands_beside_another_sentence_too():
    rows = [(f"sentence {n}", ("Sì", "sì!", f"Forse {n}")[n % 3]) for n in range(300)]
    rest, held = hold_back(made_pairs(rows), ["it"], 300)
    assert len(held["it"]) == 30
    assert all(text.startswith("Forse") for text in held["it"].translations["it"])
    assert len(rest) == 270


def test_which_translation_of_a_sentence_is_asked_does_not_depend_on_their_order():
    rows = [(("It works", "it works.")[n % 2] + f" {n % 40}", f"funziona {n}") for n in range(400)]
    one, other = (
        hold_back(made_pairs(some), ["it"], 300)[1]["it"] for some in (rows, random.Random(5).sample(rows, len(rows)))
    )
    assert len(one) == 4
    assert (one.english, one.translations) == (other.english, other.translations)


words = st.sampled_from(["good", "Good!", "gòod", "bad", "why", "why?", "it works", "It works.", "👍", "slow", "fast"])
rows_of_words = st.lists(st.tuples(words, words | st.just(""), words), min_size=10, max_size=60)


@LAW
@given(rows=rows_of_words, count=st.integers(1, 8))
def test_no_sentence_stands_on_both_sides_and_every_question_has_one_answer(rows, count):
    rows = [*rows, *[(f"end {n}", f"fine {n}", f"koniec {n}") for n in range(10)]]
    pairs = made_pairs(rows, ("it", "pl"))
    rest, held = hold_back(pairs, ["it", "pl"], count)
    learned = {*map(fingerprint, rest.english)}
    for language, found in held.items():
        english = [*map(fingerprint, found.english)]
        answers = [*map(fingerprint, found.translations[language])]
        known = len(pairs.rows_of(language))
        assert 1 <= len(english) <= count
        assert (
            sum(key in english for key in map(fingerprint, pairs.take(pairs.rows_of(language)).english)) <= known // 10
        )
        assert learned.isdisjoint(english)
        assert {*map(fingerprint, rest.translations[language])}.isdisjoint(answers)
        assert len(set(english)) == len(english)
        assert len(set(answers)) == len(answers)
        assert all(found.translations[language])


# English alone


def test_english_without_a_translation_is_added_once_and_never_what_is_held_back():
    pairs = Pairs(["Yes"], {"it": ["Sì"]}, np.array([4.0]), [("sentiment positive",)])
    held = {"it": Pairs(["Good day."], {"it": ["Buon giorno."]}, np.ones(1), [()])}
    more = with_english(pairs, ["It rains", "good day", "It rains"], held)
    assert more.english == ["Yes", "It rains"]
    assert more.rows_of("it").tolist() == [0]
    assert more.rows_of("en").tolist() == [0, 1]
    assert more.weight.tolist() == [4, 1]
    assert more.labels == [("sentiment positive",), ()]
