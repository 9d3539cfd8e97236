"""What the commands show in a terminal: progress, tables, errors.

Everything for people goes to standard error, so that standard output holds only what was asked for.
"""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from models.errors import FeedbackError
from models.progress import Advance

#: Seconds between two lines where the output is no terminal.
_LINE_EVERY = 10.0
#: Seconds after which a lost interruption is repeated.
_SOON = 0.05

console = Console(stderr=True, highlight=False)


def say(message: str) -> None:
    """A line for the person at the terminal."""
    console.print(Text(message), soft_wrap=True)


def warn(message: str) -> None:
    """A warning: the work goes on."""
    console.print(Text.assemble(("warning: ", "yellow"), message), soft_wrap=True)


def fail(message: str, exit_code: int) -> NoReturn:
    """An error, and the end of the command."""
    console.print(Text.assemble(("error: ", "bold red"), message), soft_wrap=True)
    sys.exit(exit_code)


def run(command: Callable[[], object]) -> None:
    """Run a command line; an error the project can explain becomes a message and an exit code.

    Being told to stop unwinds the command like Ctrl-C does, so that it removes what it had begun.
    """
    interrupted = False

    def interrupt(*_: object) -> NoReturn:
        nonlocal interrupted
        interrupted = True
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    signal.signal(signal.SIGINT, interrupt)
    sys.unraisablehook = _insist
    try:
        command()
    except BaseException as error:
        if interrupted:  # libraries make other errors of it
            sys.exit(128 + signal.SIGINT)
        if isinstance(error, FeedbackError):
            fail(str(error), error.exit_code)
        if isinstance(error, OSError):
            fail(f"{error.filename or 'input or output'}: {error.strerror or error}", 1)
        raise


def _insist(lost: "sys.UnraisableHookArgs") -> None:
    """Stop again where being told to stop was lost.

    Python drops what is raised inside a callback of its own, such as those that run while modules
    are imported; it prints it, and the command would go on.
    """
    told = {KeyboardInterrupt: signal.SIGINT, SystemExit: signal.SIGTERM}.get(lost.exc_type)
    if told is None:
        sys.__unraisablehook__(lost)
        return
    again = threading.Timer(_SOON, signal.pthread_kill, [threading.main_thread().ident, told])
    again.daemon = True
    again.start()


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> None:
    """Print a table; the first ``left`` columns are text, the others are numbers."""
    shown = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for number, column in enumerate(columns):
        shown.add_column(column, justify="left" if number < left else "right", overflow="fold")
    for row in rows:
        shown.add_row(*[Text(cell) for cell in row])
    Console(highlight=False, width=None if sys.stdout.isatty() else 150).print(shown)


class Terminal:
    """Progress with rate and time left: a bar on a terminal, now and then a line elsewhere."""

    @contextmanager
    def stage(self, title: str, total: int | None = None, unit: str = "", *, done: int = 0) -> Iterator[Advance]:
        """Show one stage; without a total only the time that has passed."""
        if console.is_terminal:
            with _bar(total, unit) as bar:
                task = bar.add_task(title, total=total, completed=done)
                yield lambda units: bar.advance(task, units)
        else:
            lines = _Lines(title, total, unit, done)
            yield lines.advance
            lines.end()


def _bar(total: int | None, unit: str) -> Progress:
    left: list[ProgressColumn] = [TextColumn("{task.description}"), SpinnerColumn(), TimeElapsedColumn()]
    if total is not None:
        left = [
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(unit),
            TextColumn("left"),
            TimeRemainingColumn(),
        ]
    return Progress(*left, console=console, transient=False)


class _Rate(ProgressColumn):
    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(_pace(speed, self._unit) if speed and self._unit else "")


def _pace(speed: float, unit: str) -> str:
    """Units a second, or seconds a unit where that is the larger number."""
    return f"{speed:,.0f} {unit}/s" if speed >= 1 else f"{1 / speed:,.1f} s each"


class _Lines:
    def __init__(self, title: str, total: int | None, unit: str, done: int) -> None:
        self._title, self._total, self._unit = title, total, unit
        self._before = self._done = done
        self._start = self._last = time.monotonic()

    def advance(self, units: int) -> None:
        self._done += units
        now = time.monotonic()
        if now - self._last >= _LINE_EVERY:
            self._last = now
            speed = (self._done - self._before) / (now - self._start)
            left = f", {(self._total - self._done) / speed:,.0f} s left" if self._total is not None and speed else ""
            whole = "" if self._total is None else f" of {self._total:,}"
            pace = f", {_pace(speed, self._unit)}" if self._unit and speed else ""
            say(f"  {self._title}: {self._done:,}{whole}{left}{pace}")

    def end(self) -> None:
        seconds = time.monotonic() - self._start
        speed = (self._done - self._before) / seconds if seconds > 0 else 0
        say(f"  {self._title}: {seconds:.1f} s" + (f", {_pace(speed, self._unit)}" if self._unit and speed else ""))
