"""What a text speaks of: phrases and regular expressions through RE2, token patterns through spaCy.

Nothing here can be made slow by a text: RE2 matches in time linear in it, and a token pattern is not given regular
expressions. Blank spaCy pipelines only cut a text into tokens: no model and no dictionary is needed.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import re2

from models.text import UNKNOWN, plain
from serving.routing.fields import tag_of
from serving.routing.rules import Pattern

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.matcher import Matcher

ANY = "any"
#: So many languages, and different selections of patterns, are kept ready.
_TAGS, _MADE = 1000, 60
# Scripts written without blanks (Han, Kana, Thai, Lao, Khmer, Burmese): a phrase in them may begin and end anywhere.
_UNSPACED = (
    r"\u2e80-\u2fff\u3005-\u3007\u3021-\u3029\u3038-\u303b\u3041-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    r"\uf900-\ufaff\U00020000-\U0003ffff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
)
_IS_UNSPACED = re.compile(f"[{_UNSPACED}]")
_SCRIPTS_MEET = re.compile(f"(?<=[{_UNSPACED}])(?=[^{_UNSPACED} ])|(?<=[^{_UNSPACED} ])(?=[{_UNSPACED}])")
_SIGNS = re.compile(r"[\W_]+")
_BLANKS = re.compile(r"\s+")
#: Token patterns look at so many characters of a text: what repeats in them costs the square of its length.
_READ = 5_000
#: Compiled patterns of one language take at most so many bytes.
_MEMORY = 64 << 20


class Patterns:
    """All text patterns of a rules file, ready to be looked for."""

    def __init__(self, patterns: Mapping[str, Mapping[str, Pattern]]) -> None:
        self._patterns = patterns
        self._finders: dict[str, _Finder] = {}
        self._made: dict[tuple[tuple[str, ...], str], _Finder] = {}
        self._languages = {own for by_language in patterns.values() for own in by_language}
        self._have_tokens = any(one.tokens for by_language in patterns.values() for one in by_language.values())
        self._last: tuple[str, str, tuple[str, ...]] = ("", "", ())

    def found(self, text: str, language: str) -> tuple[str, ...]:
        """Names of the patterns that are in ``text``, of those for its language (all, where it is not known)."""
        last_text, last_language, found = self._last
        if text is not last_text or language is not last_language:  # reasons and replays ask for the same text again
            found = self._finder(language).found(text)
            self._last = (text, language, found)
        return found

    def _finder(self, language: str) -> "_Finder":
        finder = self._finders.get(language)
        if finder is None:
            if len(self._finders) > _TAGS:  # tags come from callers
                self._finders.clear()
            # the many tags to which the same patterns apply share what is made of them
            own = tuple(sorted(one for one in self._languages if self._applies(one, language)))
            base = language.partition("-")[0] if self._have_tokens else ""
            made = self._made.get((own, base))
            if made is None:
                made = self._made[own, base] = _Finder(self._for(language), language)
                while len(self._made) > _MADE:
                    del self._made[next(iter(self._made))]
            finder = self._finders[language] = made
        return finder

    def too_large(self, language: str) -> bool:
        """Whether the patterns for texts in a language do not fit the memory that RE2 is given for them."""
        try:
            self._finder(language)
        except re2.error:
            return True
        return False

    def words(self, name: str, text: str, language: str) -> str | None:
        """The part of a text in which the pattern ``name`` was found, as far as a phrase or expression found it."""
        for pattern in self._for(language).get(name, ()):
            for source, folded in _sources(pattern):
                hit = re2.compile(source, options_of(folded)).search(spaced(text) if folded else text)
                if hit:
                    return str(hit.group(0)).strip()
        return None

    @staticmethod
    def _applies(own: str, language: str) -> bool:
        tag = tag_of(language)
        return own == ANY or tag == UNKNOWN or _covers(tag_of(own), tag)

    def _for(self, language: str) -> dict[str, list[Pattern]]:
        chosen: dict[str, list[Pattern]] = {}
        for name, by_language in self._patterns.items():
            for own, pattern in by_language.items():
                if self._applies(own, language):
                    chosen.setdefault(name, []).append(pattern)
        return chosen


class _Finder:
    """The patterns that apply to one language: one pass of RE2 for all phrases, one for all expressions."""

    def __init__(self, chosen: Mapping[str, Iterable[Pattern]], language: str) -> None:
        self._language = language
        self._sets: list[tuple[bool, Any, list[str]]] = []
        self._tokens: list[tuple[str, str, Pattern]] = []
        sources = [
            (name, source, folded)
            for name, patterns in chosen.items()
            for pattern in patterns
            for source, folded in _sources(pattern)
        ]
        for folded in (True, False):
            names = [name for name, _, is_folded in sources if is_folded == folded]
            if names:
                all_at_once = re2.Set.SearchSet(options_of(folded))
                for _, source, is_folded in sources:
                    if is_folded == folded:
                        all_at_once.Add(source)
                all_at_once.Compile()
                self._sets.append((folded, all_at_once, names))
        self._with_tokens = {
            name: [pattern for pattern in patterns if pattern.tokens] for name, patterns in chosen.items()
        }

    def found(self, text: str) -> tuple[str, ...]:
        hits: set[str] = set()
        for folded, all_at_once, names in self._sets:
            hits.update(names[number] for number in all_at_once.Match(spaced(text) if folded else text) or ())
        if self._matcher is not None:
            nlp, matcher = self._matcher
            hits.update(nlp.vocab.strings[key] for key, _, _ in matcher(nlp.make_doc(text[:_READ])))
        return tuple(hits)

    @cached_property
    def _matcher(self) -> "tuple[Language, Matcher] | None":
        named = {name: patterns for name, patterns in self._with_tokens.items() if patterns}
        if not named:
            return None
        from spacy.matcher import Matcher

        nlp = _blank(self._language)
        matcher = Matcher(nlp.vocab)
        for name, patterns in named.items():
            matcher.add(name, [[dict(token) for token in tokens] for one in patterns for tokens in one.tokens])
        return nlp, matcher


def _blank(language: str) -> "Language":
    """A pipeline that only cuts into tokens; the one for all languages where a language's own needs a dictionary."""
    import spacy

    try:
        return spacy.blank(language.partition("-")[0])
    except ImportError:
        return spacy.blank("xx")


def _covers(own: str, tag: str) -> bool:
    """Whether a pattern for ``own`` is for texts in ``tag`` too: "zh" for "zh-hant"; and "zh-hant" for "zh", which
    says that the script could not be told."""
    return tag == own or tag.startswith(f"{own}-") or own.startswith(f"{tag}-")


def _sources(pattern: Pattern) -> Iterable[tuple[str, bool]]:
    """Regular expressions, and whether they are for the folded text."""
    yield from ((_phrase(phrase), True) for phrase in pattern.phrases)
    yield from ((source, False) for source in pattern.regex)


def spaced(text: str) -> str:
    """The folded text with one blank for all signs between words, at both ends, and where scripts meet.

    With it a phrase needs no classes of letters: each costs RE2 thousands of instructions, and a few hundred phrases
    would not fit its memory.
    """
    folded = plain(text)
    if folded.isascii():
        return f" {_SIGNS.sub(' ', folded).strip()} "
    words = _SIGNS.sub(_one_blank, folded)
    if _IS_UNSPACED.search(words):
        words = _SCRIPTS_MEET.sub(" ", words)
    return f" {words.strip()} "


def _one_blank(signs: re.Match[str]) -> str:
    """A blank for signs; marks that spell a sound, as in Hindi, belong to the word, though Python has them apart."""
    found = signs.group()
    if found.isascii():
        return " "
    return _BLANKS.sub(" ", "".join(one if unicodedata.category(one)[0] == "M" else " " for one in found))


def _phrase(phrase: str) -> str:
    """A phrase as an expression over spaced text: whole words, `*` at a word's end for any ending, alone for a word."""
    words = [word for part in _BLANKS.split(phrase.strip()) for word in _words(part)]
    inside = " ".join(re2.escape(word.removesuffix("*")) + ("[^ ]*" if word.endswith("*") else "") for word in words)
    before = "" if _IS_UNSPACED.search(words[0][:1]) else " "
    return before + inside + ("" if _IS_UNSPACED.search(words[-1][-1:]) else " ")


def _words(part: str) -> list[str]:
    """A word of a phrase as it stands in spaced text, which may be several: m-a."""
    found = spaced(part.removesuffix("*")).split()
    if part.endswith("*"):
        return [*found[:-1], f"{found[-1]}*"] if found else ["*"]
    return found


def options_of(folded: bool) -> re2.Options:
    """How RE2 reads an expression: over folded text, or over the text as it came, without regard to case."""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY
    options.case_sensitive = folded  # a folded text has small letters only
    return options
