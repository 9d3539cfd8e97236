"""Chat services through Apprise: its real plugins, sending to servers of ours in the place of the services."""

import ipaddress
import json
import logging
import re
import socketserver
import time
import urllib.parse
from collections.abc import Iterator

import pytest
from http_support import Web, say, serving
from hypothesis import given
from hypothesis import strategies as st
from message_support import HOSTILE, ITEM, hostile, message, rules_with
from sqlalchemy import select
from store_support import rows, waiting, worker
from support import free_port

from models.errors import ConfigError
from serving.delivery.chat import MOST_HUNG, REFUSED, AppriseSender
from serving.delivery.harmless import in_markdown, in_text, title_of
from serving.delivery.senders import senders
from serving.routing.rules import Channel
from serving.store.engine import open_engine, reading
from serving.store.schema import migrate
from serving.store.tables import deliveries

HERE = [ipaddress.ip_network("127.0.0.0/8")]
CANARY = "canary5e3c"

#: Services by the address of one, with the port of ours in it where it names a host.
SERVICES = {
    "slack": "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general",
    "discord": "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js",
    "telegram": "tgram://123456789:abcdefg_hijklmnop/12315544/",
    "pagerduty": "pagerduty://A1BRTD4JDTIiajkdnlazkcOXrIdevi7F@A1BRTD4JDTIiajkdnlaz",
    "opsgenie": "opsgenie://A1BRTD4JD-A1BRTD4JD",
    "google chat": "gchat://workspace1/key2/token3",
    "zulip": f"zulip://bot@acme/{'a' * 32}/general",
    "teams": "workflows://127.0.0.1:%d/643e69f83c8944/signature3/",
    "mattermost": "mmost://127.0.0.1:%d/3ccdd113474722377935511fc85d3dd4",
    "rocket.chat": f"rocket://{'a' * 24}/{'b' * 24}@127.0.0.1:%d/#general",
    "ntfy": "ntfy://127.0.0.1:%d/topic",
    "gotify": "gotify://127.0.0.1:%d/token",
}


@pytest.fixture(scope="module")
def started(tmp_path_factory) -> Iterator[Web]:
    with serving(tmp_path_factory.mktemp("web")) as server:
        yield server


@pytest.fixture
def web(started, monkeypatch) -> Web:
    """Ours is the proxy for every service, and vouches for all of their names."""
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{started.port}")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(started.bundle))
    started.got.clear()
    started.answer = say("200 OK")
    return started


def url(web: Web, name: str) -> str:
    return SERVICES[name].replace("%d", str(web.port))


def ours(web: Web, path: str = "token") -> str:
    return f"gotify://127.0.0.1:{web.port}/{path}"


def texts(body: str) -> str:
    """All texts of a body, JSON or a form."""

    def within(value) -> list[str]:
        if isinstance(value, dict):
            return [one for inner in value.values() for one in within(inner)]
        if isinstance(value, list):
            return [one for inner in value for one in within(inner)]
        return [str(value)]

    if body.startswith("{"):
        return "\n".join(within(json.loads(body)))
    return "\n".join(value for _, value in urllib.parse.parse_qsl(body))


@pytest.mark.parametrize("name", SERVICES)
@pytest.mark.parametrize("kind", ["item", "digest"])
def test_nothing_a_customer_writes_is_a_mention_a_link_or_markup(name, kind, web):
    web.answer = say("200 OK", body=b"ok" if name == "slack" else b'{"ok": true, "status": "success"}')
    if name == "opsgenie":
        web.answer = say("202 Accepted", body=b'{"result": "ok", "took": 0.1, "requestId": "1-2"}')
    if name in ("pagerduty", "teams"):
        web.answer = say("202 Accepted")
    assert AppriseSender(url(web, name), HERE).send(hostile(kind)).delivered
    (request,) = web.got
    found = texts(request.body)
    assert "alert(1)" in found
    # nobody is called: in Slack, Discord, Telegram, Mattermost, Google Chat, Teams and Zulip
    assert not re.search(r"<[!@#]|<users/|<at>|<@&", found)
    assert not re.search(r"@(everyone|here|all|channel|U1|b\.example|\*\*)", found)
    # nothing leads elsewhere
    assert not re.search(r"https?://evil|evil\.example", found)
    assert "](http:" not in found
    assert "|y>" not in found or name in ("ntfy", "gotify", "opsgenie", "pagerduty")
    # nothing hides
    assert not set(found) & set("\u202e\u2066\u2028\x00\x1b\x07")
    if name in ("slack", "telegram"):
        assert "<script" not in found
    if name == "discord":
        assert "allowed_mentions" not in request.body  # Apprise does not set it: what is neutral must be so by itself
    if name in ("discord", "mattermost", "zulip", "google chat", "teams", "rocket.chat"):
        assert "\\*b\\*" in found


@pytest.mark.parametrize("name", SERVICES)
def test_a_person_can_open_the_item(name, web):
    AppriseSender(url(web, name), HERE).send(message())
    found = texts(web.got[0].body)
    assert ITEM["link"].replace("&", "&amp;") in found or ITEM["link"] in found
    assert "The lid is cracked and the tea leaks" in found


def test_a_digest_is_short(web):
    assert AppriseSender(ours(web), HERE).send(message("digest")).delivered
    sent = json.loads(web.got[0].body)
    assert sent["title"] == "42 pieces of feedback for Customer support, 9 March"
    assert "42 arrived (+12), 17 open, 3 overdue\n\n12 product/defect (+5)\n" in sent["message"]


@pytest.mark.parametrize("status", ["400 Bad", "401 No", "404 Gone", "429 Slow", "500 Oops"])
def test_what_is_not_taken_is_tried_again(status, web):
    web.answer = say(status, body=CANARY.encode())
    outcome = AppriseSender(ours(web), HERE).send(message())
    assert outcome == (False, False, "the service did not take it, or cannot be reached", None, None)


def test_no_redirect_is_followed(web):
    web.answer = say("307 There", f"Location: http://127.0.0.1:{web.port}/elsewhere")
    assert not AppriseSender(ours(web), HERE).send(message()).delivered
    assert [request.path for request in web.got] == ["/message"]


def test_a_certificate_that_nobody_vouches_for_is_refused(web, monkeypatch):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    assert not AppriseSender(url(web, "discord"), HERE).send(message()).delivered
    assert not web.got


def test_a_service_that_drips_does_not_hold_the_worker(web):
    def drip(handler: socketserver.StreamRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(15):
            handler.wfile.write(b"x")
            time.sleep(0.1)

    web.answer = drip
    sender = AppriseSender(ours(web), HERE, deadline=0.4)
    start = time.monotonic()
    assert sender.send(message()) == (False, False, "no whole answer within 0.4 s", None, None)
    assert time.monotonic() - start < 2
    web.answer = say("200 OK")
    assert sender.send(message()).delivered, "who hangs keeps nobody else"


def test_attempts_that_hang_do_not_pile_up(web):
    def slow(handler: socketserver.StreamRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(30):
            handler.wfile.write(b"x")
            time.sleep(0.1)

    web.answer = slow
    sender = AppriseSender(ours(web), HERE, deadline=0.15)
    errors = [sender.send(message()).error for _ in range(MOST_HUNG + 1)]
    assert errors == ["no whole answer within 0.15 s"] * MOST_HUNG + ["8 earlier attempts have not ended"]


@pytest.mark.parametrize(
    "target",
    [
        "gotifys://127.0.0.1/t",
        "gotifys://localhost/t",
        "gotifys://[::1]/t",
        "gotifys://10.0.0.1/t",
        "ntfys://127.0.0.1/t",
        "mmosts://169.254.169.254/3ccdd113474722377935511fc85d3dd4",
        "gotify://8.8.8.8/t",
        "workflows://127.0.0.1/a/b",
    ],
)
def test_a_host_within_is_refused(target, web):
    outcome = AppriseSender(target).send(message())
    assert (outcome.delivered, outcome.final) == (False, True)
    assert outcome.error.startswith("the target's address is not")
    assert not web.got


@pytest.mark.parametrize("scheme", sorted(REFUSED))
def test_what_is_no_service_is_refused_with_what_to_use(scheme):
    with pytest.raises(ConfigError, match=rf"{scheme}:// is not for the kind `apprise`: .*`(webhook|email)`"):
        AppriseSender(f"{scheme}://{CANARY}:{CANARY}@example.com/x")


@pytest.mark.parametrize(
    ("address", "said"),
    [
        (f"https://{CANARY}.example.com/x", "for a receiver of your own use a channel of kind `webhook`"),
        (CANARY, "expected an address as https://appriseit.com/services lists them"),
        (f"nothing://{CANARY}", "expected an address as"),
        (f"slack://{CANARY}", "expected an address as"),
        (f"gotify://h/{CANARY}?format=html", "got format; leave it out"),
        (f"discord://1/{CANARY}?Template=/etc/passwd&verify=no", "got template, verify; leave it out"),
        (f"gotify://h/{CANARY}?%72edirect=yes", "got redirect"),
    ],
)
def test_an_address_that_is_none_is_refused_and_not_shown(address, said):
    with pytest.raises(ConfigError, match=re.escape(said)) as error:
        AppriseSender(address)
    assert CANARY not in str(error.value)


def test_the_address_a_service_itself_tells_is_taken(web):
    AppriseSender("https://discord.com/api/webhooks/4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js").send(message())
    assert web.got[0].path == "/api/webhooks/4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js"


def test_addresses_are_secret_and_come_from_the_environment_or_a_file(tmp_path, caplog):
    (tmp_path / "slack").write_text(f"{SERVICES['slack']}\n")
    rules = rules_with({"chat": Channel(kind="apprise"), "open": Channel(kind="apprise", to=f"gotify://h/{CANARY}")})
    with caplog.at_level(logging.ERROR):
        assert "chat" in senders(rules, {"FEEDBACK_CHANNEL_CHAT_URL_FILE": str(tmp_path / "slack")})
        assert set(senders(rules, {"FEEDBACK_CHANNEL_OPEN_URL": f"gotify://h/{CANARY}"})) == {"default"}
    assert "channel chat waits: expected its address in FEEDBACK_CHANNEL_CHAT_URL or" in caplog.text
    assert "channel open waits: expected its address in FEEDBACK_CHANNEL_OPEN_URL or" in caplog.text
    assert CANARY not in caplog.text


def test_no_fault_shows_a_key_or_a_text(tmp_path, web, caplog, capfd):
    """Keys and texts through every fault: in no log, no error, no row, no output."""
    engine = open_engine(f"sqlite:///{tmp_path / 'feedback.db'}")
    migrate(engine)
    channels = {
        "up": (Channel(kind="apprise"), ours(web, CANARY)),
        "down": (Channel(kind="apprise"), f"gotify://{CANARY}:{CANARY}@127.0.0.1:{free_port()}/{CANARY}"),
        "inner": (Channel(kind="apprise"), f"gotifys://169.254.169.254/{CANARY}"),
        "unknown": (Channel(kind="apprise"), f"gotifys://{CANARY}.invalid/{CANARY}"),
        "slack": (Channel(kind="apprise"), f"slack://T1JJ3T3L2/A1BRTD4JD/{CANARY}/#x"),
        "wrong": (Channel(kind="apprise"), f"slack://{CANARY}"),
        "hook": (Channel(kind="webhook"), f"http://{CANARY}:{CANARY}@127.0.0.1:{free_port()}/{CANARY}"),
        "key": (Channel(kind="webhook"), f"http://127.0.0.1:{web.port}/{CANARY}"),
        "mail": (Channel(kind="email"), ""),
    }
    environment = {f"FEEDBACK_CHANNEL_{name.upper()}_URL": address for name, (_, address) in channels.items()}
    environment |= {"FEEDBACK_ALLOWED_TARGETS": "127.0.0.0/8", "FEEDBACK_MAIL_FROM": "a@example.com"}
    environment |= {"FEEDBACK_SMTP_URL": f"smtp://{CANARY}:{CANARY}@127.0.0.1:{free_port()}"}
    environment |= {
        "FEEDBACK_CHANNEL_HOOK_SECRET": "whsec_" + "QUJD" * 8,
        "FEEDBACK_CHANNEL_KEY_SECRET": f"whsec_{CANARY}",
    }
    web.answer = say("500 Oops", body=CANARY.encode())
    with caplog.at_level(logging.DEBUG):
        found = senders(rules_with({name: channel for name, (channel, _) in channels.items()}), environment)
        assert set(found) == {"default", "up", "down", "inner", "unknown", "slack", "hook", "mail"}
        for name in found:
            waiting(engine, 1, channel=name)
        del found["default"]
        assert worker(engine, found).drain() == 0
    with reading(engine) as connection:
        tried = [dict(row) for row in connection.execute(select(deliveries)).mappings()]
    engine.dispose()
    assert len(tried) == 7
    assert all(row["error"] for row in tried)
    own = "".join(
        record.getMessage() + str(record.exc_info) for record in caplog.records if "sqlalchemy" not in record.name
    )
    shown = [own, *capfd.readouterr(), repr(found), repr(tried), repr([dict(row) for row in rows(engine)])]
    assert not [text for text in shown if CANARY in text]
    assert not [text for text in shown if "text 0" in text]


@given(st.text(st.characters(), max_size=200))
def test_no_text_makes_a_mention_a_link_or_a_fence(text):
    for made in (in_text(text + HOSTILE), in_markdown(text + HOSTILE), title_of(text)):
        assert not re.search(r"[@<][^\s\u200b]|\]\(|://|``", made)
    assert not re.search(r"(?<!\\)(\\\\)*[*_`~|\[\]<>#]", in_markdown(text))
    assert in_text(text).replace("\u200b", "").replace("\u2068", "").replace("\u2069", "") == re.sub(
        "[\u200b\u2068\u2069]", "", text
    )
