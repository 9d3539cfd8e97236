"""Spans of requests, as BentoML hands them to an exporter: none tells what opens an item or was looked for."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT

CONFIG = "services: {tracing: {exporter_type: in_memory, sample_rate: 1.0}}"
#: Asks the service for the paths that it is given, and prints what the spans say of them.
ASK = """
import asyncio, json, sys
import httpx
from bentoml._internal.configuration.containers import BentoMLContainer
from serving.service import FeedbackService

async def ask(app):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as client:
        for path in sys.argv[1:]:
            await client.get(path)

asyncio.run(ask(FeedbackService.to_asgi()))
provider = BentoMLContainer.tracer_provider.get()
provider.force_flush()
(processor,) = provider._active_span_processor._span_processors
print(json.dumps([dict(span.attributes) for span in processor.span_exporter.get_finished_spans()]))
"""
CANARY = "zebrafinch"
PRIVATE = (
    f"/act/{CANARY}",
    f"/act/{CANARY}/",
    f"/Act/{CANARY}",
    f"/act/{CANARY}/classify",
    f"/act/{CANARY}%0A/classify",
    f"/feedback?text={CANARY}",
    f"/feedback/{CANARY}",
    f"/groups/{CANARY}",
    f"/nothing?text={CANARY}",
)


@pytest.mark.parametrize(
    ("tracing", "traced"), [("true", {"http://here/classify", "http://here/labelstudio/health"}), ("false", set())]
)
def test_no_span_tells_what_opens_an_item_or_was_looked_for(tracing: str, traced: set[str], tmp_path: Path) -> None:
    (tmp_path / "bentoml.yml").write_text(CONFIG)
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "BENTOML_CONFIG": str(tmp_path / "bentoml.yml"),
        "BENTOML_HOME": str(tmp_path / "home"),
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path),
        "FEEDBACK_TRACING": tracing,
    }
    command = [sys.executable, "-W", "ignore", "-c", ASK, "/classify", "/labelstudio/health", *PRIVATE]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    spans = json.loads(done.stdout.splitlines()[-1])
    assert CANARY not in done.stdout
    assert {span["http.url"] for span in spans if "http.url" in span} == traced
