"""Label Studio itself: starting it, connecting to it, and what is said when that fails."""

import httpx
import pytest
from http_support import say, serving
from labelstudio_support import new_project, personal_token
from support import ROOT, free_port

from labeling.studio.client import KEY_VARIABLE, URL_VARIABLE, LabelStudioError, connect, explained
from labeling.studio.server import VERSION, LocalServerError, find_binary, running
from models.errors import ConfigError
from models.progress import Silent


def test_both_kinds_of_keys_are_taken(studio):
    for key in (studio.key, personal_token(studio)):
        with explained("asking who that is"):
            assert connect(studio.url, key).users.whoami().email == studio.email


def test_a_key_that_is_not_known_is_told_with_both_remedies_and_without_the_key(studio):
    with pytest.raises(LabelStudioError, match=r"did not accept the key") as caught, explained("reading projects"):
        connect(studio.url, "0" * 40).projects.get(id=1)
    said = str(caught.value)
    assert caught.value.status == 401
    assert "personal access token" in said
    assert "legacy token" in said
    assert KEY_VARIABLE in said
    assert "0" * 40 not in said
    assert "cookie" not in said.lower()


def test_a_project_that_is_gone_is_told(studio_client, schema):
    with new_project(studio_client, schema) as project:
        pass
    with (
        pytest.raises(LabelStudioError, match=r"reading it: .*does not know that.*may have been deleted") as caught,
        explained("reading it"),
    ):
        studio_client.projects.get(id=project.id)
    assert caught.value.status == 404


def test_a_server_that_is_down_is_told():
    with (
        pytest.raises(LabelStudioError, match=r"asking: Label Studio cannot be reached.*make labelstudio"),
        explained("asking"),
    ):
        connect(f"http://127.0.0.1:{free_port()}", "0" * 40).users.whoami()


@pytest.mark.parametrize("status", ["200 OK", "502 Bad Gateway", "404 Not Found"])
def test_a_server_that_is_another_is_told_without_its_page(status, tmp_path):
    with serving(tmp_path) as web:
        web.answer = say(status, body=b"<!doctype html><html><h1>Intranet</h1></html>")
        stranger = pytest.raises(LabelStudioError, match=r"asking: (what answered is no|Label Studio )")
        with stranger as caught, explained("asking"):
            connect(f"http://127.0.0.1:{web.port}", "0" * 40).users.whoami()
    assert "Intranet" not in str(caught.value)
    assert len(web.got) == 1  # nothing is sent a second time: it might be a task


@pytest.mark.parametrize(
    ("url", "key", "message"),
    [
        ("", "0" * 40, f"{URL_VARIABLE}: expected the address .* got none"),
        ("localhost:8080", "0" * 40, f"{URL_VARIABLE}: expected the address .* got something else"),
        ("http://me:secret@localhost", "0" * 40, f"{URL_VARIABLE}: expected the address"),
        ("http://localhost:8080", "", f"{KEY_VARIABLE}: expected a key of Label Studio, got none"),
        ("http://localhost:8080", "Token 123", f"{KEY_VARIABLE}: expected a key of Label Studio, got something else"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_sent(url, key, message, monkeypatch):
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    with pytest.raises(ConfigError, match=message) as caught:
        connect(url, key)
    assert "secret" not in str(caught.value)


def test_the_defaults_of_label_studio_refuse_old_keys_and_addresses_of_this_machine(tmp_path):
    with running(tmp_path / "data", find_binary(ROOT), Silent(), guarded=True) as guarded:
        with (
            pytest.raises(LabelStudioError, match=r"legacy token authentication has been disabled.*; take a key"),
            explained("asking"),
        ):
            connect(guarded.url, guarded.key).users.whoami()
        client = connect(guarded.url, personal_token(guarded))
        project = client.projects.create(title="guarded")
        with (
            pytest.raises(LabelStudioError, match=r"reserved network address.*SSRF_PROTECTION_ENABLED=false"),
            explained("adding a webhook"),
        ):
            client.webhooks.create(url="http://127.0.0.1:9/webhook", project=project.id)
    with pytest.raises(httpx.ConnectError):
        httpx.get(guarded.url, trust_env=False)


def test_a_port_that_is_taken_is_told(studio, tmp_path):
    port = int(studio.url.rpartition(":")[2])
    starting = running(tmp_path, find_binary(ROOT), Silent(), port=port)
    with pytest.raises(LocalServerError, match=f"cannot listen on port {port}"), starting:
        pass


def test_a_server_that_is_not_installed_is_told(tmp_path, monkeypatch):
    monkeypatch.delenv("LABEL_STUDIO_BIN", raising=False)
    with pytest.raises(LocalServerError, match=r"found none; install it with: make .venv-labelstudio/installed"):
        find_binary(tmp_path)


def test_the_version_that_is_installed_is_the_one_that_is_named():
    assert f"label-studio=={VERSION}\n" in (ROOT / "labeling/server-constraints.txt").read_text()
