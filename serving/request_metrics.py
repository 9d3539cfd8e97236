"""Requests by endpoint and status, at /metrics, in place of BentoML's own figures.

Those name every path as it was asked for: links that act for a person would stand there with their tokens, and every id
of an item would be kept in memory for ever.
"""

import asyncio
import os
import time
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import psutil

from serving.gate import App, Message, Receive, Send, send_answer

PATH = "/metrics"
#: What is told apart; all that lies below one of these counts as that.
_ENDPOINTS = ("classify", "feedback", "groups", "act", "labelstudio", "docs.json")
#: What is asked all day long by machines that watch.
_PASSED_OVER = {"/livez", "/readyz", "/healthz"}
_BUCKETS = (0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10)


class RequestMetrics:
    """ASGI middleware that counts and times requests, and answers GET /metrics with the figures of all workers."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._figures: _Figures | None = None

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Pass on and count, or answer."""
        if scope["type"] != "http" or scope["path"] in _PASSED_OVER:
            await self._app(scope, receive, send)
            return
        if self._figures is None:
            # not before: the place where workers put their figures is known when BentoML has started
            self._figures = _Figures()
        if scope["path"] == PATH:
            body = await asyncio.get_running_loop().run_in_executor(None, as_text)
            await send_answer(send, 200, body, content_type=self._figures.content_type.encode())
            return
        await self._counted(self._figures, scope, receive, send)

    async def _counted(
        self, figures: "_Figures", scope: MutableMapping[str, Any], receive: Receive, send: Send
    ) -> None:
        start, endpoint, status = time.perf_counter(), endpoint_of(scope["path"]), 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            figures.total.labels(endpoint, status).inc()
            figures.seconds.labels(endpoint).observe(time.perf_counter() - start)


class _Figures:
    def __init__(self) -> None:
        import prometheus_client

        self.content_type = prometheus_client.CONTENT_TYPE_LATEST
        self.total = prometheus_client.Counter("feedback_requests", "Requests answered", ["endpoint", "status"])
        self.seconds = prometheus_client.Histogram(
            "feedback_request_seconds", "Seconds from a request to its answer", ["endpoint"], buckets=_BUCKETS
        )


def as_text() -> bytes:
    """What all workers have counted, in the format of Prometheus."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.multiprocess import MultiProcessCollector

    _forget_the_dead()
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    return generate_latest(registry)


def _forget_the_dead() -> None:
    """Remove what killed workers said of their state: it would be told for ever. What they counted stays."""
    for path in Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]).glob("gauge_live*.db"):
        if not psutil.pid_exists(int(path.stem.rpartition("_")[2])):
            path.unlink(missing_ok=True)  # another worker may have been first


def endpoint_of(path: str) -> str:
    """The endpoint that a path belongs to, without ids and tokens; `other` for what there is not."""
    first = path.strip("/").partition("/")[0]
    return f"/{first}" if first in _ENDPOINTS else "other"
