"""E-mail to a real server that behaves in every way one can."""

import contextlib
import email
import email.policy
import logging
import socket
import ssl
import threading
import time
from collections.abc import Iterator

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from hypothesis import example, given, settings
from hypothesis import strategies as st
from message_support import ITEM, certificate, hostile, message, rules_with
from support import free_port

from models.errors import ConfigError
from serving.delivery.mail import MailSender, addresses, as_sent, read_sender
from serving.delivery.render import render
from serving.delivery.senders import senders
from serving.delivery.smtp import Server, read_server
from serving.routing.rules import Channel

FROM = "Feedback <feedback@example.org>"
CANARY = "canary-5e3c"


class Post:
    """A mail server's mind: what it answers, and what it was given."""

    def __init__(self) -> None:
        self.got: list[email.message.EmailMessage] = []
        self.envelopes: list = []
        self.sender = self.data = "250 ok"
        self.refused: dict[str, str] = {}

    async def handle_MAIL(self, server, session, envelope, address, options):  # noqa: N802  (aiosmtpd calls it so)
        envelope.mail_from = address
        return self.sender

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802  (aiosmtpd calls it so)
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        self.envelopes.append(envelope)
        self.got.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        return self.data


@pytest.fixture
def post() -> Post:
    return Post()


def controlled(post: Post, **options) -> Controller:
    controller = Controller(post, hostname="127.0.0.1", port=free_port(), **options)
    controller.start()
    return controller


@pytest.fixture
def here(post) -> Iterator[Server]:
    controller = controlled(post)
    yield Server("127.0.0.1", controller.port, "none")
    controller.stop()


def sender(server: Server, to: str = "", **options) -> MailSender:
    return MailSender(server, FROM, to, {"support": "team@example.com"}, **options)


def test_a_message_is_plain_text_first_and_html_after(post, here):
    assert sender(here).send(message()) == (True, False, None, None, None)
    (mail,), (envelope,) = post.got, post.envelopes
    assert (envelope.mail_from, envelope.rcpt_tos) == ("feedback@example.org", ["team@example.com"])
    assert mail["subject"].startswith("[urgent] product/defect: The lid is cracked")
    assert (mail["from"], mail["to"]) == (FROM, "team@example.com")
    assert (mail["auto-submitted"], mail["x-feedback-delivery"]) == ("auto-generated", "msg_1")
    assert mail["date"].datetime.year >= 2026
    plain, page = mail.iter_parts()
    assert (plain.get_content_type(), page.get_content_type()) == ("text/plain", "text/html")
    assert ITEM["link"] in plain.get_content()
    assert "The lid is cracked" in page.get_content()


def test_every_attempt_has_the_same_id_and_all_about_an_item_is_one_conversation(post, here):
    post.data = "451 later"
    for _ in range(2):
        assert sender(here).send(message()).error == "answered 451"
    post.data = "250 ok"
    sender(here).send(message("reminder")._replace(delivery_id="msg_2"))
    assert [mail["message-id"] for mail in post.got] == ["<msg_1@example.org>"] * 2 + ["<msg_2@example.org>"]
    assert {mail["references"] for mail in post.got} == {"<item-itm_12@example.org>"}
    assert [mail["in-reply-to"] for mail in post.got] == [None, None, "<item-itm_12@example.org>"]


def test_digests_in_any_script_come_through(post, here):
    made = message("digest", title="客户支持 – Asistență")
    assert sender(here, "a@example.com, b@example.com").send(made).delivered
    assert post.got[0]["subject"] == "42 pieces of feedback for 客户支持 – Asistență, 9 March"
    assert post.got[0]["to"] == "a@example.com, b@example.com"
    assert "客户支持" in post.got[0].get_body(("html",)).get_content()


@pytest.mark.parametrize(
    ("answer", "final"), [("421 closing", False), ("452 full", False), ("550 spam", True), ("554 no", True)]
)
def test_a_refusal_is_final_and_a_hitch_is_not(answer, final, post, here):
    post.data = f"{answer} {CANARY}"
    outcome = sender(here).send(message())
    assert (outcome.delivered, outcome.final, outcome.error) == (False, final, f"answered {answer[:3]}")


@pytest.mark.parametrize("code", [530, 534, 535, 538])
def test_a_server_that_wants_a_login_is_tried_again(code, post, here):
    post.sender = f"{code} 5.7.0 Authentication required"
    assert sender(here).send(message()) == (False, False, f"answered {code}", None, None)


@pytest.mark.parametrize(
    ("refused", "delivered", "final", "error"),
    [
        (
            {"a@example.com": "530 x", "b@example.com": "530 x"},
            False,
            False,
            "all recipients were refused: answered 530",
        ),
        ({"a@example.com": "550 unknown"}, True, False, "1 of 2 recipients were refused"),
        (
            {"a@example.com": "550 x", "b@example.com": "553 x"},
            False,
            True,
            "all recipients were refused: answered 550, 553",
        ),
        (
            {"a@example.com": "450 x", "b@example.com": "550 x"},
            False,
            False,
            "all recipients were refused: answered 450, 550",
        ),
    ],
)
def test_who_is_refused_does_not_keep_the_others_from_theirs(refused, delivered, final, error, post, here):
    post.refused = refused
    outcome = sender(here, "a@example.com,b@example.com").send(message())
    assert (outcome.delivered, outcome.final, outcome.error) == (delivered, final, error)


@pytest.fixture(scope="module")
def tls(tmp_path_factory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """What a server shows, and what a client that knows it checks by."""
    cert, key = certificate(tmp_path_factory.mktemp("tls"), "DNS:mail.example", "IP:127.0.0.1")
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.load_cert_chain(cert, key)
    return own, ssl.create_default_context(cafile=str(cert))


def authenticator(server, session, envelope, mechanism, data):
    return AuthResult(success=(data.login, data.password) == (b"us er", CANARY.encode()), handled=False)


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_login_goes_over_tls_that_is_checked(security, post, tls):
    own, known = tls
    options = {"tls_context": own, "require_starttls": True} if security == "starttls" else {"ssl_context": own}
    options |= {
        "authenticator": authenticator,
        "auth_required": security == "starttls",
        "auth_require_tls": security == "starttls",
    }
    controller = controlled(post, **options)
    try:
        server = Server("127.0.0.1", controller.port, security, "us er", CANARY)
        assert sender(server, context=known).send(message()) == (True, False, None, None, None)
        assert post.got
        wrong = Server("127.0.0.1", controller.port, security, "us er", "wrong")
        outcome = sender(wrong, context=known).send(message())
        assert (outcome.final, outcome.error) == (False, "the login was refused: answered 535")
        outcome = sender(server).send(message())
        assert outcome.error == "the server's certificate is not one that is trusted for its name"
        other = Server("localhost", controller.port, security, "us er", CANARY)
        assert "not one that is trusted" in sender(other, context=known).send(message()).error
        assert len(post.got) == 1
    finally:
        controller.stop()


def test_without_starttls_nothing_is_said_to_a_server_elsewhere(post, here):
    server = Server("127.0.0.1", here.port, "starttls", "user", CANARY)
    outcome = sender(server).send(message())
    assert (outcome.final, outcome.error) == (
        False,
        "the server lacks what is needed: STARTTLS, or the login that is set up",
    )
    assert not post.envelopes


@pytest.mark.parametrize("begin", [b"", b"220 hello\r\n", b"220 hello\r\n250-x\r\n250 y\r\n250 ok\r\n", b"220-"])
@pytest.mark.parametrize("security", ["none", "tls"])
def test_a_server_that_drips_does_not_hold_the_worker(begin, security):
    done = threading.Event()

    def drip(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            try:
                connection.sendall(begin)
                while not done.wait(0.1):
                    connection.sendall(b"1")
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip, args=(listener,))
        thread.start()
        start = time.monotonic()
        outcome = sender(Server("127.0.0.1", listener.getsockname()[1], security), deadline=0.7).send(message())
        took = time.monotonic() - start
        done.set()
        thread.join()
    assert (outcome.delivered, outcome.final) == (False, False)
    assert took < 5
    if security == "none":
        assert outcome.error == "no whole answer within 0.7 s"


def test_a_port_where_nobody_listens_is_tried_again():
    outcome = sender(Server("127.0.0.1", free_port(), "none")).send(message())
    assert outcome == (False, False, "cannot be reached: ConnectionRefusedError", None, None)


def test_a_team_without_an_address_is_named():
    outcome = MailSender(Server("h", 1, "none"), FROM, "", {"support": "#support"}).send(message())
    assert outcome.error == "expected an e-mail address as `contact` of team support, or as `to`"


HEADERS = {"subject", "from", "to", "date", "message-id", "auto-submitted", "x-feedback-delivery", "references"}
HEADERS |= {"mime-version", "content-type"}


@settings(max_examples=40, deadline=None)
@example("0000:¡", "notice")
@given(st.text(st.characters(), max_size=300), st.sampled_from(["item", "notice", "escalation", "digest"]))
def test_no_text_becomes_a_header(text, kind):
    made = hostile(kind, f"a\r\nBcc: x@evil.example\r\n\r\n{text}\nSubject: x")
    raw = as_sent(sender(Server("h", 1, "none")).compose(made, ["team@example.com"]))
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    names = [name.lower() for name in mail.keys()]  # noqa: SIM118
    assert len(names) == len(set(names))
    assert set(names) - {"in-reply-to"} <= HEADERS
    assert mail["to"] == "team@example.com"
    assert mail["subject"] == render(made).subject
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    assert max(map(len, raw.split(b"\r\n"))) <= 998


@pytest.mark.parametrize(
    "text",
    ["", "team", "a@b@c", "a@example.com\r\nBcc: x@y", "<a@b>", "a@b c", "a@ex..com", "ă@x.ro", ".a@x.com", "a.@x.com"],
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ConfigError, match=r"expected e-mail addresses like team@example\.com"):
        addresses(text)


@settings(max_examples=100, deadline=None)
@given(st.text("aZ0.-!'+@ ,<\r\n\"", max_size=12), st.from_regex(r"[a.+!-]{1,5}@[a.-]{1,6}", fullmatch=True))
def test_whatever_is_taken_for_an_address_can_stand_in_a_mail(name, address):
    for text in (address, f"{name} <{address}>"):
        with contextlib.suppress(ConfigError):
            made = MailSender(Server("h", 1, "none"), text, address, {}).compose(message(), addresses(address))
            assert made["from"].addresses[0].addr_spec == address
            assert as_sent(made)


@pytest.mark.parametrize("text", ["Feedback", "Feedback <.a@x.com>", '"x <a@x.com>'])
def test_what_is_no_sender_is_refused(text):
    with pytest.raises(ConfigError, match=r"expected a sender like feedback@example\.com"):
        read_sender(text)


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example.com", Server("mail.example.com", 587, "starttls")),
        ("smtp://u%40x:p%2Fw@mail.example.com:25", Server("mail.example.com", 25, "starttls", "u@x", "p/w")),
        ("smtps://mail.example.com", Server("mail.example.com", 465, "tls")),
        ("smtp://localhost:25", Server("localhost", 25, "none")),
        ("smtp://[::1]:25", Server("::1", 25, "none")),
    ],
)
def test_a_server_is_read_from_its_address(url, server):
    assert read_server(url) == server
    assert "p/w" not in repr(read_server(url))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mail.example.com",
        f"http://u:{CANARY}@h",
        f"smtp://u:{CANARY}@h:x",
        f"smtp://u:{CANARY}/1@h",
        f"smtp://u:{CANARY}@h/x",
        f"smtp://u:{CANARY}%0d%0a@h",
        f"smtp://{CANARY}@h",
        f"smtp://u:{CANARY}é@h",
        f"smtp://u:{CANARY}@",
    ],
)
def test_what_is_no_server_is_refused_and_not_shown(url):
    with pytest.raises(ConfigError, match=r"expected smtp://user:password@host:587") as error:
        read_server(url)
    assert CANARY not in str(error.value)


def test_settings_come_from_the_environment_or_from_files(tmp_path, caplog, post, here):
    (tmp_path / "smtp").write_text(f"smtp://127.0.0.1:{here.port}\n")
    rules = rules_with({"mail": Channel(kind="email")})
    environment = {"FEEDBACK_SMTP_URL_FILE": str(tmp_path / "smtp"), "FEEDBACK_MAIL_FROM": FROM}
    assert senders(rules, environment)["mail"].send(message()).delivered
    assert post.envelopes[0].rcpt_tos == ["team@example.com"]
    for changes, said in [
        (
            {"FEEDBACK_MAIL_FROM": ""},
            "expected the mail server in FEEDBACK_SMTP_URL and a sender in FEEDBACK_MAIL_FROM",
        ),
        (
            {"FEEDBACK_MAIL_FROM": ".a@x.com"},
            "expected a sender like feedback@example.com or Feedback <feedback@example.com>, got '.a@x.com'; set "
            "FEEDBACK_MAIL_FROM to one address",
        ),
        ({"FEEDBACK_SMTP_URL": f"smtp://u:{CANARY}@h"}, "got both; remove one"),
        (
            {"FEEDBACK_SMTP_URL_FILE": f"{tmp_path}/gone"},
            f"FEEDBACK_SMTP_URL_FILE: cannot read {tmp_path}/gone: No such file",
        ),
    ]:
        caplog.clear()
        with caplog.at_level(logging.ERROR):
            assert "mail" not in senders(rules, environment | changes)
        assert said in caplog.text
        assert CANARY not in caplog.text
