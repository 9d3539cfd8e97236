"""Files that are old or new, never half."""

import hashlib
import json
import stat
import sys
from contextlib import contextmanager

import pytest

from models.files import atomic_folder, atomic_write, sha256, write_json

OLD = "old content\r\n"


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text(OLD, encoding="utf-8", newline="")
    return path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def write_half(path, error):
    with atomic_write(path) as file:
        file.write("half")
        raise error("stop")


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_error_keeps_the_old_content_and_leaves_no_temporary_file(path, error):
    with pytest.raises(error, match="stop"):
        write_half(path, error)
    assert path.read_bytes() == OLD.encode()
    assert names(path.parent) == [path.name]


@contextmanager
def interrupted_at_line(number):
    """Ctrl-C before the ``number``-th line of Python that runs in the block, whosever it is."""
    left = number
    before = sys.gettrace()

    def trace(frame, event, argument):
        nonlocal left
        if event == "line":
            left -= 1
            if left == 0:
                sys.settrace(before)
                raise KeyboardInterrupt
        return trace

    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


def fill_folder(path):
    with atomic_folder(path) as folder:
        (folder / "new").touch()


def fill_file(path):
    with atomic_write(path) as file:
        file.write("new")


def is_interrupted(moment, fill, path):
    try:
        with interrupted_at_line(moment):
            fill(path)
    except KeyboardInterrupt:
        return True
    return False


# an open file that the interruption took from its owner is closed by the collector, which says so
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("fill", [fill_folder, fill_file])
def test_ctrl_c_at_any_moment_leaves_the_new_or_nothing(tmp_path, fill):
    moment = 1
    while is_interrupted(moment, fill, tmp_path / str(moment) / "new"):
        folder = tmp_path / str(moment)
        assert not folder.exists() or names(folder) in ([], ["new"]), moment
        moment += 1
    assert moment > 20
    assert names(tmp_path / str(moment)) == ["new"]


def test_error_on_a_new_file_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError, match="stop"):
        write_half(tmp_path / "new", RuntimeError)
    assert names(tmp_path) == []


def test_old_content_stands_until_the_block_ends(path):
    with atomic_write(path) as file:
        file.write("new")
        file.flush()
        assert path.read_bytes() == OLD.encode()
    assert path.read_text(encoding="utf-8") == "new"
    assert names(path.parent) == [path.name]


@pytest.mark.parametrize(
    ("mode", "content", "written"),
    [("w", "größe\r\n\n", "größe\r\n\n".encode()), ("wb", b"\x00\xff\r\n", b"\x00\xff\r\n")],
    ids=["text", "bytes"],
)
def test_content_is_written_as_it_is_in_folders_that_are_made(tmp_path, mode, content, written):
    path = tmp_path / "a" / "b" / "file"
    with atomic_write(path, mode) as file:
        file.write(content)
    assert path.read_bytes() == written


def test_file_has_the_mode_of_any_new_file(path):
    ordinary = path.with_name("ordinary")
    ordinary.touch()
    with atomic_write(path) as file:
        file.write("new")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(ordinary.stat().st_mode)


def test_json_is_readable_and_ends_with_a_newline(path):
    write_json(path, {"größe": [1, None, "👍"]})
    text = path.read_text(encoding="utf-8")
    assert json.loads(text) == {"größe": [1, None, "👍"]}
    assert "größe" in text
    assert text.endswith("}\n")


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")], ids=str)
def test_json_refuses_what_is_no_number_and_keeps_the_old_content(path, number):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"a": [number]})
    assert path.read_bytes() == OLD.encode()
    assert names(path.parent) == [path.name]


@pytest.mark.parametrize("content", [b"", b"abc", bytes(3_000_000)], ids=["empty", "short", "long"])
def test_sha256_is_that_of_the_bytes(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    assert sha256(path) == hashlib.sha256(content).hexdigest()
