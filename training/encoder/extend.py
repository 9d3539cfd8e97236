"""From an English encoder to one that reads the chosen languages: the recipe, start to finish.

    pairs, mono ─▶ vocabulary ─▶ alignment ─▶ first embeddings ─┐
    teacher ────▶ targets (English sentences) ──────────────────┴▶ distillation ─▶ encoder, card, log

What is done is kept in a folder beside the result, ``OUT.work``, so that the same command given
again goes on where it was stopped.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from models.encoders import resolve_encoder
from models.encoding import UNREADABLE, has_fast_bf16, load_encoder, positions, vectors
from models.errors import ConfigError, EncoderNotFoundError, FeedbackError, InputError
from models.files import atomic_folder, atomic_write, write_json
from models.progress import Progress
from models.rejects import RejectLog
from models.threads import use_threads
from training.encoder.alignment import Start, associate, first_embeddings
from training.encoder.card import card
from training.encoder.config import ExtendConfig
from training.encoder.distil import Halves, Steps, distil
from training.encoder.inputs import Inputs, recipe_of, refuse
from training.encoder.masking import MaskedTexts
from training.encoder.pairs import ENGLISH, Pairs, check_languages, hold_back, read_mono, read_pairs, with_english
from training.encoder.regression import agree
from training.encoder.retrieval import Retrieval
from training.encoder.runlog import RunLog
from training.encoder.sampling import batches, with_long_texts
from training.encoder.student import embedding_table, new_student, save_student
from training.encoder.vocabulary import train_tokenizer
from training.processes import processes
from training.workspace import RECIPE, open_run

LOG = "training_log.jsonl"
FIGURES = "figures.json"


@dataclass(frozen=True)
class Extended:
    """The figures of a finished run, and what a person should know."""

    retrieval: Mapping[str, float]
    notes: list[str]


def extend(inputs: Inputs, out: Path, config: ExtendConfig, *, progress: Progress, download: bool = False) -> Extended:
    """Make a multilingual student of an English encoder and write it to ``out``.

    Raises:
        InputError: something of the input is at fault, ``out`` exists, or ``OUT.work`` holds a run
            with other settings.
    """
    check_languages(inputs.languages)
    if unknown := sorted(set(config.favour) - set(inputs.languages)):
        raise ConfigError(f"favour: {unknown[0]!r} is not among --languages {', '.join(inputs.languages)}")
    if config.masked_tokens and not inputs.mono:
        raise ConfigError("masked_tokens: pieces are hidden in monolingual text; give --mono FILE, or set it to 0")
    if out.exists():
        raise InputError(f"{out}: exists already; give another --out, or remove it")
    use_threads(config.threads)
    folder = resolve_encoder(inputs.teacher, download=download)
    with open_run(out, recipe_of(inputs, folder, config), refuse) as workspace:
        try:
            return _Run(inputs, folder, out, config, workspace, progress).run()
        except (SafetensorError, RuntimeError) as error:
            # the writers of weights wrap what the disk says
            if not isinstance(error, SafetensorError) and "write" not in str(error):
                raise
            raise FeedbackError(
                f"{workspace}: weights could not be written: {str(error).splitlines()[0]}; make room and give the "
                "same command again, it goes on from what is whole"
            ) from None


class _Run:
    def __init__(
        self, inputs: Inputs, teacher: Path, out: Path, config: ExtendConfig, workspace: Path, progress: Progress
    ) -> None:
        self._inputs, self._out, self._workspace = inputs, out, workspace
        self._progress = progress
        self._bf16 = config.bf16 and has_fast_bf16()
        try:
            self._old_tokenizer, self._teacher = load_encoder(teacher)
        except UNREADABLE as error:
            raise EncoderNotFoundError(f"{teacher}: expected an encoder with its tokenizer, got {error}") from None
        if torch.cuda.is_available():
            self._teacher.to("cuda")
        self._length = min(config.max_length, positions(self._teacher))
        self._config = config.model_copy(update={"max_length": self._length})

    def run(self) -> Extended:
        config, state = self._config, processes()
        files = dict.fromkeys(self._inputs.pairs, 1.0)
        files |= dict.fromkeys(self._inputs.in_domain, config.in_domain_weight)
        rejects = RejectLog(self._out.with_name(f"{self._out.name}.rejects.jsonl"), str(self._inputs.pairs[0]))
        with rejects, self._progress.stage("reading pairs"):
            pairs, sources = read_pairs(files, self._inputs.languages, rejects)
            mono = read_mono(self._inputs.mono, self._inputs.languages, rejects, sources)
        notes = [rejects.summary()] if rejects.count else []
        learn, held = hold_back(pairs, self._inputs.languages, config.held_back)
        learn = with_english(learn, mono[ENGLISH], held)
        with state.main_process_first():
            tokenizer, embeddings = self._start(learn, mono)
            learn = with_long_texts(learn, config.long_texts, config.seed)
            targets = self._targets(learn)
        with self._progress.stage("planning the batches"):
            lengths = {
                language: [len(ids) for ids in tokenizer(texts, verbose=False)["input_ids"]]
                for language, texts in {ENGLISH: learn.english, **learn.translations}.items()
            }
            plan = batches(learn, lengths, config, config.steps * state.num_processes)
        student = new_student(self._teacher, embeddings, tokenizer.pad_token_id)
        retrieval = Retrieval(held, {name: self._vectors(of.english) for name, of in held.items()}, self._length)
        log = RunLog(self._workspace / LOG)
        measure = partial(retrieval, tokenizer=tokenizer)
        if not log.path.exists() and state.is_main_process:
            log.add(0, retrieval=measure(student))
        steps = Steps(plan, learn, targets, tokenizer, config, self._masked(mono, tokenizer))
        weights = distil(student, steps, config, self._workspace, log, measure, self._progress)
        figures = measure(student)
        if state.is_main_process:
            with atomic_folder(self._out) as folder:
                save_student(student, weights, tokenizer, folder)
                shutil.copy(log.path, folder / LOG)
                recipe = json.loads((self._workspace / RECIPE).read_text(encoding="utf-8"))
                write_json(folder / FIGURES, {"retrieval": figures, "held_back": {k: len(v) for k, v in held.items()}})
                (folder / "README.md").write_text(card(recipe, sources, figures, held), encoding="utf-8")
            shutil.rmtree(self._workspace)
        return Extended(figures, notes)

    def _start(self, pairs: Pairs, mono: Mapping[str, list[str]]) -> tuple[PreTrainedTokenizerBase, Any]:
        """Tokenizer and first embeddings (V, E), made once."""
        done = self._workspace / "start"
        if not done.exists():
            with self._progress.stage("learning the vocabulary"):
                texts = {ENGLISH: pairs.english}
                for language, translations in pairs.translations.items():
                    texts[language] = [*filter(None, translations), *mono[language]]
                tokenizer = train_tokenizer(
                    texts,
                    size=self._config.vocabulary,
                    lines=self._config.vocabulary_lines,
                    max_length=self._length,
                    seed=self._config.seed,
                )
            start = self._first(pairs, tokenizer)
            with atomic_folder(done) as folder:
                tokenizer.save_pretrained(folder)
                save_file({"embeddings": start.embeddings}, folder / "embeddings.safetensors")
                write_json(folder / "counts.json", start.counts)
        embeddings = load_file(done / "embeddings.safetensors")["embeddings"]
        return AutoTokenizer.from_pretrained(done, local_files_only=True), embeddings

    def _first(self, pairs: Pairs, tokenizer: PreTrainedTokenizerBase) -> Start:
        old_ids = self._ids(self._old_tokenizer, pairs.english)
        new, old = self._ids(tokenizer, pairs.english), list(old_ids)
        for language, texts in pairs.translations.items():
            rows = pairs.rows_of(language)
            new += self._ids(tokenizer, [texts[row] for row in rows])
            old += [old_ids[row] for row in rows]
        sizes = len(tokenizer), len(self._old_tokenizer)
        with self._progress.stage("aligning it with the teacher's"):
            association = associate(new, old, *sizes, self._config.alignment_rounds)
        special = {
            number: theirs
            for number, theirs in enumerate(_special_ids(self._old_tokenizer))  # as in SPECIAL
            if theirs is not None
        }
        unknown = self._old_tokenizer.unk_token_id

        def spell(text: str) -> list[int]:
            (ids,) = self._ids(self._old_tokenizer, [text])
            return [] if unknown in ids else ids

        table = embedding_table(self._teacher)
        pieces = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
        start = first_embeddings(pieces, association, table, spell, special, self._config.seed)
        rounds = self._config.regression_rounds
        with self._progress.stage("fitting the first embeddings", rounds, "rounds") as advance:
            fitted = agree(
                start.embeddings,
                new,
                old,
                table,
                strength=self._config.regression_strength,
                rounds=rounds,
                advance=advance,
            )
        fitted[list(special)] = start.embeddings[list(special)]
        return replace(start, embeddings=fitted)

    @staticmethod
    def _ids(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
        ids: list[list[int]] = tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
        return ids

    def _masked(self, mono: Mapping[str, list[str]], tokenizer: PreTrainedTokenizerBase) -> MaskedTexts | None:
        config = self._config
        if not config.masked_tokens:
            return None
        return MaskedTexts(mono, tokenizer, tokens=config.masked_tokens, max_length=self._length, seed=config.seed)

    def _targets(self, pairs: Pairs) -> Halves:
        """The teacher's vectors (N, H) of the English sentences, computed once."""
        done = self._workspace / "targets.npy"
        if not done.exists():
            result = self._vectors(pairs.english, "the teacher reads the English sentences")
            with atomic_write(done, "wb") as file:
                np.save(file, result.astype(np.float16))
        targets: Halves = np.load(done, mmap_mode="r", allow_pickle=False)
        return targets

    def _vectors(self, texts: Sequence[str], title: str = "the teacher reads what is held back") -> Any:
        with self._progress.stage(title, len(texts), "sentences") as advance:
            length = positions(self._teacher)
            return vectors(
                self._teacher, self._old_tokenizer, texts, max_length=length, bf16=self._bf16, advance=advance
            )


def _special_ids(tokenizer: PreTrainedTokenizerBase) -> list[int | None]:
    return [
        tokenizer.pad_token_id,
        tokenizer.unk_token_id,
        tokenizer.cls_token_id if tokenizer.cls_token_id is not None else tokenizer.bos_token_id,
        tokenizer.sep_token_id if tokenizer.sep_token_id is not None else tokenizer.eos_token_id,
        tokenizer.mask_token_id,
    ]
