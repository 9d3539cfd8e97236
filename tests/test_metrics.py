"""What /metrics tells of a real service, and what it never tells."""

import http.client
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr
from support import ROOT, free_port

from models.progress import Silent
from serving.request_metrics import endpoint_of
from serving.server import base_url, running
from serving.settings import Settings


def asked(url: str, path: str, body: object = None) -> tuple[int, str]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    if body is None:
        connection.request("GET", path)
    else:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def figure(url: str, name: str) -> float:
    """Zero for what never happened: that is not told."""
    found = re.search(rf"^{re.escape(name)} (\S+)", asked(url, "/metrics")[1], re.MULTILINE)
    return float(found[1]) if found else 0


def test_no_token_id_or_unknown_path_is_told(service_url: str) -> None:
    paths = ["/act/a-token-of-a-link", "/feedback/an-id-of-an-item", "/groups/an-id-of-a-group", "/never-heard-of"]
    before = figure(service_url, 'feedback_requests_total{endpoint="other",status="404"}')
    for path in paths:
        assert asked(service_url, path)[0] in {403, 404}
    status, told = asked(service_url, "/metrics")
    assert status == 200
    assert not [path for path in paths if path.rpartition("/")[2] in told]
    assert figure(service_url, 'feedback_requests_total{endpoint="other",status="404"}') - before == 1
    assert 'feedback_request_seconds_count{endpoint="/feedback"}' in told


def test_requests_are_counted_by_endpoint_and_status(service_url: str) -> None:
    names = [f'feedback_requests_total{{endpoint="/classify",status="{status}"}}' for status in (200, 422)]
    before = [figure(service_url, name) for name in names]
    assert asked(service_url, "/classify", {"items": [{"text": "late"}]})[0] == 200
    assert asked(service_url, "/classify", {"items": "late"})[0] == 422
    assert [figure(service_url, name) for name in names] == [count + 1 for count in before]


def test_a_text_that_comes_again_gets_the_same_answer_and_is_counted(service_url: str) -> None:
    before = figure(service_url, "feedback_recent_items_total")
    items = {"items": [{"text": "this text has come three times", "id": str(number)} for number in range(2)]}
    first, second = (json.loads(asked(service_url, "/classify", items)[1]) for _ in range(2))
    assert [result["prediction"] for result in first] == [result["prediction"] for result in second]
    assert figure(service_url, "feedback_recent_items_total") - before == 3


def test_a_worker_that_was_killed_has_nothing_waiting_any_more(tmp_path: Path) -> None:
    killed = "import os; from serving.batching.metrics import BatchMetrics as Told; Told().computed(1, [0.1], %d); %s"
    ends, lives = "os.kill(os.getpid(), 9)", "from serving.request_metrics import as_text; print(as_text())"

    def told(script: str) -> str:
        environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
        return subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True).stdout

    assert told(killed % (7, ends)) == ""
    figures = told(killed % (2, lives))
    assert "feedback_queue_items 2.0" in figures
    assert "feedback_batch_items_count 2.0" in figures


def test_a_second_service_leaves_the_figures_of_the_first_alone(
    service_url: str, linear_folder: Path, tmp_path: Path
) -> None:
    assert asked(service_url, "/classify", {"items": [{"text": "late"}]})[0] == 200
    name = 'feedback_requests_total{endpoint="/classify",status="200"}'
    before = figure(service_url, name)
    store = SecretStr(f"sqlite:///{tmp_path / 'feedback.db'}")
    port = free_port()
    with running(Settings(model=linear_folder, store=store, threads=1), "127.0.0.1", port, Silent()):
        assert figure(base_url("127.0.0.1", port), name) == 0
        assert asked(service_url, "/classify", {"items": [{"text": "late"}]})[0] == 200
    assert figure(service_url, name) == before + 1


@pytest.mark.parametrize(
    ("path", "endpoint"),
    [
        ("/classify", "/classify"),
        ("/feedback/1/sent", "/feedback"),
        ("/act/x.y", "/act"),
        ("/", "other"),
        ("/act-x", "other"),
        ("//act/x", "/act"),
    ],
)
def test_an_endpoint_has_no_part_that_is_a_callers(path: str, endpoint: str) -> None:
    assert endpoint_of(path) == endpoint
