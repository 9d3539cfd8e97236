"""What a text is found to speak of."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rules_support import HEAD, NOON, predicted, reading_of, rules_of

from models.records import FeedbackItem
from serving.routing.decide import decide
from serving.routing.pattern_faults import faults_of
from serving.routing.patterns import Patterns
from serving.routing.rules import Pattern

LAW = settings(deadline=None, derandomize=True)


def patterns(language="any", **pattern):
    return Patterns({"p": {language: Pattern(**pattern)}})


def speaks(text, language="en", own="any", **pattern):
    return patterns(own, **pattern).found(text, language) == ("p",)


@pytest.mark.parametrize(
    ("phrase", "text", "found"),
    [
        ("fire", "It caught FIRE", True),
        ("Fire", "fire!", True),
        ("fire", "fireman", False),
        ("fire", "misfire", False),
        ("fire", "fire2", False),
        ("fire", "“fire”", True),
        ("fire", "a\nfire\nb", True),
        ("Łódź", "lodz", True),
        ("lodz", "w ŁODZI, w Łodz\u0301!", True),
        ("łódź", "Łódź", True),
        ("țară", "ţara", True),
        ("ţară", "TARA", True),
        ("școală", "o şcoală", True),
        ("scoala", "ȘCOALĂ", True),
        ("größe", "GROESSE", False),
        ("größe", "GRÖSSE", True),
        ("strasse", "Straße", True),
        ("straße", "STRASSE", True),
        ("crème brûlée", "creme  brulee", True),
        ("re\u0301sume\u0301", "résumé", True),
        ("refund", "refunds", False),
        ("refund*", "refunds", True),
        ("refund*", "Refundación", True),
        ("refund*", "refund", True),
        ("refund*", "prerefund", False),
        ("rezili*", "am rezilíat", True),
        ("cancel* my order", "cancelling my order", True),
        ("cancel* my order", "cancel all my order", False),
        ("never again", "never, ever again", False),
        ("never again", "never—again!", True),
        ("never again", "never ...\n\t again", True),
        ("never again", "neveragain", False),
        ("  never   again ", "Never again", True),
        ("c++", "I like C++!", True),
        ("a.c", "abc", False),
        ("a.c", "a.c", True),
        ("(x)", "it is (x) or", True),
        ("हिन्दी", "यह हिन्दी है", True),
        ("हिन", "हिन्दी", False),
    ],
)
def test_phrases_are_whole_words_without_case_and_accents(phrase, text, found):
    assert speaks(text, phrases=[phrase]) is found


@pytest.mark.parametrize(
    ("phrase", "text", "found"),
    [
        ("退款", "我要求退款！", True),
        ("退款", "退货", False),
        ("退*", "我要退货了", True),
        ("很 失望", "很，失望", True),
        ("充电器 坏了", "我的充电器 坏了。", True),
        ("返品", "これを返品したい", True),
        ("ไม่ดี", "สินค้าไม่ดีเลย", True),
        ("iPhone", "我用了iPhone充电", True),
        ("iPhone 充电", "我用了iPhone 充电", True),
        ("iPhone", "我用了iPhones", False),
        ("ｉＰｈｏｎｅ", "iphone", True),
    ],
)
def test_a_script_without_blanks_is_searched_within_running_text(phrase, text, found):
    assert speaks(text, "zh-Hans", phrases=[phrase]) is found


@pytest.mark.parametrize(
    ("own", "language", "found"),
    [
        ("any", "fr", True),
        ("en", "en", True),
        ("en", "EN", True),
        ("en", "en-GB", True),
        ("en-GB", "en", True),
        ("en-GB", "en-US", False),
        ("en", "fr", False),
        ("en", "eng", False),
        ("en", "und", True),
        ("zh", "zh-Hans", True),
        ("zh", "zh-Hant", True),
        ("zh-Hans", "zh-Hant", False),
        ("zh-Hant", "zh", True),
        ("zh-hant", "zh-Hant-TW", True),
        ("zh_Hant", "zh-Hant", True),
    ],
)
def test_patterns_are_looked_for_in_texts_of_their_language(own, language, found):
    assert speaks("x 壞 y", language, own, phrases=["壞"]) is found


def test_each_language_has_its_own_words_under_one_name():
    both = Patterns({"p": {"en": Pattern(phrases=["gift"]), "de": Pattern(phrases=["präsent"])}})
    assert [both.found(text, tag) for text in ("Gift", "Präsent") for tag in ("en", "de", "und", "fr")] == [
        *(("p",), (), ("p",), ()),
        *((), ("p",), ("p",), ()),
    ]


def test_texts_in_ever_new_languages_are_all_searched():
    found = patterns(phrases=["fire"])
    assert all(found.found("fire", f"en-x{number}") == ("p",) for number in range(500))


@settings(LAW, max_examples=100)
@given(
    st.lists(st.sampled_from(["late", "broken", "ți", "ß"]), min_size=1, max_size=4),
    st.text(max_size=12),
    st.booleans(),
)
def test_a_phrase_is_found_in_any_text_that_holds_it_apart(words, noise, upper):
    phrase = " ".join(words)
    text = f"{noise} {' - '.join(words)}. {noise}"
    assert speaks(text.upper() if upper else text, phrases=[phrase])


# --- regular expressions


@pytest.mark.parametrize(
    ("regex", "text", "found"),
    [
        (r"\b[A-Z]{2}-\d{4}\b", "order ab-1234!", True),
        (r"\b[A-Z]{2}-\d{4}\b", "order ab-12345", False),
        (r"^urgent", "URGENT: x", True),
        (r"caf\x{e9}", "cafe", False),
        (r"café", "CAFÉ", True),
        (r"(?-i)SOS", "sos", False),
        (r"\p{Han}{3}", "用了的", True),
    ],
)
def test_a_regular_expression_sees_the_text_as_it_is_without_case(regex, text, found):
    assert faults_of(Pattern(regex=[regex]), "any") == []
    assert speaks(text, regex=[regex]) is found


@pytest.mark.parametrize(
    ("regex", "reason"),
    [
        (
            r"broken(?! now)",
            r"look-around is not possible in 'broken(?! now)'; write what is to be found, and exclude in a condition",
        ),
        (
            r"(?<=very )late",
            r"look-around is not possible in '(?<=very )late'; write what is to be found, and exclude in a condition",
        ),
        (r"(\w)\1", r"back-references are not possible in '(\\w)\\1'; write what is to be found"),
        ("(late", "not a regular expression that RE2 takes: missing ): (late"),
        ("*late", "not a regular expression that RE2 takes: no argument for repetition operator: *"),
        ("x{2000}", "not a regular expression that RE2 takes: invalid repetition size: {2000}"),
        ("[z-a]", "not a regular expression that RE2 takes: invalid character class range: z-a"),
        ("a*", "it matches the empty text, so every text"),
        ("late|", "it matches the empty text, so every text"),
        ("", "it matches the empty text, so every text"),
    ],
)
def test_an_expression_that_cannot_be_used_is_refused_with_the_remedy(regex, reason):
    assert faults_of(Pattern(regex=["fine", regex]), "any") == [(("regex", 1), reason)]


@pytest.mark.parametrize("phrase", ["", "  ", "*", "!!!", "-"])
def test_a_phrase_without_words_is_refused(phrase):
    assert faults_of(Pattern(phrases=["fine", phrase]), "any") == [(("phrases", 1), f"expected words, got {phrase!r}")]


@pytest.mark.parametrize("regex", [r"(a+)+$", r"(a|a)*$", r"(.*)*x", r"(\w+\s?)+$"])
def test_no_expression_makes_a_long_text_slow(regex):
    text = "a" * 100_000 + "!"
    found = patterns(regex=["b", regex + "b"], phrases=["a* b"])
    assert found.found(text, "en") == ()
    assert found.words("p", text, "en") is None


# --- tokens


@pytest.mark.parametrize(
    ("tokens", "text", "language", "found"),
    [
        ([{"LOWER": "not"}, {"LOWER": "happy"}], "I am NOT happy.", "en", True),
        ([{"LOWER": "not"}, {"LOWER": "happy"}], "not so happy", "en", False),
        ([{"LOWER": "not"}, {"OP": "?"}, {"LOWER": "happy"}], "not so happy", "en", True),
        ([{"lower": {"IN": ["late", "slow"]}}], "too slow", "en", True),
        ([{"LOWER": {"FUZZY": "broken"}}], "it is brokne", "en", True),
        ([{"LIKE_NUM": True}, {"LOWER": "days"}], "waited 12 days", "en", True),
        ([{"LENGTH": {">=": 10}}], "unbelievable", "en", True),
        ([{"ORTH": "坏"}], "坏了", "zh-Hans", True),
        ([{"LOWER": "kaputt"}], "Kaputt!", "und", True),
        ([{"LOWER": "kaputt"}], "kaputt", "tlh", True),
        ([{"LOWER": "壊れ"}], "壊れ", "ja", True),
    ],
)
def test_token_patterns_are_found_without_a_language_model(tokens, text, language, found):
    assert faults_of(Pattern(tokens=[tokens]), language) == []
    assert speaks(text, language, tokens=[tokens]) is found


REGEX = "regular expressions in tokens are not bounded in time; write them under `regex`"


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ({"LOWER": {"REGEX": "(a+)+$"}}, REGEX),
        ({"REGEX": "(a+)+$"}, REGEX),
        ({"LOWER": {"FUZZY": {"REGEX": "(a+)+$"}}}, REGEX),
        ({"LEMMA": "be"}, "unknown token attribute 'LEMMA'; known without a language model: IS_ALPHA, IS_ASCII, "),
        ({"POS": "VERB"}, "unknown token attribute 'POS'; known without a language model: IS_ALPHA, IS_ASCII, "),
        ({"_": {"own": True}}, "unknown token attribute '_'; known without a language model: IS_ALPHA, IS_ASCII, "),
        ({"LOWER": {"OF": ["a"]}}, "unknown test 'OF' of a token; known: !=, <, <=, ==, >, >=, FUZZY, IN, NOT_IN"),
        ({"LOWER": 3}, "spaCy does not take this token pattern for en: - [pattern -> 0 -> LOWER -> str] Input should"),
        ({"LOWER": "a", "OP": "x"}, "spaCy does not take this token pattern for en: - [pattern -> 0 -> OP"),
    ],
)
def test_a_token_that_cannot_be_used_is_refused_with_the_reason(token, reason):
    ((path, message),) = faults_of(Pattern(tokens=[[{"LOWER": "fine"}], [token]]), "en")
    assert path == ("tokens", 1)
    assert message.startswith(reason)


def test_a_token_pattern_without_tokens_is_refused():
    assert faults_of(Pattern(tokens=[[]]), "en") == [(("tokens", 0), "expected at least one token, got none")]


def test_every_way_of_looking_counts():
    every = {"phrases": "late", "regex": r"nr\d+", "tokens": [[{"LOWER": "bad"}, {"LOWER": "luck"}]]}
    found = [speaks(text, **every) for text in ("too late", "nr7", "Bad luck", "nothing")]
    assert found == [True, True, True, False]


# --- what was found


@pytest.mark.parametrize(
    ("pattern", "text", "words"),
    [
        ({"phrases": ["broken"]}, "It is (Broken)!", "broken"),
        ({"phrases": ["caught fire"]}, "It caught - FIRE.", "caught fire"),
        ({"phrases": ["refund*"]}, "no refunds, ever", "refunds"),
        ({"phrases": ["退款"]}, "我要求退款！", "退款"),
        ({"regex": [r"nr\d+"]}, "see NR77.", "NR77"),
        ({"phrases": ["absent"], "regex": [r"(\d)\d"]}, "at 19 h", "19"),
        ({"phrases": ["absent"]}, "nothing of it", None),
        ({"tokens": [[{"LOWER": "bad"}]]}, "bad", None),
    ],
)
def test_words_are_the_part_of_the_text_that_was_found(pattern, text, words):
    assert patterns(**pattern).words("p", text, "en") == words
    assert patterns(**pattern).words("q", text, "en") is None


def test_reasons_quote_what_was_found_for_the_pattern_that_was_asked_for():
    text = HEAD + (
        'patterns.fire.any.phrases = "fire"\npatterns.late.any.phrases = "late"\n'
        '[[rules]]\nname = "a"\nwhen.text = "fire"\nthen.team = "hit"\n'
    )
    decision = decide(FeedbackItem(text="Fire, and late"), predicted(), rules_of(text), NOON)
    assert decision.reasons == ("text speaks of fire (“fire”)",)


def test_faults_of_patterns_have_their_line():
    text = HEAD + '[patterns.p]\nen.phrases = [\n  "fine",\n  "!",\n]\nde.regex = "("\nfr.tokens = [[{ POS = "X" }]]\n'
    found = [(one.line, one.message.partition(": ")[0]) for one in reading_of(text).findings]
    assert found == [
        (8, "patterns.p.en.phrases[2]"),
        (10, "patterns.p.de.regex[1]"),
        (11, "patterns.p.fr.tokens[1]"),
    ]
