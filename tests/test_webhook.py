"""Signed webhooks against a real server that behaves in every way one can."""

import ipaddress
import json
import logging
import socketserver
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from message_support import rules_with
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from store_support import NOON
from support import free_port

from models.errors import ConfigError
from serving.delivery.message import Message
from serving.delivery.outwards import MOST, RefusedTargetError, is_public, post
from serving.delivery.senders import allowed_networks, senders
from serving.delivery.webhook import WebhookSender, read_secrets
from serving.routing.rules import Channel

OLD, NEW = "whsec_" + "QUJD" * 8, "whsec_" + "WFla" * 8
HERE = [ipaddress.ip_network("127.0.0.0/8")]
MESSAGE = Message("msg_1", "item", "support", NOON, {"text": "Zażółć 包裹"})


class Sink(socketserver.ThreadingTCPServer):
    """Answers every request by a script, and remembers what it was sent."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        self.script: Callable[[socketserver.StreamRequestHandler], None] = say("200 OK")
        self.got: list[tuple[dict[str, str], bytes]] = []
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(socketserver.StreamRequestHandler):
    server: Sink

    def handle(self) -> None:
        self.rfile.readline()
        headers = {}
        while (line := self.rfile.readline().decode().strip()) != "":
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        self.server.got.append((headers, self.rfile.read(int(headers.get("content-length", 0)))))
        try:
            self.server.script(self)
        except OSError:  # the caller had enough
            return


def say(status: str, *headers: str, body: bytes = b"") -> Callable[[socketserver.StreamRequestHandler], None]:
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]).encode()
    return lambda handler: handler.wfile.write(head + body)


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def url(sink: Sink, path: str = "/hook?key=1") -> str:
    return f"http://127.0.0.1:{sink.server_address[1]}{path}"


def sender(sink: Sink, secrets: str = NEW) -> WebhookSender:
    return WebhookSender(url(sink), read_secrets(secrets), HERE)


def test_a_receiver_can_tell_that_a_message_is_ours(sink):
    assert sender(sink).send(MESSAGE).delivered
    ((headers, body),) = sink.got
    assert Webhook(NEW).verify(body.decode(), headers)["data"] == {"text": "Zażółć 包裹"}
    assert json.loads(body)["type"] == "feedback.item"
    assert headers["webhook-id"] == "msg_1"
    with pytest.raises(WebhookVerificationError):
        Webhook(OLD).verify(body.decode(), headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(NEW).verify(body.decode().replace("Za", "za"), headers)


def test_while_keys_are_changed_either_one_verifies(sink):
    sender(sink, f"{NEW} {OLD}").send(MESSAGE)
    ((headers, body),) = sink.got
    for key in (NEW, OLD):
        Webhook(key).verify(body.decode(), headers)


@pytest.mark.parametrize(
    ("script", "delivered", "final", "error"),
    [
        (say("200 OK"), True, False, None),
        (say("204 No Content"), True, False, None),
        (say("500 Oops"), False, False, "answered 500"),
        (say("503 Busy"), False, False, "answered 503"),
        (say("429 Slow", "Retry-After: 120"), False, False, "answered 429"),
        (say("408 Late"), False, False, "answered 408"),
        (say("404 No"), False, True, "answered 404"),
        (say("410 Gone"), False, True, "answered 410"),
        (say("302 There", "Location: http://169.254.169.254/"), False, False, "redirects are not followed"),
        (lambda handler: handler.wfile.write(b"nonsense\r\n\r\n"), False, False, "cannot be reached: BadStatusLine"),
        (lambda handler: None, False, False, "cannot be reached: RemoteDisconnected"),
    ],
)
def test_every_answer_is_understood(script, delivered, final, error, sink):
    sink.script = script
    outcome = sender(sink).send(MESSAGE)
    assert (outcome.delivered, outcome.final, outcome.error) == (delivered, final, error)


@pytest.mark.parametrize(
    ("wish", "seconds"),
    [
        ("120", 120),
        ("Tue, 10 Mar 2026 12:02:00 GMT", 120),
        ("Tue, 10 Mar 2020 12:00:00 GMT", 0),
        ("999999999", 86400),
        ("-5", 0),
        ("soon", None),
        ("nan", None),
    ],
)
def test_a_wish_to_wait_is_read_as_seconds_or_as_a_date(wish, seconds, sink):
    sink.script = say("429 Slow", f"Retry-After: {wish}")
    outcome = WebhookSender(url(sink), read_secrets(NEW), HERE, now=NOON.timestamp).send(MESSAGE)
    assert outcome.retry_after == seconds


def test_an_endless_answer_is_read_in_part(sink):
    def endless(handler: socketserver.StreamRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            handler.wfile.write(b"x" * 65536)

    sink.script = endless
    assert len(post(url(sink), b"{}", {}, HERE).body) == MOST


@pytest.mark.parametrize("begin", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", b"HTTP/1.1 2"])
def test_a_receiver_that_sends_a_byte_now_and_then_does_not_hold_the_worker(begin, sink):
    def drip(handler: socketserver.StreamRequestHandler) -> None:
        handler.wfile.write(begin)
        while True:
            handler.wfile.write(b"x")
            time.sleep(0.1)

    sink.script = drip
    start = time.monotonic()
    with pytest.raises(TimeoutError, match="no whole answer within 1 s"):
        post(url(sink), b"{}", {}, HERE, deadline=1.0)
    assert time.monotonic() - start < 10


def test_a_port_where_nobody_listens_is_tried_again():
    outcome = WebhookSender(f"http://127.0.0.1:{free_port()}/", read_secrets(NEW), HERE).send(MESSAGE)
    assert (outcome.delivered, outcome.final) == (False, False)
    assert outcome.error == "cannot be reached: ConnectionRefusedError"


INNER = ("127.0.0.1", "10.0.0.1", "172.16.9.9", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.1", "224.0.0.1")
INNER += (
    "255.255.255.255",
    "198.18.0.1",
    "240.0.0.1",
    "::1",
    "::",
    "fe80::1",
    "fc00::1",
    "fec0::1",
    "ff02::1",
    "::ffff:127.0.0.1",
)
INNER += ("::ffff:169.254.169.254", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:db8::1")


@pytest.mark.parametrize("address", INNER)
def test_addresses_within_are_not_public(address):
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_addresses_outside_are(address):
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "target",
    [
        "https://127.0.0.1/x",
        "https://localhost/x",
        "https://[::1]/x",
        "https://[::ffff:7f00:1]/x",
        "https://2130706433/x",
        "https://0x7f000001/x",
        "https://0177.0.0.1/x",
        "https://127.1/x",
        "http://8.8.8.8/x",
        "ftp://example.com/x",
        "file:///etc/passwd",
        "https:///x",
        "x",
    ],
)
def test_a_target_within_is_refused_in_every_spelling(target):
    with pytest.raises(RefusedTargetError):
        post(target, b"{}", {})
    outcome = WebhookSender(target, read_secrets(NEW)).send(MESSAGE)
    assert (outcome.delivered, outcome.final) == (False, True)


def test_the_name_is_sent_but_the_address_is_the_one_that_was_checked(sink):
    port = sink.server_address[1]
    assert post(f"http://localhost:{port}/a", b"{}", {}, HERE).status == 200
    assert sink.got[0][0]["host"] == f"localhost:{port}"


def test_no_proxy_of_the_environment_is_asked(sink, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert post(url(sink), b"{}", {}, HERE).status == 200


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_!!!", "QUJD" * 8, "whsec_QUJD", f"{NEW} hunter2"])
def test_a_key_that_is_none_is_refused_and_not_shown(text):
    with pytest.raises(ConfigError, match="expected whsec_ and base64 of 24 to 64 bytes") as error:
        read_secrets(text)
    assert "hunter2" not in str(error.value)


def test_networks_that_are_none_are_refused():
    assert [str(one) for one in allowed_networks("10.1.0.0/16, 127.0.0.1")] == ["10.1.0.0/16", "127.0.0.1/32"]
    with pytest.raises(ConfigError, match=r"expected networks like 10.1.0.0/16, got '10.1.0.0/99'"):
        allowed_networks("10.1.0.0/99")


def test_a_channel_that_is_not_set_up_waits_and_is_named(caplog):
    channels = {"to-crm": Channel(kind="webhook", to="https://crm.example.com/in"), "bare": Channel(kind="webhook")}
    with caplog.at_level(logging.ERROR):
        found = senders(rules_with(channels), {"FEEDBACK_CHANNEL_TO_CRM_SECRET": NEW})
    assert set(found) == {"default", "to-crm"}
    assert "channel bare waits: expected its address in FEEDBACK_CHANNEL_BARE_URL" in caplog.text
    assert NEW not in caplog.text
