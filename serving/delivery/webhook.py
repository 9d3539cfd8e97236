"""Signed webhooks, as Standard Webhooks lays them out: https://www.standardwebhooks.com."""

import base64
import binascii
import email.utils
import hashlib
import hmac
import http.client
import json
import time
from collections.abc import Callable, Sequence

from models.errors import ConfigError
from serving.delivery.channels import Outcome
from serving.delivery.message import Message
from serving.delivery.outwards import Network, RefusedTargetError, post

#: Longest wait that a receiver may ask for, in seconds.
_LONGEST_WAIT = 24 * 3600.0


class WebhookSender:
    """Posts each message, signed.

    Args:
        url: where to; it may hold a secret and is never shown.
        secrets: keys, each `whsec_` and base64; while keys are changed there are two, and a message has a signature
            for each.
        allowed: networks that may be reached although they are not public.
        now: seconds since 1970.
    """

    def __init__(
        self, url: str, secrets: Sequence[bytes], allowed: Sequence[Network] = (), now: Callable[[], float] = time.time
    ) -> None:
        self._url, self._secrets, self._allowed, self._now = url, secrets, allowed, now

    def send(self, message: Message) -> Outcome:
        """One attempt: 2xx is delivered, 410 and other 4xx are refusals, all else is tried again."""
        body = json.dumps(message.as_dict(), ensure_ascii=False).encode()
        moment = str(int(self._now()))
        headers = {
            "content-type": "application/json",
            "user-agent": "feedback-classifier",
            "webhook-id": message.delivery_id,
            "webhook-timestamp": moment,
            "webhook-signature": " ".join(
                signature(secret, message.delivery_id, moment, body) for secret in self._secrets
            ),
        }
        try:
            answer = post(self._url, body, headers, self._allowed)
        except RefusedTargetError as error:
            return Outcome(False, final=True, error=str(error))
        except TimeoutError as error:
            return Outcome(False, error=str(error) or "timed out")
        except (OSError, http.client.HTTPException) as error:
            # the kind alone: a message of the system may hold the address
            return Outcome(False, error=f"cannot be reached: {type(error).__name__}")
        if 200 <= answer.status < 300:
            return Outcome(True, status=answer.status)
        return Outcome(
            False,
            final=400 <= answer.status < 500 and answer.status not in (408, 425, 429),
            error="redirects are not followed" if 300 <= answer.status < 400 else f"answered {answer.status}",
            status=answer.status,
            retry_after=_seconds(answer.headers.get("retry-after"), self._now()),
        )


def signature(secret: bytes, identity: str, moment: str, body: bytes) -> str:
    """HMAC-SHA256 over id, time and body: `v1,` and base64."""
    digest = hmac.new(secret, f"{identity}.{moment}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def read_secrets(text: str) -> list[bytes]:
    """Keys from `whsec_…`, several with blanks between.

    Raises:
        ConfigError: there is none, or one is none; it is not shown.
    """
    found = []
    for one in text.split():
        try:
            key = base64.b64decode(one.removeprefix("whsec_"), validate=True)
        except binascii.Error:
            key = b""
        if not one.startswith("whsec_") or not 24 <= len(key) <= 64:
            raise ConfigError("a webhook secret: expected whsec_ and base64 of 24 to 64 bytes")
        found.append(key)
    if not found:
        raise ConfigError("a webhook secret: expected whsec_ and base64 of 24 to 64 bytes, got none")
    return found


def _seconds(wish: str | None, now: float) -> float | None:
    """How long a receiver asks to wait, by `Retry-After`: seconds, or a date."""
    if wish is None:
        return None
    try:
        seconds = float(wish)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(wish).timestamp() - now
        except ValueError:
            return None
    return min(max(seconds, 0.0), _LONGEST_WAIT) if seconds == seconds else None
