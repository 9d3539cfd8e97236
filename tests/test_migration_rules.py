"""Rules and cases under new labels: changed where a label stands, checked before they are written."""

import tomllib

import pytest
from migration_support import DELIVERY, LATE, TRUST, migration_of
from support import ROOT

from models.errors import RulesError
from models.labels import LabelSchema
from models.progress import Silent
from serving.routing.check import check
from serving.routing.label_places import edited, places_in_rules
from serving.routing.lines import value_spans
from serving.taxonomy.rules import RulesFiles

BOTH = """
[[rename]]
task = "category"
from = "a/1"
to = "b/1"
[[merge]]
task = "category"
from = ["c/1", "c/2"]
to = "c/12"
[[split]]
task = "category"
from = "d/1"
into = ["d/2", "d/3"]
[[retire]]
task = "category"
label = "e/1"
"""
SCHEMA = LabelSchema.model_validate(
    {
        "tasks": {
            "category": {
                "kind": "multi",
                "labels": [{"key": key} for key in ("a/1", "a/2", "c/1", "c/2", "c/3", "d/1", "e/1", "e/2", "f/1")],
            }
        }
    }
)


@pytest.fixture
def both(tmp_path):
    return migration_of(tmp_path, BOTH, SCHEMA)


CHANGED = {
    "renamed": ('"a/1"', '"b/1"'),
    "in a list": ("['a/1', # why\n  'f/1' ]", "[\"b/1\", # why\n  'f/1' ]"),
    "merged": ('["c/1", "f/1", "c/2"]', '["c/12", "f/1"]'),
    "merged at the end": ('["f/1", "c/1", "c/2"]', '["f/1", "c/12"]'),
    "split": ('"d/1"', '["d/2", "d/3"]'),
    "split in a list": ('["d/1", "f/1"]', '["d/2", "d/3", "f/1"]'),
    "retired among others": ('["f/1", "e/1"]', '["f/1"]'),
    "retired first": ('["e/1", "f/1"]', '["f/1"]'),
    "a family that lost a label": ('"a/*"', '["b/*", "a/*"]'),
    "a family that lost it, in a list": ('["a/*", "f/1"]', '["b/*", "a/*", "f/1"]'),
    "a family whose labels became others of it": ('["c/*"]', '["c/*"]'),
    "none of them": ('{ none = ["c/1", "e/1"] }', '{ none = ["c/12"] }'),
    "all of them": ('{ all = ["c/1", "c/2"] }', '{ all = ["c/12"] }'),
    "nothing": ('["f/1",  "e/2",]', '["f/1",  "e/2",]'),
}


WHERE = {
    "a rule": "[[rules]]\nwhen.category = {} # why\n",
    "a condition": "[conditions.x]\nany = [{{ language = 'ro' }}, {{ not.tasks.category = {} }}] # why\n",
}


@pytest.mark.parametrize("where", WHERE.values(), ids=WHERE)
@pytest.mark.parametrize(("before", "after"), CHANGED.values(), ids=CHANGED)
def test_labels_change_where_they_stand(both, where, before, after):
    text = f"# head\n\n{where.format(before)}# foot\n"
    found = edited(text, places_in_rules, both, SCHEMA)
    assert found.text == f"# head\n\n{where.format(after)}# foot\n"
    assert edited(found.text, places_in_rules, both, SCHEMA).text == found.text


def test_only_labels_change(both):
    text = '[[rules]]\nname = "a/1"\nwhen.meta.plan = "a/1"\nwhen.abstained = "category"\nthen.tags = ["a/1"]\n'
    assert edited(text, places_in_rules, both, SCHEMA) == edited(text, lambda data: iter(()), both, SCHEMA)


LEFT = {
    "nothing is left": ('"e/1"', "line 2: nothing is left in the place of 'e/1', which is retired"),
    "of a list": ('["e/1"]', "line 2: nothing is left"),
    "all of several": ('{ all = ["d/1", "f/1"] }', "line 2: `all` cannot ask for one of several, and 'd/1'"),
    "all with none": ('{ all = ["e/1", "f/1"] }', "line 2: `all` asks for 'e/1', which is retired"),
}


@pytest.mark.parametrize(("before", "why"), LEFT.values(), ids=LEFT)
def test_what_cannot_be_said_is_named_with_its_line(both, before, why):
    found = edited(f"[[rules]]\nwhen.category = {before}\n", places_in_rules, both, SCHEMA)
    assert len(found.left) == 1
    assert found.left[0].startswith(why)


def test_a_label_with_an_owner_is_not_given_to_that_of_its_family(both):
    text = '[teams.x]\nowns = ["a/*"]\n[teams.y]\nowns = ["a/1"]\n'
    assert edited(text, places_in_rules, both, SCHEMA).text == text.replace('"a/1"', '"b/1"')


def test_every_value_is_found_where_it_stands():
    text = (ROOT / "serving/routing/routing.toml").read_text(encoding="utf-8")
    spans = value_spans(text)
    data = tomllib.loads(text)
    strings = 0
    for path, (start, end) in spans.items():
        value = data
        for part in path:
            value = value[part]
        if isinstance(value, str):
            strings += 1
            assert tomllib.loads(f"x = {text[start:end]}")["x"] == value
    assert strings > 1000


@pytest.fixture
def shipped(tmp_path):
    for name in ("routing.toml", "routing.cases.toml"):
        (tmp_path / name).write_bytes((ROOT / "serving/routing" / name).read_bytes())
    return tmp_path / "routing.toml"


def test_the_shipped_rules_are_sound_under_new_labels_and_keep_their_comments(shipped, tmp_path):
    migration = migration_of(tmp_path)
    before = shipped.read_text(encoding="utf-8").splitlines()
    part = RulesFiles(shipped, None, migration)
    plan = part.plan(Silent())
    part.apply([], Silent())
    after = shipped.read_text(encoding="utf-8").splitlines()
    differing = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert 0 < len(differing) <= plan.lines[0].changes
    assert all("owns" in old or "category" in old for old, _ in differing)
    report = check(shipped, migration.new)
    assert (report.of("error"), report.cases > 50) == ([], True)
    assert [line.changes for line in RulesFiles(shipped, None, migration).plan(Silent()).lines] == [0, 0]


def test_line_ends_stay(shipped, tmp_path):
    shipped.write_bytes(b"\xef\xbb\xbf" + shipped.read_bytes().replace(b"\n", b"\r\n"))
    before = shipped.read_bytes()
    part = RulesFiles(
        shipped, None, migration_of(tmp_path, f'[[rename]]\ntask="category"\nfrom="{DELIVERY}"\nto="{LATE}"')
    )
    part.plan(Silent())
    part.apply([], Silent())
    after = shipped.read_bytes()
    assert after.startswith(b"\xef\xbb\xbf# Who owns")
    assert (after.count(b"\r\n"), LATE.encode() in after) == (before.count(b"\r\n"), True)


def test_rules_that_would_break_are_refused_with_the_reason(shipped, tmp_path):
    merge = '[[merge]]\ntask = "category"\nfrom = ["customer_service/billing", "marketing_sales/pricing"]\nto = "money"'
    before = shipped.read_bytes()
    with pytest.raises(RulesError, match=r"(?s)would not be fit for use.*'money' is owned by 'billing' and 'sales'"):
        RulesFiles(shipped, None, migration_of(tmp_path, merge)).plan(Silent())
    retire = f'[[retire]]\ntask = "category"\nlabel = "{TRUST}"'
    with pytest.raises(RulesError, match=r"(?s)cannot be said.*routing.toml: line \d+: nothing is left"):
        RulesFiles(shipped, None, migration_of(tmp_path, retire)).plan(Silent())
    assert shipped.read_bytes() == before


def test_rules_that_are_no_toml_are_refused(tmp_path):
    (tmp_path / "r.toml").write_text("[[rules", encoding="utf-8")
    with pytest.raises(RulesError, match=r"r.toml: line 1: not valid TOML"):
        RulesFiles(tmp_path / "r.toml", None, migration_of(tmp_path)).plan(Silent())
