"""Texts of strangers made fit to be shown: nothing that hides, reorders or runs on into what is ours."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

#: Characters of a text that are shown, and of any other value.
TEXT, VALUE = 1_500, 200

_SPACES = re.compile(r"[^\S\n]+")
_LINES = re.compile(r" ?\n ?(?:\n ?)+")
_LINE_ENDS = re.compile("\r\n?|[\v\f\x1c-\x1e\x85\u2028\u2029]")
# joiners belong to emoji and to several scripts; a row of them is only there to hide something
_JOINERS = re.compile("[\u200c\u200d]{2,}")
# accents that are piled up until they cover the lines around
_MARK = "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff]"
_PILES = re.compile(f"({_MARK}{{4}}){_MARK}+")
# letters and marks that are drawn as nothing
_EMPTY = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
_FIRST_STRONG_ISOLATE, _POP_ISOLATE = "\u2068", "\u2069"


def readable(text: str, limit: int = TEXT) -> str:
    """The text without control characters, marks of direction and what is drawn as nothing; cut, with an ellipsis.

    Line ends stay, no more than one empty line in a row. Emoji stay whole but for flags of regions.
    """
    text = _LINE_ENDS.sub("\n", text[: 4 * limit])
    text = "".join(one for one in text if one in "\n\t\u200c\u200d" or _is_seen(one))
    text = _JOINERS.sub("\u200d", _PILES.sub(r"\1", text))
    text = _LINES.sub("\n\n", _SPACES.sub(" ", text)).strip()
    return text if len(text) <= limit else text[: limit - 1].rstrip(" \n\u200c\u200d") + "…"


def one_line(text: str, limit: int = VALUE) -> str:
    """As :func:`readable`, in one line."""
    return readable(" ".join(readable(text, 4 * limit).split()), limit)


def isolated(text: str) -> str:
    """The text so that its direction does not spill over, line by line; as it is where nothing runs from the right."""
    if not any(unicodedata.bidirectional(one) in ("R", "AL", "AN") for one in text):
        return text
    return "\n".join(line and f"{_FIRST_STRONG_ISOLATE}{line}{_POP_ISOLATE}" for line in text.split("\n"))


def shown(value: Any, limit: int = TEXT, treat: Callable[[str], str] = isolated, name: str = "") -> Any:
    """Data with every text in it readable: what is called ``text`` up to ``limit``, all else a line; each ``treat``-ed.

    A ``link`` is kept where it leads to a web page, and is None otherwise.
    """
    if isinstance(value, str):
        if name == "link":
            return value if re.fullmatch(r"https?://[!-~]+", value) else None
        return treat(readable(value, limit) if name == "text" else one_line(value))
    if isinstance(value, Mapping):
        return {key: shown(one, limit, treat, key) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [shown(one, limit, treat, name) for one in value]
    return value


def _is_seen(character: str) -> bool:
    return unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Cn") and character not in _EMPTY
