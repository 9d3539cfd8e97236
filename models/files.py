"""Writing so that a reader sees the old content or the new, never half of it."""

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fsync_folder(folder: Path) -> None:
    """Make a rename inside ``folder`` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def atomic_write(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """A file that takes its name only when the block ends without an error.

    Written beside its place under a temporary name, flushed to disk, then renamed. When the
    block raises, the temporary file goes and whatever stood at ``path`` stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(path, "part")
    encoding = None if "b" in mode else "utf-8"
    try:
        temporary.touch(mode=0o600, exist_ok=False)
        with temporary.open(mode, encoding=encoding, newline=None if "b" in mode else "") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        publish(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def publish(temporary: Path, path: Path) -> None:
    """Give a file that is on disk its name, in place of whatever stood there."""
    temporary.chmod(0o666 & ~_umask())
    temporary.replace(path)
    fsync_folder(path.parent)


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """A folder to fill, which becomes ``target`` only when the block ends without an error.

    Filled beside its place under a temporary name, flushed to disk, then renamed; a folder that
    stood at ``target`` makes way. When the block raises, everything stays as it was.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = _beside(target, "part")
    try:
        folder.mkdir(mode=0o700)
        yield folder
        for path in sorted(folder.rglob("*")):
            handle = os.open(path, os.O_RDONLY)
            os.fsync(handle)
            os.close(handle)
        folder.chmod(0o777 & ~_umask())
        _take_place(folder, target)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _take_place(folder: Path, target: Path) -> None:
    if not target.exists():
        folder.replace(target)
        fsync_folder(target.parent)
        return
    old = _beside(target, "old")
    try:
        target.replace(old)
        folder.replace(target)
    except BaseException:
        if old.exists() and not target.exists():
            old.replace(target)
        raise
    fsync_folder(target.parent)
    shutil.rmtree(old)


def write_json(path: Path, value: object) -> None:
    """Write ``value`` as indented UTF-8 JSON, atomically; NaN and infinity are refused."""
    with atomic_write(path) as file:
        json.dump(value, file, ensure_ascii=False, indent=2, allow_nan=False)
        file.write("\n")


def _beside(path: Path, ending: str) -> Path:
    """A name that nothing has, known before anything is made there, so that it can be removed at any moment."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.{ending}")


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
