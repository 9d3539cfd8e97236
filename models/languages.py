"""Language tags (BCP 47): how they are spelled, and for which others each stands."""

from collections.abc import Container
from functools import lru_cache

#: Where Chinese is written in which script, for tags that tell the place only.
_SCRIPTS = {"zh-CN": "zh-Hans", "zh-SG": "zh-Hans", "zh-TW": "zh-Hant", "zh-HK": "zh-Hant", "zh-MO": "zh-Hant"}


def spelled(tag: str) -> str:
    """The tag as everybody is to write it (RFC 5646, section 2.1.1): language small, Script, REGION, with hyphens."""
    parts = tag.replace("_", "-").split("-")
    # what follows a single letter is no region, however long it is
    own = next((place for place, part in enumerate(parts) if len(part) == 1), len(parts))
    return "-".join([parts[0].lower(), *map(_cased, parts[1:own]), *(part.lower() for part in parts[own or 1 :])])


def with_script(tag: str) -> str:
    """A tag, and for Chinese the script that its place writes."""
    return f"{_SCRIPTS[tag]}{tag[2:]}" if tag in _SCRIPTS else tag


@lru_cache(maxsize=1024)
def tags_of(tag: str) -> tuple[str, ...]:
    """The tags that a text in this language is under, the narrowest first: its own, language and script, language."""
    language, *rest = with_script(tag).split("-")
    script = [f"{language}-{part}" for part in rest[:1] if len(part) == 4 and part.isalpha()]
    return tuple(dict.fromkeys(found for found in (tag, *script, language) if found))


def nearest(tag: str, known: Container[str]) -> str:
    """The narrowest of the ``known`` tags that a text in this language is under; "" if it is under none."""
    return next((found for found in tags_of(tag) if found in known), "")


def _cased(part: str) -> str:
    if len(part) == 2:
        return part.upper()
    return part.title() if len(part) == 4 and part.isalpha() else part.lower()
