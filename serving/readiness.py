"""What /readyz says beside yes or no: which model and rules serve, and whether changed rules were refused."""

import json
from collections.abc import MutableMapping
from typing import Any

from serving.gate import App, Message, Receive, Send
from serving.routing.watch import LiveRules


class Readiness:
    """What is known of the worker's state; filled when it has started."""

    def __init__(self) -> None:
        self.model: str | None = None
        self.rules: LiveRules | None = None

    def detail(self, ready: bool) -> dict[str, object]:
        """The answer for people and machines. Refused rules do not make a service unready: the old ones serve."""
        found: dict[str, object] = {"ready": ready, "model": self.model}
        if self.rules is not None:
            refusal = self.rules.refusal
            found["rules"] = {
                "version": self.rules.current.digest,
                "since": self.rules.taken_at.isoformat(timespec="seconds"),
                "refused": refusal and {"at": refusal.at.isoformat(timespec="seconds"), "reason": refusal.reason},
            }
        return found


class ReadinessDetail:
    """ASGI middleware that puts the detail into the answer of GET /readyz; its status stays."""

    def __init__(self, app: App, *, state: Readiness) -> None:
        self._app, self._state = app, state

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Pass everything on; only the body of an answer of /readyz is another."""
        if scope["type"] != "http" or scope["path"] != "/readyz":
            await self._app(scope, receive, send)
            return

        async def detailed(message: Message) -> None:
            if message["type"] == "http.response.start":
                body = json.dumps(self._state.detail(message["status"] == 200)).encode()
                headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
                await send({**message, "headers": headers})
                await send({"type": "http.response.body", "body": body})

        await self._app(scope, receive, detailed)
