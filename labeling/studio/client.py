"""The way to a Label Studio server: address and key from the environment, errors that a person can act on.

The SDK takes a second to load, so it is loaded where it is used.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from models.errors import ConfigError, FeedbackError

if TYPE_CHECKING:
    import httpx
    from label_studio_sdk.client import LabelStudio

URL_VARIABLE, KEY_VARIABLE = "LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY"

#: Seconds for one request; ten thousand tasks are taken in or told in a fifth of it.
TIMEOUT = 60.0
#: As ``review`` of a listing of tasks: otherwise, if the project is to evaluate predictions automatically, the server
#: lets the backend predict whatever has no prediction on the page before it answers, whichever fields are asked for.
WITHOUT_PREDICTING = True
#: Characters of what the server said that are repeated.
_REPEATED = 500
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
_KEYS = (
    f"take a key from Account & Settings of Label Studio and set {KEY_VARIABLE}: either a personal access token,"
    " which must not be expired or revoked, or a legacy token, which an administrator must have allowed under"
    " Organization > Access Token Settings"
)
_GUARDS = (
    "Label Studio refuses addresses of its own machine and network; where that is meant, start it with"
    " LABEL_STUDIO_SSRF_PROTECTION_ENABLED=false and LABEL_STUDIO_ML_BLOCK_LOCAL_IP=false"
)


class LabelStudioError(FeedbackError):
    """Label Studio cannot be reached, or refused.

    Args:
        message: what to show.
        status: the HTTP status it answered with; None where there was no answer.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


def connect(url: str | None = None, key: str | None = None) -> "LabelStudio":
    """A client of the server. Nothing is asked of it yet; ask inside :func:`explained`.

    It repeats no request by itself, since a task that is sent twice is there twice, and keeps no connection open
    between requests, so that it need not be closed.

    Args:
        url: address of the server; else that in LABEL_STUDIO_URL.
        key: a personal access token or a legacy token; else that in LABEL_STUDIO_API_KEY.

    Raises:
        ConfigError: there is no address or no key, or it cannot be one.
        LabelStudioError: the key is a token that has expired.
    """
    url = _address(url or os.environ.get(URL_VARIABLE, ""))
    key = (key or os.environ.get(KEY_VARIABLE, "")).strip()
    if not (key and key.isascii() and key.isprintable()) or " " in key:
        raise ConfigError(
            f"{KEY_VARIABLE}: expected a key of Label Studio, got {'something else' if key else 'none'}; {_KEYS}"
        )
    import httpx
    from label_studio_sdk.client import LabelStudio

    client = httpx.Client(
        timeout=TIMEOUT,
        follow_redirects=True,
        limits=httpx.Limits(max_keepalive_connections=0),
        # a proxy does not lead to this machine
        trust_env=urlsplit(url).hostname not in _LOCAL,
    )
    with explained("using the key"):
        return LabelStudio(base_url=url, api_key=key, httpx_client=client, timeout=TIMEOUT, max_retries=0)


def _address(url: str) -> str:
    try:
        parts = urlsplit(url.strip())
        sound = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        sound = False
    if not sound or parts.username or parts.query or parts.fragment:
        shown = "none" if not url.strip() else "something else"
        raise ConfigError(
            f"{URL_VARIABLE}: expected the address of a Label Studio server like http://127.0.0.1:8080, got {shown};"
            f" set {URL_VARIABLE}, or start a server with: make labelstudio"
        )
    # with the slash the SDK finds the place to refresh tokens under a path, too
    return url.strip().rstrip("/") + "/"


@contextmanager
def explained(doing: str) -> Iterator[None]:
    """Make LabelStudioError of whatever the SDK raises in the block.

    Headers and cookies of an answer, which the SDK's own messages hold, are never repeated.

    Args:
        doing: what is tried, as it begins a message: "reading project 7".
    """
    import httpx
    from label_studio_sdk.core.api_error import ApiError
    from label_studio_sdk.core.parse_error import ParsingError

    try:
        yield
    except ApiError as error:
        raise LabelStudioError(f"{doing}: {_refusal(error)}", error.status_code) from None
    except httpx.TimeoutException:
        raise LabelStudioError(
            f"{doing}: Label Studio did not answer within {TIMEOUT:.0f} s; it may have done what was asked all the"
            " same; see whether it is overloaded, then run this again"
        ) from None
    except httpx.TransportError as error:
        raise LabelStudioError(
            f"{doing}: Label Studio cannot be reached ({_reason(error)}); see whether it runs and whether"
            f" {URL_VARIABLE} is its address, or start one with: make labelstudio"
        ) from None
    except httpx.HTTPStatusError as error:  # of a request that the SDK has no method for
        status, body = error.response.status_code, _body(error.response)
        refusal = _refusal(ApiError(status_code=status, body=body))
        raise LabelStudioError(f"{doing}: {refusal}", status) from None
    except (ParsingError, httpx.HTTPError, httpx.InvalidURL, json.JSONDecodeError):
        raise LabelStudioError(f"{doing}: {_STRANGER}") from None


_STRANGER = f"what answered is no Label Studio server, or one of another version; check {URL_VARIABLE}"


def _body(answer: "httpx.Response") -> object:
    try:
        return answer.json()
    except ValueError:
        return answer.text


def _reason(error: Exception) -> str:
    return str(error)[:_REPEATED] or type(error).__name__


def _refusal(error: Any) -> str:
    status, said = error.status_code, _said(error.body)
    if status == 401:
        return f"Label Studio did not accept the key (401{said}); {_KEYS}"
    if status == 403 and "reserved network address" in said:
        return f"Label Studio refused an address (403{said}); {_GUARDS}"
    if status == 403:
        return f"the key's owner may not do that (403{said}); ask for the right, or use the key of somebody who may"
    if status == 404:
        return f"Label Studio does not know that (404{said}); it may have been deleted, or the id is another server's"
    if status is not None and status >= 500:
        return (
            f"Label Studio failed (status {status}{said}); its log says why; it may have done a part of what was asked"
        )
    if status is None or status < 400:
        return _STRANGER
    return f"Label Studio refused it (status {status}{said})"


def _said(body: object) -> str:
    """The server's own words; of a page in HTML nothing."""
    if isinstance(body, dict):
        # where it tells which field was at fault, it says beside that only that something was
        text = "; ".join(_words(body.get("validation_errors") or body.get("detail")))
    else:
        text = body if isinstance(body, str) and "<html" not in body.lower() else ""
    text = " ".join(text.split())
    return f": {text[:_REPEATED]}" if text else ""


def _words(said: object) -> Iterator[str]:
    if isinstance(said, dict):
        for name, part in said.items():
            yield from (words if name == "non_field_errors" else f"{name}: {words}" for words in _words(part))
    elif isinstance(said, list):
        for part in said:
            yield from _words(part)
    elif said is not None:
        yield str(said)
