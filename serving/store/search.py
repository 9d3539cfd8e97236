"""Finding texts by the words in them, in every script, on either database."""

import re

from models.text import plain

_WORD = re.compile(r"[\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff]+|[^\W_\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff]+")
_UNSPACED = re.compile(r"[\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")
#: More of one text are not kept: its words stand in the first ones nearly always.
MAX_TOKENS = 2000


def tokens(text: str) -> list[str]:
    """What a text is found by, each once: words without case and accents; of scripts without blanks every pair of
    neighbouring characters, and single ones where they stand alone."""
    found: dict[str, None] = {}
    for match in _WORD.finditer(plain(text)):
        word = match.group()
        if _UNSPACED.match(word) and len(word) > 1:
            found.update(dict.fromkeys(word[place : place + 2] for place in range(len(word) - 1)))
        else:
            found[word[:80]] = None
        if len(found) >= MAX_TOKENS:
            break
    return list(found)[:MAX_TOKENS]


def fts_query(words: list[str]) -> str:
    """An expression of SQLite's FTS5 for texts that have all the words."""
    return " ".join(f'"{word}"' for word in words)
