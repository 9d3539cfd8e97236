"""Signed links to the page of an item, for people who have no login: they open one item to one team, for a while."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from itsdangerous import BadSignature, SignatureExpired, URLSafeTimedSerializer

from models.errors import ConfigError
from serving.settings import Settings

#: Fewer characters could be guessed.
SHORTEST_SECRET = 32
_SALT = "feedback-item"
_DAY = 24 * 3600


class LinkError(Exception):
    """A link that opens nothing; the message is meant for who followed it."""


class Opened(NamedTuple):
    """What a link opens: an item, to a team."""

    item: str
    team: str


class Links:
    """Makes links, and reads them.

    Args:
        base: where people reach the service, e.g. https://feedback.example.com.
        secrets: the last one signs; those before it are still accepted while secrets are changed.
        days: for how long a link opens.

    Raises:
        ConfigError: the address is none, or a secret is short.
    """

    def __init__(self, base: str, secrets: Sequence[str], days: float = 14) -> None:
        if not base.startswith(("https://", "http://")):
            raise ConfigError(
                f"FEEDBACK_PUBLIC_URL: expected an address like https://feedback.example.com, got {base!r}"
            )
        if not secrets or min(map(len, secrets)) < SHORTEST_SECRET:
            raise ConfigError(
                f"FEEDBACK_LINK_SECRET: expected at least {SHORTEST_SECRET} characters without blanks, e.g. from "
                "`openssl rand -hex 32`"
            )
        self._base, self._days = base.rstrip("/"), days
        signing = {"digest_method": hashlib.sha256, "key_derivation": "hmac"}
        self._serializer = URLSafeTimedSerializer(list(secrets), salt=_SALT, signer_kwargs=signing)

    def to(self, item: str, team: str) -> str:
        """The address of the page."""
        return f"{self._base}/act/{self._serializer.dumps([item, team])}"

    def read(self, token: str) -> Opened:
        """What the last part of a link opens.

        Raises:
            LinkError: it was not made here, or is too old.
        """
        try:
            item, team = self._serializer.loads(token, max_age=int(self._days * _DAY))
        except SignatureExpired:
            raise LinkError(f"This link is older than {self._days:g} days. A newer message has a newer one.") from None
        except (BadSignature, ValueError, TypeError):
            raise LinkError("This link is not complete: copy all of it from the message.") from None
        return Opened(str(item), str(team))


def links_of(settings: Settings) -> Links | None:
    """The links that the settings allow; None where the service has no public address.

    Raises:
        ConfigError: address or secret are unfit, or one of them is missing.
    """
    secrets = settings.link_secrets()
    if settings.public_url is None and not secrets:
        return None
    if settings.public_url is None:
        raise ConfigError("FEEDBACK_LINK_SECRET is given, but not FEEDBACK_PUBLIC_URL, the address it is for")
    return Links(settings.public_url, secrets, settings.link_days)
