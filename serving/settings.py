"""Settings of the service, from the environment: FEEDBACK_MODEL, FEEDBACK_RULES, FEEDBACK_THREADS."""

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

#: Where the model in service lies unless FEEDBACK_MODEL or --model says otherwise.
CURRENT_MODEL = Path("artifacts/current")

#: Most items of one request.
MAX_ITEMS = 256
#: Largest body of a request, in bytes: 256 long items, or some of the longest texts.
MAX_BODY = 4_000_000


class Settings(BaseSettings):
    """What a worker of the service reads at its start."""

    model_config = SettingsConfigDict(env_prefix="FEEDBACK_", frozen=True)

    model: Path = CURRENT_MODEL
    rules: Path | None = None
    threads: Annotated[int, Field(ge=1)] | None = None
