"""Where a value of a TOML document stands, and on which line: the reader of the standard library does not tell it."""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from serving.routing.faults import Path

# https://toml.io/en/v1.0.0: strings first, since all else may stand within them
_TOKEN = re.compile(
    r'(?P<string>"""(?:[^\\]|\\.)*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\')'
    r"|(?P<comment>\#[^\n]*)|(?P<line>\n)|(?P<sign>[\[\]{}=,.])|(?P<bare>[^\s\[\]{}=,.#\"']+)",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|.)")
_ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", "e": "\x1b"}


class _Token(NamedTuple):
    kind: str
    text: str
    line: int
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


def line_numbers(text: str) -> dict[Path, int]:
    """The line, from 1, of every table, key and element of a valid TOML document."""
    return _Walk(text).lines


def value_spans(text: str) -> dict[Path, tuple[int, int]]:
    """Where each value of a valid TOML document stands, from the first character to the one after the last: values of
    keys, and elements of lists."""
    return _Walk(text).spans


def line_of(lines: Mapping[Path, int], path: Path) -> int | None:
    """The line of ``path``, or of the nearest thing around it that is known."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return None


class _Walk:
    def __init__(self, text: str) -> None:
        self.lines: dict[Path, int] = {}
        self.spans: dict[Path, tuple[int, int]] = {}
        self._tokens = list(_tokens(text))
        self._at = 0
        self._counts: dict[Path, int] = {}
        table: Path = ()
        while self._at < len(self._tokens):
            token = self._tokens[self._at]
            if token.kind == "line":
                self._at += 1
            elif token.text == "[" and token.kind == "sign":
                table = self._header()
            else:
                self._entry(table)

    def _header(self) -> Path:
        line = self._tokens[self._at].line
        double = self._tokens[self._at + 1].text == "[" and self._tokens[self._at + 1].kind == "sign"
        self._at += 2 if double else 1
        keys = self._key()
        self._at += 2 if double else 1
        path: Path = ()
        for key in keys[:-1]:  # a name that is an array of tables means its last one
            path = self._last((*path, key))
            self.lines.setdefault(path, line)
        path = (*path, keys[-1])
        if double:
            self.lines.setdefault(path, line)
            number = self._counts.get(path, 0)
            self._counts[path] = number + 1
            path = (*path, number)
        self.lines.setdefault(path, line)
        return path

    def _last(self, path: Path) -> Path:
        return (*path, self._counts[path] - 1) if path in self._counts else path

    def _entry(self, table: Path) -> None:
        line = self._tokens[self._at].line
        path = table
        for key in self._key():
            path = (*path, key)
            self.lines.setdefault(path, line)
        self._at += 1  # the equals sign
        self._value(path)

    def _key(self) -> list[str]:
        """One or several names with dots between; a bare name may hold none."""
        keys = []
        while True:
            token = self._tokens[self._at]
            keys.append(_name(token))
            self._at += 1
            if self._at < len(self._tokens) and self._is("."):
                self._at += 1
            else:
                return keys

    def _value(self, path: Path) -> None:
        start = self._tokens[self._at].start
        self._any_value(path)
        self.spans[path] = start, self._tokens[self._at - 1].end

    def _any_value(self, path: Path) -> None:
        if self._is("["):
            self._at += 1
            number = 0
            while not self._is("]"):
                if self._is(",") or self._tokens[self._at].kind == "line":
                    self._at += 1
                    continue
                self.lines[(*path, number)] = self._tokens[self._at].line
                self._value((*path, number))
                number += 1
            self._at += 1
        elif self._is("{"):
            self._at += 1
            while not self._is("}"):
                if self._is(",") or self._tokens[self._at].kind == "line":
                    self._at += 1
                else:
                    self._entry(path)
            self._at += 1
        else:  # a number or a time may hold dots
            while self._at < len(self._tokens) and not (
                self._tokens[self._at].kind == "line" or self._is(",") or self._is("]") or self._is("}")
            ):
                self._at += 1

    def _is(self, sign: str) -> bool:
        token = self._tokens[self._at]
        return token.kind == "sign" and token.text == sign


def _tokens(text: str) -> Iterator[_Token]:
    line = 1
    for match in _TOKEN.finditer(text):
        kind = str(match.lastgroup)
        if kind != "comment":
            yield _Token(kind, match.group(), line, match.start())
        line += match.group().count("\n")


def _name(token: _Token) -> str:
    if token.kind != "string":
        return token.text
    inner = token.text[1:-1]
    return inner if token.text[0] == "'" else _ESCAPE.sub(_unescaped, inner)


def _unescaped(match: re.Match[str]) -> str:
    code = match.group(1)
    return chr(int(code[1:], 16)) if code[0] in "uU" and len(code) > 1 else _ESCAPES.get(code, code)
