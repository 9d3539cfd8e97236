"""What people found wrong is laid to model, rule or labels, each item once; on each database."""

import json
import subprocess
import sys
from datetime import timedelta

import pytest
from rules_support import rules_of
from store_support import NOON, accepted, entry
from support import ROOT

from serving.life import Act, act
from serving.store.mistakes import Mistakes, mistakes

RULES = """
version = 1
default = { team = "triage" }
teams.triage.title = "Triage"
teams.support.title = "Support"
teams.product.title = "Product"
"""
#: What people did with an item of the rule, and what that is laid to.
STORIES = {
    "nothing": ([], None),
    "seen and solved": (["resolved"], None),
    "confirmed": ([["other"]], None),
    "corrected": ([["product/defect"]], "model"),
    "corrected and corrected back": ([["product/defect"], ["other"]], None),
    "no label fits": ([[]], "labels"),
    "handed on": (["not_ours"], "rule"),
    "handed on twice": (["not_ours", "not_ours"], "rule"),
    "handed on, its category confirmed": (["not_ours", ["other"]], "rule"),
    "handed on and corrected": (["not_ours", ["product/defect"]], "model"),
    "handed on, and no label fits": ([[], "not_ours"], "labels"),
}


@pytest.fixture
def told(engine, schema):
    """A store in which all of that happened."""
    rules = rules_of(RULES)
    teams = {"support": "product", "product": "support"}
    for number, (steps, _) in enumerate(STORIES.values()):
        (receipt,) = accepted(engine, [entry(f"text {number}", "other")])
        team = "support"
        for step in steps:
            if step == "not_ours":
                team = teams[team]
                wanted = Act(kind="not_ours", actor="ana", team=team)
            elif isinstance(step, list):
                wanted = Act(kind="corrected", actor="ana", labels={"category": step})
            else:
                wanted = Act(kind=step, actor="ana")
            act(engine, receipt.id, wanted, rules, schema, NOON)
    accepted(engine, [entry("of another rule", rule="second"), entry("long ago", at=NOON - timedelta(days=40))])
    return engine


def test_each_mistake_is_laid_to_what_made_it(told):
    causes = [cause for _, cause in STORIES.values()]
    assert mistakes(told, NOON - timedelta(days=30)) == [
        Mistakes("first", len(STORIES), causes.count("model"), causes.count("rule"), causes.count("labels")),
        Mistakes("second", 1, 0, 0, 0),
    ]


def test_the_command_shows_them(told, address):
    def run(*options):
        command = [sys.executable, "-m", "feedback", "mistakes", "--store", address, "--days", "20000", *options]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    first, second = json.loads(run("--json"))
    assert (first["rule"], first["items"], first["by_rule"]) == ("first", len(STORIES) + 1, 3)
    assert second["rule"] == "second"
    assert "by the labels" in run()
