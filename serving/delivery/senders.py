"""From the channels of a rules file to what sends over them; addresses and keys that are secret come from elsewhere."""

import ipaddress
import logging
import os
from collections.abc import Mapping
from pathlib import Path

from models.errors import ConfigError
from serving.delivery.channels import FileSender, Sender
from serving.delivery.environment import secret, variable
from serving.delivery.outwards import Network
from serving.delivery.webhook import WebhookSender, read_secrets
from serving.routing.rules import DEFAULT_CHANNEL, Channel, RulesFile

log = logging.getLogger(__name__)

#: Where the default channel writes, a file a team.
DEFAULT_FOLDER = Path("artifacts/outbox")
#: Networks that may be reached although they are not public, e.g. 10.1.0.0/16,127.0.0.1.
ALLOWED = "FEEDBACK_ALLOWED_TARGETS"
#: The mail server, smtp://user:password@host:587 or smtps://host:465, and who its messages come from.
SMTP_URL, MAIL_FROM = "FEEDBACK_SMTP_URL", "FEEDBACK_MAIL_FROM"


def senders(rules: RulesFile, environment: Mapping[str, str] = os.environ) -> dict[str, Sender]:
    """A sender for each channel of the rules, and for the default one.

    What is secret stands in the environment, or in files that variables with `_FILE` behind their name tell: of a
    channel FEEDBACK_CHANNEL_NAME_URL and FEEDBACK_CHANNEL_NAME_SECRET, of the mail server FEEDBACK_SMTP_URL. A channel
    that is not set up is named in the log; its messages wait in the outbox.
    """
    found: dict[str, Sender] = {DEFAULT_CHANNEL: FileSender(str(DEFAULT_FOLDER / "{team}.jsonl"))}
    for name, channel in rules.channels.items():
        try:
            found[name] = _sender(name, channel, rules, environment)
        except ConfigError as error:
            log.error("channel %s waits: %s", name, error)
    return found


def lacking(name: str, rules: RulesFile, environment: Mapping[str, str] = os.environ) -> tuple[str, str] | None:
    """What a channel lacks, so that nothing is sent over it, in short, and what helps; None: nothing."""
    if name not in rules.channels:
        if name == DEFAULT_CHANNEL:
            return None
        return "not in the rules", (
            "write it into the rules again, or give its messages to the channels that their teams have now: "
            f"feedback deliver redrive --channel {name} --anew"
        )
    try:
        _sender(name, rules.channels[name], rules, environment)
    except ConfigError as error:
        return "not set up here", str(error)
    return None


def allowed_networks(text: str) -> list[Network]:
    """Networks from a list with commas; ConfigError names what is none."""
    found: list[Network] = []
    for one in text.replace(",", " ").split():
        try:
            found.append(ipaddress.ip_network(one))
        except ValueError:
            raise ConfigError(f"{ALLOWED}: expected networks like 10.1.0.0/16, got {one!r}") from None
    return found


def _sender(name: str, channel: Channel, rules: RulesFile, environment: Mapping[str, str]) -> Sender:
    if channel.kind == "file":
        return FileSender(channel.to or str(DEFAULT_FOLDER / f"{name}.jsonl"))
    if channel.kind == "email":
        return _mail(channel, rules, environment)
    allowed = allowed_networks(environment.get(ALLOWED, ""))
    address = variable(name, "URL")
    if channel.kind == "webhook":
        url = secret(environment, address) or channel.to
        if not url:
            raise ConfigError(f"expected its address in {address} or in `to`, got none")
        return WebhookSender(url, read_secrets(secret(environment, variable(name, "SECRET"))), allowed)
    # `to` is seen by all who see the rules, and these addresses hold keys
    url = secret(environment, address)
    if channel.to or not url:
        raise ConfigError(f"expected its address in {address} or {address}_FILE, and no `to`")
    from serving.delivery.chat import AppriseSender  # takes a moment to import, and few need it

    return AppriseSender(url, allowed)


def _mail(channel: Channel, rules: RulesFile, environment: Mapping[str, str]) -> Sender:
    from serving.delivery.mail import MailSender
    from serving.delivery.smtp import read_server

    url, sender = secret(environment, SMTP_URL), environment.get(MAIL_FROM, "")
    if not url or not sender:
        raise ConfigError(f"expected the mail server in {SMTP_URL} and a sender in {MAIL_FROM}")
    try:
        server = read_server(url)
    except ConfigError as error:
        raise ConfigError(f"{SMTP_URL}: {error}") from None
    return MailSender(server, sender, channel.to, {team: one.contact for team, one in rules.teams.items()})
