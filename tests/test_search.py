"""Searching settings: real trials on small encoders, stopped, gone on with, and told of."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import optuna
import pytest
import torch
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from safetensors.torch import load_file, save_file
from support import ROOT, STARTER, read_jsonl, write_jsonl

from models.artifact import verify
from models.errors import ConfigError, TrainingError
from models.labels import LabelSchema
from models.progress import Advance, Silent
from models.records import LabeledItem
from training.config import TrainConfig
from training.datasets import build, derive
from training.finetune import finetune, fresh_model
from training.report.page import page
from training.report.trials import rows as table_rows
from training.report.trials import verdict
from training.search import BATCH_SIZES, RANGES, search
from training.train import train
from training.trainer import make_trainer, rows_of

GOOD = ["wonderful coffee", "great and friendly", "love it so much", "works very well", "really happy now"]
BAD = ["broken on arrival", "terrible and rude", "never again please", "waste of my money", "really angry now"]
SEARCHED = (*RANGES, "batch_size")
#: Four of these lie outside of the ranges that are searched.
GIVEN = {"learning_rate": 2e-3, "batch_size": 8, "weight_decay": 0.0, "dropout": 0.35}


def labelled(ends: str) -> list[dict]:
    rows = [{"text": f"{text} {end}", "sentiment": "positive", "category": "taste"} for text in GOOD for end in ends]
    return rows + [
        {"text": f"{text} {end}", "sentiment": "negative", "category": "defect"} for text in BAD for end in ends
    ]


#: So few that none is held back.
FEW = [{"text": "good", "sentiment": "positive"}, {"text": "bad", "sentiment": "negative"}]


@pytest.fixture(scope="module")
def sets():
    """Rows to learn from and to choose by, hard enough that an epoch may be worse than the one before."""
    schema = LabelSchema.load()
    rows = [
        [LabeledItem(text=row["text"], sentiment=row["sentiment"], categories=row["categories"]) for row in rows]
        for rows in (read_jsonl(STARTER / "train.jsonl")[:160], read_jsonl(STARTER / "dev.jsonl")[:60])
    ]
    return *[build(items, schema, every_task=False) for items in rows], schema


def given(encoder: Path, **settings: object) -> TrainConfig:
    chosen = {"epochs": 6, "patience": 1, "max_length": 32, "threads": 1, "runtimes": (), **GIVEN, **settings}
    return TrainConfig(encoder=str(encoder), **chosen)


def searched(sets, config, folder, trials):
    return search(*sets, config, Path(config.encoder), folder, trials, Silent())


@pytest.fixture(scope="module")
def three(sets, bert, tmp_path_factory):
    """A search of three trials and its folder."""
    folder = tmp_path_factory.mktemp("search")
    return *searched(sets, given(bert), folder, 3), folder


def told(trials):
    """What of trials does not depend on the clock."""
    return [(trial.settings, trial.macro_f1, trial.state, trial.chosen) for trial in trials]


def test_the_first_trial_is_the_configuration_as_given_and_the_others_lie_in_the_ranges(three, bert):
    _, trials, _ = three
    config = given(bert)
    assert [trial.number for trial in trials] == [1, 2, 3]
    assert trials[0].settings == {name: getattr(config, name) for name in SEARCHED}
    for trial in trials[1:]:
        for name, (low, high) in RANGES.items():
            assert min(low, getattr(config, name)) <= trial.settings[name] <= max(high, getattr(config, name))
        assert trial.settings["batch_size"] in {*BATCH_SIZES, 8}
    assert len({trial.settings["learning_rate"] for trial in trials}) == 3


def test_every_trial_is_what_a_fine_tuning_with_its_settings_is(three, sets, bert, tmp_path):
    _, trials, _ = three
    for trial in trials:
        config = given(bert, **trial.settings)
        finetune(*sets, config, bert, tmp_path / str(trial.number), Silent())
        state = max((tmp_path / str(trial.number)).glob("checkpoint-*/trainer_state.json"))
        assert json.loads(state.read_text())["best_metric"] == trial.macro_f1


def test_an_optimizer_follows_the_settings_of_its_trial(sets, bert, tmp_path):
    config = given(bert)
    model = fresh_model(sets[0], sets[2], config, bert)
    rows = [rows_of(some, model) for some in sets[:2]]
    trainer = make_trainer(model, *rows, config, tmp_path, lambda texts: None)
    trainer.config = given(bert, learning_rate=1e-5, head_learning_rate=2e-4, weight_decay=0.03)
    groups = trainer.create_optimizer().param_groups
    assert {(group["lr"], group["weight_decay"]) for group in groups} == {
        *((1e-5, 0.03), (1e-5, 0.0)),
        *((2e-4, 0.03), (2e-4, 0.0)),
    }
    assert all(group["fused"] for group in groups)


def test_the_best_on_dev_is_chosen(three, bert):
    config, trials, _ = three
    (chosen,) = [trial for trial in trials if trial.chosen]
    assert chosen.macro_f1 == max(trial.macro_f1 for trial in trials)
    assert config == given(bert, **chosen.settings)


def test_trials_leave_no_checkpoints(three):
    assert [path.name for path in three[2].iterdir()] == ["trials.jsonl"]


def test_the_same_seed_gives_the_same_trials_and_another_gives_others(three, sets, bert, tmp_path):
    _, again = searched(sets, given(bert), tmp_path / "again", 3)
    assert told(again) == told(three[1])
    _, others = searched(sets, given(bert, seed=14, epochs=1), tmp_path / "others", 2)
    assert others[0].settings == three[1][0].settings
    assert others[1].settings != three[1][1].settings


@pytest.mark.parametrize("left", ["", '{"op_code":5,"wor'], ids=["whole", "half a line"])
def test_a_search_goes_on_with_a_larger_number_and_repeats_nothing(left, three, sets, bert, tmp_path):
    _, trials, before = three
    shutil.copytree(before, tmp_path / "search")
    journal = tmp_path / "search/trials.jsonl"
    journal.write_text(journal.read_text() + left)
    (tmp_path / "search/trials.jsonl.lock").symlink_to(journal)  # as left by one that was killed while writing
    start = time.monotonic()
    _, more = searched(sets, given(bert), tmp_path / "search", 4)
    assert time.monotonic() - start < 25, "waited for the lock"
    assert [replace(trial, chosen=False) for trial in more[:3]] == [replace(trial, chosen=False) for trial in trials]
    _, fewer = searched(sets, given(bert), tmp_path / "search", 2)
    assert [trial.seconds for trial in fewer] == [trial.seconds for trial in trials[:2]]
    _, fresh = searched(sets, given(bert), tmp_path / "fresh", 4)
    assert told(fresh) == told(more)


def overflowing(encoder: Path, folder: Path, size: float) -> Path:
    """A copy of the encoder whose token vectors are of such a size."""
    shutil.copytree(encoder, folder)
    weights = load_file(folder / "model.safetensors")
    last = "encoder.layer.1.output.LayerNorm.weight"
    weights[last] = torch.full_like(weights[last], size)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


def test_a_diverging_trial_is_reported_as_failed_and_the_search_goes_on(bert, tmp_path):
    items = [LabeledItem(**row) for row in labelled("abcd")]
    schema = derive(items)
    sets = (build(items, schema), build(items, schema), schema)
    # what dropout leaves it scales up: at 0.99 these vectors have no room for it, at less they have
    encoder = overflowing(bert, tmp_path / "large", 6e36)
    config, trials = searched(sets, given(encoder, epochs=1, dropout=0.99), tmp_path / "search", 3)
    assert [trial.state for trial in trials] == ["failed", "complete", "complete"]
    assert trials[0].macro_f1 is None
    assert "diverged at step 1: the loss is" in trials[0].reason
    assert config.dropout < 0.99
    _, again = searched(sets, given(encoder, epochs=1, dropout=0.99), tmp_path / "search", 3)
    assert again == trials


class Watched(Silent):
    """Progress whose watcher stops the work with the first step of trial ``number``."""

    def __init__(self, number: int, stop: BaseException, texts: int) -> None:
        self._left, self._stop = texts * (number - 1), stop

    @contextmanager
    def stage(self, title: str, total: int | None = None, unit: str = "", *, done: int = 0) -> Iterator[Advance]:
        yield self._advance

    def _advance(self, units: int) -> None:
        if self._left <= 0:
            raise self._stop
        self._left -= units


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), SystemExit(143)], ids=["Ctrl-C", "SIGTERM"])
@pytest.mark.parametrize("number", [1, 2])
def test_being_told_to_stop_ends_the_search_at_once_and_keeps_what_ended(number, stop, sets, bert, tmp_path):
    config = given(bert, epochs=1)
    watched = Watched(number, stop, len(sets[0].texts))
    with pytest.raises(type(stop)):
        search(*sets, config, bert, tmp_path / "search", 3, watched)
    assert (tmp_path / "search").exists() == (number > 1)
    _, trials = searched(sets, config, tmp_path / "search", 2)
    assert [trial.state for trial in trials] == ["complete", "complete"]


def test_where_every_trial_fails_it_says_why_and_leaves_nothing(bert, tmp_path):
    encoder = overflowing(bert, tmp_path / "broken", 3e38)
    data = write_jsonl(tmp_path / "data.jsonl", labelled("abcdefgh"))
    message = r"expected a trial of the search to succeed, got 2 that failed; the training diverged at step 1"
    with pytest.raises(TrainingError, match=message):
        train(str(data), tmp_path / "model", given(encoder), search=2, progress=Silent())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken", "data.jsonl"]


def test_a_trial_below_the_others_after_as_many_epochs_is_given_up(sets, bert, tmp_path):
    config = given(bert)
    distributions = {
        **{
            name: optuna.distributions.FloatDistribution(1e-6 if "rate" in name else 0, 1, log="rate" in name)
            for name in RANGES
        },
        "batch_size": optuna.distributions.CategoricalDistribution(sorted({*BATCH_SIZES, 8})),
    }
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(tmp_path / "trials.jsonl"))),
        study_name="search",
        direction="maximize",
    )
    for steps in (5, 10, 20, 5, 10):
        study.add_trial(
            optuna.trial.create_trial(
                params={name: getattr(config, name) for name in SEARCHED},
                distributions=distributions,
                value=1.0,
                intermediate_values={steps * epoch: 1.0 for epoch in (1, 2, 3)},
            )
        )
    _, trials = searched(sets, given(bert, epochs=6, patience=6, bf16=False), tmp_path, 6)
    assert [trial.state for trial in trials] == ["complete"] * 5 + ["pruned"]
    assert 0 < trials[5].macro_f1 < 1
    reported = study.trials[5].intermediate_values
    assert len(reported) == 2


@pytest.mark.parametrize(
    ("encoder", "rows", "trials", "message"),
    [
        (
            "none",
            labelled("abcdefgh"),
            3,
            r"--search 3: expected an encoder .*, got --encoder none; give another encoder",
        ),
        ("bert", FEW, 3, r"--search 3: expected labelled rows .*, got none to hold back of 2; give --dev"),
        ("bert", labelled("abcdefgh"), 0, r"--search 0: expected one trial or more, got 0; give a larger number"),
    ],
    ids=["no encoder", "no dev rows", "no trial"],
)
def test_a_search_that_cannot_be_is_refused_before_any_work(encoder, rows, trials, message, bert, tmp_path):
    data = write_jsonl(tmp_path / "data.jsonl", rows)
    config = given("none" if encoder == "none" else bert)
    with pytest.raises(ConfigError, match=message):
        train(str(data), tmp_path / "model", config, search=trials, progress=Silent())
    assert [path.name for path in tmp_path.iterdir()] == ["data.jsonl"]


def command(data: Path, out: Path, encoder: Path) -> list[str]:
    settings = {"epochs": 5, "patience": 5, "max_length": 32, "threads": 1, "runtimes": "", **GIVEN}
    return [
        *(sys.executable, "-m", "feedback", "train", "--data", str(data), "--out", str(out)),
        *("--encoder", str(encoder), "--search", "3"),
        *(part for key, value in settings.items() for part in ("--set", f"{key}={value}")),
    ]


def finished(command: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "200"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def whole(bert, tmp_path_factory):
    """The data, a model whose settings were searched without a stop, and what was printed."""
    folder = tmp_path_factory.mktemp("whole")
    data = write_jsonl(folder / "data.jsonl", labelled("abcdefghijklmnopqrstuvwxyz"))
    return data, folder / "model", finished(command(data, folder / "model", bert))


def report(model: Path) -> dict:
    return json.loads((model / "report.json").read_text(encoding="utf-8"))


def test_every_trial_stands_in_the_report_on_the_page_and_in_the_terminal(whole):
    _, model, printed = whole
    trials = report(model)["search"]
    assert [trial["number"] for trial in trials] == [1, 2, 3]
    assert [set(trial["settings"]) for trial in trials] == [set(SEARCHED)] * 3
    table = printed.stdout.partition("Trials of the search")[2]
    content, card = ((model / name).read_text(encoding="utf-8") for name in ("report.html", "README.md"))
    for trial, row in zip(trials, table_rows(trials), strict=True):
        assert "".join(f'<td class="n">{cell}</td>' for cell in row[2:]) in content
        (line,) = [line for line in table.splitlines() if line.startswith(f"│ {row[0]} ")]
        assert [cell.strip() for cell in line.strip("│").split("│")] == row
        assert ("chosen" in line) == trial["chosen"]
    told = verdict(trials)
    assert told in printed.stderr
    assert told[1:] in content
    assert told[1:] in card
    assert "searching, 3 trials" in printed.stderr
    assert "EarlyStopping" not in printed.stderr


def test_the_model_is_trained_with_the_settings_that_were_chosen(whole):
    _, model, _ = whole
    (chosen,) = [trial for trial in report(model)["search"] if trial["chosen"]]
    configuration = verify(model).configuration
    assert {name: configuration[name] for name in SEARCHED} == chosen["settings"]
    assert configuration["epochs"] == 5
    assert not model.with_name("model.work").exists()


def journalled(folder: Path) -> list[optuna.trial.FrozenTrial]:
    if not (folder / "search/trials.jsonl").exists():
        return []
    storage = JournalStorage(JournalFileBackend(str(folder / "search/trials.jsonl")))
    try:
        return optuna.load_study(study_name="search", storage=storage).trials
    except KeyError:
        return []


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_a_search_that_was_stopped_goes_on_after_the_trials_that_ended(sent, code, whole, bert, tmp_path):
    data, model, _ = whole
    work = tmp_path / "model.work"
    with subprocess.Popen(
        command(data, tmp_path / "model", bert), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        deadline = time.monotonic() + 120
        while [trial.state for trial in journalled(work)] != [TrialState.COMPLETE, TrialState.RUNNING]:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(sent)
    assert process.returncode == code
    assert not (tmp_path / "model").exists()
    ended = journalled(work)
    assert [trial.state is TrialState.COMPLETE for trial in ended] == [True, False]
    finished(command(data, tmp_path / "model", bert))
    trials, without_stop = report(tmp_path / "model")["search"], report(model)["search"]
    assert trials[0]["seconds"] == ended[0].duration.total_seconds()
    for trial in (*trials, *without_stop):
        del trial["seconds"]
    assert trials == without_stop
    assert verify(tmp_path / "model").version == verify(model).version
    assert not work.exists()


def test_trials_of_other_data_or_settings_are_not_taken_over(three, bert, tmp_path):
    data = write_jsonl(tmp_path / "data.jsonl", labelled("abcdefgh"))
    shutil.copytree(three[2], tmp_path / "model.work/search")
    (tmp_path / "model.work/lock").touch()
    (tmp_path / "model.work/recipe.json").write_text('{"train": "others"}')
    result = train(str(data), tmp_path / "model", given(bert, epochs=1, dropout=0.2), search=1, progress=Silent())
    (trial,) = result.report["search"]
    assert trial["settings"]["dropout"] == 0.2


def trials_of(*macro_f1: float | None) -> list[dict]:
    best = max(range(len(macro_f1)), key=lambda place: macro_f1[place] or 0)
    settings = {"learning_rate": 1.234567e-4, "batch_size": 32}
    return [
        {
            **{"number": place + 1, "settings": settings, "macro_f1": value, "seconds": 1.0, "chosen": place == best},
            **{"state": "complete" if value else "failed", "reason": None if value else "the loss is <nan>"},
        }
        for place, value in enumerate(macro_f1)
    ]


@pytest.mark.parametrize(
    ("macro_f1", "said"),
    [
        ((0.9, 0.912, 0.5), "chosen: trial 2 of 3 (learning_rate 0.000123, batch_size 32), macro-F1 0.912 of the "),
        ((0.9, 0.912, 0.5), " on dev, 0.012 above the settings given; dev chose it and flatters it: measure on rows"),
        ((None, 0.5), " on dev, where the settings given failed; dev chose it"),
        (
            (0.5, 0.5, 0.4),
            "chosen: the settings given, macro-F1 0.500 of the encoder alone on dev, the best of 3 trial",
        ),
    ],
)
def test_it_is_said_what_was_chosen_and_how_much_better_it_was(macro_f1, said):
    assert said in verdict(trials_of(*macro_f1))


def test_a_failed_trial_stands_on_the_page_with_its_reason_as_text(whole):
    figures = {**report(whole[1]), "search": trials_of(None, 0.5)}
    content = page(figures, title="x", model={}, texts={})
    assert "<td>as given, failed</td>" in content
    assert "Trial 1: the loss is &lt;nan&gt;." in content


def test_optuna_is_loaded_for_a_search_alone():
    code = "import sys, training.commands, training.train, training.finetune, training.report.page; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "transformers" in done.stdout.split()
    assert "optuna" not in done.stdout.split()


def test_a_trial_is_written_as_json(three):
    assert json.loads(json.dumps([asdict(trial) for trial in three[1]], allow_nan=False))[0]["state"] == "complete"
