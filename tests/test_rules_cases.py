"""The check of a rules file: its findings, its cases, and how both are told."""

import json
import subprocess
import sys

import pytest
from rules_support import HEAD, SCHEMA, predicted, reading_of, rules_of
from support import ROOT

from models.errors import RulesError
from serving.routing.cases import beside, run_cases
from serving.routing.check import Report, check, checked_rules
from serving.routing.faults import Finding
from serving.routing.lint import lint

SOUND = """version = 1
default = { team = "rest" }
channels.desk.kind = "file"
[teams.rest]
title = "Rest"
owns = ["product/*", "other"]
channels = ["desk"]
"""
LOW, URGENT = 'urgency = "low"', 'urgency = "urgent", due_hours = 2'


def found(*rules, text=SOUND):
    for name, (when, *then) in zip("abcdefghij", rules, strict=False):
        text += f'[[rules]]\nname = "{name}"\nwhen = {{ {when} }}\nthen = {{ {", ".join(then)} }}\n'
    loaded = reading_of(text)
    return [(one.severity, one.code, one.line, one.message) for one in lint(loaded.rules, SCHEMA, loaded.lines)]


CONTRADICTION = "rule 'a' never holds: its conditions contradict each other"
BEFORE = "rule 'a' takes some items of 'b' before them; e.g. of 'b'"
FINDINGS = [
    ([('category = "product/*"',), ('category = "product/defect"', LOW)], ("error", "unreachable", 12),
     "rule 'b' never fires: 'a' before it takes every item it is for; move it up or remove it"),
    ([("nps.max = 5",), ("rating = 1", 'tags = "x"'), ("nps.above = 5",), ("nps.min = 3", 'tags = "y"')],
     ("error", "unreachable", 20),
     "rule 'd' never fires: 'a', 'c' before it take every item it is for; move it up or remove it"),
    ([('nps = "detractor"',), ("nps = { min = 0, below = 7 }", URGENT)], ("error", "same-conditions", 12),
     "rules 'a' and 'b' hold for the same items and differ in their outcome only; 'a' comes first, so 'b' never fires: "
     "remove one"),
    ([('sentiment.all = ["negative", "positive"]',)], ("error", "contradiction", 8), CONTRADICTION),
    ([("out_of_scope = true, abstained.none = 'category'",)], ("error", "contradiction", 8), CONTRADICTION),
    ([('category = "other", nps.max = 3', LOW), ('sentiment = "negative", channel = "email"', URGENT)],
     ("warning", "shadowing", 8),
     f"{BEFORE}, with urgency low instead of urgent: category other; sentiment negative; nps 0; channel email"),
    ([("rating.max = 2", URGENT), ('text.present = false, country = "RO"',)], ("note", "shadowing", 8),
     f"{BEFORE}: sentiment negative; rating 1; country ro"),
    ([("truncated = true", LOW, "review = true"), ("csat = 1",)], ("note", "shadowing", 8),
     f"{BEFORE}: sentiment negative; truncated; csat 1"),
    ([("truncated = true", 'urgency = "urgent"')], ("warning", "no-due-time", 11),
     "rule 'a' is urgent without `due_hours`: nobody is told by when"),
]  # fmt: skip


@pytest.mark.parametrize(("rules", "place", "message"), FINDINGS)
def test_findings_say_what_is_wrong_with_which_rule_and_where(rules, place, message):
    assert [one for one in found(*rules) if place[1] in one] == [(*place, message)]
    assert found(("nps = 1", 'tags = "x"'), ("rating = 1", 'tags = "y"')) == []  # that differ in tags only


def test_of_many_rules_that_lose_items_six_are_named():
    later = [(f"rating = {number / 2}", URGENT) for number in range(2, 11)]
    named = "rule 'a' takes some items of 'b', 'c', 'd', 'e', 'f', 'g' and 3 more before them; e.g. of 'b', with"
    assert found(("nps = 1",), *later)[0][-1].startswith(named)


UNOWNED = (
    "category 'product/defect' has no owner: items with sentiment negative, neutral, positive can fall to the default "
    "(rest, urgency normal); name it in `owns` of a team"
)
UNUSED = "no rule asks for pattern 'fire'"
NO_CHANNEL = "team 'rest' has no channel to deliver to; name one in `channels`"
NO_TIME = "urgent without `due_hours`: nobody is told by when"
FIRST = "[teams.rest]"


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ('"product/*"', '"product/quality"', ("warning", "no-owner", 2, UNOWNED)),
        ('channels = ["desk"]', "", ("warning", "no-channel", 4, NO_CHANNEL)),
        ('channels = ["desk"]', "", ("note", "unused", 3, "no team has channel 'desk'")),
        ('"rest" }', '"rest", urgency = "urgent" }', ("warning", "no-due-time", 2, f"the default is {NO_TIME}")),
        (FIRST, f'owned.urgency = "urgent"\n{FIRST}', ("warning", "no-due-time", 4, f"what owners get is {NO_TIME}")),
        (FIRST, f'[patterns.fire]\nen.phrases = "x"\n{FIRST}', ("note", "unused", 4, UNUSED)),
        (FIRST, f'[patterns.fire.en]\nregex = "x"\n{FIRST}', ("note", "unused", 4, UNUSED)),
        (FIRST, f"[conditions.vip]\nnps = 1\n{FIRST}", ("note", "unused", 4, "no rule asks for condition 'vip'")),
        (FIRST, f'[teams.idle]\ntitle = "I"\n{FIRST}', ("note", "unused", 4, "team 'idle' gets no items")),
    ],
)  # fmt: skip
def test_findings_about_teams_outcomes_and_patterns_have_their_line(old, new, finding):
    assert old in SOUND
    assert [one for one in found(text=SOUND.replace(old, new)) if one[1] == finding[1]] == [finding]


def test_an_also_rule_that_never_holds_is_a_contradiction_and_none_takes_anything():
    also = '[[rules]]\nname = "{}"\nalso = true\nwhen = {{ {} }}\nthen.tags = "t"\n'
    text = SOUND + also.format("x", "rating.min = 3, not.rating.min = 2") + also.format("y", "nps = 1")
    assert found(("nps = 1",), text=text) == [("error", "contradiction", 8, CONTRADICTION.replace("'a'", "'x'"))]


# --- cases

RULES = f"""{HEAD}teams.hit.hours.mon-fri = "09:00-17:00"
[[rules]]
name = "low"
when = {{ nps.max = 6, sentiment = "negative" }}
then = {{ team = "hit", urgency = "high", due_hours = 2, notify = "rest", review = true }}
[[rules]]
name = "many"
also = true
when = {{ any = [{{ similar.min = 5 }}, {{ out_of_scope = true }}] }}
then.tags = ["wave", "b"]
"""
CASES = """[[cases]]
name = "an unhappy customer"
item = { text = "x", nps = 3 }
predicted = { category = "other", sentiment = "negative" }
similar = 7
received_at = 2026-03-10T18:00:00+02:00
[cases.expect]
team = "hit"
rule = "low"
urgency = "high"
due_at = 2026-03-11T10:00:00Z
deliver = "now"
notify = "rest"
tags = ["wave", "b"]
also = "many"
needs_review = true
[[cases]]
name = "a text alone"
item.text = "bad, bad"
expect.rule = "low"
"""


def run(tmp_path, cases, classify=None):
    (tmp_path / "r.cases.toml").write_text(cases)
    outcome = run_cases(tmp_path / "r.cases.toml", rules_of(RULES), SCHEMA, classify)
    assert {(one.file, one.severity) for one in outcome.findings} <= {("r.cases.toml", "error")}
    return outcome.ran, outcome.left_out, [(one.line, one.message) for one in outcome.findings]


def test_cases_that_come_out_say_nothing_and_texts_alone_wait_for_a_model(tmp_path):
    assert run(tmp_path, CASES) == (1, 1, [])


def test_with_a_model_texts_are_classified_once_together(tmp_path):
    asked = []

    def classify(items):
        asked.append([item.text for item in items])
        return [predicted("other", sentiment="negative") for _ in items]

    cases = CASES + '[[cases]]\nname = "another"\nitem = { text = "worse", nps = 0 }\nexpect.rule = "low"\n'
    message = "case 'a text alone': expected rule low, got default (rule 'default')"
    assert run(tmp_path, cases, classify) == (3, 0, [(17, message)])
    assert asked == [["bad, bad", "worse"]]


CASE = '[[cases]]\nname = "c"\nitem = {{ text = "x" }}\npredicted = {{ {} }}\nexpect = {{ {} }}\n'


@pytest.mark.parametrize(
    ("predicts", "expects", "message"),
    [
        ("", 'team = "hit"', "expected team hit, got rest (rule 'default')"),
        ("", 'notify = ["hit", "rest"]', "expected notify hit, rest, got none (rule 'default')"),
        ("", "due_at = 2026-03-11T10:00:00Z", "expected due_at 2026-03-11 10:00:00+00:00, got None (rule 'default')"),
        ("out_of_scope = true", "also = []", "expected also none, got many (rule 'default')"),
        ('category = "othr"', 'team = "rest"', "predicted: unknown category label 'othr'; did you mean 'other'?"),
        ('tasks.intnt = "x"', 'team = "rest"', "predicted: the model has no task 'intnt'; did you mean 'intent'?"),
        ('abstained = "mood"', 'team = "rest"', "predicted: the model has no task 'mood'; known: category, sentiment,"),
    ],
)  # fmt: skip
def test_a_case_that_comes_out_otherwise_is_told_with_its_line(tmp_path, predicts, expects, message):
    *_, ((line, said),) = run(tmp_path, CASE.format("", 'team = "rest"') + CASE.format(predicts, expects))
    assert line == 6
    assert said.startswith(f"case 'c': {message}")


@pytest.mark.parametrize(
    ("cases", "line", "message"),
    [
        ("[[cases]\n", 1, "not valid TOML: Expected ']]'"),
        ("[[case]]\n", 1, "unknown field 'case'; did you mean 'cases'?"),
        ('[[cases]]\nname = "c"\nitem.text = "x"\nexpect.teem = "x"\n', 4, "unknown field 'teem'; did you mean 'team'"),
        ('[[cases]]\nname = "c"\nitem.txt = "x"\nexpect.team = "hit"\n', 1, "item: unknown field 'txt'; did you mean"),
        ('[[cases]]\nname = "c"\nitem = { text = "x", nps = 11 }\nexpect.team = "hit"\n', 1, "item: nps: input should"),
        (CASE.format("categry = 'other'", 'team = "hit"'), 4, "unknown field 'categry'; did you mean 'category'?"),
    ],
)  # fmt: skip
def test_cases_that_cannot_be_read_are_told_with_their_line(tmp_path, cases, line, message):
    ran, _, findings = run(tmp_path, cases)
    assert ran == 0
    assert [(got, True) for got, said in findings if message in said] == [(line, True)]


def test_times_without_a_zone_are_in_utc(tmp_path):
    cases = '[[cases]]\nname = "c"\nitem = { text = "x", nps = 1 }\npredicted.sentiment = "negative"\n'
    cases += "received_at = 2026-03-10T12:30:00\nexpect.due_at = 2026-03-10T14:30:00\n"
    assert run(tmp_path, cases) == (1, 0, [])


# --- how it is told


def test_a_report_is_told_to_machines(tmp_path):
    path = tmp_path / "r.toml"
    path.write_text(RULES)
    beside(path).write_text(CASES.replace('rule = "low"\nurgency', 'rule = "default"\nurgency'))
    report = check(path, SCHEMA)
    told = json.loads(report.as_json())
    *warnings, last = told.pop("findings")
    counts = {"cases": 1, "error": 1, "warning": 5, "note": 0}
    assert told == {"file": str(path), "rules_version": rules_of(RULES).digest, **counts}
    assert {one["file"] for one in warnings} == {"r.toml"}
    message = "case 'an unhappy customer': expected rule default, got low (rule 'low')"
    assert last == {"severity": "error", "code": "case", "message": message, "line": 1, "file": "r.cases.toml"}


def test_rules_are_taken_unless_the_check_finds_an_error(tmp_path):
    path = tmp_path / "r.toml"
    path.write_text(RULES)
    assert check(path, SCHEMA).of("warning")
    assert checked_rules(path, SCHEMA).digest == rules_of(RULES).digest
    beside(path).write_text(CASE.format("", 'team = "hit"'))
    with pytest.raises(
        RulesError, match=rf"{path}: 1 error\(s\) in the rules\n  - {beside(path)}:1: error: case 'c': "
    ):
        checked_rules(path, SCHEMA)
    path.write_text("version = \n")
    assert json.loads(check(path, SCHEMA).as_json())["rules_version"] is None
    with pytest.raises(RulesError, match=rf"1 error\(s\) in the rules\n  - {path}:1: error: not valid TOML"):
        checked_rules(path, SCHEMA)


def test_annotations_of_a_pull_request_stay_on_one_line(tmp_path):
    findings = [
        Finding("error", "fault", "a 100 %\nb\r\nc", 3),
        Finding("warning", "no-owner", "b"),
        Finding("note", "case", "c", 1, "r.cases.toml"),
    ]
    assert Report(tmp_path / "r.toml", None, findings).as_github().split("\n") == [
        f"::error file={tmp_path}/r.toml,line=3,title=fault::a 100 %25%0Ab%0D%0Ac",
        f"::warning file={tmp_path}/r.toml,title=no-owner::b",
        f"::notice file={tmp_path}/r.cases.toml,line=1,title=case::c",
    ]


@pytest.fixture
def files(tmp_path):
    (tmp_path / "labels.toml").write_text(SCHEMA.to_toml())
    (tmp_path / "r.toml").write_text(SOUND)

    def command(name, *options):
        run = [sys.executable, "-m", "feedback", "rules", name, str(tmp_path / "r.toml"), *options]
        done = subprocess.run(
            [*run, "--labels", str(tmp_path / "labels.toml")], cwd=ROOT, capture_output=True, text=True
        )
        return done.returncode, done.stdout, done.stderr

    return tmp_path / "r.toml", command


def test_the_check_ends_with_2_for_errors_and_with_strict_for_warnings(files):
    path, command = files
    code, out, said = command("check", "--strict")
    assert (code, out) == (0, "")
    assert said.endswith("r.toml: sound; 0 rules, 1 teams, 0 cases; 0 error(s), 0 warning(s)\n")
    path.write_text(SOUND.replace('channels = ["desk"]', ""))
    code, out, _ = command("check", "--format", "github")
    assert f"::warning file={path},line=4,title=no-channel::{NO_CHANNEL}\n" in out
    assert code == 0
    code, out, _ = command("check", "--format", "json", "--strict")
    assert (code, json.loads(out)["warning"]) == (2, 1)
    path.write_text(SOUND + "colour = 1\n")
    code, out, said = command("check")
    assert (code, out) == (2, "")
    assert f"{path}:8: error: teams.rest.colour: unknown field 'colour'" in said


def test_the_cases_are_run_by_command(files):
    path, command = files
    code, _, said = command("test")
    assert code == 2
    assert "there are no cases; write some, or name them with --cases" in said
    beside(path).write_text(CASE.format("", 'team = "rest"') + CASE.format("", 'urgency = "high"'))
    code, _, said = command("test")
    assert f"{beside(path)}:6: error: case 'c': expected urgency high, got normal" in said
    assert (code, said.splitlines()[-1]) == (2, "2 case(s) decided, 1 difference(s)")
    beside(path).write_text("[[cases]\n")
    assert command("test")[0] == 2
