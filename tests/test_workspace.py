"""Checkpoints of a training: which are kept, and which can be gone on from."""

import pytest
from transformers import TrainerControl, TrainerState, TrainingArguments

from training.workspace import KeepCheckpoints, last_checkpoint

FILES = ("model.safetensors", "optimizer.pt")


def save(workspace, step, best=None, newest=1):
    """A checkpoint as the Trainer writes it, and what is done after that."""
    folder = workspace / f"checkpoint-{step}"
    folder.mkdir()
    for name in FILES:
        (folder / name).write_bytes(b"weights")
    state = TrainerState(global_step=step, best_model_checkpoint=best and str(workspace / f"checkpoint-{best}"))
    KeepCheckpoints(newest).on_save(TrainingArguments(str(workspace), use_cpu=True), state, TrainerControl())


def names(workspace):
    return {path.name for path in workspace.iterdir()}


def test_the_newest_and_the_best_checkpoint_are_kept(tmp_path):
    for step in (8, 9, 10):
        save(tmp_path, step, best=8)
    assert names(tmp_path) == {"checkpoint-8", "checkpoint-10"}
    save(tmp_path, 11, best=11, newest=2)
    assert names(tmp_path) == {"checkpoint-10", "checkpoint-11"}


@pytest.mark.parametrize("victim", [*FILES, "complete.json"])
def test_a_checkpoint_that_misses_a_file_is_not_gone_on_from(tmp_path, victim):
    save(tmp_path, 9, newest=2)
    save(tmp_path, 10, newest=2)
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-10"
    (tmp_path / "checkpoint-10" / victim).unlink()
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-9"
    assert names(tmp_path) == {"checkpoint-9"}


def test_a_checkpoint_with_half_a_file_is_not_gone_on_from(tmp_path):
    save(tmp_path, 9)
    (tmp_path / "checkpoint-9" / FILES[0]).write_bytes(b"wei")
    assert last_checkpoint(tmp_path) is None


def test_a_checkpoint_is_marked_before_an_older_one_loses_its_mark_and_goes(tmp_path):
    save(tmp_path, 9)
    # a folder that cannot be removed by way of its name stops the removal before its first file
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "checkpoint-9").rename(elsewhere)
    (tmp_path / "checkpoint-9").symlink_to(elsewhere)
    with pytest.raises(OSError, match="symbolic link"):
        save(tmp_path, 10)
    assert (tmp_path / "checkpoint-10" / "complete.json").exists()
    assert not (elsewhere / "complete.json").exists()
    assert (elsewhere / FILES[0]).exists()
