"""The slips of hurried customers."""

import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from training.encoder.noise import insistent, mistyped, roughen, without_diacritics, without_signs

LAW = settings(deadline=None, derandomize=True, max_examples=200)


def seeded(seed=0):
    return random.Random(seed)


BARE = {
    "Italian": ("Così è già città", "Cosi e gia citta"),
    "Polish": ("Łódź jest żółta, ŁĄKA", "Lodz jest zolta, LAKA"),
    "Romanian": ("Aș vrea țara înapoi, Ștefan", "As vrea tara inapoi, Stefan"),
    "Vietnamese": ("Tiếng Việt rất đẹp, Đà Nẵng ở đường phố", "Tieng Viet rat dep, Da Nang o duong pho"),
    "Portuguese and Spanish": ("Não, señor, ação", "Nao, senor, acao"),
    "German": ("Größe für Öl", "Große fur Ol"),
    "nothing to leave out": ("Plain text, 100%!", "Plain text, 100%!"),
    "within other scripts": ("é 这个 हिन्दी é", "e 这个 हिन्दी e"),
}


@pytest.mark.parametrize(("text", "bare"), BARE.values(), ids=BARE)
def test_latin_letters_lose_their_marks(text, bare):
    assert without_diacritics(text, seeded()) == bare


UNTOUCHED = {
    "Chinese": "质量很差，退款。這個軟體",
    "Hindi": "यह बहुत अच्छा है",
    "Thai": "ราคาดีมากที่สุด",
    "Japanese": "ごみが多い、パン",
    "Korean": "한국어 배송",
    "Russian": "ещё йод",
    "Greek": "καλή ποιότητα",
    "Arabic": "جَيِّد",
    "Hebrew": "שָׁלוֹם",
    "emoji": "ok 👍🏽❤️ 1️⃣",
    "a mark alone": "\u0301",
}


@pytest.mark.parametrize("text", UNTOUCHED.values(), ids=UNTOUCHED)
def test_other_scripts_keep_their_marks(text):
    assert without_diacritics(text, seeded()) == text


UNSIGNED = {
    "commas and full stops": ("Well, it broke. Again; twice: bad.", "Well it broke Again twice bad"),
    "Chinese": ("质量很差，退款。颜色、大小；真的：差", "质量很差退款颜色大小真的差"),
    "other signs stay": ("Why?! (it's 5-10%)", "Why?! (it's 5-10%)"),
    "nothing else": ("...", "..."),
    "blanks alone beside it": (" . ", " . "),
}


@pytest.mark.parametrize(("text", "unsigned"), UNSIGNED.values(), ids=UNSIGNED)
def test_commas_and_full_stops_are_forgotten_unless_nothing_would_be_left(text, unsigned):
    assert without_signs(text, seeded()) == unsigned


INSISTENT = {
    "no sign": ("It broke", "It broke", "!"),
    "full stop": ("It broke.", "It broke", "."),
    "question": ("Why?", "Why", "?"),
    "several": ("Why?!", "Why", "!"),
    "Chinese": ("太差了。", "太差了", "。"),
    "Chinese exclamation": ("太差了！", "太差了", "！"),
    "sign within": ("Why? Because", "Why? Because", "!"),
    "comma": ("Well,", "Well,", "!"),
}


@pytest.mark.parametrize(("text", "start", "sign"), INSISTENT.values(), ids=INSISTENT)
def test_the_last_sign_is_repeated_two_to_four_times(text, start, sign):
    assert {insistent(text, seeded(seed)) for seed in range(50)} == {start + sign * count for count in (2, 3, 4)}


def test_one_letter_within_a_word_is_left_out_doubled_or_exchanged():
    possible = {
        *("acdef", "abdef", "abcef", "abcdf"),
        *("abbcdef", "abccdef", "abcddef", "abcdeef"),
        *("acbdef", "abdcef", "abcedf", "abcdfe"),
    }
    assert {mistyped("abcdef", seeded(seed)) for seed in range(300)} == possible


@pytest.mark.parametrize("text", ["", "a", "ok", "a b c", "a - b", "12345", "?!"])
def test_nothing_is_mistyped_where_no_letter_stands_within_a_word(text):
    assert {mistyped(text, seeded(seed)) for seed in range(20)} == {text}


def test_a_long_text_has_one_slip_in_thirty_letters():
    text = "abcdefgh " * 20  # 180 characters
    for seed in range(50):
        slips = sum(word != "abcdefgh" for word in mistyped(text, seeded(seed)).split())
        assert 2 <= slips <= 7


written = st.text(st.sampled_from("abc xyż ,.!-'łé很差है\n") | st.characters(exclude_categories=["Cs"]), max_size=80)
seeds = st.integers(0, 2**32)


@LAW
@given(text=written, seed=seeds)
@example("The quick brown fox jumps", 5)
@example("abc abc", 9)
def test_words_keep_their_number_and_their_first_letters(text, seed):
    first = [word[0] for word in text.split()]
    assert [word[0] for word in mistyped(text, seeded(seed)).split()] == first


@LAW
@given(text=written, seed=seeds)
@example("\u0301", 1)
@example("a", 1)
@example("。", 4)
def test_roughening_leaves_a_text_and_is_the_same_for_the_same_seed(text, seed):
    rough = roughen(text, seeded(seed))
    assert bool(rough.strip()) or not text.strip()
    assert roughen(text, seeded(seed)) == rough


def test_every_slip_happens_alone_and_with_another():
    text = "Così, già"
    found = {roughen(text, seeded(seed)) for seed in range(300)}
    assert {"Cosi, gia", "Così già", "Così, già!!", "Cosi gia", "Cosi, gia!!!!", "Csoì, già"} <= found
