"""Marks that a pull is due. Label Studio tells of answers at once, but not reliably: what it tells is only a hint."""

from pathlib import Path


def leave_hint(folder: Path, project: int) -> None:
    """Mark that there are answers in a project; ``folder`` is where the states of projects lie."""
    _mark(folder, project).parent.mkdir(parents=True, exist_ok=True)
    _mark(folder, project).touch()


def hint_since(folder: Path, project: int) -> float | None:
    """When the last hint came, in seconds since 1970; None if none came since it was taken away."""
    try:
        return _mark(folder, project).stat().st_mtime
    except FileNotFoundError:
        return None


def take_hint(folder: Path, project: int, seen: float | None) -> None:
    """After a pull that began when the hint was ``seen``: take it away, unless there came another meanwhile."""
    if seen is not None and hint_since(folder, project) == seen:
        _mark(folder, project).unlink(missing_ok=True)


def _mark(folder: Path, project: int) -> Path:
    return folder / "hints" / str(project)
