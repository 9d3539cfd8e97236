"""What hurried customers do to a sentence: diacritics left out, letters mistyped, signs forgotten."""

import random
import re
import unicodedata

_SIGNS = re.compile(r"[,.;:](?!\d)|[，。、；：]")
#: Letters whose bare form no Unicode decomposition gives.
_BARE = str.maketrans("łŁđĐøØ", "lLdDoO")
_MARKS = re.compile("(?<=[A-Za-z])[\u0300-\u036f]+")


def roughen(text: str, chance: random.Random) -> str:
    """The text as someone in a hurry would have typed it: one or two of the slips at random."""
    for slip in chance.sample(_SLIPS, chance.choice((1, 1, 2))):
        text = slip(text, chance)
    return text


def without_diacritics(text: str, _: random.Random) -> str:
    """Latin letters without their marks; other scripts as they were."""
    decomposed = unicodedata.normalize("NFD", text.translate(_BARE))
    return unicodedata.normalize("NFC", _MARKS.sub("", decomposed))


def mistyped(text: str, chance: random.Random) -> str:
    """One letter in about thirty left out, doubled or exchanged with the next; never the first of a word."""
    letters = list(text)
    inner = [n for n in range(1, len(letters) - 1) if letters[n].isalpha() and letters[n - 1].isalpha()]
    for place in sorted(chance.sample(inner, min(len(inner), 1 + len(text) // 30)), reverse=True):
        # the last of a word has none to be exchanged with
        match chance.randrange(3 if letters[place + 1].isalpha() else 2):
            case 0:
                del letters[place]
            case 1:
                letters.insert(place, letters[place])
            case _:
                letters[place], letters[place + 1] = letters[place + 1], letters[place]
    return "".join(letters)


def without_signs(text: str, _: random.Random) -> str:
    """No commas and full stops, but those within numbers."""
    bare = _SIGNS.sub("", text)
    return bare if bare.strip() else text


def insistent(text: str, chance: random.Random) -> str:
    """The last sign, or an exclamation mark, repeated."""
    sign = text[-1] if text[-1:] in "!?.！？。" and text else "!"
    return text.rstrip("!?.！？。") + sign * chance.randint(2, 4)


_SLIPS = (without_diacritics, without_diacritics, mistyped, without_signs, insistent)
