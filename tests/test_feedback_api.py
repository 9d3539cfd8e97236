"""POST and GET /feedback over HTTP, with the service as a process of its own, on each database."""

import http.client
import json
from collections.abc import Iterator
from urllib.parse import urlencode, urlsplit

import pytest
from pydantic import SecretStr
from support import free_port, new_database

from models.progress import Silent
from serving.server import base_url, running
from serving.settings import Settings

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def url(request, linear_folder, tmp_path_factory) -> Iterator[str]:
    if request.param == "sqlite":
        address = f"sqlite:///{tmp_path_factory.mktemp('store') / 'feedback.db'}"
    else:
        address = new_database(request.getfixturevalue("postgres"))
    port = free_port()
    settings = Settings(model=linear_folder, store=SecretStr(address), threads=1)
    with running(settings, "127.0.0.1", port, Silent()):
        yield base_url("127.0.0.1", port)


def call(url: str, method: str, path: str, body: object = None, headers: dict[str, str] = JSON) -> tuple[int, object]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    connection.request(method, path, content, headers)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, json.loads(text) if text else None


def test_one_record_is_stored_and_found_again(url):
    record = {"text": "The lid arrived cracked", "external_id": "one", "source": "web", "nps": 2, "channel": "email"}
    status, first = call(url, "POST", "/feedback", record)
    assert status == 201
    assert first["status"] == "stored"
    assert set(first["prediction"]["tasks"]) == {"category", "sentiment"}
    status, again = call(url, "POST", "/feedback", record)
    assert (status, again) == (200, {**first, "status": "duplicate"})
    status, conflict = call(url, "POST", "/feedback", {**record, "text": "Another text"})
    assert (status, conflict["status"], conflict["id"]) == (409, "conflict", first["id"])
    assert "belong to an item with other content" in conflict["error"]
    status, found = call(url, "GET", f"/feedback/{first['id']}")
    assert status == 200
    assert found["item"] == {**record, "nps": 2}
    assert found["decisions"][0]["body"]["rule"] == first["decision"]["rule"]
    assert found["decisions"][0]["body"]["passed_over"] is not None
    assert found["state"] == "routed"


def test_a_list_is_answered_item_by_item(url):
    records = [{"text": "Ottimo", "external_id": "l1"}, {"text": ""}, 7, {"text": "Ottimo", "external_id": "l1"}]
    for body in (records, {"items": records}):
        status, results = call(url, "POST", "/feedback", body)
        assert status == 200
        assert [one["status"] for one in results][1:] == ["invalid", "invalid", "duplicate"]
    assert results[0]["id"] == results[3]["id"]
    assert results[1]["error"] == "text: expected some text, got an empty one"


def test_an_odd_value_harms_no_other_item_of_a_list(url):
    odd = {"language": "en-Latn-US-x-customer-portal-variant1-b"}, {"external_id": "a\0b", "source": "\0"}
    records = [{"text": "good"}, *({"text": "odd", **one} for one in odd)]
    for last in ("stored", "duplicate"):
        status, results = call(url, "POST", "/feedback", records)
        assert (status, [one["status"] for one in results]) == (200, ["stored", "invalid", last])
    assert results[2]["external_id"] == "a\N{SYMBOL FOR NULL}b"
    path = f"/feedback/{results[2]['id']}/events"
    for number in range(2):
        act = {"kind": "corrected", "actor": "a\0", "origin_id": "1\0", "labels": {"sentiment": ["negative"]}}
        status, answer = call(url, "POST", path, act)
        assert (status, answer["changed"]) == (200, number == 0)


@pytest.mark.parametrize("path", ["/feedback?team=%00", "/feedback/%00"])
def test_what_no_database_holds_is_not_found(path, url):
    assert call(url, "GET", path)[0] in {200, 404, 422}


def test_one_record_that_is_none_is_refused(url):
    status, answer = call(url, "POST", "/feedback", {"text": "fine", "nps": 11})
    assert (status, answer["status"]) == (422, "invalid")
    assert "nps: input should be less than or equal to 10" in answer["error"]


@pytest.mark.parametrize(
    ("body", "headers", "status", "message"),
    [
        (b"{", JSON, 400, "not valid JSON"),
        (b"text=x", {"Content-Type": "application/x-www-form-urlencoded"}, 415, "application/json"),
        (b" " * 2_000_001, JSON, 413, "bytes"),
        ([], JSON, 422, "items"),
        ([{"text": "x"}] * 257, JSON, 422, "items"),
        ({"items": [{"text": "x"}], "modle": 1}, JSON, 422, "unknown field 'modle'"),
    ],
)
def test_what_is_no_request_is_refused(body, headers, status, message, url):
    got, answer = call(url, "POST", "/feedback", body, headers)
    assert got == status
    assert message in answer["error"]


def test_pages_are_turned_and_filters_narrow(url):
    texts = [f"Pagina numarul {number}" for number in range(5)]
    call(url, "POST", "/feedback", [{"text": text, "channel": "pages"} for text in texts])
    found, cursor = [], None
    while True:
        query = urlencode({"channel": "pages", "limit": 2} | ({"cursor": cursor} if cursor else {}))
        status, page = call(url, "GET", f"/feedback?{query}")
        assert status == 200
        found += [one["text"] for one in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert found == texts[::-1]
    _, page = call(url, "GET", f"/feedback?{urlencode({'text': 'pagina 3'})}")
    assert [one["text"] for one in page["items"]] == ["Pagina numarul 3"]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("tema=support", "unknown field 'tema'; did you mean 'team'?"),
        ("limit=0", "limit: input should be greater than or equal to 1"),
        ("limit=1000", "limit: input should be less than or equal to 200"),
        ("cursor=x", "cursor: expected `next` of a page"),
        ("cursor=azk5OTk5OTk5OTk5OTk5OTk5OTk", "cursor: expected `next` of a page"),
        ("since=0001-01-01T00:00:00%2B05:00", "since: expected a time between 1900 and 9000"),
        ("until=9999-12-31T23:59:59Z", "until: expected a time between 1900 and 9000"),
        ("state=lost", "state.0: input should be"),
        ("since=yesterday", "since: input should be"),
        ("text=%3F", "text: expected words"),
    ],
)
def test_a_query_that_means_nothing_is_refused(query, message, url):
    status, answer = call(url, "GET", f"/feedback?{query}")
    assert status == 422
    assert message in answer["error"]


def test_an_id_that_is_none_is_not_found(url):
    status, answer = call(url, "GET", "/feedback/nothing")
    assert status == 404
    assert "no item 'nothing'" in answer["error"]
    status, answer = call(url, "PUT", "/feedback", {"text": "x"})
    assert (status, answer) == (405, {"error": "Method Not Allowed"})


def test_an_item_is_followed_over_http(url):
    _, stored = call(url, "POST", "/feedback", {"text": "The lid is cracked", "external_id": "followed"})
    path = f"/feedback/{stored['id']}/events"
    status, answer = call(url, "POST", path, {"kind": "acknowledged", "actor": "ana"})
    assert (status, answer["changed"], answer["state"]) == (200, True, "acknowledged")
    assert call(url, "POST", path, {"kind": "acknowledged", "actor": "ana"})[1]["changed"] is False
    status, answer = call(url, "POST", path, {"kind": "not_ours", "actor": "ana", "team": "legal"})
    assert (answer["team"], answer["state"]) == ("legal", "routed")
    labels = {"sentiment": ["negative"]}
    assert call(url, "POST", path, {"kind": "corrected", "actor": "ana", "labels": labels})[1]["changed"]
    assert call(url, "GET", f"/feedback/{stored['id']}")[1]["corrections"][0]["labels"] == ["negative"]
    for body, status, message in (
        ({"kind": "done", "actor": "ana"}, 422, "kind: input should be"),
        ({"kind": "resolved", "actor": "ana", "sate": 1}, 422, "unknown field 'sate'"),
        ([], 422, "expected a table of names and values"),
        ({"kind": "not_ours", "actor": "ana", "team": "legl"}, 422, "unknown team 'legl'; did you mean 'legal'"),
    ):
        got, answer = call(url, "POST", path, body)
        assert (got, message in answer["error"]) == (status, True), answer
    call(url, "POST", path, {"kind": "told", "actor": "ana"})
    status, answer = call(url, "POST", path, {"kind": "resolved", "actor": "ana"})
    assert (status, "reopen it first" in answer["error"]) == (409, True)
    for missing in ("/feedback/nobody/events", "/groups/nobody/events"):
        status, answer = call(url, "POST", missing, {"kind": "resolved", "actor": "ana"})
        assert status == 404


def test_a_list_can_tell_what_the_model_said(url):
    record = {"text": "The handle came off", "external_id": "told", "source": "lists", "nps": 1}
    _, stored = call(url, "POST", "/feedback", record)
    _, page = call(url, "GET", "/feedback?text=handle&include=prediction")
    assert page["items"][0]["prediction"] == stored["prediction"]
    assert page["items"][0]["record"] == record
    assert "prediction" not in call(url, "GET", "/feedback?text=handle")[1]["items"][0]
    status, answer = call(url, "GET", "/feedback?include=all")
    assert (status, "include: input should be 'prediction'" in answer["error"]) == (422, True)
