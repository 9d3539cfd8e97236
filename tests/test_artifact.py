"""The folder of a model: whole, or not there, or refused."""

import json
import os
import stat

import pytest

from models.artifact import MANIFEST, Manifest, check_target, new_folder, verify, write_manifest
from models.errors import ArtifactError, InputError

BARE = Manifest(
    name="m",
    created_at="2026-03-10T09:30:00+00:00",
    label_schema="abc",
    encoder="none",
    data={"rows": 3},
    label_counts={"t": {"": 3, "a": 2}},
    configuration={},
    metrics={},
    libraries={},
)


def fill(folder, content="weights"):
    (folder / "linear").mkdir()
    (folder / "linear" / "weights.bin").write_text(content, encoding="utf-8")
    (folder / "labels.toml").write_text("version = 1\n", encoding="utf-8")
    return write_manifest(folder, BARE)


def fill_half(target, error, **options):
    with new_folder(target, **options) as folder:
        fill(folder, "other weights")
        raise error("stop")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def model(tmp_path):
    with new_folder(tmp_path / "model") as folder:
        fill(folder)
    return tmp_path / "model"


# --- making


def test_folder_appears_whole_when_the_block_ends(tmp_path):
    target = tmp_path / "deep" / "model"
    with new_folder(target) as folder:
        manifest = fill(folder)
        assert not target.exists()
    assert verify(target) == manifest
    assert names(target.parent) == ["model"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o755


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_error_leaves_nothing_behind(tmp_path, error):
    with pytest.raises(error, match="stop"):
        fill_half(tmp_path / "model", error)
    assert names(tmp_path) == []


def test_error_while_overwriting_keeps_the_old_model(model):
    before = verify(model)
    with pytest.raises(RuntimeError, match="stop"):
        fill_half(model, RuntimeError, overwrite=True)
    assert verify(model) == before
    assert names(model.parent) == [model.name]


def test_overwriting_replaces_the_old_model_wholly(model):
    with new_folder(model, overwrite=True) as folder:
        manifest = fill(folder, "other weights")
    assert verify(model) == manifest
    assert names(model) == ["labels.toml", "linear", MANIFEST]
    assert names(model.parent) == [model.name]


def test_existing_model_is_refused_without_overwrite(model):
    with pytest.raises(InputError, match=r"there is a model already; .*--overwrite"), new_folder(model):
        pytest.fail("the block ran")
    verify(model)


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_is_no_model_is_never_overwritten(tmp_path, kind, overwrite):
    target = tmp_path / "thesis"
    if kind == "folder":
        target.mkdir()
    kept = target / "chapter" if kind == "folder" else target
    kept.write_text("years of work", encoding="utf-8")
    with pytest.raises(InputError, match=r"expected a new folder .* choose another"):
        check_target(target, overwrite=overwrite)
    with pytest.raises(InputError, match=r"expected a new folder"), new_folder(target, overwrite=overwrite):
        pytest.fail("the block ran")
    assert kept.read_text(encoding="utf-8") == "years of work"


def test_empty_folder_is_taken(tmp_path):
    target = tmp_path / "model"
    target.mkdir()
    with new_folder(target) as folder:
        fill(folder)
    verify(target)
    assert names(tmp_path) == ["model"]


def test_manifest_names_every_file_with_its_digest(model):
    manifest = verify(model)
    assert set(manifest.files) == {"labels.toml", "linear/weights.bin"}
    assert all(len(digest) == 64 for digest in manifest.files.values())


def test_version_is_the_content_and_nothing_else(tmp_path):
    versions = []
    for name, content in [("one", "weights"), ("two", "weights"), ("three", "other weights")]:
        with new_folder(tmp_path / name) as folder:
            versions.append(fill(folder, content).version)
    assert versions[0] == versions[1] != versions[2]
    assert len(versions[0]) == 12


# --- damage


def edit(**changes):
    def apply(model):
        path = model / MANIFEST
        path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")

    return apply


def flip_one_bit(model):
    path = model / "linear" / "weights.bin"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def lose_everything(model):
    for path in sorted(model.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


def edit_digest(model):
    files = {**verify(model).files, "labels.toml": "0" * 64}
    edit(files=files)(model)


DAMAGE = {
    "a flipped bit": (
        flip_one_bit,
        r"damaged; .*\n  - linear/weights.bin: expected SHA-256 \w{16}…, got \w{16}$",
    ),
    "a missing file": (lambda m: (m / "labels.toml").unlink(), "labels.toml: expected SHA-256 .*, got no such file"),
    "a cut file": (lambda m: os.truncate(m / "labels.toml", 3), "labels.toml: expected SHA-256"),
    "an edited digest": (edit_digest, "the manifest was changed after it was written"),
    "no files named": (edit(files={}), "the manifest was changed after it was written"),
    "a later format": (edit(format=2), "expected format 1, got 2; train it anew with this version"),
    "no format": (edit(format=None), "expected format 1, got None"),
    "an unknown entry": (edit(colour="red"), "(?s)not a readable manifest: .*colour"),
    "an entry of another type": (edit(name=5), "(?s)not a readable manifest: .*name"),
    "a list for a manifest": (lambda m: (m / MANIFEST).write_text("[]"), "not a readable manifest"),
    "half a manifest": (lambda m: os.truncate(m / MANIFEST, 40), "not a readable manifest"),
    "bytes for a manifest": (lambda m: (m / MANIFEST).write_bytes(b"\xff\xfe"), "not a readable manifest"),
    "no manifest": (lambda m: (m / MANIFEST).unlink(), "expected a model .* got none; `feedback train` makes one"),
    "an empty folder": (lose_everything, "expected a model .* got none"),
}


@pytest.mark.parametrize(("damage", "error"), DAMAGE.values(), ids=DAMAGE)
def test_damaged_model_is_refused_with_what_is_wrong(model, damage, error):
    damage(model)
    with pytest.raises(ArtifactError, match=error) as caught:
        verify(model)
    assert str(model) in str(caught.value)


def test_every_damaged_file_is_named_at_once(model):
    flip_one_bit(model)
    (model / "labels.toml").unlink()
    with pytest.raises(ArtifactError, match=r"(?s)labels.toml.*weights.bin"):
        verify(model)


def test_absent_folder_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match=r"expected a model .* got none"):
        verify(tmp_path / "nowhere")


def test_a_file_that_was_added_to_a_model_is_found(model):
    (model / "extra.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"extra\.json: not in the manifest"):
        verify(model)


def test_a_folder_with_more_than_a_model_in_it_is_never_overwritten(model):
    (model / "thesis.txt").write_text("ten years of work", encoding="utf-8")
    with pytest.raises(InputError, match=r"there is thesis\.txt, which is not of it; choose another"):
        check_target(model, overwrite=True)


def test_a_manifest_of_something_else_is_no_model(tmp_path):
    (tmp_path / MANIFEST).write_text('{"name": "a web app"}', encoding="utf-8")
    with pytest.raises(InputError, match="expected a new folder"):
        check_target(tmp_path, overwrite=True)
