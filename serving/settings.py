"""Settings of the service, from the environment: FEEDBACK_MODEL, FEEDBACK_RULES, FEEDBACK_STORE and others."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from models.errors import ConfigError
from models.validation import describe
from serving.batching.limits import Limits
from serving.places import CURRENT_MODEL

#: The database of items unless FEEDBACK_STORE or --store says otherwise.
DEFAULT_STORE = "sqlite:///artifacts/feedback.db"

#: Most items of one request.
MAX_ITEMS = 256
#: Largest body of a request, in bytes, and most characters of its texts together: half a second to
#: two seconds of work, so that no request takes the service away from the others.
MAX_BODY = 2_000_000
MAX_CHARACTERS = 400_000
#: Seconds until a request is given up, and how many of a worker may be under way before the next is refused by BentoML;
#: the queue of what is to be computed refuses before.
TIMEOUT = 10
MAX_UNDER_WAY = 2048
#: Fewest characters of a secret.
MIN_SECRET = 16


class Settings(BaseSettings):
    """What a worker of the service reads at its start."""

    model_config = SettingsConfigDict(env_prefix="FEEDBACK_", frozen=True)

    model: Path = CURRENT_MODEL
    rules: Path | None = None
    # it may hold a password
    store: SecretStr = SecretStr(DEFAULT_STORE)
    # processes that answer, and compute threads of each
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    threads: Annotated[int, Field(ge=1)] | None = None
    # what runs the encoder; models.runtimes.choice reads it from the environment
    runtime: str | None = None
    # where people reach this service, for links in messages, and what these are signed with
    public_url: str | None = None
    link_secret: SecretStr = SecretStr("")
    link_secret_file: Path | None = None
    link_days: Annotated[float, Field(gt=0, le=366)] = 14
    # whether BentoML makes spans of requests; it needs an exporter in BENTOML_CONFIG
    tracing: bool = False
    # what is computed together, and what may wait; see serving.batching.limits
    batch_items: Annotated[int, Field(ge=1, le=MAX_ITEMS)] = Limits().items
    batch_characters: Annotated[int, Field(ge=1)] = Limits().characters
    batch_linger: Annotated[float, Field(ge=0, le=1)] = Limits().linger
    queue_wait: Annotated[float, Field(gt=0, le=TIMEOUT)] = Limits().wait
    queue_items: Annotated[int, Field(ge=MAX_ITEMS)] = Limits().waiting
    queue_always: Annotated[int, Field(ge=0)] = Limits().always
    # answers of each worker to texts that came lately, about 2 kB each, so that what comes again is not computed
    recent: Annotated[int, Field(ge=0)] = 5_000
    # seconds after which another worker takes what this one took; shorter than an attempt means that much is sent twice
    lease: Annotated[float, Field(ge=1)] = 60
    # what Label Studio proves itself with, and where what is known of its projects lies; without a secret it is refused
    labelstudio_secret: SecretStr = SecretStr("")
    labelstudio_folder: Path = Path("artifacts/labeling")

    @property
    def batching(self) -> Limits:
        """Bounds of a batch and of what may wait."""
        return Limits(
            items=self.batch_items,
            characters=self.batch_characters,
            linger=self.batch_linger,
            wait=self.queue_wait,
            waiting=self.queue_items,
            always=self.queue_always,
        )

    @property
    def address(self) -> str:
        """Where the store is; not to be shown."""
        return self.store.get_secret_value()

    def link_secrets(self) -> list[str]:
        """What links are signed with, the present one last; not to be shown. ConfigError if the file cannot be read."""
        text = self.link_secret.get_secret_value()
        if self.link_secret_file is not None:
            try:
                text = self.link_secret_file.read_text(encoding="utf-8")
            except OSError as error:
                raise ConfigError(
                    f"FEEDBACK_LINK_SECRET_FILE: cannot read {self.link_secret_file}: {error.strerror}"
                ) from None
        return text.split()


def load_settings(**given: Any) -> Settings:
    """Settings from the environment, with those ``given`` before them, None excepted; ConfigError if faulty."""
    try:
        settings = Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        faults = [f"FEEDBACK_{fault.upper()}" for fault in describe(error)]
        raise ConfigError(f"settings of the service: {'; '.join(faults)}") from None
    # not in the field: what is wrong with a field is told with what it is
    length = len(settings.labelstudio_secret.get_secret_value())
    if 0 < length < MIN_SECRET:
        raise ConfigError(f"FEEDBACK_LABELSTUDIO_SECRET: expected at least {MIN_SECRET} characters, got {length}")
    return settings
