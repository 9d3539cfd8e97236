"""E-mail over SMTP, as plain text and HTML."""

import email.utils
import re
import smtplib
import ssl
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, EmailPolicy

from models.errors import ConfigError
from serving.delivery.channels import Outcome
from serving.delivery.deadline import Deadline
from serving.delivery.message import Message
from serving.delivery.outwards import DEADLINE
from serving.delivery.render import SUBJECT, render
from serving.delivery.smtp import Server, Session

_LOCAL = r"(?!\.)[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}(?<!\.)"
_ADDRESS = re.compile(rf"{_LOCAL}@[A-Za-z0-9](?:[A-Za-z0-9.-]{{0,250}}[A-Za-z0-9])?")


#: With these, anything may be answered by a server that wants a login, or another one (RFC 4954).
_LOGIN = (530, 534, 535, 538)


class MailSender:
    """Sends each message as an e-mail.

    A server's refusal of what is sent (5xx) is final; what has to do with the server or the login, and every 4xx, is
    tried again. Where a server takes a message for some recipients and not for others, it counts as delivered, since
    those who have it would get it again with every attempt; ``error`` says how many have not.

    Args:
        server: which server, and how.
        sender: `name@example.com`, or with a name before it: `Feedback <name@example.com>`.
        to: who gets it, several with commas; where it is empty, the contact of the team.
        contacts: the contact of each team.
        deadline: seconds for one attempt, name resolution excepted.
        context: what certificates are checked by; the system's authorities if not given.
        now: the time that is written into a message.

    Raises:
        ConfigError: sender or recipients are no addresses.
    """

    def __init__(
        self,
        server: Server,
        sender: str,
        to: str,
        contacts: Mapping[str, str],
        deadline: float = DEADLINE,
        context: ssl.SSLContext | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._sender = read_sender(sender)
        self._to = addresses(to) if to else None
        self._server, self._contacts, self._deadline, self._now = server, contacts, deadline, now
        self._context = context or ssl.create_default_context()

    def send(self, message: Message) -> Outcome:
        """One attempt; what a failed one says holds no address and no text."""
        try:
            to = self._to or addresses(self._contacts.get(message.team, ""))
        except ConfigError:
            return Outcome(False, error=f"expected an e-mail address as `contact` of team {message.team}, or as `to`")
        mail = self.compose(message, to)
        with Deadline(self._deadline) as deadline:
            session = Session(self._server, self._sender.domain, self._context, deadline)
            try:
                session.begin()
                refused = session.sendmail(self._sender.addr_spec, to, as_sent(mail))
                session.end()
            except (OSError, smtplib.SMTPException, ValueError) as error:
                return Outcome(False, error=str(deadline)) if deadline.over else _failure(error)
            finally:
                session.close()
        missed = f"{len(refused)} of {len(to)} recipients were refused" if refused else None
        return Outcome(True, error=missed)

    def compose(self, message: Message, to: list[str]) -> EmailMessage:
        """The e-mail. Its `Message-ID` is the same at each attempt, and all about one item is one conversation."""
        rendered, domain = render(message), self._sender.domain
        mail = EmailMessage(policy=SMTP)
        mail["Subject"] = rendered.subject
        mail["From"] = self._sender
        mail["To"] = [Address(addr_spec=one) for one in to]
        mail["Date"] = email.utils.format_datetime(self._now())
        mail["Message-ID"] = f"<{_token(message.delivery_id)}@{domain}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail["X-Feedback-Delivery"] = _token(message.delivery_id)
        if message.kind != "digest":
            item = f"<item-{_token(str(message.data['id']))}@{domain}>"
            mail["References"] = item
            if message.kind in ("reminder", "escalation"):
                mail["In-Reply-To"] = item
        # lines of any length and any script pass through every server like this
        mail.set_content(rendered.text, cte="quoted-printable")
        mail.add_alternative(rendered.html, subtype="html", cte="quoted-printable")
        return mail


def as_sent(mail: EmailMessage) -> bytes:
    """The e-mail as bytes. A subject of ASCII is not folded: Python would leave its first line empty."""
    policy = _Policy(linesep="\r\n")
    return mail.as_bytes(policy=policy.clone(max_line_length=SUBJECT + 40) if mail["Subject"].isascii() else policy)


class _Policy(EmailPolicy):
    def fold_binary(self, name: str, value: str) -> bytes:
        # Python's newer way of folding loses blanks between words that it encodes one by one
        if name.lower() == "subject" and not value.isascii():
            folded = Header(str(value), "utf-8", header_name=name).encode(linesep=self.linesep)
            return f"{name}: {folded}{self.linesep}".encode("ascii")
        return super().fold_binary(name, value)


def read_sender(text: str) -> Address:
    """Who e-mails come from, `name@example.com` or `Feedback <name@example.com>`; ConfigError if it is neither."""
    name, address = email.utils.parseaddr(text)
    try:
        return Address(display_name=name, addr_spec=addresses(address)[0])
    except (ConfigError, ValueError):  # a name with a line break is none
        raise ConfigError(
            f"expected a sender like feedback@example.com or Feedback <feedback@example.com>, got {text!r}; "
            "set FEEDBACK_MAIL_FROM to one address"
        ) from None


def addresses(text: str) -> list[str]:
    """E-mail addresses from a list with commas; ConfigError if there is none, or one is none."""
    found = [one.strip() for one in text.split(",") if one.strip()]
    if not found or not all(_ADDRESS.fullmatch(one) and ".." not in one for one in found):
        raise ConfigError("expected e-mail addresses like team@example.com, with commas between several")
    return found


def _failure(error: Exception) -> Outcome:
    """What is said of a failure: its kind and the server's number, never its words, which may hold addresses."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        codes = sorted({code for code, _ in error.recipients.values()})
        said = f"all recipients were refused: answered {', '.join(map(str, codes))}"
        return Outcome(False, final=all(map(_is_final, codes)), error=said)
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return Outcome(False, error=f"the login was refused: answered {error.smtp_code}")
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return Outcome(False, error="the server lacks what is needed: STARTTLS, or the login that is set up")
    if isinstance(error, smtplib.SMTPConnectError | smtplib.SMTPHeloError):
        return Outcome(False, error=f"the server does not serve: answered {error.smtp_code}")
    if isinstance(error, smtplib.SMTPResponseException):
        return Outcome(False, final=_is_final(error.smtp_code), error=f"answered {error.smtp_code}")
    if isinstance(error, ssl.SSLCertVerificationError):
        return Outcome(False, error="the server's certificate is not one that is trusted for its name")
    return Outcome(False, error=f"cannot be reached: {type(error).__name__}")


def _is_final(code: int) -> bool:
    return 500 <= code < 600 and code not in _LOGIN


def _token(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", text)[:100]
