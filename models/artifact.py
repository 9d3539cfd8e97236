"""The folder a trained model lives in: what is in it, and proof that it is whole.

    manifest.json      format, schema digest, data, configuration, metrics, versions, digests
    labels.toml        the label schema
    linear/            vocabulary and weights of the linear part
    transformer/       settings.json, heads.safetensors, centres.safetensors (of the training texts),
                       encoder/ (config, tokenizer, weights); the same encoder as encoder.onnx and
                       encoder-int8.onnx, and runtimes.json, which says what may run it
    calibration.json   how the parts are combined and the answer is chosen
    report.json        how good it is, measured when it was trained
    report.html        the same for people
    README.md          the model's card

Loading verifies every file or raises; there is no fallback. Nothing in it is pickled.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from models.errors import ArtifactError, InputError, as_list
from models.files import atomic_folder, sha256, write_json

FORMAT = 1
MANIFEST = "manifest.json"
LABELS = "labels.toml"
LINEAR = "linear"
TRANSFORMER = "transformer"
REPORT, PAGE, CARD = "report.json", "report.html", "README.md"


class Manifest(BaseModel):
    """What a model is made of.

    ``label_counts`` gives, per task, how often each label stood in the training data, and under
    ``""`` how many rows were labelled. ``files`` maps each file to its SHA-256.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    name: str
    created_at: str
    label_schema: str
    encoder: str
    data: Mapping[str, Any]
    label_counts: Mapping[str, Mapping[str, int]]
    configuration: Mapping[str, Any]
    metrics: Mapping[str, Any]
    libraries: Mapping[str, str]
    files: Mapping[str, str] = {}
    digest: str = ""

    def own_digest(self) -> str:
        """SHA-256 over everything but ``digest`` itself, so that a change of the manifest shows."""
        content = self.model_dump(exclude={"digest"})
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def version(self) -> str:
        """Twelve hex digits over what the model answers by: equal files, equal version.

        What is told of it, its figures, page and card, does not count.
        """
        answering = {name: digest for name, digest in self.files.items() if name not in (REPORT, PAGE, CARD)}
        return hashlib.sha256(json.dumps(answering, sort_keys=True).encode()).hexdigest()[:12]


@contextmanager
def new_folder(target: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A folder to fill, which becomes ``target`` only when the block ends without an error.

    Raises:
        InputError: ``target`` exists, and is not a model that may be overwritten.
    """
    check_target(target, overwrite=overwrite)
    with atomic_folder(target) as folder:
        yield folder


def check_target(target: Path, *, overwrite: bool = False) -> None:
    """Raise InputError unless a model may be written to ``target``: before hours of training."""
    if target.is_symlink():
        raise InputError(f"{target}: expected a folder, got a link; give the folder itself")
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    try:
        strange = _files(target) - set(read_manifest(target).files)
    except ArtifactError as error:
        raise InputError(f"expected a new folder for the model; {error}; choose another") from None
    if strange:
        raise InputError(f"{target}: beside a model there is {min(strange)}, which is not of it; choose another")
    if not overwrite:
        raise InputError(f"{target}: there is a model already; choose another folder, or replace it with --overwrite")


def write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """Complete the manifest with the digest of every file in ``folder``, and write it there."""
    files = {name: sha256(folder / name) for name in sorted(_files(folder))}
    complete = manifest.model_copy(update={"files": files})
    complete = complete.model_copy(update={"digest": complete.own_digest()})
    write_json(folder / MANIFEST, complete.model_dump())
    return complete


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the model in ``folder``; its files are not compared, see :func:`verify`.

    Raises:
        ArtifactError: the folder or the manifest is missing, damaged or of another format.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise ArtifactError(
            f"{folder}: expected a model (a folder with {MANIFEST}), got none; `feedback train` makes one"
        )
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data.get("format") != FORMAT:
            raise ArtifactError(
                f"{path}: expected format {FORMAT}, got {data.get('format')!r}; train it anew with this version"
            )
        manifest = Manifest.model_validate(data)
    except (ValidationError, ValueError, AttributeError) as error:
        raise ArtifactError(f"{path}: not a readable manifest: {error}; restore the folder from a copy") from None
    if manifest.digest != manifest.own_digest():
        raise ArtifactError(f"{path}: the manifest was changed after it was written; restore the folder from a copy")
    return manifest


def verify(folder: Path) -> Manifest:
    """The manifest of the model in ``folder``, after comparing every file with its digest.

    Raises:
        ArtifactError: the folder, the manifest or a file is missing, damaged or of another format.
    """
    manifest = read_manifest(folder)
    problems = []
    for name, expected in manifest.files.items():
        file = folder / name
        got = sha256(file) if file.is_file() else "no such file"
        if got != expected:
            problems.append(f"{name}: expected SHA-256 {expected[:16]}…, got {got[:16]}")
    problems += [f"{name}: not in the manifest" for name in sorted(_files(folder) - set(manifest.files))]
    if not manifest.files:
        problems.append(f"{MANIFEST} names no file")
    if problems:
        raise ArtifactError(
            f"{folder}: the model is damaged; restore it from a copy or train it anew{as_list(problems)}"
        )
    return manifest


def _files(folder: Path) -> set[str]:
    """Names of all files but the manifest and hidden ones, which file managers leave."""
    names = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    return {str(name) for name in names if not any(part.startswith(".") for part in name.parts)} - {MANIFEST}
