"""Items for labelers from the running service and from files, and what a model says of them."""

import json
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from support import STARTER, read_jsonl, write_jsonl
from typer.testing import CliRunner

from feedback import app
from labeling.choice.opinions import disagreement, with_opinions
from labeling.choice.selection import Candidate
from labeling.push.sources import Source, from_file
from labeling.service import ServiceError, ask_service, from_service
from labeling.studio.tasks import version_of
from models.classifier import Classifier
from models.errors import DataError
from models.progress import Silent
from models.records import FeedbackItem

GIVEN = read_jsonl(STARTER / "test.jsonl")[:90]


@pytest.fixture(scope="module")
def stored(service_url: str) -> dict[str, str]:
    """Ids of 450 items in the service, by their external id: more than two pages."""
    found = {}
    for part in range(9):
        body = [
            {"text": f"{row['text']} {part} {number}", "channel": "labeling-test", "external_id": f"s{part}-{number}"}
            for number, row in enumerate(GIVEN[:50])
        ]
        request = urllib.request.Request(
            f"{service_url}/feedback", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as answer:
            found |= {one["external_id"]: told["id"] for one, told in zip(body, json.load(answer), strict=True)}
    return found


def test_every_item_of_the_service_comes_once_with_its_prediction(service_url, stored, classifier) -> None:
    found = from_service(service_url, {"channel": "labeling-test"}, Silent())
    assert {one.item.external_id: one.id for one in found} == stored
    assert len(found) == len(stored)
    assert {version_of(one.prediction) for one in found} == {f"{classifier.model.name}-{classifier.model.version}"}
    assert from_service(service_url, {"channel": "nobody"}, Silent()) == []
    flagged = {one.id for one in from_service(service_url, {"channel": "labeling-test", "review": "true"}, Silent())}
    assert {one.id for one in found if one.flag == "needs review"} == flagged


def test_the_service_says_what_its_model_says(service_url, classifier) -> None:
    items = [FeedbackItem(text=row["text"], id=row["id"], nps=row.get("nps")) for row in GIVEN]
    said = ask_service(service_url, items)
    assert [one.tasks["sentiment"].labels for one in said] == [
        one.tasks["sentiment"].labels for one in classifier.predict(items)
    ]
    assert ask_service(service_url, []) == []


@pytest.mark.parametrize(
    ("address", "filters", "message"),
    [
        ("http://127.0.0.1:9", {}, "the service does not answer .*feedback serve"),
        (None, {"chanel": "email"}, r"the service refused \(422\): .*did you mean 'channel'"),
    ],
)
def test_what_is_wrong_with_the_service_is_said(address, filters, message, service_url) -> None:
    with pytest.raises(ServiceError, match=message):
        from_service(address or service_url, filters, Silent())


def test_a_file_brings_the_predictions_that_classify_wrote(linear_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "answers.jsonl"
    command = ["classify", "--model", str(linear_folder), "--in", str(STARTER / "test.jsonl"), "--out", str(out)]
    assert CliRunner().invoke(app, command).exit_code == 0
    found, left_out = from_file(str(out), {}, Silent())
    assert left_out is None
    rows = read_jsonl(STARTER / "test.jsonl")
    assert [one.id for one in found] == [row["id"] for row in rows]
    expected = Classifier.load(linear_folder).predict([one.item for one in found])
    assert [one.prediction for one in found] == expected
    assert all(one.item.meta == {} for one in found)


def test_a_file_without_ids_and_with_bad_rows(tmp_path: Path) -> None:
    rows = [{"text": "It leaks!"}, {"text": "it leaks"}, {"text": ""}, {"text": "x", "prediction": {"tasks": 1}}]
    found, left_out = from_file(str(write_jsonl(tmp_path / "a.jsonl", rows)), {}, Silent())
    assert len({one.id for one in found}) == 1, "an item without an id is known by its text"
    assert left_out.startswith("2 row(s) left out: ")
    assert "prediction: " in left_out
    with pytest.raises(DataError, match="no row can be used"):
        from_file(str(write_jsonl(tmp_path / "b.jsonl", rows[2:])), {}, Silent())


def test_the_parts_of_a_model_disagree_by_what_they_say_alone(classifier: Classifier) -> None:
    candidates = [Candidate(row["id"], FeedbackItem(text=row["text"])) for row in GIVEN]
    found = with_opinions(classifier, candidates, Silent())
    assert [one.prediction for one in found] == classifier.predict([one.item for one in candidates])
    apart = np.array([one.disagreement for one in found])
    assert ((apart >= 0) & (apart <= 1)).all()
    assert apart.std() > 0
    parts = classifier.part_scores([one.item.text for one in candidates])
    tasks = classifier.schema.tasks
    alone = {name: classifier.settings.linear[name].combine(tasks[name], parts.linear[name], None) for name in tasks}
    gaps = [np.abs(alone[name] - parts.transformer[name]).max(axis=1) for name in tasks]
    assert np.corrcoef(disagreement(classifier, parts), np.max(gaps, axis=0))[0, 1] > 0.5


def test_a_model_of_one_part_cannot_disagree(linear_folder: Path) -> None:
    found = with_opinions(Classifier.load(linear_folder), [Candidate("a", FeedbackItem(text="late"))], Silent())
    assert found[0].disagreement is None


def test_the_present_model_is_asked_where_a_prediction_is_of_another(linear_folder: Path) -> None:
    model = Classifier.load(linear_folder)
    item = FeedbackItem(text="It arrived broken")
    (now,) = model.predict([item])
    old = now.model_copy(update={"model": now.model.model_copy(update={"version": "old"})})
    mixed = [Candidate("a", item, old), Candidate("b", item, now), Candidate("c", item)]
    asking, silent = Source(lambda: mixed, model.predict), Source(lambda: mixed)
    assert asking.version(mixed) == version_of(now)
    assert [one.prediction for one in asking.up_to_date(mixed, version_of(now))] == [now, now, now]
    assert silent.version(mixed) == version_of(old)
    assert [one.prediction for one in silent.up_to_date(mixed, version_of(old))] == [old, None, None]
    assert silent.version([]) is None
