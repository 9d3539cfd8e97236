"""Finding texts by the words in them, in every script, on either database."""

import re
from collections.abc import Mapping

from sqlalchemy import Connection, text

from models.text import plain

_WORD = re.compile(r"[\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff]+|[^\W_\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff]+")
_UNSPACED = re.compile(r"[\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")
#: More of one text are not kept: its words stand in the first ones nearly always.
MAX_TOKENS = 2000


def tokens(text: str) -> list[str]:
    """What a text is found by, each once: words without case and accents; of scripts without blanks every pair of
    neighbouring characters, and single ones where they stand alone."""
    plain_text = plain(text)
    words = _WORD.findall(plain_text)
    if not _UNSPACED.search(plain_text):
        return list(dict.fromkeys(word[:80] for word in words[:MAX_TOKENS]))
    found: dict[str, None] = {}
    for word in words:
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


_SQLITE = text("INSERT INTO item_words (rowid, words) VALUES (:key, :words)")
_POSTGRESQL = text(
    "INSERT INTO item_tokens (item_key, tokens) SELECT key, string_to_array(words, ' ')"
    " FROM unnest(CAST(:keys AS bigint[]), CAST(:words AS text[])) AS given (key, words)"
)


def insert_words(connection: Connection, texts: Mapping[int, str]) -> None:
    """Write down what items, by their keys, are found by."""
    words = {key: " ".join(tokens(one)) for key, one in texts.items()}
    if connection.dialect.name == "postgresql":
        connection.execute(_POSTGRESQL, {"keys": list(words), "words": list(words.values())})
    else:
        connection.execute(_SQLITE, [{"key": key, "words": found} for key, found in words.items()])
