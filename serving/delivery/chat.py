"""Chat and paging services (Slack, Teams, Discord, PagerDuty and many more) through Apprise."""

import logging
import socket
import threading
import time
from collections.abc import Sequence
from urllib.parse import parse_qsl

from apprise import Apprise, AppriseAsset, NotifyFormat, NotifyType, PersistentStoreMode
from apprise.common import OverflowMode
from apprise.plugins import NotifyBase

from models.errors import ConfigError
from serving.delivery.channels import Outcome
from serving.delivery.harmless import in_markdown, in_text, title_of
from serving.delivery.message import Message
from serving.delivery.outwards import DEADLINE, Network, RefusedTargetError, resolved
from serving.delivery.render import render_chat

#: Attempts that ran out of time and still go on somewhere; with so many of them no further one is begun.
MOST_HUNG = 8

_WEBHOOK = "use a channel of kind `webhook`, which is signed"
_MAIL = "use a channel of kind `email`"
_LOCAL = "it does not leave this machine, or is not reached over HTTP; use `file` or `webhook`"
#: What is not sent to: services that take any body to any host, and what is no service on the web.
REFUSED = (
    dict.fromkeys(("json", "jsons", "xml", "xmls", "form", "forms", "apprise", "apprises"), _WEBHOOK)
    | dict.fromkeys(("mailto", "mailtos"), _MAIL)
    | dict.fromkeys(("syslog", "rsyslog", "dbus", "kde", "qt", "glib", "gio", "gnome", "macosx", "windows"), _LOCAL)
    | dict.fromkeys(("blink1", "growl", "aprs", "amqp", "amqps", "mqtt", "mqtts", "irc", "ircs", "xmpp"), _LOCAL)
    | dict.fromkeys(("xmpps", "smpp", "smpps", "session", "sessions", "sogs", "deltachat", "deltachats"), _LOCAL)
    | dict.fromkeys(("nostr", "vapid", "fcm"), _LOCAL)
)
#: They are sent plain text, and draw it as Markdown.
_DRAW_MARKDOWN = frozenset(
    ["discord", "guilded", "fluxer", "fluxers", "revolt", "mmost", "mmosts", "zulip", "nctalk", "nctalks", "ryver"]
)
#: Parameters of an address that would undo what is set here, or have a file read.
_TAKEN = ("format", "template", "emojis", "redirect", "verify", "store", "overflow", "retry", "wait", "cto", "rto")
#: Never one that says that all is well: paging services take those as the end of an alert, and send nothing.
_TYPES = {"urgent": NotifyType.FAILURE, "high": NotifyType.FAILURE}


class AppriseSender:
    """Sends each message to one service; its text is plain there, whatever a customer wrote.

    A host that is named in the address has to be public, or one of the allowed networks; plain http is for those alone.
    That is checked before each attempt, but Apprise resolves the name again: a name server that changes its answer in
    between leads elsewhere, which the channel kind `webhook` rules out. Redirects are not followed, and certificates
    are always checked. Apprise asks the proxies of the environment (`HTTPS_PROXY`), as `webhook` does not.

    An attempt that does not end in time is left to itself, since nothing can stop it: what it sends after all comes
    twice. Apprise tells only whether it worked, so all else is tried again.

    Args:
        url: an address as https://appriseit.com/services lists them; it holds keys and is never shown.
        allowed: networks that may be reached although they are not public.
        deadline: seconds for one attempt.

    Raises:
        ConfigError: it is no such address, or one that is refused.
    """

    def __init__(self, url: str, allowed: Sequence[Network] = (), deadline: float = DEADLINE) -> None:
        _be_quiet()
        self._url, self._allowed, self._deadline = url, allowed, deadline
        self._turn, self._state = threading.Lock(), threading.Lock()
        self._hung: list[threading.Thread] = []
        self._service = _service(url, deadline)

    def send(self, message: Message) -> Outcome:
        """One attempt, in turn with others over this channel, so that a service's limits of rate are kept."""
        with self._state:
            self._hung = [thread for thread in self._hung if thread.is_alive()]
            if len(self._hung) >= MOST_HUNG:
                return Outcome(False, error=f"{MOST_HUNG} earlier attempts have not ended")
            turn, service, found = self._turn, self._service, list[Outcome]()
        ends = time.monotonic() + self._deadline

        def attempt() -> None:
            if not turn.acquire(timeout=max(0.0, ends - time.monotonic())):
                return
            try:
                if time.monotonic() < ends:
                    found.append(self._attempt(service, message))
            except Exception as error:  # noqa: BLE001  (plugins raise what they like; it may hold the address)
                found.append(Outcome(False, error=f"cannot be reached: {type(error).__name__}"))
            finally:
                turn.release()

        thread = threading.Thread(target=attempt, daemon=True, name="apprise")
        thread.start()
        thread.join(self._deadline)
        if found:
            return found[0]
        with self._state:
            if self._turn is turn:  # who hangs keeps its turn: the others get another
                self._turn, self._service = threading.Lock(), _service(self._url, self._deadline)
            self._hung.append(thread)
        return Outcome(False, error=f"no whole answer within {self._deadline:g} s")

    def _attempt(self, service: NotifyBase, message: Message) -> Outcome:
        try:
            _check_host(service, self._allowed)
        except RefusedTargetError as error:
            return Outcome(False, final=True, error=str(error))
        # what the service has several formats for is sent as text, which Apprise then escapes for it
        markdown = service._formats() == (NotifyFormat.MARKDOWN,)
        draws = markdown or not _DRAW_MARKDOWN.isdisjoint(_schemas(service))
        subject, text = render_chat(message, in_markdown if draws else in_text, markdown=markdown)
        done = service.notify(
            body=text,
            title=title_of(subject),
            notify_type=_TYPES.get(str(message.data.get("urgency")), NotifyType.WARNING),
            body_format=NotifyFormat.MARKDOWN if markdown else NotifyFormat.TEXT,
        )
        return Outcome(bool(done), error=None if done else "the service did not take it, or cannot be reached")


def _service(url: str, deadline: float) -> NotifyBase:
    """The plugin for an address; ConfigError, without the address, if there is none or it is refused."""
    scheme = url.partition("://")[0].lower() if "://" in url else ""
    given = {name.lower() for name, _ in parse_qsl(url.partition("?")[2], keep_blank_values=True)}
    taken = ", ".join(sorted(given.intersection(_TAKEN)))
    if taken:
        raise ConfigError(f"expected an address without what is set for all of them, got {taken}; leave it out")
    asset = AppriseAsset(
        async_mode=False,
        http_redirects=False,
        interpret_emojis=False,
        interpret_escapes=False,
        pem_autogen=False,
        pgp_autogen=False,
        secure_logging=True,
        storage_mode=PersistentStoreMode.MEMORY,
        allow_templates=False,
        app_id="Feedback",
        app_desc="Feedback service",
        # no pictures: services would fetch them from a host of strangers
        image_url_mask="",
        image_url_logo="",
        image_path_mask=False,
    )
    service = None if scheme in REFUSED else Apprise.instantiate(url, asset=asset)
    refused = scheme if service is None else next((one for one in _schemas(service) if one in REFUSED), None)
    if refused in REFUSED:
        raise ConfigError(f"{refused}:// is not for the kind `apprise`: {REFUSED[refused]}")
    if service is None:
        hint = f"; for a receiver of your own {_WEBHOOK}" if scheme in ("http", "https") else ""
        raise ConfigError(f"expected an address as https://appriseit.com/services lists them, got another{hint}")
    service.redirects, service.verify_certificate = False, True
    service.retry, service.overflow_mode = 0, OverflowMode.TRUNCATE
    service.socket_connect_timeout = service.socket_read_timeout = deadline
    return service


def _check_host(service: NotifyBase, allowed: Sequence[Network]) -> None:
    """Raise RefusedTargetError if the address names a host that may not be called, OSError if it is not known."""
    told = service.template_tokens.get("host", {})
    if not str(told.get("name", "")).endswith("Hostname") or not service.host:
        return
    try:
        resolved(service.host.strip("[]"), service.port or 443, allowed, secure=bool(service.secure))
    except socket.gaierror:
        if told.get("required"):
            raise
        # a service in the cloud, where a topic or a key stands in the place of a host


def _schemas(service: NotifyBase) -> set[str]:
    return {str(one) for one in service.schemas()}


def _be_quiet() -> None:
    """Apprise and what it uses write addresses with keys, and bodies, to their logs."""
    for name in ("apprise", "urllib3", "requests"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.CRITICAL + 1)
        logger.propagate = False
