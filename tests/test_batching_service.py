"""Batches over HTTP, in a real service whose queue is short: who is refused, who hangs up, and what is counted."""

import http.client
import itertools
import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
from processes import Service
from support import STARTER, free_port, read_jsonl

from models.classifier import Classifier
from models.records import FeedbackItem
from serving.classify import FAILED, classify, results_of
from serving.routing.load import DEFAULT_RULES, load_rules
from serving.settings import MAX_ITEMS

TEXTS = [row["text"] for row in read_jsonl(STARTER / "train.jsonl")]
#: A list that takes long enough for others to come meanwhile.
LONG = [{"text": " ".join(TEXTS[place : place + 2])} for place in range(MAX_ITEMS)]


@pytest.fixture(scope="module")
def started(linear_folder, tmp_path_factory) -> Iterator[Callable[..., Service]]:
    """Starts a service with these settings."""
    services: list[Service] = []

    def start(**settings: str) -> Service:
        folder = tmp_path_factory.mktemp("service")
        environment = {"FEEDBACK_MODEL": str(linear_folder), "FEEDBACK_THREADS": "1", "FEEDBACK_RECENT": "0"}
        environment |= settings
        environment["FEEDBACK_STORE"] = f"sqlite:///{folder / 'feedback.db'}"
        services.append(Service(free_port(), environment, folder / "service.log"))
        services[-1].start()
        until(services[-1].is_ready, services[-1])
        return services[-1]

    yield start
    for service in services:
        service.kill()


@pytest.fixture(scope="module")
def service(started) -> Service:
    return started(FEEDBACK_QUEUE_WAIT="10")


@pytest.fixture(scope="module")
def short(started) -> Service:
    """One in which nobody is taken who would have to wait."""
    return started(
        FEEDBACK_QUEUE_WAIT="0.000001",
        FEEDBACK_QUEUE_ALWAYS="0",
        FEEDBACK_BATCH_ITEMS="256",
        FEEDBACK_BATCH_CHARACTERS="1000000",
    )


def until(holds: Callable[[], object], service: Service) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, service.said
        time.sleep(0.05)


def ask(service: Service, items: list, path: str = "/classify") -> tuple[int, dict[str, str], object]:
    connection = http.client.HTTPConnection(urlsplit(service.url).netloc, timeout=60)
    connection.request("POST", path, json.dumps({"items": items}), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    body = json.loads(answer.read())
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body


def metric(service: Service, name: str) -> float:
    connection = http.client.HTTPConnection(urlsplit(service.url).netloc, timeout=60)
    connection.request("GET", "/metrics")
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    assert answer.status == 200, text
    found = re.search(rf"^{name} (\S+)", text, re.MULTILINE)
    return float(found[1]) if found else 0  # what never happened is not told


def without_times(results: list) -> list:
    for result in results:
        if result["decision"]:
            result["decision"].pop("due_at")
    return results


def test_many_callers_are_answered_together_each_with_its_own(service, linear_folder):
    before = metric(service, "feedback_batch_items_count"), metric(service, "feedback_batch_items_sum")
    asked = [[{"text": text, "id": str(number)}] for number, text in enumerate(TEXTS[:64])]
    with ThreadPoolExecutor(65) as pool:
        long = pool.submit(ask, service, LONG)
        answers = list(pool.map(lambda items: ask(service, items), asked))
        assert long.result()[0] == 200
    assert {status for status, _, _ in answers} == {200}
    classifier = Classifier.load(linear_folder, 1)
    rules = load_rules(DEFAULT_RULES, classifier.schema)
    for items, (_, _, results) in zip(asked, answers, strict=True):
        alone = [result.model_dump(mode="json", by_alias=True) for result in classify(items, classifier, rules)]
        assert without_times(results) == without_times(alone)
    assert metric(service, "feedback_batch_items_sum") - before[1] == 64 + MAX_ITEMS
    assert metric(service, "feedback_batch_items_count") - before[0] < 64


def test_what_is_stored_goes_through_the_same_thread(service):
    before = metric(service, "feedback_batch_items_sum")
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda text: ask(service, [{"text": text}], "/feedback"), TEXTS[:16]))
    assert [result["status"] for _, _, results in answers for result in results] == ["stored"] * 16
    assert metric(service, "feedback_batch_items_sum") - before == 16


def test_who_would_wait_too_long_is_told_when_to_come_again(short):
    for _ in range(3):
        ask(short, LONG[:64])  # then a pace is known
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: ask(short, LONG), range(16)))
    taken = [results for status, _, results in answers if status == 200]
    refused = [(headers, body) for status, headers, body in answers if status == 429]
    assert taken
    assert all(len(results) == MAX_ITEMS for results in taken)
    assert refused
    assert len(taken) + len(refused) == 16
    for headers, body in refused:
        assert int(headers["retry-after"]) >= 1
        assert "too much is under way; try again in" in body["error"]
    assert metric(short, "feedback_refused_requests_total") == len(refused)
    assert ask(short, [{"text": "all is well again"}])[0] == 200


def test_who_hangs_up_is_not_computed(service):
    body = json.dumps({"items": [{"text": item["text"] * 4} for item in LONG]}).encode()
    head = f"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    # sooner or later between the first and the last part of the list
    pauses = itertools.cycle([0.02, 0.05, 0.1, 0.2, 0.5, 1.0])

    def passed_over() -> bool:
        with socket.create_connection(("127.0.0.1", urlsplit(service.url).port)) as caller:
            caller.sendall(f"{head}\r\n\r\n".encode() + body)
            time.sleep(next(pauses))
        return metric(service, "feedback_passed_over_requests_total") > 0

    until(passed_over, service)
    assert ask(service, LONG[:1])[0] == 200


def test_an_item_that_the_model_fails_at_has_an_error_of_its_own(classifier):
    rules = load_rules(DEFAULT_RULES, classifier.schema)
    raw = [{"text": "good", "id": "1"}, {"text": "bad", "id": "2"}, {"text": ""}]
    items = [FeedbackItem.model_validate(one) for one in raw[:2]]
    (prediction,) = classifier.predict(items[:1])
    fault = ValueError("what a customer wrote")
    now = datetime.now(UTC)
    results = results_of(raw, [*items, "empty"], [prediction, fault], rules, now, explain=False)
    assert [result.error for result in results] == [None, FAILED, "empty"]
    assert [result.id for result in results] == ["1", "2", None]
    with pytest.raises(ValueError, match="what a customer wrote"):
        results_of(raw, [*items, "empty"], [fault, fault], rules, now, explain=False)
