"""A Label Studio server on this machine, for trying things and for tests; it lives in an environment of its own.

For a team, run Label Studio as its makers describe it, with PostgreSQL.
"""

import fcntl
import json
import os
import secrets
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from models.errors import FeedbackError
from models.files import atomic_folder, write_json
from models.processes import end
from models.progress import Progress

#: The server this project is tried with; the Makefile installs it.
VERSION = "1.23.2"
#: The command of an installed server, if it is not where `make labelstudio` puts it.
BINARY_VARIABLE = "LABEL_STUDIO_BIN"
#: Where `make labelstudio` puts it, from the checkout.
BINARY = Path(".venv-labelstudio/bin/label-studio")
HOST = "127.0.0.1"

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_READY_WITHIN = 120.0  # seconds
# each of the three ways in which it would tell others of itself has a switch of its own
_SILENT = {
    "COLLECT_ANALYTICS": "false",
    "LATEST_VERSION_CHECK": "false",
    "SENTRY_DSN": "",
    "FRONTEND_SENTRY_DSN": "",
    "FEATURE_FLAGS_OFFLINE": "true",
}
# the service is on this machine, too
_OPEN = {
    "ENABLE_LEGACY_API_TOKEN": "true",
    "SSRF_PROTECTION_ENABLED": "false",
    "ML_BLOCK_LOCAL_IP": "false",
}


class LocalServerError(FeedbackError):
    """A local Label Studio is not installed or does not start."""


class Studio(NamedTuple):
    """A running server: its address, the login for the browser, and the key (a legacy token) for programs."""

    url: str
    email: str
    password: str
    key: str


def find_binary(root: Path = Path()) -> Path:
    """The command that starts a server: that in LABEL_STUDIO_BIN, else the one that make installed below ``root``.

    Raises:
        LocalServerError: there is none.
    """
    given = os.environ.get(BINARY_VARIABLE)
    binary = Path(given) if given else root / BINARY
    if not os.access(binary, os.X_OK) or binary.is_dir():
        raise LocalServerError(
            f"expected the command of Label Studio {VERSION} at {binary}, found none;"
            f" install it with: make .venv-labelstudio/installed, or say in {BINARY_VARIABLE} where it is"
        )
    return binary.absolute()


@contextmanager
def running(
    folder: Path, binary: Path, progress: Progress, *, port: int | None = None, guarded: bool = False
) -> Iterator[Studio]:
    """A server on the loopback interface with its data in ``folder``, ready to answer; stopped when the block ends.

    It is given nothing of the environment of this process, tells nobody of itself, and writes server.log. Login and
    key are made when a folder is first used, and stand in login.json for its owner alone.

    Args:
        folder: its data; made if it is not there, in a minute once and then in seconds.
        binary: the command that starts it, from :func:`find_binary`.
        progress: told of the start.
        port: where it listens; else a free one.
        guarded: leave what Label Studio ships: no legacy tokens, and no addresses of this machine for webhooks and
            backends. Tokens are settled by the first start of a folder.

    Raises:
        LocalServerError: the port is taken, or it does not become ready.
    """
    port = _free_port(port)
    studio = _prepared(folder, binary, port, progress)
    settings = _SILENT | ({} if guarded else _OPEN) | {"HOST": studio.url, "DISABLE_SIGNUP_WITHOUT_LINK": "true"}
    settings |= {"USERNAME": studio.email, "PASSWORD": studio.password, "USER_TOKEN": studio.key}
    command = [str(binary), "start", "--no-browser", "--internal-host", HOST, "--port", str(port)]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--data-dir", str(folder.absolute())],
            env=_environment(folder, settings),
            # it would ask questions
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
        )
        try:
            with progress.stage("starting Label Studio"):
                _wait_until_ready(process, studio.url, folder / "server.log")
            yield studio
        finally:
            end(process)


def _prepared(folder: Path, binary: Path, port: int, progress: Progress) -> Studio:
    folder.mkdir(parents=True, exist_ok=True)
    login = folder / "login.json"
    if not login.exists():
        with progress.stage("setting up the data of Label Studio"):
            shutil.copytree(_template(binary), folder, dirs_exist_ok=True)
        made = {"email": "labeler@example.com", "password": secrets.token_urlsafe(12), "key": secrets.token_hex(20)}
        write_json(login, made)
        login.chmod(0o600)
    return Studio(f"http://{HOST}:{port}", **json.loads(login.read_text(encoding="utf-8")))


def _template(binary: Path) -> Path:
    """An empty database with all its tables, made once for each installation: without users, keys and secrets."""
    template = binary.parent.parent / f"template-{VERSION}"
    with (template.parent / f"{template.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not template.is_dir():
            with atomic_folder(template) as folder:
                _migrate(folder, binary)
    return template


def _migrate(folder: Path, binary: Path) -> None:
    command = [str(binary), "version", "--data-dir", str(folder.absolute())]
    done = subprocess.run(
        command,
        env=_environment(folder, _SILENT),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode != 0:
        raise LocalServerError(f"Label Studio could not set up its data:\n{_end_of(done.stdout)}")
    # each copy signs with a key of its own
    (folder / ".env").unlink()


def _environment(folder: Path, settings: Mapping[str, str]) -> dict[str, str]:
    # every setting is also looked for without its prefix: PASSWORD, PORT, DEBUG and CI of this process would be read
    environment = {f"LABEL_STUDIO_{name}": value for name, value in settings.items()}
    environment |= {"LABEL_STUDIO_BASE_DATA_DIR": str(folder.absolute()), "LABEL_STUDIO_DJANGO_DB": "sqlite"}
    return environment | {
        "PATH": os.defpath,
        "HOME": str(folder.absolute()),
        "PYTHONUNBUFFERED": "1",
        "LANG": "C.UTF-8",
    }


def _free_port(wanted: int | None) -> int:
    # told of a port that is taken, the server would silently take another
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, wanted or 0))
        except OSError as error:
            raise LocalServerError(
                f"Label Studio cannot listen on port {wanted}: {error.strerror or error}; stop what uses it, or take"
                " another with --port"
            ) from None
        return int(probe.getsockname()[1])


def _wait_until_ready(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + _READY_WITHIN
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise LocalServerError(
                f"Label Studio ended at its start with status {process.returncode}:\n{_end_of(log.read_bytes())}"
            )
        # what answers there must be this one and not another that was quicker
        if f"server at {url}/".encode() in log.read_bytes():
            try:
                with _OPENER.open(f"{url}/health", timeout=2) as answer:
                    if json.load(answer).get("status") == "UP":
                        return
            except (urllib.error.URLError, OSError, ValueError):
                pass
        time.sleep(0.1)
    raise LocalServerError(f"Label Studio was not ready after {_READY_WITHIN:.0f} s; see {log}")


def _end_of(output: bytes) -> str:
    return output.decode(errors="replace")[-2000:].strip()
