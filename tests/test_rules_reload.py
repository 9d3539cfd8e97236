"""Rules that change while the service runs."""

import http.client
import json
import time
import urllib.request
from pathlib import Path

import pytest
from support import free_port

from models.errors import RulesError
from models.labels import LabelSchema
from models.progress import Silent
from serving.routing.check import checked_rules
from serving.routing.watch import LiveRules
from serving.server import base_url, running
from serving.settings import Settings

SCHEMA = LabelSchema.load()
RULES = """
version = 1
default = {{ team = "{team}", urgency = "{urgency}" }}
[teams.first]
title = "First"
[teams.second]
title = "Second"
"""
CASE = """
[[cases]]
name = "anything"
item = {{ text = "x" }}
predicted = {{ category = "other", sentiment = "neutral" }}
expect = {{ team = "{team}" }}
"""


def write(path: Path, team: str = "first", urgency: str = "normal") -> None:
    """As careful operators do: written beside, then renamed."""
    part = path.with_suffix(".part")
    part.write_text(RULES.format(team=team, urgency=urgency))
    part.replace(path)


def look_twice(rules: LiveRules) -> None:
    """As long as a change has to stay the same before it is taken."""
    rules.look()
    rules.look()


@pytest.fixture
def live(tmp_path):
    path = tmp_path / "routing.toml"
    write(path)
    told: list[bool] = []
    rules = LiveRules(path, lambda file: checked_rules(file, SCHEMA), told.append)
    return path, rules, told


def test_a_changed_file_is_taken_when_it_stays_the_same_for_two_looks(live):
    path, rules, told = live
    before = rules.current.digest
    write(path, "second")
    rules.look()
    assert rules.current.digest == before
    rules.look()
    assert rules.current.file.default.team == "second"
    assert told == [True]
    rules.look()
    assert told == [True]


def test_a_faulty_file_leaves_the_old_rules_and_the_next_sound_one_is_taken(live):
    path, rules, told = live
    before = rules.current
    for content in ("version = ", RULES.format(team="nobody", urgency="normal"), "x" * 2_000_000):
        path.write_text(content)
        look_twice(rules)
        assert rules.current is before
        assert str(path) in rules.refusal.reason
    path.unlink()
    look_twice(rules)
    assert rules.current is before
    assert "cannot be read" in rules.refusal.reason
    assert told == [False] * 4
    write(path, "second")
    look_twice(rules)
    assert rules.refusal is None
    assert rules.current.file.default.team == "second"


def test_rules_whose_cases_fail_are_refused_and_changed_cases_are_looked_at(live):
    path, rules, told = live
    path.with_name("routing.cases.toml").write_text(CASE.format(team="first"))
    look_twice(rules)
    assert told == [True]
    write(path, "second")
    look_twice(rules)
    assert "case 'anything': expected team first, got second" in rules.refusal.reason
    path.with_name("routing.cases.toml").write_text(CASE.format(team="second"))
    look_twice(rules)
    assert rules.refusal is None
    assert rules.current.file.default.team == "second"


def test_a_file_that_is_still_being_written_is_not_read(live):
    path, rules, told = live
    whole = RULES.format(team="second", urgency="normal")
    for end in range(len(whole) - 40, len(whole) + 1, 10):
        path.write_text(whole[:end])
        rules.look()
    assert told == []
    path.write_text(whole)
    look_twice(rules)
    assert told == [True]


def test_rules_that_are_faulty_at_the_start_are_refused(tmp_path):
    (tmp_path / "routing.toml").write_text("version = ")
    with pytest.raises(RulesError, match="not valid TOML"):
        LiveRules(tmp_path / "routing.toml", lambda file: checked_rules(file, SCHEMA), lambda taken: None)


def get(url: str, path: str) -> str:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{url}{path}", timeout=10) as answer:
        return answer.read().decode()


def decided(url: str) -> dict:
    host, port = url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    body = json.dumps({"items": [{"text": "hello"}]})
    connection.request("POST", "/classify", body, {"Content-Type": "application/json"})
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer[0]["decision"]


def wait_for(condition) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "the service did not notice"
        time.sleep(0.2)


def test_a_running_service_takes_sound_rules_and_goes_on_with_the_old_ones_otherwise(linear_folder, tmp_path):
    path = tmp_path / "routing.toml"
    write(path)
    port = free_port()
    url = base_url("127.0.0.1", port)
    with running(Settings(model=linear_folder, rules=path, threads=1), "127.0.0.1", port, Silent()):
        first = decided(url)
        assert first["team"] == "first"
        assert json.loads(get(url, "/readyz"))["rules"]["refused"] is None
        path.write_text("[[rules]]\nname = ")
        wait_for(lambda: json.loads(get(url, "/readyz"))["rules"]["refused"] is not None)
        detail = json.loads(get(url, "/readyz"))
        assert detail["ready"] is True
        assert "not valid TOML" in detail["rules"]["refused"]["reason"]
        assert decided(url) == first
        write(path, "second", "high")
        wait_for(lambda: decided(url)["team"] == "second")
        detail = json.loads(get(url, "/readyz"))["rules"]
        assert detail["refused"] is None
        assert detail["version"] == decided(url)["rules_version"] != first["rules_version"]
        metrics = get(url, "/metrics")
        assert 'feedback_rules_changes_total{result="refused"} 1.0' in metrics
        assert 'feedback_rules_changes_total{result="taken"} 1.0' in metrics
