"""Exports that Label Studio spoils, since another one of the same content is written at the same time."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from labeling.pull.annotations import Annotations
from labeling.studio.client import LabelStudioError, connect

TASKS = [{"id": 1, "annotations": []}]


class Spoiling(HTTPServer):
    """Answers exports with these, one by one, the last for ever."""

    def __init__(self, answers: list[tuple[int, bytes]]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers, self.asked = answers, 0


class _Handler(BaseHTTPRequestHandler):
    server: Spoiling

    def do_GET(self) -> None:
        status, body = self.server.answers[min(self.server.asked, len(self.server.answers) - 1)]
        self.server.asked += 1
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def spoiling(request: pytest.FixtureRequest) -> Iterator[Spoiling]:
    server = Spoiling(request.param)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def exported(server: Spoiling) -> list[object]:
    client = connect(f"http://127.0.0.1:{server.server_port}", "a" * 40)
    return list(Annotations(client, 7).tasks(None, lambda count: None))


WHOLE = json.dumps(TASKS).encode()


@pytest.mark.parametrize("spoiling", [[(200, b""), (200, WHOLE[:9]), (500, b"{}"), (200, WHOLE)]], indirect=True)
def test_a_spoilt_export_is_asked_for_again(spoiling: Spoiling) -> None:
    assert exported(spoiling) == TASKS
    assert spoiling.asked == 4


@pytest.mark.parametrize(
    ("spoiling", "asked", "message"),
    [
        ([(200, b"<html>")], 4, "no Label Studio server"),
        ([(502, b"{}")], 4, "status 502"),
        ([(404, b"{}"), (200, WHOLE)], 1, "404"),
    ],
    indirect=["spoiling"],
)
def test_what_is_no_export_is_not_asked_for_for_ever(spoiling: Spoiling, asked: int, message: str) -> None:
    with pytest.raises(LabelStudioError, match=message):
        exported(spoiling)
    assert spoiling.asked == asked
