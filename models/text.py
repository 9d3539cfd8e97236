"""What is done to a text before any model sees it, in training and in service alike."""

import re
import unicodedata
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lingua import ConfidenceValue, LanguageDetector

#: Languages told apart where a text does not say its own: a short list is worth more than a
#: better detector. A text in any other language comes out as the nearest of these or as UNKNOWN.
DETECTED = ("ar", "de", "en", "es", "fr", "hi", "it", "ja", "ko", "nl", "pl", "pt", "ro", "vi", "zh")
UNKNOWN = "und"

# How far the first guess must stand above the second, and the fewest letters worth a guess.
_MARGIN = 0.08
_FEWEST_LETTERS = 4
# Characters of a long text that are looked at first, and the margin with which they are enough.
_BEGINNING, _NO_DOUBT = 80, 0.9

_CONTROL = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\u00ad]")
_URL = re.compile(r"https?://\S+|www\.\S+", re.IGNORECASE)
_USER = re.compile(r"(?<!\w)@\w[\w\u0300-\u036f]*")
# Romanian is still typed with the cedilla letters of old code pages.
_COMMA_BELOW = str.maketrans("şţŞŢ", "șțȘȚ")
_TURKISH = re.compile("[ğıİĞ]")
# Letters whose bare form no Unicode decomposition gives, and the accents of those that have one.
_BARE = str.maketrans("łŁđĐøØı", "lLdDoOi")
_ACCENTS = re.compile("[\u0300-\u036f]")

# Characters that stand in one script only, in pairs simplified/traditional; common ones are enough,
# a text of a dozen characters nearly always holds one of them.
_SIMPLIFIED = (
    "们这为来时个对会说过还没关电话买卖东质问题题让谁请谢发货单价钱贵线网开门见现间应该样觉难听给经结级"
    "红约绝继续维护换损坏态度员场广报费实际业务边选择连进远运达适动号双节礼热爱亲欢乐气车书长头马鱼鸟龙"
)
_TRADITIONAL = (
    "們這為來時個對會說過還沒關電話買賣東質問題題讓誰請謝發貨單價錢貴線網開門見現間應該樣覺難聽給經結級"
    "紅約絕繼續維護換損壞態度員場廣報費實際業務邊選擇連進遠運達適動號雙節禮熱愛親歡樂氣車書長頭馬魚鳥龍"
)
_ONLY_SIMPLIFIED = frozenset(_SIMPLIFIED) - frozenset(_TRADITIONAL)
_ONLY_TRADITIONAL = frozenset(_TRADITIONAL) - frozenset(_SIMPLIFIED) | frozenset("嘅喺咗唔冇哋嚟啲")


def normalise(text: str) -> str:
    """The form in which every model sees a text.

    Unicode NFC; control, bidirectional and zero-width characters removed (the joiner inside emoji
    stays); addresses become ``http``, handles ``@user``; old Romanian letters become today's; runs
    of blanks become one. Case stays: encoders and the linear part fold it themselves.
    """
    text = " ".join(unicodedata.normalize("NFC", _CONTROL.sub("", text)).split())
    text = _USER.sub("@user", _URL.sub("http", text))
    return text if text.isascii() or _TURKISH.search(text) else text.translate(_COMMA_BELOW)


def plain(text: str) -> str:
    """The text in small letters without accents, as hurried customers type it; marks that spell a sound stay."""
    if text.isascii():
        return text.lower()
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text.translate(_BARE)).casefold())
    return unicodedata.normalize("NFC", _ACCENTS.sub("", folded))


def fingerprint(text: str) -> str:
    """What two spellings of the same text share: letters and digits, without case or accents.

    Splits and duplicate checks go by it, so that a copy never stands on both sides. A text
    without letters is its own fingerprint.
    """
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", normalise(text)).casefold())
    return (
        "".join(character for character in folded if character.isalnum() or _is_vowel_sign(character)) or text.strip()
    )


def _is_vowel_sign(character: str) -> bool:
    """Whether a mark spells a sound, as in Hindi, rather than an accent."""
    return unicodedata.category(character)[0] == "M" and not unicodedata.combining(character)


_CHINESE, _KANA = re.compile("[\u4e00-\u9fff]"), re.compile("[\u3041-\u30ff]")


def detect_language(text: str) -> str:
    """BCP 47 tag of the language a text is written in; Chinese as ``zh-Hans`` or ``zh-Hant``.

    UNKNOWN where there are too few letters, or where two languages are about as likely.
    """
    letters = sum(map(str.isalpha, text))
    if not text.isascii():
        chinese = len(_CHINESE.findall(text))
        if chinese * 2 >= letters and chinese and not _KANA.search(text):
            return chinese_script(text)
    if letters < _FEWEST_LETTERS:
        return UNKNOWN
    ranked = _ranked(_USER.sub("", _URL.sub("", text)))
    if ranked[0].value - ranked[1].value < _MARGIN:
        return UNKNOWN
    tag = ranked[0].language.iso_code_639_1.name.lower()
    return chinese_script(text) if tag == "zh" else tag


def _ranked(text: str) -> "list[ConfidenceValue]":
    """Languages, the likeliest first; by the beginning of a long text alone where that leaves no doubt."""
    if len(text) > 2 * _BEGINNING:
        ranked = _detector().compute_language_confidence_values(text[:_BEGINNING])
        if ranked[0].value - ranked[1].value >= _NO_DOUBT:
            return ranked
    return _detector().compute_language_confidence_values(text)


def chinese_script(text: str) -> str:
    """``zh-Hans``, ``zh-Hant``, or ``zh`` where the characters do not tell."""
    simplified = sum(character in _ONLY_SIMPLIFIED for character in text)
    traditional = sum(character in _ONLY_TRADITIONAL for character in text)
    if simplified == traditional:
        return "zh"
    return "zh-Hans" if simplified > traditional else "zh-Hant"


@cache
def _detector() -> "LanguageDetector":
    from lingua import IsoCode639_1, LanguageDetectorBuilder

    codes = [getattr(IsoCode639_1, tag.upper()) for tag in DETECTED]
    return LanguageDetectorBuilder.from_iso_codes_639_1(*codes).with_low_accuracy_mode().build()
