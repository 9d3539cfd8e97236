"""What a person sees of long work where there is no terminal: lines with rate and time left."""

import subprocess
import sys

import pytest
from support import ROOT

from models import terminal
from models.terminal import Terminal


@pytest.fixture
def lines(monkeypatch):
    """The lines said, with a clock that the test turns, and a line for every advance."""
    said = []
    clock = [0.0]
    monkeypatch.setattr(terminal, "say", said.append)
    monkeypatch.setattr(terminal, "_LINE_EVERY", 0.0)
    monkeypatch.setattr(terminal.time, "monotonic", lambda: clock[0])
    return said, clock


@pytest.mark.parametrize(
    ("total", "unit", "done", "advanced", "shown", "end"),
    [
        (100, "texts", 0, 20, "  work: 20 of 100, 8 s left, 10 texts/s", "  work: 2.0 s, 10 texts/s"),
        (100, "texts", 60, 20, "  work: 80 of 100, 2 s left, 10 texts/s", "  work: 2.0 s, 10 texts/s"),
        (None, "rows", 0, 2000, "  work: 2,000, 1,000 rows/s", "  work: 2.0 s, 1,000 rows/s"),
        (4, "runs", 0, 1, "  work: 1 of 4, 6 s left, 2.0 s each", "  work: 2.0 s, 2.0 s each"),
        (4, "", 0, 1, "  work: 1 of 4, 6 s left", "  work: 2.0 s"),
        (4, "runs", 3, 0, "  work: 3 of 4", "  work: 2.0 s"),
    ],
)
def test_lines_tell_rate_and_time_left_of_what_is_done_now(lines, total, unit, done, advanced, shown, end):
    said, clock = lines
    with Terminal().stage("work", total, unit, done=done) as advance:
        clock[0] = 2.0
        advance(advanced)
    assert said == [shown, end]


LOST = """
import signal, sys, time
from models import terminal

class Callback:
    def __del__(self):
        signal.raise_signal(signal.{signal})  # as if it came while this runs

def command():
    callback = Callback()
    del callback
    time.sleep(20)
    print("went on")

terminal.run(command)
"""


@pytest.mark.parametrize(("sent", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_being_told_to_stop_is_heard_even_inside_a_callback_of_python(sent, code):
    done = subprocess.run(
        [sys.executable, "-c", LOST.replace("{signal}", sent)], cwd=ROOT, capture_output=True, text=True, timeout=15
    )
    assert done.returncode == code
    assert "went on" not in done.stdout
