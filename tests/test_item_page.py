"""The page of an item behind a signed link, in the real service: people see it and act by forms, others do not."""

import asyncio
import http.client
import json
import re
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from urllib.parse import urlencode, urljoin, urlsplit

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import event
from store_support import accepted, entry, predicted
from support import free_port

from models.errors import ConfigError
from models.progress import Silent
from serving.feedback_api import Backend
from serving.item_page import ItemPages
from serving.links import LinkError, Links, links_of
from serving.routing.load import DEFAULT_RULES, load_rules
from serving.server import base_url, running
from serving.settings import Settings
from serving.similar import Similar
from serving.store.health import Health
from serving.store.schema import open_store

SECRET = "a secret of the tests, 32 letters".replace(" ", "-")
HOSTILE = "<script>alert(1)</script> \u202egnp.exe\"'><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def url(linear_folder, tmp_path_factory) -> Iterator[str]:
    port = free_port()
    settings = Settings(
        model=linear_folder,
        store=SecretStr(f"sqlite:///{tmp_path_factory.mktemp('store') / 'feedback.db'}"),
        threads=1,
        public_url=base_url("127.0.0.1", port),
        link_secret=SecretStr(SECRET),
    )
    with running(settings, "127.0.0.1", port, Silent()):
        yield base_url("127.0.0.1", port)


def call(url, method, path, body=None, kind="application/json"):
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    connection.request(method, path, content, {"Content-Type": kind})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, dict(answer.getheaders()), text


class Page:
    """What a person sees at a link, and can do there."""

    def __init__(self, url, text, **fields):
        self.url = url
        _, _, answer = call(url, "POST", "/feedback", {"text": text, **fields})
        self.id, self.team = json.loads(answer)["id"], json.loads(answer)["decision"]["team"]
        self.path = self.path_for(self.team)

    def path_for(self, team, secrets=(SECRET,)):
        return urlsplit(Links(self.url, secrets).to(self.id, team)).path

    def see(self, path=None):
        return call(self.url, "GET", path or self.path)

    def do(self, **form):
        content = urlencode(form).encode()
        return call(self.url, "POST", self.path, content, "application/x-www-form-urlencoded")

    @property
    def stored(self):
        return json.loads(call(self.url, "GET", f"/feedback/{self.id}")[2])


def test_looking_changes_nothing_and_a_form_does(url):
    page = Page(url, "The lid is cracked", external_id="t-1", source="web")
    status, headers, text = page.see()
    assert status == 200
    assert "The lid is cracked" in text
    assert "not looked at yet" in text
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert page.stored["state"] == "routed"
    status, headers, _ = page.do(do="acknowledged", note="on it")
    assert status == 303
    # also where a proxy serves it below a path of its own
    for base in ("https://x.example", "https://x.example/feedback-svc"):
        assert urljoin(base + page.path, headers["location"]) == base + page.path
    assert page.stored["events"][-1]["kind"] == "acknowledged"
    assert page.stored["events"][-1]["actor"] == f"{page.team} (by link)"
    assert "on it" in page.see()[2]
    for kind in ("resolved", "told"):
        assert page.do(do=kind)[0] == 303
    assert page.stored["state"] == "told"
    assert "Not ours" not in page.see()[2]


def test_what_cannot_be_done_is_said_on_the_page(url):
    page = Page(url, "The lid is cracked")
    page.do(do="resolved")
    status, _, text = page.do(do="acknowledged")
    assert status == 409
    assert "the item is resolved already, and cannot become acknowledged; reopen it first" in text
    status, _, text = page.do(do="nonsense")
    assert status == 422
    assert "kind: input should be" in text
    assert page.do(do="noted")[0] == 422
    assert page.do(do="noted", note="x" * 100_000)[0] == 403


def test_who_handed_an_item_on_can_look_but_not_act(url):
    page = Page(url, "The lid is cracked")
    assert page.do(do="not_ours", team="people", note="not about devices")[0] == 303
    assert page.stored["team"] == "people"
    status, _, text = page.see()
    assert status == 200
    assert "This is with Human resources now" in text
    assert "<form" not in text
    assert page.do(do="resolved")[0] == 403
    assert page.stored["state"] == "routed"
    page.path = page.path_for("people")
    assert page.do(do="resolved")[0] == 303


def test_a_group_is_settled_from_the_page_of_one_of_its_items(url):
    pages = [Page(url, f"The pump is loud, number {number}") for number in range(3)]
    made = json.loads(call(url, "POST", "/groups", {"title": "Loud pump", "actor": "ana"})[2])
    another = Page(url, "The pump is loud, and whoever repaired it was rude")
    assert another.do(do="not_ours", team="people")[0] == 303
    ids = [page.id for page in [*pages, another]]
    assert call(url, "POST", f"/groups/{made['id']}/items", {"items": ids, "actor": "ana"})[0] == 200
    assert "also for the team’s others in “<bdi>Loud pump</bdi>”" in pages[0].see()[2]
    pages[0].do(do="acknowledged")
    assert [page.stored["state"] for page in pages] == ["acknowledged", "routed", "routed"]
    pages[0].do(do="resolved", group=made["id"])
    assert [page.stored["state"] for page in pages] == ["resolved"] * 3
    _, _, listed = call(url, "GET", f"/feedback?group={made['id']}&state=resolved")
    assert {item["id"] for item in json.loads(listed)["items"]} == set(ids[:3])
    assert json.loads(call(url, "GET", f"/groups/{made['id']}")[2])["states"] == {"resolved": 3, "routed": 1}
    assert pages[0].do(do="noted", note="a new bearing", group=made["id"])[0] == 303
    status, _, answer = call(url, "POST", f"/groups/{made['id']}/events", {"kind": "told", "actor": "ana"})
    assert (status, json.loads(answer)) == (200, {"changed": 4})


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found, self.attributes = set(), set()

    def handle_starttag(self, tag, attrs):
        self.found.add(tag)
        self.attributes |= {name for name, _ in attrs}


def test_nothing_a_customer_or_team_wrote_becomes_part_of_the_page(url):
    page = Page(url, HOSTILE, external_id=HOSTILE[:100], source=HOSTILE[:100], channel=HOSTILE[:100])
    page.do(do="noted", note=HOSTILE)
    seen = Tags()
    text = page.see()[2]
    seen.feed(text)
    assert not {"script", "img"} & seen.found
    assert "onerror" not in seen.attributes
    assert text.count("&lt;script&gt;") == 5


def test_a_link_opens_one_item_to_one_team_and_no_longer_than_it_should(url):
    page, other = Page(url, "one"), Page(url, "two")
    token = page.path.removeprefix("/act/")
    own, when, signed = token.split(".")
    for changed in (
        other.path.removeprefix("/act/").split(".")[0] + f".{when}.{signed}",
        f"{own}.{when}.{signed[:-2]}",
        f"{own}.{when}",
        "nonsense",
        page.path_for(page.team, ["another secret, of which nobody knows".replace(" ", "-")]).removeprefix("/act/"),
    ):
        status, _, text = page.see(f"/act/{changed}")
        assert status == 403
        assert "not complete" in text
        assert "one" not in re.sub("<style>.*</style>", "", text, flags=re.S).split("</h1>")[1].split("link")[0]
    links = Links(url, [SECRET], days=1e-5)
    token = links.to("an item", "support").rpartition("/")[2]
    time.sleep(2.1)
    with pytest.raises(LinkError, match="older than"):
        links.read(token)
    # while secrets are changed the old one opens still
    assert Links(url, [SECRET, SECRET[::-1]]).read(token).item == "an item"
    with pytest.raises(LinkError):
        Links(url, [SECRET[::-1]]).read(token)


def answered(backend: Backend | None, method: str, path: str, **form: str) -> httpx.Response:
    """What the pages answer with this backend, without a service around them."""

    async def ask() -> httpx.Response:
        pages = ItemPages(lambda *_: asyncio.sleep(0), backend=lambda: backend)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(pages), base_url="http://here") as client:
            return await client.request(method, path, data=form or None)

    return asyncio.run(ask())


def test_who_comes_before_the_service_has_started_is_asked_to_come_again():
    for method in ("GET", "POST"):
        answer = answered(None, method, "/act/token")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert "The service is starting." in answer.text


def test_who_comes_while_the_store_cannot_be_used_is_asked_to_come_again(schema, tmp_path):
    engine = open_store(f"sqlite:///{tmp_path / 'feedback.db'}")
    item = accepted(engine, [entry("The lid is cracked")])[0].id
    engine.dispose()
    # full: it can be read, and not a page more be written
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA max_page_count = 1"))
    rules, links = load_rules(DEFAULT_RULES, schema), Links("https://x.example", [SECRET])
    with ThreadPoolExecutor(1) as threads:
        backend = Backend(
            engine,
            lambda items: [predicted("other") for _ in items],
            lambda: rules,
            Similar(engine),
            schema,
            links,
            Health(engine),
            threads,
            threads,
        )
        path = urlsplit(links.to(item, "support")).path
        assert "retry-after" not in answered(backend, "GET", path).headers
        full = answered(backend, "POST", path, do="noted", note="x" * 4000)
        with sqlite3.connect(tmp_path / "feedback.db") as connection:
            connection.execute("ALTER TABLE items RENAME TO gone")
        away = answered(backend, "GET", path)
        engine.dispose()
    for answer, said in ((full, "full"), (away, "This cannot be shown now.")):
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5"), answer.text
        assert said in answer.text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"link_secret": SecretStr(SECRET)}, "FEEDBACK_LINK_SECRET is given, but not FEEDBACK_PUBLIC_URL"),
        ({"public_url": "https://x.example"}, "FEEDBACK_LINK_SECRET: expected at least 32 characters"),
        ({"public_url": "x.example", "link_secret": SecretStr(SECRET)}, "expected an address like https://"),
        ({"public_url": "https://x.example", "link_secret": SecretStr("short")}, "at least 32 characters"),
        ({"public_url": "https://x.example", "link_secret_file": "/nowhere/it"}, "cannot read /nowhere/it"),
    ],
)
def test_settings_that_make_no_links_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message) as caught:
        links_of(Settings(**settings))
    assert "short" not in str(caught.value)


def test_without_a_public_address_there_are_no_links(tmp_path):
    assert links_of(Settings()) is None
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    given = links_of(Settings(public_url="https://x.example/", link_secret_file=tmp_path / "secret"))
    assert given.to("a", "b").startswith("https://x.example/act/")
