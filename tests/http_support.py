"""Services of the web on this machine: what they are sent is remembered, what they answer is told beforehand."""

import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from message_support import certificate

#: Names that a certificate of ours is for, in the place of the real services.
SERVICES = (
    "hooks.slack.com",
    "discord.com",
    "api.telegram.org",
    "events.pagerduty.com",
    "chat.googleapis.com",
    "acme.zulipchat.com",
    "api.opsgenie.com",
)


class Request(NamedTuple):
    host: str
    path: str
    headers: dict[str, str]
    body: str


class Web(socketserver.ThreadingTCPServer):
    """Answers requests over http, and those over https for which it is the proxy."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        self.bundle, key = certificate(folder, "IP:127.0.0.1", *(f"DNS:{name}" for name in SERVICES))
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.bundle, key)
        self.got: list[Request] = []
        self.answer: Callable[[socketserver.StreamRequestHandler], None] = say("200 OK")
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def port(self) -> int:
        return self.server_address[1]


def say(status: str, *headers: str, body: bytes = b'{"ok": true, "id": "1"}') -> Callable:
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]).encode()
    return lambda handler: handler.wfile.write(head + body)


class _Handler(socketserver.StreamRequestHandler):
    server: Web

    def handle(self) -> None:
        try:
            self._answer(self.rfile, "")
        except OSError:  # the caller had enough
            return

    def _answer(self, stream, host: str) -> None:
        method, path, _ = stream.readline().decode().split(" ", 2)
        headers = {}
        while (line := stream.readline().decode().strip()) != "":
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        if method == "CONNECT":
            self.wfile.write(b"HTTP/1.1 200 Connected\r\n\r\n")
            inner = self.server.context.wrap_socket(self.connection, server_side=True)
            with inner, inner.makefile("rb") as stream, inner.makefile("wb", buffering=0) as self.wfile:
                self._answer(stream, path.rpartition(":")[0])
            return
        body = stream.read(int(headers.get("content-length", 0))).decode()
        self.server.got.append(Request(host or headers["host"], path, headers, body))
        self.server.answer(self)


@contextmanager
def serving(folder: Path) -> Iterator[Web]:
    with Web(folder) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
