"""The vocabulary of an encoder: which pieces it has, and how it cuts a text."""

import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import ROOT, read_jsonl

from training.encoder.vocabulary import SPECIAL, train_tokenizer

LAW = settings(deadline=None, derandomize=True, max_examples=200)


@pytest.fixture(scope="module")
def corpus():
    rows = read_jsonl(ROOT / "training/data/pairs/feedback.jsonl")[:400]
    return {language: [row[language] for row in rows] for language in ("en", "it", "zh-Hans")}


@pytest.fixture(scope="module")
def tokenizer(corpus):
    return train_tokenizer(corpus, size=8000, lines=400, max_length=64, seed=1)


@pytest.mark.parametrize(
    ("traditional", "simplified"),
    [
        ("這個軟體品質很差", "这个软体品质很差"),
        ("電池壞了,請退錢", "电池坏了,请退钱"),
        ("快遞員態度惡劣", "快递员态度恶劣"),
    ],
)
def test_both_scripts_of_chinese_are_the_same_pieces(tokenizer, traditional, simplified):
    pieces = tokenizer.tokenize(traditional)
    assert pieces == tokenizer.tokenize(simplified)
    assert tokenizer.unk_token not in pieces
    assert "".join(pieces) == f"▁{simplified}"


ALONE = {
    "sign after a word": ("good, good!", ["▁good", ",", "▁good", "!"]),
    "signs after a blank": ("good (good)", ["▁good", "▁(", "good", ")"]),
    "digits": ("2024", ["▁2", "0", "2", "4"]),
    "digits after a word": ("v2 10.5", ["▁v", "2", "▁1", "0", ".", "5"]),
    "signs in a row": ("good!!?", ["▁good", "!", "!", "?"]),
    "price": ("+5€", ["▁+", "5", "€"]),
    "emoji": ("good👍🔥 🔥", ["▁good", "👍", "🔥", "▁🔥"]),
    "within a word": ("l'app", ["▁l", "'", "app"]),
}


@pytest.mark.parametrize(("text", "parts"), ALONE.values(), ids=ALONE)
def test_digits_and_signs_stand_alone_with_the_blank_before_them(tokenizer, text, parts):
    assert [part for part, _ in tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str(text)] == parts


def test_a_text_is_cut_at_digits_and_signs(tokenizer):
    assert tokenizer.tokenize("Good, 10.5!") == ["▁good", ",", "▁1", "0", ".", "5", "!"]


def test_no_learned_piece_joins_a_sign_or_digit_to_anything_but_the_blank_before_it(tokenizer):
    joined = [
        piece
        for piece in tokenizer.get_vocab()
        if piece not in SPECIAL and len(piece.removeprefix("▁")) > 1 and re.search(r"[\d.,!?()\"'’%&/-]", piece)
    ]
    assert joined == []


@pytest.mark.parametrize("emoji", ["😀", "🥳", "👊", "👎", "🤬", "🥰", "💔", "⭐", "📦", "❤️", "☹"])
def test_emoji_are_known_though_no_text_has_them(tokenizer, corpus, emoji):
    seen = "".join(text for texts in corpus.values() for text in texts)
    assert emoji not in seen
    assert tokenizer.tokenize(f"ok {emoji}")[-1] == emoji.removesuffix("\ufe0f")


def test_common_chinese_characters_are_known_where_chinese_is_among_the_languages(tokenizer, corpus):
    assert "氨" not in "".join(corpus["zh-Hans"])
    assert "".join(tokenizer.tokenize("氨")) == "▁氨"
    without = train_tokenizer({"en": corpus["en"]}, size=600, lines=400, max_length=64, seed=1)
    assert without.unk_token in without.tokenize("氨")


def test_frequent_words_are_one_piece(tokenizer, corpus):
    for language in ("en", "it"):
        words = Counter(re.findall(r"(?<!\S)[^\W\d_]+(?!\S)", " ".join(corpus[language]).lower()))
        for word, _ in words.most_common(80):
            assert tokenizer.tokenize(word) == [f"▁{word}"]


lower_case = st.lists(
    st.text(st.sampled_from("abcdeghilmnoprstuèà"), min_size=1, max_size=12)
    | st.sampled_from(["the", "battery", "consegna", "1", "20", ".", "!", "?", "batteria,", "l’app,", "很好"]),
    min_size=1,
).map(" ".join)


@LAW
@given(text=lower_case)
def test_lower_case_text_comes_back_as_it_was(tokenizer, text):
    ids = tokenizer(text, truncation=False, verbose=False)["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_a_text_stands_between_start_and_end_and_padding_is_0(tokenizer):
    assert tokenizer.convert_ids_to_tokens([0, 1, 2, 3, 4]) == SPECIAL
    first, *middle, last = tokenizer("good")["input_ids"]
    assert (tokenizer.cls_token_id, tokenizer.sep_token_id) == (first, last)
    assert middle == tokenizer.convert_tokens_to_ids(["▁good"])
    assert tokenizer.pad_token_id == 0


def test_as_many_lines_of_each_language_are_learned_from_as_asked_for():
    greek, cyrillic = "αβγδεζηθικ", "бвгджзклмн"
    texts = {"en": [letter * 3 for letter in greek], "it": [letter * 3 for letter in cyrillic]}
    known = [
        {
            piece
            for piece in train_tokenizer(texts, size=300, lines=3, max_length=8, seed=seed).get_vocab()
            if len(piece) == 1
        }
        for seed in (1, 1, 2)
    ]
    letters = ["".join(sorted(pieces & {*greek, *cyrillic})) for pieces in known]
    assert [len(found) for found in letters] == [6, 6, 6]
    assert sum(letter in greek for letter in letters[0]) == 3
    assert letters[0] == letters[1] != letters[2]
