"""The recipe for a multilingual encoder, on a small teacher: what it makes, and that it can be stopped."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support import ROOT, STARTER, read_jsonl, write_jsonl

from models.encoders import resolve_encoder
from models.encoding import load_encoder, vectors
from models.errors import ConfigError, DataError, InputError
from models.progress import Silent
from training.encoder.config import ExtendConfig
from training.encoder.extend import FIGURES, LOG, extend
from training.encoder.inputs import Inputs

PAIRS = ROOT / "training/data/pairs/feedback.jsonl"
LANGUAGES = ("it", "zh-Hant")
SMALL = ExtendConfig(
    threads=1,
    vocabulary=4500,
    steps=40,
    batch_tokens=768,
    long_texts=30,
    held_back=40,
    evaluate_every=20,
    save_every=10,
)


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [
        {key: row[key] for key in ("en", *LANGUAGES, "source", "licence", "sentiment")}
        for row in read_jsonl(PAIRS)[:500]
    ]
    return write_jsonl(tmp_path_factory.mktemp("pairs") / "pairs.jsonl", rows)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, bert: Path, pairs: Path) -> Path:
    """An encoder made of the small BERT."""
    out = tmp_path_factory.mktemp("encoders") / "own"
    extend(Inputs(str(bert), [pairs], [], [], LANGUAGES), out, SMALL, progress=Silent())
    return out


def test_the_result_is_an_encoder_with_card_log_and_figures(made: Path) -> None:
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md", LOG, FIGURES} <= {
        path.name for path in made.iterdir()
    }
    assert not made.with_name("own.work").exists()
    tokenizer, encoder = load_encoder(resolve_encoder(str(made)))
    assert vectors(encoder, tokenizer, ["bello", "很好"], max_length=16).shape == (2, 32)
    card = (made / "README.md").read_text(encoding="utf-8")
    assert "Apache-2.0" in card
    assert '"steps": 40' in card
    log = [json.loads(line) for line in (made / LOG).read_text(encoding="utf-8").splitlines()]
    assert [line["step"] for line in log if "retrieval" in line] == [0, 20, 40]


def test_monolingual_text_is_read_beside_the_pairs_and_its_english_taught(
    tmp_path: Path, bert: Path, pairs: Path
) -> None:
    sentences = [{"text": row["text"], "language": row["language"]} for row in read_jsonl(STARTER / "train.jsonl")]
    mono = write_jsonl(tmp_path / "mono.jsonl", sentences)
    config = SMALL.model_copy(update={"masked_tokens": 128, "masked_weight": 1.0})
    out = tmp_path / "own"
    extend(Inputs(str(bert), [pairs], [], [mono], LANGUAGES), out, config, progress=Silent())
    log = [json.loads(line) for line in (out / LOG).read_text(encoding="utf-8").splitlines()]
    first, last = [line["loss"] for line in log if "loss" in line]
    assert last < first
    assert "mono.jsonl | not stated" in (out / "README.md").read_text(encoding="utf-8")
    tokenizer, encoder = load_encoder(out)
    assert vectors(encoder, tokenizer, ["bello"], max_length=16).shape == (1, 32)


def test_hidden_pieces_without_monolingual_text_are_refused(tmp_path: Path, bert: Path, pairs: Path) -> None:
    config = SMALL.model_copy(update={"masked_tokens": 128})
    with pytest.raises(ConfigError, match="give --mono FILE"):
        extend(Inputs(str(bert), [pairs], [], [], LANGUAGES), tmp_path / "own", config, progress=Silent())


def test_a_real_teacher_is_followed_from_the_first_step_and_ever_more_closely(tmp_path: Path) -> None:
    config = ExtendConfig(vocabulary=6000, steps=45, batch_tokens=512, long_texts=0, held_back=80, evaluate_every=15)
    few = write_jsonl(tmp_path / "pairs.jsonl", read_jsonl(PAIRS)[:800])
    out = tmp_path / "own"
    extend(Inputs("minilm", [few], [], [], ["ro"]), out, config, progress=Silent())
    log = [json.loads(line) for line in (out / LOG).read_text(encoding="utf-8").splitlines()]
    assert log[0]["retrieval"]["ro"] > 0.3  # of 80, before any training
    first, _, last = [line["loss"] for line in log if "loss" in line]
    assert last < 0.8 * first


def test_weights_are_kept_in_16_bits(made: Path) -> None:
    from safetensors import safe_open

    with safe_open(made / "model.safetensors", "np") as file:
        assert {file.get_tensor(name).dtype for name in file.keys()} == {np.dtype(np.float16)}  # noqa: SIM118 (the file is no mapping)


def test_both_scripts_of_chinese_are_read_alike(made: Path) -> None:
    tokenizer, _ = load_encoder(made)
    assert tokenizer.tokenize("這個軟體品質很差") == tokenizer.tokenize("这个软体品质很差")


@pytest.mark.parametrize(("text", "same"), [("CAFFÈ", "caffè"), ("cafe\u0301", "café"), ("ＯＫ！", "ok!"), ("❤️", "❤")])
def test_spellings_of_the_same_text_are_read_alike(made: Path, text: str, same: str) -> None:
    tokenizer, _ = load_encoder(made)
    assert tokenizer.tokenize(text) == tokenizer.tokenize(same)


def test_the_same_seed_gives_the_same_weights(tmp_path: Path, bert: Path, pairs: Path, made: Path) -> None:
    again = tmp_path / "again"
    extend(Inputs(str(bert), [pairs], [], [], LANGUAGES), again, SMALL, progress=Silent())
    assert (again / "model.safetensors").read_bytes() == (made / "model.safetensors").read_bytes()


def command(bert: Path, pairs: Path, out: Path, *more: str) -> list[str]:
    settings = SMALL.model_dump(exclude={"favour"}, exclude_none=True)
    chosen = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    return [
        *(sys.executable, "-m", "feedback", "encoder", "extend", "--teacher", str(bert)),
        *("--pairs", str(pairs), "--languages", ",".join(LANGUAGES), "--out", str(out), *chosen, *more),
    ]


def test_after_kill_9_the_same_command_goes_on_and_ends_the_same(
    tmp_path: Path, bert: Path, pairs: Path, made: Path
) -> None:
    out = tmp_path / "own"
    workspace = out.with_name("own.work")
    process = subprocess.Popen(command(bert, pairs, out), cwd=ROOT)
    deadline = time.monotonic() + 120
    while not (workspace / "checkpoint-10" / "complete.json").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not out.exists()
    (workspace / "checkpoint-35").mkdir()  # as a kill in the midst of saving leaves it
    finished = subprocess.run(command(bert, pairs, out), cwd=ROOT, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    assert (out / "model.safetensors").read_bytes() == (made / "model.safetensors").read_bytes()
    assert not workspace.exists()


def test_a_full_disk_is_told_and_leaves_nothing_half_written(tmp_path: Path, bert: Path, pairs: Path) -> None:
    out = tmp_path / "own"

    def small_files() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

    failed = subprocess.run(command(bert, pairs, out), cwd=ROOT, capture_output=True, text=True, preexec_fn=small_files)
    assert failed.returncode == 1
    assert "Traceback" not in failed.stderr
    assert "large" in failed.stderr or "could not be written" in failed.stderr
    assert not out.exists()


def test_two_processes_share_the_work(tmp_path: Path, bert: Path, pairs: Path) -> None:
    out = tmp_path / "own"
    _, *arguments = command(bert, pairs, out)
    started = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", *arguments]
    finished = subprocess.run(started, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert finished.returncode == 0, finished.stderr[-3000:]
    assert json.loads((out / FIGURES).read_text(encoding="utf-8"))["retrieval"].keys() == set(LANGUAGES)
    assert '"processes": 2' in (out / "README.md").read_text(encoding="utf-8")


Spoil = Callable[[Path], Path]


@pytest.mark.parametrize(
    ("languages", "error"),
    [
        (("it", "pt"), "language 'pt': no pair has it; known: it, zh-Hant"),
        (("zh_Hant",), "did you mean 'zh-Hant'"),
        (("it", "it"), "'it' stands twice"),
        (("en",), "English is the teacher's language"),
        ((), "expected at least one"),
    ],
)
def test_a_language_that_cannot_be_learned_is_refused(
    tmp_path: Path, bert: Path, pairs: Path, languages: tuple[str, ...], error: str
) -> None:
    with pytest.raises(ConfigError, match=error):
        extend(Inputs(str(bert), [pairs], [], [], languages), tmp_path / "own", SMALL, progress=Silent())
    assert not (tmp_path / "own").exists()


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("", "expected pairs"),
        ('{"it": "senza inglese"}\n', "expected pairs"),
        ("not json\n", "expected pairs"),
    ],
)
def test_a_file_without_pairs_is_refused(tmp_path: Path, bert: Path, content: str, error: str) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=error):
        extend(Inputs(str(bert), [file], [], [], ["it"]), tmp_path / "own", SMALL, progress=Silent())


def test_a_monolingual_file_without_a_sentence_is_refused(tmp_path: Path, bert: Path, pairs: Path) -> None:
    empty = tmp_path / "mono.jsonl"
    empty.touch()
    with pytest.raises(DataError, match="expected sentences in en, it"):
        extend(Inputs(str(bert), [pairs], [], [empty], ["it"]), tmp_path / "own", SMALL, progress=Silent())


def test_a_missing_file_is_named(tmp_path: Path, bert: Path) -> None:
    with pytest.raises(InputError, match=r"none\.jsonl: no such file"):
        extend(Inputs(str(bert), [tmp_path / "none.jsonl"], [], [], ["it"]), tmp_path / "own", SMALL, progress=Silent())


def test_work_begun_with_another_teacher_is_not_gone_on_with(
    tmp_path: Path, bert: Path, xlmr: Path, pairs: Path
) -> None:
    out = tmp_path / "own"
    stopped = subprocess.Popen(command(bert, pairs, out), cwd=ROOT, stderr=subprocess.DEVNULL)
    while not (tmp_path / "own.work/recipe.json").exists() and stopped.poll() is None:
        time.sleep(0.02)
    with pytest.raises(InputError, match="another run is at work here"):
        extend(Inputs(str(bert), [pairs], [], [], LANGUAGES), out, SMALL, progress=Silent())
    stopped.kill()
    stopped.wait()
    with pytest.raises(ConfigError, match="begun here with other settings"):
        extend(Inputs(str(xlmr), [pairs], [], [], LANGUAGES), out, SMALL, progress=Silent())


def test_bad_lines_are_kept_aside_and_named(tmp_path: Path, bert: Path, pairs: Path) -> None:
    mixed = tmp_path / "mixed.jsonl"
    mixed.write_text(pairs.read_text(encoding="utf-8") + '{"it": "orfana"}\n[1]\n', encoding="utf-8")
    short = SMALL.model_copy(update={"steps": 1})
    result = extend(Inputs(str(bert), [mixed], [], [], LANGUAGES), tmp_path / "own", short, progress=Silent())
    assert "2 row(s) left out" in result.notes[0]
    assert len(read_jsonl(tmp_path / "own.rejects.jsonl")) == 2
