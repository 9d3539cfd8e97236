"""What /readyz says: no while the store cannot be used; and which model and rules serve, and if changed ones were
refused."""

import asyncio
import json
from collections.abc import MutableMapping
from typing import Any

from serving.gate import App, Message, Receive, Send
from serving.routing.watch import LiveRules
from serving.store.health import Failure, Health


class Readiness:
    """What is known of the worker's state; filled when it has started."""

    def __init__(self) -> None:
        self.model: str | None = None
        self.rules: LiveRules | None = None
        self.store: Health | None = None

    def detail(self, ready: bool, failure: Failure | None = None) -> dict[str, object]:
        """The answer for people and machines. Refused rules do not make a service unready: the old ones serve."""
        found: dict[str, object] = {"ready": ready, "model": self.model}
        if self.rules is not None:
            refusal = self.rules.refusal
            found["rules"] = {
                "version": self.rules.current.digest,
                "since": self.rules.taken_at.isoformat(timespec="seconds"),
                "refused": refusal and {"at": refusal.at.isoformat(timespec="seconds"), "reason": refusal.reason},
            }
        if failure is not None:
            found["store"] = {"since": failure.since.isoformat(timespec="seconds"), "reason": failure.reason}
        return found


class ReadinessDetail:
    """ASGI middleware that puts the detail into the answer of GET /readyz; 503 while the store cannot be used."""

    def __init__(self, app: App, *, state: Readiness) -> None:
        self._app, self._state = app, state

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Pass everything on; only the answer of /readyz is another."""
        if scope["type"] != "http" or scope["path"] != "/readyz":
            await self._app(scope, receive, send)
            return
        store = self._state.store
        failure = None if store is None else await asyncio.get_running_loop().run_in_executor(None, store.failure)

        async def detailed(message: Message) -> None:
            if message["type"] == "http.response.start":
                status = message["status"] if failure is None else 503
                body = json.dumps(self._state.detail(status == 200, failure)).encode()
                headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
                await send({**message, "status": status, "headers": headers})
                await send({"type": "http.response.body", "body": body})

        await self._app(scope, receive, detailed)
