"""Reaching an address outside without being led elsewhere: resolved once, public, pinned, bounded in time.

What a receiver answers is data of strangers, and so is where a name leads: a name that leads into the own network
could be used to reach what is meant for nobody (server-side request forgery).
"""

import http.client
import ipaddress
import socket
import ssl
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from serving.delivery.deadline import Deadline

#: Seconds that a whole request may take, and bytes of an answer that are read.
DEADLINE = 15.0
MOST = 64 * 1024

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class RefusedTargetError(Exception):
    """An address that is not called; the message names no secret."""


class Answer(NamedTuple):
    """What came back: status, headers with small letters, and the beginning of the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def post(
    url: str, body: bytes, headers: Mapping[str, str], allowed: Sequence[Network] = (), deadline: float = DEADLINE
) -> Answer:
    """Send ``body``; no redirect is followed and no proxy is asked.

    Args:
        url: an address with https; http is for networks that are allowed.
        body: what is sent.
        headers: beside length and host.
        allowed: networks that may be reached although they are not public.
        deadline: seconds for all of it, name resolution excepted.

    Raises:
        RefusedTargetError: it may not be called.
        OSError, http.client.HTTPException: it could not be reached, did not answer in time, or answered nonsense.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise RefusedTargetError("expected an address like https://host/path")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    address = resolved(parts.hostname, port, allowed, secure=parts.scheme == "https")
    with Deadline(deadline) as limit:
        connection = _Pinned(parts.hostname, port, address, parts.scheme == "https", limit)
        try:
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request("POST", path, body, dict(headers))
            response = connection.getresponse()
            found = Answer(
                response.status, {name.lower(): value for name, value in response.getheaders()}, response.read(MOST)
            )
        except (OSError, http.client.HTTPException, AttributeError, ValueError) as error:
            if limit.over:
                raise TimeoutError(str(limit)) from None
            if isinstance(error, AttributeError | ValueError):
                raise http.client.HTTPException(f"a broken answer: {type(error).__name__}") from None
            raise
        finally:
            connection.close()
    if limit.over:
        raise TimeoutError(str(limit))
    return found


def resolved(host: str, port: int, allowed: Sequence[Network], *, secure: bool) -> str:
    """One address of a host that may be called, which is then the one to call.

    Raises:
        RefusedTargetError: none of its addresses may be called.
        OSError: the host is not known.
    """
    found = [str(one[4][0]) for one in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    for address in found:
        number = _plain(ipaddress.ip_address(address.partition("%")[0]))
        listed = any(number in network for network in allowed if network.version == number.version)
        if listed or (secure and is_public(number)):
            return address
    wanted = "public" if secure else "allowed: http is for networks that are allowed, others need https"
    raise RefusedTargetError(f"the target's address is not {wanted}")


def is_public(number: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether an address is anybody's to reach: not private, loopback, of a link or site, shared, reserved, of many."""
    number = _plain(number)
    if isinstance(number, ipaddress.IPv6Address) and number.is_site_local:  # given up, and private where it is in use
        return False
    return number.is_global and not number.is_multicast and not number.is_reserved


def _plain(number: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The address that one in another form leads to: mapped, 6to4 (RFC 3056), NAT64 (RFC 6052)."""
    if isinstance(number, ipaddress.IPv6Address):
        if number.ipv4_mapped is not None:
            return number.ipv4_mapped
        if number.sixtofour is not None:
            return number.sixtofour
        if number in ipaddress.IPv6Network("64:ff9b::/96"):
            return ipaddress.IPv4Address(int(number) & 0xFFFFFFFF)
    return number


class _Pinned(http.client.HTTPConnection):
    """A connection to an address that was resolved before; TLS is checked against the name."""

    def __init__(self, host: str, port: int, address: str, secure: bool, deadline: Deadline) -> None:
        super().__init__(host, port, timeout=deadline.seconds)
        self._address, self._secure, self._deadline = address, secure, deadline

    def connect(self) -> None:
        self.sock = socket.create_connection((self._address, self.port), self._deadline.left())
        self._deadline.watch(self.sock)
        if self._secure:
            self.sock = ssl.create_default_context().wrap_socket(self.sock, server_hostname=self.host)
            self._deadline.watch(self.sock)
