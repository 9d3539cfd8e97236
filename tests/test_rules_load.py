"""A rules file is read whole, or refused with every fault at once and the line of each."""

import subprocess
import sys
import tomllib
from datetime import date, datetime, time

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st
from rules_support import HEAD, SCHEMA, Spelling, reading_of, rules_of
from support import ROOT

from models.errors import RulesError
from serving.routing.lines import line_numbers, line_of
from serving.routing.lint import lint
from serving.routing.load import load_rules, read_rules

LAW = settings(deadline=None, derandomize=True)

TEAMS = "known: rest, hit"
CATEGORIES = "known: product/defect, product/quality, other, product/*"
TASKS = "known: category, sentiment, intent"
RANGE, SETS = "known: min, max, above, below, present", "known: any, all, none, present"
NPS = "expected a number or one of detractor, passive, promoter, got"
TABLES = "a list of tables [{…}, {…}] of conditions"
NO_TOML = "text stands in quotes, and every table, list and quote is closed"
CIRCLE = "conditions refer to each other in a circle"
TEAM = '[teams.x]\ntitle = "X"\n'


def rule(when="nps = 1", then='team = "hit"', more=""):
    return f'[[rules]]\nname = "a"\n{more}when = {{ {when} }}\nthen = {{ {then} }}\n'


def chained(form, count):
    return "conditions.c0.nps = 3\n" + "".join(
        f"conditions.c{number + 1} = {{ {form.format(number)} }}\n" for number in range(count)
    )


def faults(text):
    return [(one.line, one.message) for one in reading_of(text).findings]


#: What stands behind the four lines of HEAD, and what is wrong with it.
FAULTS = [
    ("x = \n", 5, f"not valid TOML: Invalid value (at line 5, column 5); {NO_TOML}"),
    ("[teamz\n", 5, f"not valid TOML: Expected ']' at the end of a table declaration (at line 5, column 7); {NO_TOML}"),
    ("version = 1\n", 5, f"not valid TOML: Cannot overwrite a value (at line 5, column 12); {NO_TOML}"),
    ("x = [\n1,\n", 6, "not valid TOML: "),
    ("rulez = 1\n", 5, "rulez: unknown field 'rulez'; did you mean 'rules'?"),
    (f"{TEAM}titel = 'X'\n", 7, "teams.x.titel: unknown field 'titel'; did you mean 'title'?"),
    ("[patterns.p.en]\nphrase = 'x'\nregex = 'x'\n", 6, "patterns.p.en.phrase: unknown field 'phrase'; did you mean"),
    (rule(then="urgncy = 'low'"), 8, "rules[1].then.urgncy: unknown field 'urgncy'; did you mean 'urgency'?"),
    (rule(then="team = 'hitt'"), 8, f"rules[1].then.team: unknown team 'hitt'; did you mean 'hit'? {TEAMS}"),
    (f"{TEAM}channels = 'desc'\n[channels.desk]\nkind = 'file'\n", 7, "teams.x.channels: unknown channel 'desc'; did"),
    (f"{TEAM}owns = 'prodct/*'\n", 7, "teams.x.owns[1]: unknown category label 'prodct/*'; did you mean 'product/*'?"),
    ("patterns.fire.en.phrases = 'x'\n" + rule("text = 'fir'"), 8, "rules[1].when.text: unknown pattern 'fir'; did"),
    ("conditions.vip.nps = 1\n" + rule("is = 'vjp'"), 8, "rules[1].when.is: unknown condition 'vjp'; did you mean"),
    (rule(then="urgency = 'huge'"), 8, "rules[1].then.urgency: input should be 'low', 'normal', 'high' or 'urgent',"),
    (rule().replace('"a"', '"A b"'), 6, "rules[1].name: expected a name of small letters, digits, - and _, got 'A b'"),
    ("[[rules]]\nname = 'a'\nwhen.nps = 1\n", 5, "rules[1].then: field 'then' is missing"),
    (rule() + rule("nps = 2"), 10, "rules[2].name: rule 'a' stands 2 times; give each its own name"),
    ("conditions.a.is = 'b'\nconditions.b.not.is = 'a'\n", 5, f"conditions.a: {CIRCLE}: a → b → a"),
    (f"{TEAM}time_zone = 'Europe/Bukarest'\n", 7, "teams.x.time_zone: expected a time zone like Europe/Bucharest, got"),
    (f"{TEAM}country_holidays = 'XX'\n", 7, "teams.x.country_holidays: expected a country like RO, whose public"),
    (f"{TEAM}holidays = [\n2026-01-01,\n'2026-01-02',\n]\n", 9, "teams.x.holidays[2]: expected a day like 2026-12-24,"),
    (f"{TEAM}hours.mon = '09:00-08:00'\n", 7, "teams.x.hours: expected hours that end after they begin, got"),
    (f"{TEAM}owns = 'other'\n[teams.y]\ntitle = 'Y'\nowns = ['product/*', 'other']\n", 10, "teams.y.owns[2]: 'other'"),
    (rule(then="team = 'hit', urgency = 'low'", more="also = true\n"), 5, "rules[1]: a rule that is `also` only adds"),
    (rule(then="", more="also = true\n"), 5, "rules[1]: a rule that is `also` adds `notify` or `tags`, got none"),
    ("[patterns.p]\n", 5, "patterns.p: expected what to look for by language, like [patterns.NAME.en], got none"),
    ("[patterns.p.en]\n", 5, "patterns.p.en: expected phrases, tokens or regex, got none"),
    ("patterns.p.x1.phrases = 'x'\n", 5, "patterns.p.x1: expected a language tag like ro or zh-Hant, or `any`, got"),
]  # fmt: skip
#: What stands under `when` of a rule, and what is wrong with it.
CONDITIONS = [
    ("nps = { mn = 1 }", f"nps: unknown key 'mn'; did you mean 'min'? {RANGE}"),
    ("category.an = 'other'", f"category: unknown key 'an'; did you mean 'any'? {SETS}"),
    ("category = 'othr'", "category: unknown category label 'othr'; did you mean 'other'?"),
    ("tasks.intent = 'cancl'", "tasks.intent: unknown intent label 'cancl'; did you mean 'cancel'?"),
    ("task_confidence.mood.min = 0.5", f"task_confidence.mood: the model has no task 'mood'; {TASKS}"),
    ("abstained = 'sentimnt'", "abstained: the model has no task 'sentimnt'; did you mean 'sentiment'?"),
    ("language = 'romanian!'", "language: expected a language tag like ro or zh-Hant, got 'romanian!'"),
    ("country = 'Romania'", "country: expected a country like RO, got 'Romania'"),
    ("nps = 11", "nps: nps is from 0 to 10, got 11"),
    ("nps = 1" + "0" * 400, "nps: nps is from 0 to 10, got 1"),
    ("confidence.min = 80", "confidence: confidence is from 0 to 1, got 80"),
    ("score.min = nan", "score: score is from -1 to 1, got nan"),
    ("nps.above = 10", "nps: no value can lie there: nps is from 0 to 10"),
    ("nps = { min = 6.2, max = 6.8 }", "nps: no value can lie there: nps is from 0 to 10"),
    ("nps = { min = 5, below = 5 }", "nps: expected a lower end below the upper, got 5 and 5"),
    ("nps = { min = 5, above = 4 }", "nps: expected one lower and one upper end, got two of a kind"),
    ("nps = {}", "nps: expected one of min, max, above, below, present, got none"),
    ("nps = 'promotr'", f"nps: {NPS} 'promotr'"),
    ("nps = [1, true]", f"nps: {NPS} True"),
    ("nps = [[1, 2]]", f"nps: {NPS} [1, 2]"),
    ("nps = [{ min = 1 }]", f"nps: {NPS} {{'min': 1}}"),
    ("category = 3", "category: expected words in quotes, got 3"),
    ("category = []", "category: expected at least one value, got none"),
    ("out_of_scope = 'yes'", "out_of_scope: expected true or false, got 'yes'"),
    ("tasks = 'cancel'", "tasks: expected names with conditions, like tasks.NAME = …, got 'cancel'"),
    ("is = []", "is: expected names of conditions, got []"),
    ("any = { nps = 1 }", f"any: expected {TABLES}, got {{'nps': 1}}"),
    ("", ": expected at least one condition, got none; what is always to happen stands in [default]"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "message"), FAULTS)
def test_each_fault_is_told_with_its_place_its_line_and_what_was_expected(text, line, message):
    ((got_line, got),) = faults(HEAD + text)
    assert (got_line, got[: len(message)]) == (line, message)


@pytest.mark.parametrize(("when", "message"), CONDITIONS)
def test_each_fault_of_a_condition_is_told(when, message):
    ((line, got),) = faults(HEAD + rule(when))
    assert (line, got.removeprefix("rules[1].when").lstrip(".")[: len(message)]) == (7, message)


WHOLE = f"""{HEAD}colour = 1
[teams.x]
title = "X"
owns = ["othr"]
channels = ["desc"]
hours = {{ mon = ["9-17"], fry = [] }}
[patterns.p]
en.regex = "("
[conditions]
vip.nps = 12
[[rules]]
name = "a"
when = {{ nps = "x", category = "othr" }}
then.team = "hitt"
[[rules]]
name = "a"
when.text = "q"
then.urgency = "huge"
"""
SHAPED = WHOLE.replace("colour = 1", "").replace("hours = ", "# ").replace("huge", "low")


@pytest.mark.parametrize(
    ("text", "lines"),
    [(SHAPED, [8, 9, 12, 14, 17, 17, 18, 20, 21]), (WHOLE, [5, 8, 9, 10, 10, 12, 14, 17, 17, 18, 20, 21, 22])],
    ids=["what is unknown", "what is of the wrong shape too"],
)
def test_all_faults_are_told_at_once_in_the_order_of_the_file(text, lines):
    assert [line for line, _ in faults(text)] == lines


def test_the_error_lists_the_faults_with_file_and_lines(tmp_path):
    (tmp_path / "r.toml").write_text(HEAD + rule("nps = 11, csat = 0"))
    listed = r"  - line 7: rules\[1\]\.when\.nps: .*\n  - line 7: rules\[1\]\.when\.csat: csat is from 1 to 7, got 0$"
    with pytest.raises(RulesError, match=rf"{tmp_path / 'r.toml'}: 2 fault\(s\) in the rules\n{listed}"):
        load_rules(tmp_path / "r.toml")


DEEP = "lists or tables are nested too deeply"
MANY = HEAD + "rules = [\n" + '{ name = "a", when.nps = 1, then.team = "hit" },\n' * 2001 + "]\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"# " + "ș".encode("cp1250", "replace") + b"\xba\n", "expected UTF-8, got byte 0xba; save it as UTF-8"),
        ((HEAD + "#" * 1_000_000).encode(), "expected at most 1,000,000 bytes, got more; is it a rules file?"),
        (MANY.encode(), "expected at most 2,000 rules, got 2,001; join those that differ in a value only"),
        (f"x = {'[' * 5000}{']' * 5000}\n".encode(), DEEP),
        ((HEAD + rule("not = {" * 250 + "nps = 1" + "}" * 250)).encode(), DEEP),
        ((HEAD + rule("not." * 900 + "nps = 1")).encode(), DEEP),
        ((HEAD + rule("any = [{" * 150 + "nps = 1" + "}]" * 150)).encode(), DEEP),
        ((HEAD + chained('is = "c{0}"', 400) + rule('is = "c400"')).encode(), "conditions are nested too deeply"),
    ],
    ids=["not UTF-8", "large", "many rules", "deep lists", "deep tables", "deep keys", "deep conditions", "long chain"],
)  # fmt: skip
def test_a_file_that_nobody_wrote_by_hand_is_refused(tmp_path, content, message):
    (tmp_path / "r.toml").write_bytes(content)
    ((*_, found),) = [(one.line, one.message) for one in read_rules(tmp_path / "r.toml", SCHEMA).findings]
    assert message in found


@pytest.mark.parametrize(("name", "reason"), [("absent", "No such file or directory"), (".", "Is a directory")])
def test_what_is_no_file_is_refused(tmp_path, name, reason):
    with pytest.raises(RulesError, match=rf"1 fault\(s\) in the rules\n  - cannot be read: {reason}$"):
        load_rules(tmp_path / name)


def test_lines_may_end_as_on_windows(tmp_path):
    (tmp_path / "r.toml").write_bytes((HEAD + rule("nps = 11")).replace("\n", "\r\n").encode())
    assert [one.line for one in read_rules(tmp_path / "r.toml").findings] == [7]


# A file that doubles with every condition would take all memory: the child process may have a part of it.
CHECKED = """
import resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
from models.labels import LabelSchema
from serving.routing.check import check
report = check(Path(sys.argv[1]), LabelSchema.load())
print([one.message for one in report.of("error")], report.rules and len(report.rules.owning))
"""


@pytest.mark.parametrize("twice", ['is = ["c{0}", "c{0}"]', 'any = [{{ is = "c{0}" }}, {{ is = "c{0}", csat = 3 }}]'])
def test_conditions_that_each_use_the_one_before_twice_are_no_burden(tmp_path, twice):
    (tmp_path / "r.toml").write_text(HEAD + chained(twice, 40) + rule('is = "c40"'))
    command = [sys.executable, "-c", CHECKED, str(tmp_path / "r.toml")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert "expected a condition made of 1,000 at most, got 1,02" in done.stdout
    assert done.stderr == ""


# --- lines

SCALARS = ["", "a", "it's", 'say "x"', "# no", "[x]", "{}", "a\nb", "\n", "a\tb", "\\", "é包😀", " a", 0, -17, 3.5]
SCALARS += [1e10, True, date(2026, 3, 1), datetime(2026, 3, 1, 9, 30), time(9, 30)]
KEYS = ["a", "b", "c-d", "_e", "3", "a b", "dot.ted", 'quo"te', "it's", "#", "é", "", "=", "[x]", "tab\t", "1.5"]


def anything(dice, deep):
    kind = dice.choice(["scalar", "list", "table"]) if deep else "scalar"
    if kind == "table":
        return {dice.choice(KEYS): anything(dice, deep - 1) for _ in range(dice.randint(0, 3))}
    if kind == "list":
        same = dice.random() < 0.5
        items = range(dice.randint(0, 3))
        return [{dice.choice(KEYS): anything(dice, deep - 1)} if same else anything(dice, deep - 1) for _ in items]
    return dice.choice(SCALARS)


@settings(LAW, max_examples=300)
@given(st.randoms(use_true_random=True), st.integers(1, 5))
def test_every_part_of_a_document_has_the_line_on_which_it_was_written(dice, size):
    document = {dice.choice(KEYS): anything(dice, 4) for _ in range(size)}
    spelling = Spelling(document, dice)
    note(spelling.text)
    assert tomllib.loads(spelling.text) == document
    assert line_numbers(spelling.text) == spelling.lines


def test_what_is_missing_altogether_has_no_line():
    assert faults("version = 1\n") == [(None, f"{key}: field {key!r} is missing") for key in ("default", "teams")]


def test_the_line_of_what_is_not_there_is_that_of_what_would_hold_it():
    lines = line_numbers("a = 1\n[b]\n[b.c]\nd = [\n1,\n]\n")
    paths = [("b", "c", "d", 0), ("b", "c", "d", 1), ("b", "c", "x", "y"), ("b", "x"), ("x",)]
    assert [line_of(lines, path) for path in paths] == [5, 4, 3, 2, None]


SOUND = f"""{HEAD}owned.due_hours = 2
channels.desk.kind = "file"
patterns.p = {{ en.phrases = ["fire"], de.regex = ["x"], any.tokens = [[{{ LOWER = "a" }}]] }}
conditions.vip = {{ nps.min = 3, meta.plan = "gold" }}
teams.x = {{ title = "X", owns = ["other"], hours.mon = ["09:00-17:00"], holidays = [2026-01-01], channels = ["desk"] }}
[[rules]]
name = "a"
when = {{ category = "other", any = [{{ is = "vip" }}, {{ text = "p", rating = [1, 2] }}], not.confidence.max = 0.2 }}
then = {{ team = "hit", urgency = "high", due_hours = 4, notify = "rest" }}
"""


@settings(LAW, max_examples=400)
@given(st.randoms(use_true_random=True))
def test_whatever_stands_in_the_place_of_a_part_is_read_or_refused(dice):
    document = tomllib.loads(SOUND)
    *path, last = dice.choice([*line_numbers(SOUND)])
    part = document
    for key in path:
        part = part[key]
    part[last] = dice.choice([anything(dice, 3), float("nan"), float("inf"), 10**400, -1, [], {}])
    text = Spelling(document, dice).text
    note(text)
    loaded = reading_of(text)
    assert bool(loaded.findings) != bool(loaded.rules)
    findings = loaded.findings or lint(loaded.rules, SCHEMA, loaded.lines)
    assert all(one.line is not None for one in findings)


# --- versions

EDITS = """hours = 2>hours = 3; "file">"email"; fire>flame; ["x"]>["y"]; LOWER = "a">LOWER = "b"; nps.min>nps.above;
gold>silver; ["other"]>[]; 17:00>18:00; 2026-01-01>2026-01-02; [1, 2]>[1, 3]; 0.2>0.3; "high">"low"; any = [{>all = [{;
name = "a">name = "b"; hours = 4>hours = 5; notify = "rest">notify = "hit"; not.>"""


@pytest.mark.parametrize(("old", "new"), [edit.strip().split(">") for edit in EDITS.split(";")])
def test_the_version_changes_with_anything_that_decides(old, new):
    assert old in SOUND
    assert rules_of(SOUND.replace(old, new)).digest != rules_of(SOUND).digest


def test_the_version_stays_with_another_spelling():
    digest = rules_of(SOUND).digest
    assert len(digest) == 12
    for text in (SOUND.replace("\n", "  # so\n\n"), SOUND.replace("owned.due_hours", "'owned' . due_hours")):
        assert rules_of(text).digest == digest
