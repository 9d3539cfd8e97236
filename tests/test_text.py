"""What is done to a text before any model sees it."""

import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from models.text import UNKNOWN, chinese_script, detect_language, fingerprint, normalise

LAW = settings(deadline=None, derandomize=True, max_examples=300)

# dense in the characters that normalising is about
tricky = st.text(
    st.sampled_from("aesg @/.:\u200b\u00ad\ufeff\x00\x1c\x85\u2028\u0301\u0327\u0306şţğıİ👩\u200d") | st.characters()
)


@LAW
@given(text=tricky | st.lists(st.sampled_from(["www.", "http://", "@", "a", " ", "\u200b", "ş"])).map("".join))
@example("e\u200b\u0301")
@example("a \u200b b")
@example("@a\u0327")
def test_normalising_twice_changes_nothing(text):
    once = normalise(text)
    assert normalise(once) == once


NORMALISED = {
    "blanks": ("  a \t\r\n b\u00a0\u3000c ", "a b c"),
    "control characters": ("a\x00b\x1b\x7f", "ab"),
    "file separator": ("a\x1cb", "a b"),
    "soft hyphen and byte order mark": ("\ufeffbro\u00adken", "broken"),
    "bidirectional marks": ("\u202eabc\u202c\u2067d\u2069", "abcd"),
    "joiner of an emoji stays": ("👩\u200d🔧", "👩\u200d🔧"),
    "composed": ("cafe\u0301", "café"),
    "address": ("see https://example.com/a?b=c now", "see http now"),
    "address without a scheme": ("see WWW.example.com", "see http"),
    "handle": ("@Anna_7: thanks", "@user: thanks"),
    "mail address is no handle": ("a@example.com", "a@example.com"),
    "old Romanian letters": ("aşa ţi-e Ştiut", "așa ți-e Știut"),
    "Turkish keeps its letters": ("şarjı bitti", "şarjı bitti"),
    "case stays": ("NOT Good", "NOT Good"),
    "nothing": ("", ""),
}


@pytest.mark.parametrize(("text", "form"), NORMALISED.values(), ids=NORMALISED)
def test_text_is_brought_into_one_form(text, form):
    assert normalise(text) == form


SAME = {
    "case": ("Great Phone", "gREAT pHONE"),
    "punctuation and blanks": ("great phone", " great,\nphone!! "),
    "accents": ("Café fermé", "cafe ferme"),
    "composition": ("é", "e\u0301"),
    "sharp s": ("Straße", "STRASSE"),
    "full width": ("ＡＢＣ１２", "abc12"),
    "mathematical letters": ("𝗚𝗿𝗲𝗮𝘁 phone", "great phone"),
    "Romanian letters": ("aşa", "așa"),
    "emoji": ("great 👍", "great"),
    "addresses": ("see https://a.example", "see https://b.example"),
}


@pytest.mark.parametrize(("one", "other"), SAME.values(), ids=SAME)
def test_copies_of_a_text_share_a_fingerprint(one, other):
    assert fingerprint(one) == fingerprint(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("not good", "good"), ("nps 9", "nps 8"), ("👍", "👎"), ("质量好", "质量差"), ("دفع", "دفعت")],
    ids=["word", "digit", "emoji alone", "Chinese", "Arabic"],
)
def test_different_texts_differ_in_their_fingerprint(one, other):
    assert fingerprint(one) != fingerprint(other)


@LAW
@given(text=tricky)
def test_fingerprint_is_that_of_any_canonical_form(text):
    forms = {fingerprint(unicodedata.normalize(form, text)) for form in ("NFC", "NFD")}
    assert len(forms) == 1


@settings(LAW, max_examples=50)
@given(text=st.text(min_size=1).filter(str.strip))
def test_text_with_content_has_a_fingerprint(text):
    assert fingerprint(text)


SENTENCES = {
    "en": "The delivery took three weeks and nobody answered my e-mails.",
    "it": "Il corriere ha lasciato il pacco sotto la pioggia e nessuno mi risponde.",
    "pl": "Przesyłka dotarła po trzech tygodniach i nikt nie odpowiada na moje wiadomości.",
    "ro": "Coletul a ajuns după trei săptămâni și nimeni nu îmi răspunde la mesaje.",
    "zh-Hans": "快递三个星期才到,客服一直不回复我。",
    "zh-Hant": "包裹三個星期才送到,客服一直沒有回覆我。",
    "ja": "ソニーの電話は音がとても良いです。",
}


@pytest.mark.parametrize("tag", SENTENCES)
def test_language_of_a_sentence_is_told(tag):
    assert detect_language(SENTENCES[tag]) == tag


def test_language_of_a_long_text_is_told_by_all_of_it_where_its_beginning_leaves_doubt():
    number = "Nr. 40-118/2 (A5) " * 6
    assert detect_language(number + "Nobody has answered my letter since the beginning of March.") == "en"
    assert detect_language(number + "Da inizio marzo nessuno ha risposto alla mia lettera.") == "it"


@pytest.mark.parametrize(
    "text", ["", "ok", "12345 !!", "👍👍", "@anna_the_great", "www.example.com/a/nice/page"], ids=ascii
)
def test_language_is_unknown_where_there_is_too_little_to_go_by(text):
    assert detect_language(text) == UNKNOWN


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("這個", "zh-Hant"),
        ("这个", "zh-Hans"),
        ("很好", "zh"),
        ("冇得换", "zh"),
        ("冇得退", "zh-Hant"),
        ("质量", "zh-Hans"),
    ],
    ids=["traditional", "simplified", "both", "mixed", "Cantonese", "one sign tells"],
)
def test_script_of_chinese_goes_by_the_signs_of_one_script(text, tag):
    assert chinese_script(text) == tag
    assert detect_language(text) == tag
