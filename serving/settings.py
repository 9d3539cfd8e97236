"""Settings of the service, from the environment: FEEDBACK_MODEL, FEEDBACK_RULES and the like."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from models.errors import ConfigError
from models.validation import describe

#: Where the model in service lies unless FEEDBACK_MODEL or --model says otherwise.
CURRENT_MODEL = Path("artifacts/current")
#: The database of items unless FEEDBACK_STORE or --store says otherwise.
DEFAULT_STORE = "sqlite:///artifacts/feedback.db"

#: Most items of one request.
MAX_ITEMS = 256
#: Largest body of a request, in bytes, and most characters of its texts together: half a second to
#: two seconds of work, so that no request takes the service away from the others.
MAX_BODY = 2_000_000
MAX_CHARACTERS = 400_000
#: Seconds until a request is given up, and how many may be under way before the next gets a 429.
TIMEOUT = 10
MAX_WAITING = 32


class Settings(BaseSettings):
    """What a worker of the service reads at its start."""

    model_config = SettingsConfigDict(env_prefix="FEEDBACK_", frozen=True)

    model: Path = CURRENT_MODEL
    rules: Path | None = None
    # it may hold a password
    store: SecretStr = SecretStr(DEFAULT_STORE)
    threads: Annotated[int, Field(ge=1)] | None = None
    # seconds after which another worker takes what this one took; shorter than an attempt means that much is sent twice
    lease: Annotated[float, Field(ge=1)] = 60

    @property
    def address(self) -> str:
        """Where the store is; not to be shown."""
        return self.store.get_secret_value()


def load_settings(**given: Any) -> Settings:
    """Settings from the environment, with those ``given`` before them, None excepted; ConfigError if faulty."""
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        faults = [f"FEEDBACK_{fault.upper()}" for fault in describe(error)]
        raise ConfigError(f"settings of the service: {'; '.join(faults)}") from None
