"""What a text speaks of: phrases and regular expressions through RE2, token patterns through spaCy.

Nothing here can be made slow by a text: RE2 matches in time linear in it, and a token pattern is not given regular
expressions. Blank spaCy pipelines only cut a text into tokens: no model and no dictionary is needed.
"""

import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import re2

from models.text import UNKNOWN, plain
from serving.routing.rules import Pattern

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.matcher import Matcher

ANY = "any"
#: Attributes of a token that a blank pipeline knows.
TOKEN_ATTRIBUTES = frozenset(
    {
        *("ORTH", "TEXT", "LOWER", "NORM", "SHAPE", "PREFIX", "SUFFIX", "LENGTH", "SPACY", "OP"),
        *("IS_ALPHA", "IS_ASCII", "IS_DIGIT", "IS_LOWER", "IS_UPPER", "IS_TITLE", "IS_PUNCT", "IS_SPACE", "IS_STOP"),
        *("IS_CURRENCY", "IS_QUOTE", "IS_BRACKET", "IS_SENT_START", "LIKE_NUM", "LIKE_URL", "LIKE_EMAIL"),
    }
)
_PREDICATES = frozenset({"IN", "NOT_IN", "==", "!=", ">=", "<=", ">", "<", "FUZZY"})

# Scripts written without blanks: a phrase in them may begin and end anywhere.
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_IS_UNSPACED = re2.compile(f"[{_UNSPACED}]")
_BEFORE, _AFTER = r"(?:^|[^\pL\pM\pN])", r"(?:[^\pL\pM\pN]|$)"
_BETWEEN = r"[^\pL\pM\pN]+"
_BLANKS = re.compile(r"\s+")
_LOOK = re.compile(r"\(\?(<?[=!])")
#: Compiled patterns of one language take at most so many bytes.
_MEMORY = 64 << 20


class Patterns:
    """All text patterns of a rules file, ready to be looked for."""

    def __init__(self, patterns: Mapping[str, Mapping[str, Pattern]]) -> None:
        self._patterns = patterns
        self._finders: dict[str, _Finder] = {}

    def found(self, text: str, language: str) -> tuple[str, ...]:
        """Names of the patterns that are in ``text``, of those for its language (all, where it is not known)."""
        finder = self._finders.get(language)
        if finder is None:
            if len(self._finders) > 200:  # tags come from callers
                self._finders.clear()
            finder = self._finders[language] = _Finder(self._for(language), language)
        return finder.found(text)

    def words(self, name: str, text: str, language: str) -> str | None:
        """The part of a text in which the pattern ``name`` was found, as far as a phrase or expression found it."""
        for pattern in self._for(language).get(name, ()):
            for source, folded in _sources(pattern):
                hit = re2.compile(source, _options(folded)).search(plain(text) if folded else text)
                if hit:
                    return str(hit.group(0)).strip()
        return None

    def _for(self, language: str) -> dict[str, list[Pattern]]:
        tag = language.casefold()
        chosen: dict[str, list[Pattern]] = {}
        for name, by_language in self._patterns.items():
            for own, pattern in by_language.items():
                if own == ANY or tag == UNKNOWN or _covers(own.casefold(), tag):
                    chosen.setdefault(name, []).append(pattern)
        return chosen


def faults_of(pattern: Pattern, language: str) -> list[tuple[tuple[str | int, ...], str]]:
    """Every fault of a pattern: where in it, and what."""
    faults: list[tuple[tuple[str | int, ...], str]] = []
    for number, phrase in enumerate(pattern.phrases):
        if not re.search(r"\w", phrase):
            faults.append((("phrases", number), f"expected words, got {phrase!r}"))
    for number, source in enumerate(pattern.regex):
        if reason := _regex_fault(source):
            faults.append((("regex", number), reason))
    for number, tokens in enumerate(pattern.tokens):
        faults += [(("tokens", number), reason) for reason in _token_faults(tokens, language)]
    return faults


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
                all_at_once = re2.Set.SearchSet(_options(folded))
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
            hits.update(names[number] for number in all_at_once.Match(plain(text) if folded else text) or ())
        if self._matcher is not None:
            nlp, matcher = self._matcher
            hits.update(nlp.vocab.strings[key] for key, _, _ in matcher(nlp.make_doc(text)))
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


def _phrase(phrase: str) -> str:
    """A phrase as an expression over folded text: whole words, `*` at a word's end for any ending."""
    words = _BLANKS.split(plain(phrase).strip())
    first, last = words[0][:1], words[-1][-1:]
    inside = _BETWEEN.join(
        re2.escape(word.removesuffix("*")) + (r"[\pL\pM\pN]*" if word.endswith("*") else "") for word in words
    )
    before = "" if _IS_UNSPACED.search(first) else _BEFORE
    return before + inside + ("" if _IS_UNSPACED.search(last) else _AFTER)


def _options(folded: bool) -> re2.Options:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY
    options.case_sensitive = folded  # a folded text has small letters only
    return options


def _regex_fault(source: str) -> str | None:
    try:
        re2.compile(source, _options(False))
    except re2.error as error:
        reason = error.args[0] if error.args else error
        reason = reason.decode(errors="replace") if isinstance(reason, bytes) else reason
        if _LOOK.search(source):
            return f"look-around is not possible in {source!r}; write what is to be found, and exclude in a condition"
        if re.search(r"\\[1-9]", source):
            return f"back-references are not possible in {source!r}; write what is to be found"
        return f"not a regular expression that RE2 takes: {reason}"
    return "it matches the empty text, so every text" if re2.compile(source, _options(False)).search("") else None


def _token_faults(tokens: tuple[Mapping[str, Any], ...], language: str) -> list[str]:
    faults = [] if tokens else ["expected at least one token, got none"]
    for token in tokens:
        for key, value in token.items():
            if key.upper() == "REGEX" or (isinstance(value, Mapping) and "REGEX" in value):
                faults.append("regular expressions in tokens are not bounded in time; write them under `regex`")
            elif key.upper() not in TOKEN_ATTRIBUTES:
                faults.append(
                    f"unknown token attribute {key!r}; known without a language model: "
                    + ", ".join(sorted(TOKEN_ATTRIBUTES))
                )
            elif isinstance(value, Mapping) and (odd := set(value) - _PREDICATES):
                faults.append(f"unknown test {sorted(odd)[0]!r} of a token; known: {', '.join(sorted(_PREDICATES))}")
    if faults:
        return faults
    from spacy.matcher import Matcher
    from spacy.vocab import Vocab

    try:
        Matcher(Vocab(), validate=True).add("x", [[dict(token) for token in tokens]])
    except Exception as error:  # noqa: BLE001  (spaCy raises several kinds; all mean that the pattern is none)
        return [f"spaCy does not take this token pattern for {language}: {str(error).splitlines()[-1]}"]
    return []
