"""From the channels of a rules file to what sends over them; addresses and keys that are secret come from elsewhere."""

import ipaddress
import logging
import os
from collections.abc import Mapping
from pathlib import Path

from models.errors import ConfigError
from serving.delivery.channels import FileSender, Sender
from serving.delivery.outwards import Network
from serving.delivery.webhook import WebhookSender, read_secrets
from serving.routing.rules import DEFAULT_CHANNEL, Channel

log = logging.getLogger(__name__)

#: Where the default channel writes, a file a team.
DEFAULT_FOLDER = Path("artifacts/outbox")
#: Networks that may be reached although they are not public, e.g. 10.1.0.0/16,127.0.0.1.
ALLOWED = "FEEDBACK_ALLOWED_TARGETS"


def senders(channels: Mapping[str, Channel], environment: Mapping[str, str] = os.environ) -> dict[str, Sender]:
    """A sender for each channel that this program can send over, and for the default one.

    A webhook's address is `to`, or FEEDBACK_CHANNEL_NAME_URL; its keys are FEEDBACK_CHANNEL_NAME_SECRET. A channel that
    is not set up is named in the log; its messages wait in the outbox.
    """
    found: dict[str, Sender] = {DEFAULT_CHANNEL: FileSender(str(DEFAULT_FOLDER / "{team}.jsonl"))}
    for name, channel in channels.items():
        try:
            sender = _sender(name, channel, environment)
        except ConfigError as error:
            log.error("channel %s waits: %s", name, error)
            continue
        if sender is not None:
            found[name] = sender
    return found


def variable(name: str, what: str) -> str:
    """The environment variable that holds something of a channel."""
    return f"FEEDBACK_CHANNEL_{name.upper().replace('-', '_')}_{what}"


def allowed_networks(text: str) -> list[Network]:
    """Networks from a list with commas; ConfigError names what is none."""
    found: list[Network] = []
    for one in text.replace(",", " ").split():
        try:
            found.append(ipaddress.ip_network(one))
        except ValueError:
            raise ConfigError(f"{ALLOWED}: expected networks like 10.1.0.0/16, got {one!r}") from None
    return found


def _sender(name: str, channel: Channel, environment: Mapping[str, str]) -> Sender | None:
    if channel.kind == "file":
        return FileSender(channel.to or str(DEFAULT_FOLDER / f"{name}.jsonl"))
    if channel.kind == "webhook":
        url = environment.get(variable(name, "URL")) or channel.to
        if not url:
            raise ConfigError(f"expected its address in {variable(name, 'URL')} or in `to`, got none")
        secrets = read_secrets(environment.get(variable(name, "SECRET"), ""))
        return WebhookSender(url, secrets, allowed_networks(environment.get(ALLOWED, "")))
    return None
