"""The service over HTTP, as a process of its own, and its parts behind the gate."""

import contextlib
import gzip
import http.client
import json
import pickle
import signal
import subprocess
import sys
import threading
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import ROOT, STARTER, free_port, read_jsonl

from models.records import MAX_TEXT, FeedbackItem
from serving.api import ItemResult
from serving.classify import classify
from serving.routing.load import DEFAULT_RULES, load_rules
from serving.settings import MAX_BODY, MAX_ITEMS

JSON = {"Content-Type": "application/json"}


def post(url: str, body: bytes | object, headers: dict[str, str] = JSON) -> tuple[int, object]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    try:
        content = body if isinstance(body, bytes) or hasattr(body, "__next__") else json.dumps(body).encode()
        with contextlib.suppress(BrokenPipeError):  # refused before all was sent; the answer is there
            connection.request("POST", "/classify", content, headers, encode_chunked=hasattr(body, "__next__"))
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else None
    finally:
        connection.close()


def test_each_item_gets_prediction_and_decision_or_its_own_error(service_url):
    good = {"text": "The lid arrived cracked", "id": "a-1", "nps": 2, "channel": "email"}
    status, results = post(
        service_url, {"items": [good, {"text": ""}, 7, {"txt": "x"}, {"text": "ok", "nps": 11, "id": 5}]}
    )
    assert status == 200
    assert [result["id"] for result in results] == ["a-1", None, None, None, "5"]
    assert set(results[0]["prediction"]["tasks"]) == {"category", "sentiment"}
    assert results[0]["prediction"]["schema"]
    assert results[0]["decision"]["team"] in ("product", "support", "marketing", "sales", "retention", "triage")
    assert [result["error"] for result in results] == [
        None,
        "text: expected some text, got an empty one",
        'expected an object like {"text": "..."}, got int',
        "field 'text' is missing; unknown field 'txt'; did you mean 'text'? known: "
        + ", ".join(FeedbackItem.model_fields)
        + "; own fields go into 'meta'",
        "nps: input should be less than or equal to 10, got '11'",
    ]


def test_the_answers_have_the_documented_shape(service_url):
    _, results = post(service_url, {"items": [{"text": "Ottimo prodotto"}]})
    result = ItemResult.model_validate(results[0])
    sentiment = result.prediction.tasks["sentiment"]
    assert sum(sentiment.probabilities.values()) == pytest.approx(1, abs=1e-4)
    assert -1 <= sentiment.score <= 1
    assert result.prediction.language == "it"
    assert result.decision.due_at is None or result.decision.due_at.tzinfo is not None


def test_who_asks_is_told_why_each_rule_was_passed_over(service_url):
    items = [{"text": "Ottimo prodotto"}]
    _, plain = post(service_url, {"items": items})
    status, explained = post(service_url, {"items": items, "explain": True})
    assert status == 200
    assert plain[0]["decision"]["passed_over"] is None
    assert isinstance(explained[0]["decision"]["passed_over"], dict)
    assert post(service_url, {"items": items, "explain": "yes"})[0] == 422


TOO_LONG = {"items": [{"text": "x" * (MAX_TEXT + 1)}]}
REFUSED = {
    "broken JSON": (b'{"items": [', JSON, 400, "not valid JSON"),
    "empty body": (b"", JSON, 400, "not valid JSON"),
    "NaN": (b'{"items": [{"text": "x", "rating": NaN}]}', JSON, 400, "NaN is not JSON"),
    "the same key twice": (b'{"items": [], "items": []}', JSON, 400, "same key twice"),
    "not UTF-8": (b'{"items": [{"text": "\xff"}]}', JSON, 400, "not UTF-8"),
    "UTF-16": ('{"items": [{"text": "x"}]}'.encode("utf-16"), JSON, 400, "not UTF-8"),
    "lone surrogate": (b'{"items": [{"text": "a\\ud800"}]}', JSON, 400, "invalid JSON"),
    "deep nesting": (b'{"items": ' + b"[" * 90_000 + b"]" * 90_000 + b"}", JSON, 400, "JSON"),
    "nesting that only one parser takes": (b'{"items": ' + b"[" * 400 + b"]" * 400 + b"}", JSON, 400, "JSON"),
    "no items": ({}, JSON, 422, "'items' is missing"),
    "items not a list": ({"items": {"text": "x"}}, JSON, 422, "items"),
    "empty list": ({"items": []}, JSON, 422, "items"),
    "too many items": ({"items": [{"text": "x"}] * (MAX_ITEMS + 1)}, JSON, 422, "items"),
    "too much to read": ({"items": [{"text": "x" * 40_000}] * 11}, JSON, 422, "400,000 characters"),
    "unknown key": ({"items": [{"text": "x"}], "modle": "a"}, JSON, 422, "unknown field 'modle'"),
    "a bare list": ([{"text": "x"}], JSON, 422, "body"),
    "pickle": (pickle.dumps([1]), {"Content-Type": "application/vnd.bentoml+pickle"}, 415, "application/json"),
    "form": (b"items=x", {"Content-Type": "application/x-www-form-urlencoded"}, 415, "application/json"),
    "multipart": (b"x", {"Content-Type": "multipart/form-data; boundary=x"}, 415, "application/json"),
    "text": (b"{}", {"Content-Type": "text/plain"}, 415, "application/json"),
    "no content type": (b"{}", {}, 415, "application/json"),
    "compressed": (gzip.compress(b'{"items": [{"text": "x"}]}'), JSON, 400, "not"),
    "too large": (b" " * (MAX_BODY + 1), JSON, 413, "bytes"),
    "too large in pieces": (iter([b" " * 1_000_000] * 3), {**JSON, "Transfer-Encoding": "chunked"}, 413, "bytes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_request_is_refused_with_a_reason(name, service_url):
    body, headers, expected, message = REFUSED[name]
    status, answer = post(service_url, body, headers)
    assert status == expected
    assert message in answer["error"]


def test_a_text_that_is_too_long_is_an_error_of_its_item(service_url):
    status, results = post(service_url, {"items": [*TOO_LONG["items"], {"text": "fine"}]})
    assert status == 200
    assert results[0]["error"] == "text: expected at most 50,000 characters, got 50,001; shorten or split it"
    assert results[1]["error"] is None


ODD_TEXT = st.text(st.characters(codec="utf-8"), max_size=200)


@settings(max_examples=60, deadline=None)
@given(items=st.lists(st.fixed_dictionaries({"text": ODD_TEXT}), min_size=1, max_size=4))
def test_any_text_is_answered_or_refused_by_itself(items, service_url):
    status, results = post(service_url, {"items": items})
    assert status == 200
    assert len(results) == len(items)
    assert all((result["error"] is None) == (result["prediction"] is not None) for result in results)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["items", "text", "id", "meta"]), inner)
    ),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(body=JSON_VALUES)
def test_no_json_makes_the_service_fail(body, service_url):
    try:
        content = json.dumps(body).encode()
    except UnicodeEncodeError:
        return
    status, _ = post(service_url, content)
    assert status in (200, 400, 422)


def test_the_python_client_of_bentoml_gets_the_same_answers(service_url):
    items = [{"text": row["text"]} for row in read_jsonl(STARTER / "samples.jsonl")]
    # in a process of its own: the client's libraries warn, and warnings are errors here
    code = (
        f"import bentoml, json\nwith bentoml.SyncHTTPClient({service_url!r}) as client:\n"
        f"    print(json.dumps(client.classify(items={items!r})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    results = json.loads(done.stdout)
    assert [result["error"] for result in results] == [None] * 6
    _, plain = post(service_url, {"items": items})
    assert [result["prediction"] for result in results] == [result["prediction"] for result in plain]


def test_many_callers_at_once_get_the_answers_one_would(service_url):
    items = [{"text": row["text"]} for row in read_jsonl(STARTER / "test.jsonl")[:16]]
    alone = [post(service_url, {"items": [item]})[1][0]["prediction"] for item in items]
    together: dict[int, object] = {}

    def call(number: int) -> None:
        together[number] = post(service_url, {"items": [items[number]]})[1][0]["prediction"]

    threads = [threading.Thread(target=call, args=(number,)) for number in range(len(items))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[number] for number in range(len(items))] == alone


def test_health_and_documentation_are_served(service_url):
    parts = urlsplit(service_url)
    for path in ("/readyz", "/livez", "/docs.json"):
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200
        connection.close()
    schema = json.loads(body)["components"]["schemas"]
    assert "text" in json.dumps(schema)


def test_results_keep_the_order_of_the_items(classifier):
    rules = load_rules(DEFAULT_RULES, classifier.schema)
    items = [{"text": "", "id": "0"}, {"text": "good", "id": "1"}, {"id": "2"}, {"text": "bad", "id": "3"}]
    results = classify(items, classifier, rules)
    assert [result.id for result in results] == ["0", "1", "2", "3"]
    assert [result.error is None for result in results] == [False, True, False, True]


def test_the_service_stops_cleanly_when_told(linear_folder):
    port = free_port()
    command = [sys.executable, "-m", "feedback", "serve", "--model", str(linear_folder), "--port", str(port)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if "stop with Ctrl-C" in line:
                break
        assert post(f"http://127.0.0.1:{port}", {"items": [{"text": "hello"}]})[0] == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    with pytest.raises(ConnectionRefusedError):
        post(f"http://127.0.0.1:{port}", {"items": [{"text": "hello"}]})


def test_no_customer_text_reaches_the_log(linear_folder):
    port = free_port()
    command = [sys.executable, "-m", "feedback", "serve", "--model", str(linear_folder), "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    url = f"http://127.0.0.1:{port}"
    lines = []
    for line in process.stderr:
        lines.append(line)
        if "stop with Ctrl-C" in line:
            break
    canary = "zebrafinch"
    for body in (
        {"items": [{"text": canary}]},
        {"items": [{"text": canary, "rating": canary}]},
        {"items": [{canary: canary}]},
        {"items": canary},
        b'{"items": [{"text": "zebrafinch\\ud800"}]}',
        b'{"items": [{"text": "zebrafinch"',
        b'{"items": [{"text": "zebrafinch", "meta": ' + b"[" * 300 + b"]" * 300 + b"}]}",
    ):
        assert post(url, body)[0] in (200, 400, 422)
    process.terminate()
    out, err = process.communicate(timeout=20)
    assert canary not in "".join(lines) + out + err
