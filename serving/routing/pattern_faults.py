"""What is wrong with the text patterns of a rules file."""

import re
from collections.abc import Mapping
from typing import Any

import re2

from serving.routing.patterns import options_of
from serving.routing.rules import Pattern

#: Attributes of a token that a blank pipeline knows.
TOKEN_ATTRIBUTES = frozenset(
    {
        *("ORTH", "TEXT", "LOWER", "NORM", "SHAPE", "PREFIX", "SUFFIX", "LENGTH", "SPACY", "OP"),
        *("IS_ALPHA", "IS_ASCII", "IS_DIGIT", "IS_LOWER", "IS_UPPER", "IS_TITLE", "IS_PUNCT", "IS_SPACE", "IS_STOP"),
        *("IS_CURRENCY", "IS_QUOTE", "IS_BRACKET", "IS_SENT_START", "LIKE_NUM", "LIKE_URL", "LIKE_EMAIL"),
    }
)
_PREDICATES = frozenset({"IN", "NOT_IN", "==", "!=", ">=", "<=", ">", "<", "FUZZY"})
_STAR_WITHIN = re.compile(r"\*\S")
_LOOK = re.compile(r"\(\?(<?[=!])")


def faults_of(pattern: Pattern, language: str) -> list[tuple[tuple[str | int, ...], str]]:
    """Every fault of a pattern: where in it, and what."""
    faults: list[tuple[tuple[str | int, ...], str]] = []
    for number, phrase in enumerate(pattern.phrases):
        if not re.search(r"\w", phrase):
            faults.append((("phrases", number), f"expected words, got {phrase!r}"))
        elif _STAR_WITHIN.search(phrase):
            faults.append(
                (("phrases", number), f"`*` stands for the end of a word, or for a whole one; got {phrase!r}")
            )
    for number, source in enumerate(pattern.regex):
        if reason := _regex_fault(source):
            faults.append((("regex", number), reason))
    for number, tokens in enumerate(pattern.tokens):
        faults += [(("tokens", number), reason) for reason in _token_faults(tokens, language)]
    return faults


def _regex_fault(source: str) -> str | None:
    try:
        re2.compile(source, options_of(False))
    except re2.error as error:
        reason = error.args[0] if error.args else error
        reason = reason.decode(errors="replace") if isinstance(reason, bytes) else reason
        if _LOOK.search(source):
            return f"look-around is not possible in {source!r}; write what is to be found, and exclude in a condition"
        if re.search(r"\\[1-9]", source):
            return f"back-references are not possible in {source!r}; write what is to be found"
        return f"not a regular expression that RE2 takes: {reason}"
    return "it matches the empty text, so every text" if re2.compile(source, options_of(False)).search("") else None


def _holds_regex(value: object) -> bool:
    """Whether a token asks for a regular expression, at any depth."""
    if isinstance(value, Mapping):
        return any(str(key).upper() == "REGEX" or _holds_regex(inner) for key, inner in value.items())
    return isinstance(value, list | tuple) and any(_holds_regex(inner) for inner in value)


def _token_faults(tokens: tuple[Mapping[str, Any], ...], language: str) -> list[str]:
    faults = [] if tokens else ["expected at least one token, got none"]
    for token in tokens:
        for key, value in token.items():
            if key.upper() == "REGEX" or _holds_regex(value):
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
