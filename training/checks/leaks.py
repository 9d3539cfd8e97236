"""Words that give the label away: traces of how the data was made rather than of what was said."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from models.text import normalise
from training.checks.finding import EXAMPLES, Finding
from training.datasets import Row

#: A word is suspicious if it stands in this share of a label's rows, and hardly in any other's.
_OF_THE_LABEL = 0.3
_ONLY_THERE = 0.95
_FEWEST_ROWS = 20
_WORD = re.compile(r"\w+")
_CHINESE = re.compile("[\u3400-\u9fff]")
_SHOWN = 8


def check_leaks(rows: Sequence[Row], tasks: Sequence[str]) -> Iterator[Finding]:
    """Words that stand in at least 30 % of a label's rows and at least 95 % in these alone.

    The bound on the latter is the lower end of Wilson's interval, so that chance is no suspect.
    Some are honest (the name of what the label is about); others are titles, ids or templates.
    """
    words = [_words(row.item.text) for row in rows]
    total = Counter(word for found in words for word in found)
    for task in tasks:
        holding: dict[str, list[int]] = defaultdict(list)
        for number, row in enumerate(rows):
            for label in row.item.labels(task) or ():
                holding[label].append(number)
        if len(holding) < 2:
            continue
        suspects = {}
        for label, numbers in sorted(holding.items()):
            inside = Counter(word for number in numbers for word in words[number])
            # of words that are as frequent the order would be another in every process
            for word, count in sorted(inside.items(), key=lambda found: (-found[1], found[0])):
                if count < max(_FEWEST_ROWS, _OF_THE_LABEL * len(numbers)):
                    break
                if _at_least(count, total[word]) >= _ONLY_THERE:
                    suspects[label, word] = count
        if suspects:
            shown = [f"{word!r} for {label} ({count})" for (label, word), count in list(suspects.items())[:_SHOWN]]
            more = f" and {len(suspects) - _SHOWN} more" if len(suspects) > _SHOWN else ""
            yield Finding(
                "revealing-words",
                f"{task}: words that all but give the label away: {', '.join(shown)}{more}; if they come from how the "
                "data was made (a title, a template, an id), take them out: the live texts will not have them",
                sum(suspects.values()),
                [
                    [rows[number].place for number in holding[label] if word in words[number]][:EXAMPLES]
                    for label, word in list(suspects)[:EXAMPLES]
                ],
                {"task": task, "words": [[label, word, count] for (label, word), count in suspects.items()]},
            )


def _words(text: str) -> set[str]:
    found: set[str] = set()
    for word in _WORD.findall(normalise(text).casefold()):
        # Chinese has no blanks: its pairs of characters serve as words
        found.update((word[n : n + 2] for n in range(len(word) - 1)) if _CHINESE.search(word) else [word])
    return found


def _at_least(part: int, whole: int, z: float = 1.96) -> float:
    """Lower end of the interval of a share (Wilson 1927), at 95 %."""
    share = part / whole
    middle = share + z * z / (2 * whole)
    spread = z * ((share * (1 - share) + z * z / (4 * whole)) / whole) ** 0.5
    return float((middle - spread) / (1 + z * z / whole))
