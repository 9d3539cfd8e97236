"""A mail server, and a conversation with it that ends in time."""

import ipaddress
import re
import smtplib
import socket
import ssl
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import unquote, urlsplit

from models.errors import ConfigError
from serving.delivery.deadline import Deadline

_EXPECTED = "smtp://user:password@host:587 (or smtps://…:465)"


@dataclass(frozen=True)
class Server:
    """A mail server. ``security`` is TLS from the start, by STARTTLS, or none."""

    host: str
    port: int
    security: Literal["tls", "starttls", "none"]
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)


def read_server(url: str) -> Server:
    """A server from `smtp://user:password@host:587` or `smtps://host:465`; user and password percent-encoded.

    STARTTLS is demanded of `smtp` unless the host is this machine.

    Raises:
        ConfigError: it is no such address; it is not shown.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        user, password = (unquote(one or "", errors="strict") for one in (parts.username, parts.password))
    except ValueError:
        raise ConfigError(f"expected {_EXPECTED}, got something else") from None
    if parts.scheme not in ("smtp", "smtps") or not re.fullmatch(r"[A-Za-z0-9._:-]+", host):
        raise ConfigError(f"expected {_EXPECTED}, got something else")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ConfigError(f"expected {_EXPECTED}, got more after the host; write / ? # in a password as %2F %3F %23")
    if not (user + password).isascii() or not (user + password).isprintable() or bool(user) != bool(password):
        raise ConfigError(f"expected {_EXPECTED} with user and password of ASCII characters, or with neither")
    secure: Literal["tls", "starttls", "none"] = "tls" if parts.scheme == "smtps" else "starttls"
    if secure == "starttls" and _is_here(host):
        secure = "none"
    return Server(host, port or (465 if secure == "tls" else 587), secure, user, password)


class Session(smtplib.SMTP):
    """A conversation, cut when the deadline is over.

    Args:
        server: with whom.
        name: how this side calls itself; a domain of the sender says less of the machine than its own name.
        context: what certificates are checked by.
        deadline: when it ends.
    """

    def __init__(self, server: Server, name: str, context: ssl.SSLContext, deadline: Deadline) -> None:
        super().__init__(local_hostname=name, timeout=deadline.seconds)
        self._server, self._context, self._deadline = server, context, deadline
        # the name that a certificate is checked against; only a host given to __init__, which connects, sets it
        self._host = server.host

    def begin(self) -> None:
        """Connect, with TLS and a login as the server is set up; errors of smtplib, OSError."""
        code, words = self.connect(self._server.host, self._server.port)
        if code != 220:
            raise smtplib.SMTPConnectError(code, words)
        if self._server.security == "starttls":
            try:
                self.starttls(context=self._context)
            except smtplib.SMTPResponseException:
                raise smtplib.SMTPNotSupportedError from None
            if self.sock is not None:
                self._deadline.watch(self.sock)
        if self._server.user:
            self.login(self._server.user, self._server.password)

    def end(self) -> None:
        """Say goodbye; what was taken stays so, whatever the server answers."""
        try:
            self.quit()
        except (OSError, smtplib.SMTPException):
            return

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        """As smtplib connects, but so that several addresses have one time limit together."""
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        last: OSError = OSError("no address")
        for *_, address in found:
            try:
                sock = socket.create_connection((str(address[0]), port), self._deadline.left())
                break
            except OSError as error:
                last = error
        else:
            raise last
        self._deadline.watch(sock)
        if self._server.security == "tls":
            sock = self._context.wrap_socket(sock, server_hostname=self._server.host)
            self._deadline.watch(sock)
        return sock


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
