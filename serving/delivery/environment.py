"""Addresses and keys of channels: from the environment, or from files that it names."""

from collections.abc import Mapping
from pathlib import Path

from models.errors import ConfigError


def variable(name: str, what: str) -> str:
    """The environment variable that holds something of a channel."""
    return f"FEEDBACK_CHANNEL_{name.upper().replace('-', '_')}_{what}"


def secret(environment: Mapping[str, str], name: str) -> str:
    """What ``name`` holds, or the file that ``NAME_FILE`` names, without blanks around it; empty without either.

    Raises:
        ConfigError: both are given, or the file cannot be read; what it holds is not shown.
    """
    value, path = environment.get(name, "").strip(), environment.get(f"{name}_FILE", "").strip()
    if value and path:
        raise ConfigError(f"expected {name} or {name}_FILE, got both; remove one")
    if not path:
        return value
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"{name}_FILE: cannot read {path}: {reason}") from None
