"""Texts of strangers in chat services: no mention, no link and no markup comes of them."""

import re

from serving.delivery.plain import isolated

# it is drawn as nothing, and ends what a service would read as one
_BREAK = "\u200b"
_WORD = re.compile(
    r"(?<=[@<])(?=\S)|(?<=\])(?=[(\[:])|(?<=:)(?=//)|(?<=`)(?=`)"
    # services make links even of bare names like example.com
    r"|(?<=\w\.)(?=[^\W\d_])"
)
_MARKUP = re.compile(r"[\\`*_~|\[\]()<>#!]")


def in_text(text: str) -> str:
    """For services that are sent plain text: `@all`, `<!channel>`, `[x](…)` and `https://…` are letters only."""
    return _WORD.sub(_BREAK, isolated(text))


def in_markdown(text: str) -> str:
    """For services that draw Markdown: its signs are escaped too."""
    lines = _MARKUP.sub(r"\\\g<0>", in_text(text)).split("\n")
    # what makes a list, a heading or a rule stands at the beginning of a line
    return "\n".join(re.sub(r"^(\s*)([-+=]|\d+(?=[.)]))", rf"\1{_BREAK}\2", line) for line in lines)


def title_of(subject: str) -> str:
    """A title, which services draw in many ways: without all that could be markup."""
    return " ".join(in_text(re.sub(r"[\\`*_~|\[\]<>]", " ", subject)).split())
