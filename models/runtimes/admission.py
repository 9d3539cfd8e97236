"""Which runtimes a model may be run by, as its training found out; kept beside the encoder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.errors import ArtifactError
from models.files import write_json
from models.runtimes.runtime import REFERENCE, Name
from models.validation import describe

FILE = "runtimes.json"
#: Macro-F1 that a runtime may lose against the reference, in every task.
MOST_LOST = 0.003
#: Where no probability moves by more, an answer changes only where two were as likely as each other: with fewer than a
#: thousand rows one such tie would cost more macro-F1 than may be lost.
NO_SHIFT = 0.01


class Parity(BaseModel):
    """How a runtime answered rows held back beside the reference.

    ``lost`` is the macro-F1 that it loses per task, negative where it gains; ``shift`` the largest change of a
    probability in (0, 1) of any label; ``rows`` how many there were.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    lost: Mapping[str, float]
    shift: float
    rows: int

    @property
    def admitted(self) -> bool:
        """Whether the model may be run so."""
        return self.shift <= NO_SHIFT or all(lost <= MOST_LOST for lost in self.lost.values())


class Admission(BaseModel):
    """What every runtime that was tried did; ``padding`` is the id that fills up a batch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    padding: Annotated[int, Field(ge=0)] = 0
    tried: Mapping[Name, Parity] = {}

    @property
    def names(self) -> list[Name]:
        """Those that are admitted, the reference first."""
        return [REFERENCE, *(name for name, parity in self.tried.items() if parity.admitted)]

    def save(self, folder: Path) -> None:
        """Write it into ``folder``."""
        write_json(folder / FILE, self.model_dump(mode="json"))

    @classmethod
    def load(cls, folder: Path) -> "Admission":
        """What stands in ``folder``; the reference alone where nothing does.

        Raises:
            ArtifactError: the file is not one of these.
        """
        file = folder / FILE
        if not file.is_file():
            return cls()
        try:
            return cls.model_validate_json(file.read_bytes())
        except ValidationError as error:
            raise ArtifactError(f"{file}: {'; '.join(describe(error))}; train the model anew") from None
