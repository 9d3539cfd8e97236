"""What the check says of rules is so for every item that can come in, and for no other."""

from itertools import chain, combinations, product

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st
from rules_support import (
    CATEGORIES,
    HEAD,
    INTENTS,
    SCHEMA,
    SENTIMENTS,
    Spelling,
    holds,
    ranges,
    reading_of,
    rules_of,
    sets,
    table,
)
from space_support import situation_of

from serving.routing.decide import decide
from serving.routing.lint import lint, whole
from serving.routing.space import Space

LAW = settings(deadline=None, derandomize=True)
FLAG = [[True], [False]]
SHARES = [[share] for share in (0, 0.1, 0.25, 0.3, 0.5, 0.6, 0.8, 0.9, 1)]
URGENCIES = ("low", "normal", "high", "urgent")


def subsets(values):
    return [list(some) for some in chain.from_iterable(combinations(values, size) for size in range(len(values) + 1))]


def numbers(*values):
    return [[], *([value] for value in values)]


def flag(dice):
    return dice.random() < 0.5


#: How each field may be asked, and an item of every kind that any of these questions can tell apart.
FIELDS = {
    "category": (sets([*CATEGORIES, "product/*"]), subsets(CATEGORIES)),
    "sentiment": (sets([*SENTIMENTS]), [[key] for key in SENTIMENTS]),
    "tasks.intent": (sets(INTENTS), subsets(INTENTS)),
    "abstained": (sets([*SCHEMA.tasks]), subsets(SCHEMA.tasks)),
    "out_of_scope": (flag, FLAG),
    "truncated": (flag, FLAG),
    "confidence": (ranges([0.25, 0.5, 0.8], 0, 1), SHARES),
    "task_confidence.intent": (ranges([0.25, 0.5, 0.8], 0, 1), SHARES),
    "familiarity": (ranges([0.25, 0.5, 0.8], 0, 1), [[], *SHARES]),
    "score": (ranges([-0.5, 0], -1, 1), [[score] for score in (-1, -0.7, -0.5, -0.2, 0, 0.4, 1)]),
    "rating": (ranges([2, 3.5], 1, 5), numbers(1, 1.5, 2, 3, 3.5, 4, 5)),
    "nps": (
        ranges([3, 6.5], 0, 10, whole=True, values=["promoter", "passive", "detractor", 0, 7]),
        numbers(*range(11)),
    ),
    "age_hours": (ranges([-1, 24], float("-inf"), float("inf")), numbers(-2, -1, 5, 24, 30)),
    "similar": (ranges([0, 5, 20], 0, float("inf"), whole=True), numbers(0, 3, 5, 8, 20, 25)),
    "channel": (sets(["email", "Chat"]), numbers("email", "chat", "fax")),
    "country": (sets(["RO", "pl"]), numbers("RO", "PL", "CN")),
    "language": (sets(["en", "zh", "zh-Hans"]), [[tag] for tag in ("en", "en-GB", "zh", "zh-Hans", "zh-Hant", "ro")]),
    "text": (sets(["burning", "late"]), subsets(["burning", "late"])),
    "meta.plan": (sets(["gold", "3"]), subsets(["gold", 3, "other"])),
    "meta.seats": (ranges([1, 3], float("-inf"), float("inf")), subsets([0, 1, 2, 3, 4])),
}


def a_document(dice, rules):
    asked = dice.sample([*FIELDS], dice.randint(1, 3))
    fields = {name: FIELDS[name][0] for name in asked}
    named = {"c0": table(dice, fields, deep=0)}
    patterns = {name: {"any": {"phrases": name}} for name in ("burning", "late")}
    teams = {"rest": {"title": "Rest", "owns": dice.sample([*CATEGORIES, "product/*"], dice.randint(0, 2))}}
    found = []
    for number in range(rules):
        rule = {"name": f"r{number}", "when": table(dice, fields, tuple(named), deep=1)}
        if dice.random() < 0.2:
            found.append({**rule, "also": True, "then": {"tags": ["a"]}})
        else:
            then = {"team": "rest", "urgency": dice.choice(URGENCIES), "review": dice.random() < 0.2}
            found.append({**rule, "then": then})
    document = {"default": {"team": "rest"}, "teams": teams, "patterns": patterns, "conditions": named, "rules": found}
    return asked, {"version": 1, **document}


def everything(asked, **fixed):
    """All that can come in, as far as the fields that are asked, and some that are fixed, go."""
    choices = {name: FIELDS[name][1] for name in asked} | {name: [value] for name, value in fixed.items()}
    for values in product(*choices.values()):
        known = dict(zip(choices, values, strict=True))
        # of what is out of scope no task is sure
        if known.get("out_of_scope") != [True] or len(known.get("abstained", SCHEMA.tasks)) == len(SCHEMA.tasks):
            yield known


def rows(document, asked, **fixed):
    """Which rules hold together for some item."""
    named = document["conditions"]
    whens = [rule["when"] for rule in document["rules"]]
    return {tuple(holds(when, known, named) for when in whens) for known in everything(asked, **fixed)}


def fits(row, signs):
    return all(sign is None or sign == held for sign, held in zip(signs, row, strict=True))


def first(document, row):
    """The owning rule that takes such items."""
    both = zip(document["rules"], row, strict=True)
    return next((rule["name"] for rule, held in both if held and not rule.get("also")), None)


@settings(LAW, max_examples=100)
@given(st.randoms(use_true_random=True), st.integers(1, 4))
def test_the_space_holds_every_item_that_can_come_in_and_no_other(dice, count):
    asked, document = a_document(dice, count)
    text = Spelling(document, dice).text
    note(text)
    rules = rules_of(text)
    space = Space(rules, SCHEMA)
    compiled = {rule.name: rule for rule in (*rules.owning, *rules.also)}
    literals = [space.literal(whole(compiled[f"r{number}"])) for number in range(count)]
    possible = rows(document, asked)
    for signs in product((True, False, None), repeat=count):
        wanted = [one if sign else -one for one, sign in zip(literals, signs, strict=True) if sign is not None]
        found = [row for row in possible if fits(row, signs)]
        assert space.exists(wanted) == bool(found)
        example = space.example(wanted)
        assert (example is not None) == bool(found)
        if example is not None and "text" not in asked:
            row = tuple(space.true(one) for one in literals)
            assert row in found
            situation = situation_of(space, example)
            decision = decide(situation.item, situation.prediction, rules, situation.received_at, situation.similar)
            fired = first(document, row)
            assert decision.rule == fired if fired else decision.rule in ("owned", "default")
            also = [
                rule["name"] for rule, held in zip(document["rules"], row, strict=True) if rule.get("also") and held
            ]
            assert decision.also == tuple(also)
        if example is None:
            core = space.core(wanted)
            assert set(core) <= set(wanted)
            place = {one: number for number, one in enumerate(literals)}
            without = [[other for other in core if other != one] for one in core]
            for kept, satisfiable in [(core, False), *((rest, True) for rest in without)]:
                needed = {(place[one], True) if one in place else (place[-one], False) for one in kept}
                assert any(all(row[number] == sign for number, sign in needed) for row in possible) == satisfiable


def quoted(message):
    return message.split("'")[1::2]


@settings(LAW, max_examples=150)
@given(st.randoms(use_true_random=True), st.integers(1, 5))
def test_findings_are_those_of_trying_every_item(dice, count):
    asked, document = a_document(dice, count)
    spelling = Spelling(document, dice)
    note(spelling.text)
    loaded = reading_of(spelling.text)
    findings = lint(loaded.rules, SCHEMA, loaded.lines)
    possible = rows(document, asked)
    found = {code: [one for one in findings if one.code == code] for code in {one.code for one in findings}}
    rules = {rule["name"]: rule for rule in document["rules"]}
    line = {rule["name"]: spelling.lines["rules", number] for number, rule in enumerate(document["rules"])}
    place = {name: number for number, name in enumerate(rules)}
    holding = {name: {row for row in possible if row[place[name]]} for name in rules}
    fires = {name: {row for row in holding[name] if first(document, row) == name} for name in rules}

    impossible = {name for name in rules if not holding[name]}
    assert {(quoted(one.message)[0], one.line) for one in found.get("contradiction", [])} == {
        (name, line[name]) for name in impossible
    }
    never = {name for name, rule in rules.items() if not rule.get("also") and not fires[name]} - impossible
    said = {quoted(one.message)[0]: one for one in found.get("unreachable", [])}
    said |= {quoted(one.message)[1]: one for one in found.get("same-conditions", [])}
    assert {name: one.line for name, one in said.items()} == {name: line[name] for name in never}
    for name, finding in said.items():
        covering = [other for other in dict.fromkeys(quoted(finding.message)) if other != name]
        assert all(place[other] < place[name] and not rules[other].get("also") for other in covering)
        assert holding[name] <= set().union(*(holding[other] for other in covering))
        for left_out in covering:
            rest = [holding[other] for other in covering if other != left_out]
            assert not holding[name] <= set().union(*rest)
        alike = len(covering) == 1 and holding[covering[0]] == holding[name]
        assert (finding.code == "same-conditions") == alike

    shadowed = set()
    for name, other in combinations([one for one in rules if not rules[one].get("also")], 2):
        then, later = rules[name]["then"], rules[other]["then"]
        if fires[other] and fires[name] & holding[other] and then != later:
            worse = URGENCIES.index(then["urgency"]) < URGENCIES.index(later["urgency"]) and not then["review"]
            shadowed.add((name, other, "warning" if worse else "note", line[name]))
    assert {
        (quoted(one.message)[0], other, one.severity, one.line)
        for one in found.get("shadowing", [])
        for other in quoted(one.message.partition(" before them;")[0])[1:]
    } == shadowed

    moods = {}
    owns = document["teams"]["rest"]["owns"]
    for label in CATEGORIES:
        if label not in owns and f"{label.partition('/')[0]}/*" not in owns:
            sure = {"category": [label], "abstained": [], "out_of_scope": [False]}
            for mood in SENTIMENTS:
                if any(first(document, row) is None for row in rows(document, asked, **sure, sentiment=[mood])):
                    moods.setdefault(label, []).append(mood)
    assert {quoted(one.message)[0]: one.message for one in found.get("no-owner", [])} == {
        label: f"category {label!r} has no owner: items with sentiment {', '.join(own)} can fall to the default (rest, "
        "urgency normal); name it in `owns` of a team"
        for label, own in moods.items()
    }


RULE = '[[rules]]\nname = "{name}"\nwhen = {{ {when} }}\nthen.team = "hit"\n'


@pytest.mark.parametrize(
    "whens",
    [
        ['language = "tlh"', "nps = 1"],
        ['channel = "something else"', "channel.present = false", "nps = 1"],
        ["meta.seats = true", "meta.seats.min = 1"],
        ["meta.seats = true", "meta.seats = 1"],
        ['meta.seats = "something else"', "meta.seats.none = 'something else'"],
        ["rating = 1", "rating = 5", "confidence = 0", "score = -1", "familiarity.max = 0", "csat = 7"],
        ["similar = 1_000_000", "similar.above = 1_000_000"],
    ],
)  # fmt: skip
def test_rules_that_each_take_some_items_are_not_complained_about(whens):
    rules = "".join(RULE.format(name=f"r{number}", when=when) for number, when in enumerate(whens))
    loaded = reading_of(HEAD + rules)
    assert [one for one in lint(loaded.rules, SCHEMA, loaded.lines) if one.severity == "error"] == []


@pytest.mark.parametrize(
    "when",
    [
        'category.none = "other", tasks.category = "other"',
        'sentiment = "negative", tasks.sentiment = "positive"',
        "confidence.min = 0.8, task_confidence.category.max = 0.2",
    ],
)
def test_two_names_of_one_field_are_one_field(when):
    loaded = reading_of(HEAD + RULE.format(name="a", when=when))
    codes = [one.code for one in lint(loaded.rules, SCHEMA, loaded.lines) if one.severity == "error"]
    assert codes == ["contradiction"]


@pytest.mark.parametrize(
    "when",
    [
        'tasks.category = "other"',
        "task_confidence.category.max = 0.2",
        "rating = 5, csat = 2.5",
        'country = "RO", language = "zh-Hant", channel.present = false',
        "age_hours.above = 24, similar.above = 10_000",
        'meta.plan.all = ["gold", 3], meta.seats = true',
        "out_of_scope = true, abstained.all = ['category', 'intent']",
    ],
)
def test_an_example_is_an_item_that_the_rule_takes(when):
    rules = rules_of(HEAD + RULE.format(name="a", when=when))
    space = Space(rules, SCHEMA)
    shown = situation_of(space, space.example([space.literal(whole(rules.owning[0]))]))
    assert decide(shown.item, shown.prediction, rules, shown.received_at, shown.similar).rule == "a"
