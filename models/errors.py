"""The errors of the project, one tree.

    FeedbackError                    exit 1, HTTP 500
    ├── InputError                   exit 2, HTTP 422   what the caller gave is at fault
    │   ├── DataError                a file, row or column of feedback
    │   ├── SchemaError              a label schema, or a label that is not in it
    │   ├── ConfigError              a configuration file or setting
    │   ├── RulesError               a rules file
    │   └── EncoderNotFoundError     an encoder that is not on this machine
    ├── ArtifactError                exit 1, HTTP 500   a model on disk is damaged or unfit
    └── TrainingError                exit 1, HTTP 500   a training that comes to nothing

Every message says what was expected, what was found and what to do about it. Commands print
the message and end with ``exit_code``; the service answers with ``http_status``.
"""

import traceback
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path


class FeedbackError(Exception):
    """Something the project can explain; the message is meant for a person."""

    exit_code = 1
    http_status = 500


class InputError(FeedbackError):
    """What the caller gave cannot be used; nothing was changed."""

    exit_code = 2
    http_status = 422


class DataError(InputError):
    """A feedback file cannot be read, or nothing in it can be used."""


class SchemaError(InputError):
    """A label schema is faulty, or a label is not in it."""


class ConfigError(InputError):
    """A configuration file, setting or option is faulty."""


class RulesError(InputError):
    """A rules file is faulty."""


class EncoderNotFoundError(InputError):
    """The named encoder is in none of the places that may be looked at."""


class ArtifactError(FeedbackError):
    """A model folder is missing, damaged, or of another format."""


class TrainingError(FeedbackError):
    """A training cannot go on."""


def did_you_mean(got: str, known: Iterable[str], *, show: int = 25) -> str:
    """End of an error message: the nearest known name, and the known ones.

    Args:
        got: the name that was not known.
        known: every name that would have been.
        show: how many known names to list at most.
    """
    names = list(known)
    near = get_close_matches(got, names, n=1, cutoff=0.6)
    listed = ", ".join(names[:show]) + (f" and {len(names) - show} more" if len(names) > show else "")
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}known: {listed}" if names else f"{hint}none is known"


def as_list(problems: Iterable[str]) -> str:
    """Several problems as indented lines below a heading."""
    return "".join(f"\n  - {problem}" for problem in problems)


def place_of(error: BaseException) -> str:
    """The kind of an error and where it arose; what it says may hold the text of a customer."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "an error"
