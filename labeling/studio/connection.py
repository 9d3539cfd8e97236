"""Making the service the backend of a Label Studio project."""

from typing import TYPE_CHECKING, Any, NamedTuple

from labeling.backend.app import ACTIONS, SECRET_HEADER, USER
from labeling.studio.client import explained
from models.errors import ConfigError, FeedbackError

if TYPE_CHECKING:
    from label_studio_sdk.client import LabelStudio

#: Where the secret is that service and Label Studio share.
SECRET_VARIABLE = "FEEDBACK_LABELSTUDIO_SECRET"  # noqa: S105 - its name
#: By this a backend is known to be this project's, wherever the service was.
_OURS = "feedback-classifier"
_TIMEOUT = 10.0


class BackendError(FeedbackError):
    """The service does not answer as a backend."""


class Connected(NamedTuple):
    """The model that answers in a project now, and how many old backends and webhooks were taken away."""

    version: str
    removed: int


def connect_backend(client: "LabelStudio", project: int, url: str, secret: str) -> Connected:
    """Register the service as the backend of a project; again after each change of model or address.

    Label Studio calls a backend's predictions after their version, and what a project shows after the backend's title:
    unless both are the same, scores are missing and answers forget which prediction they were given with. It makes a
    webhook with every backend that it forgets when the backend goes: that is made here before, with the secret, and
    removed with its backend.

    Args:
        client: from :func:`labeling.studio.client.connect`.
        project: its id.
        url: where Label Studio reaches the service, without path: http://127.0.0.1:3000.
        secret: that of the service.

    Raises:
        ConfigError: there is no secret.
        BackendError: the service cannot be reached, does not accept the secret, or has labels that the project lacks.
        LabelStudioError: Label Studio cannot be reached or refuses; the same call goes on where it stopped.
    """
    if not secret:
        raise ConfigError(f"{SECRET_VARIABLE}: expected the secret that the service was started with, got none; set it")
    url = url.rstrip("/") + "/labelstudio"
    with explained(f"reading project {project}"):
        interface = client.projects.get(id=project).label_config
        backends: list[Any] = [one for one in client.ml.list(project=project) if one.description == _OURS]
        webhooks: list[Any] = list(client.webhooks.list(project=str(project)))
    version = _version(url, secret, interface or "")
    with explained(f"connecting project {project}"):
        kept = next((one for one in backends if one.url == url), None)
        others = [one for one in backends if one is not kept]
        _webhook(client, project, f"{url}/webhook", webhooks, secret)
        fields = {"title": version, "description": _OURS, "auth_method": "BASIC_AUTH"}
        fields |= {"url": url, "basic_auth_user": USER, "basic_auth_pass": secret}
        if kept is None:
            client.ml.create(project=project, **fields)
        else:
            client.ml.update(id=kept.id, project=project, **fields)
        stale = {f"{one.url.rstrip('/')}/webhook" for one in others} - {f"{url}/webhook"}
        for one in others:
            client.ml.delete(id=one.id)
        old = [one.id for one in webhooks if one.url in stale]
        for number in old:
            client.webhooks.delete(id=number)
        # what is opened is predicted since predictions are shown; automatically, the server would also predict all
        # that it lists, while the browser waits, and what is to be blind at each look anew
        client.projects.update(
            id=project, model_version=version, show_collab_predictions=True, evaluate_predictions_automatically=False
        )
    return Connected(version, len(others) + len(old))


def _version(url: str, secret: str, interface: str) -> str:
    """What Label Studio shall call the model; asked here, because Label Studio does not pass on what is wrong."""
    import httpx

    remedy = f"start it with `feedback serve` and {SECRET_VARIABLE}, the same as here, and give its address"
    try:
        answer = httpx.post(
            f"{url}/setup", json={"schema": interface}, auth=(USER, secret), timeout=_TIMEOUT, trust_env=False
        )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise BackendError(f"{url}: the service does not answer ({error}); {remedy}") from None
    if answer.status_code == 401:
        raise BackendError(f"{url}: the service has another secret; {remedy}")
    try:
        if answer.status_code == 422:
            raise BackendError(
                f"{url}: {answer.json()['error']}; make the interface of the model's label schema with"
                " `feedback label project`, or serve a model of the project's labels"
            )
        return str(answer.json()["model_version"])
    except (ValueError, KeyError, TypeError):
        raise BackendError(
            f"{url}: expected the answer of a backend, got something else (status {answer.status_code}); {remedy}"
        ) from None


def _webhook(client: "LabelStudio", project: int, url: str, webhooks: list[Any], secret: str) -> None:
    fields: dict[str, Any] = {"send_payload": True, "send_for_all_actions": False, "actions": ACTIONS}
    fields |= {"headers": {SECRET_HEADER: secret}, "is_active": True}
    known = [one.id for one in webhooks if one.url == url]
    if known:
        client.webhooks.update(id=known[0], url=url, **fields)
    else:
        client.webhooks.create(project=project, url=url, **fields)
