"""Commands as a user gives them, in a folder of their own, with a Label Studio."""

import shlex
from pathlib import Path

from labeling.studio.client import KEY_VARIABLE, URL_VARIABLE
from labeling.studio.server import Studio
from models.errors import FeedbackError
from models.processes import Ran, run_python


class Run:
    """Commands that run in one folder, one after the other.

    Args:
        folder: where they run and leave their files; it is made.
        studio: the Label Studio that they speak to.
        log: gets what they tell people.
    """

    def __init__(self, folder: Path, studio: Studio, log: Path) -> None:
        folder.mkdir(parents=True)
        self.folder, self._log = folder, log
        self._environment = {URL_VARIABLE: studio.url, KEY_VARIABLE: studio.key}
        self.commands: list[str] = []

    def feedback(self, *arguments: str) -> Ran:
        """Run the command `feedback`.

        Raises:
            FeedbackError: it failed, with the last that it said.
        """
        self.commands.append(f"feedback {shlex.join(arguments)}")
        with self._log.open("ab") as log:
            try:
                return run_python(
                    ["-m", "feedback", *arguments], folder=self.folder, environment=self._environment, log=log
                )
            except FeedbackError as error:
                said = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
                raise FeedbackError(f"{error}: {said[-1] if said else 'it said nothing'}") from None
