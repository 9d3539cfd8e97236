"""Classifying a file of feedback: rows in, rows with predictions out, in constant memory."""

import shutil
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from models.errors import ConfigError, DataError
from models.files import atomic_write, publish
from models.formats import DATASET_PREFIX, count_rows
from models.progress import Progress
from models.readers import read_items
from models.records import LabeledItem
from models.rejects import Reject, Tally, line_of
from serving.bulk.answers import FORMATS, PARQUET, lines_of
from serving.bulk.engine import Engine
from serving.bulk.unfinished import Unfinished, open_unfinished

#: Rows that are read, classified and written together: enough for texts of like length to meet in the encoder.
_CHUNK = 1024


class Shard(NamedTuple):
    """Every ``of``-th row, from the ``number``-th on (1 to ``of``): what one of several machines does."""

    number: int = 1
    of: int = 1

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


def shard_of(text: str) -> Shard:
    """``I/N`` as a shard; ConfigError for anything else."""
    number, _, of = text.partition("/")
    if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise ConfigError(f"--shard {text}: expected I/N with I from 1 to N, e.g. 1/4")
    return Shard(int(number), int(of))


#: All rows.
WHOLE = Shard()


class Classified(NamedTuple):
    """How many rows were classified, and what was left out in words, or None."""

    rows: int
    left_out: str | None


def classify_file(
    engine: Engine,
    source: str,
    out: Path,
    *,
    progress: Progress,
    columns: Mapping[str, str] | None = None,
    shard: Shard = WHOLE,
    resume: bool = False,
    lost: Callable[[int], None] = lambda rows: None,
) -> Classified:
    """Write the items of ``source`` with their predictions to ``out``, in the same order.

    JSON Lines hold each record and its ``prediction``; a CSV or Parquet file has the columns of a record and
    ``predicted_`` ones per task. Bad rows go to ``OUT.rejects.jsonl``. ``out`` appears when all is done; until then
    what is done lies in ``OUT.work``, and with ``resume`` a run that was stopped goes on there, with nothing lost
    or doubled.

    Args:
        engine: the model at work.
        source: as :func:`models.readers.read_items` takes it.
        out: the file to write.
        progress: is told how far it is.
        columns: what the source calls a field.
        shard: which of the rows.
        resume: whether to go on with what a stopped run left.
        lost: is told how many rows a stopped run had done that are done again, since ``resume`` is not set.

    Raises:
        DataError: the source cannot be read or has no row that can be used, or the name of ``out`` tells no format.
        InputError: another run writes ``out``; or the run that was stopped was another one.
    """
    name = out.name.lower()
    if not name.endswith(FORMATS):
        raise DataError(f"{out}: unknown format; expected a name that ends with one of {', '.join(FORMATS)}")
    rejects = out.with_name(f"{out.name}.rejects.jsonl")
    if Path(source).resolve() in (out.resolve(), rejects.resolve()):
        raise DataError(f"{source}: answers or bad rows would be written over it; rename it, or give another --out")
    work = {
        "source": _identity(source),
        "columns": dict(sorted((columns or {}).items())),
        "shard": str(shard),
        "model": engine.version,
        "format": next(ending for ending in FORMATS if name.endswith(ending)),
    }
    with open_unfinished(out, work, packed=name.endswith(".gz"), resume=resume, lost=lost) as unfinished:
        tally = Tally(rejects, unfinished.done.rejects)
        _classify(engine, source, columns, shard, unfinished, tally, progress, name)
        done = unfinished.done
        unfinished.mark()
        if done.rejects:
            _copy(unfinished.rejects, rejects)
        else:
            rejects.unlink(missing_ok=True)  # of an earlier run
        if not done.answers and shard.of == 1:
            raise DataError(f"{source}: no row can be classified; {tally.summary()}")
        if name.endswith(PARQUET):
            # imported here: other formats need no pyarrow
            from serving.bulk.parquet import write_parquet

            with progress.stage(f"making a table of {out.name}"):
                write_parquet(unfinished.answers, out, engine.schema)
        else:
            publish(unfinished.answers, out)
    return Classified(done.answers, tally.summary() if done.rejects else None)


def _classify(
    engine: Engine,
    source: str,
    columns: Mapping[str, str] | None,
    shard: Shard,
    unfinished: Unfinished,
    tally: Tally,
    progress: Progress,
    name: str,
) -> None:
    beginning, _ = lines_of(name, engine.schema)
    before = unfinished.done.rows
    if beginning and not unfinished.done.answer_bytes:
        unfinished.add(0, beginning, 0, "", 0)
    rows = islice(read_items(source, columns), shard.number - 1, None, shard.of)
    with progress.stage("counting rows", None, ""):
        total = count_rows(source)
    mine = None if total is None else len(range(shard.number - 1, total, shard.of))
    with progress.stage(f"classifying {source}", mine, "texts", done=before) as advance:
        out: deque[_Rest] = deque()
        for text in engine.lines(_items(_chunks(islice(rows, before, None)), out), name):
            read, answered, bad = out.popleft()
            for reject in bad:
                tally.add(reject)
            unfinished.add(read, text, answered, "".join(map(line_of, bad)), len(bad))
            advance(read)


class _Rest(NamedTuple):
    """Of a chunk whose items are being answered: its rows, how many of them are items, and the others."""

    read: int
    answered: int
    bad: list[Reject]


def _items(chunks: Iterator[list[LabeledItem | Reject]], out: deque[_Rest]) -> Iterator[list[LabeledItem]]:
    """The items of each chunk; the rest of it goes to the end of ``out``."""
    for chunk in chunks:
        items = [one for one in chunk if not isinstance(one, Reject)]
        bad = [one for one in chunk if isinstance(one, Reject)]
        out.append(_Rest(len(chunk), len(items), bad))
        yield items


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as content, atomic_write(target, "wb") as file:
        shutil.copyfileobj(content, file)


def _chunks(rows: Iterator[LabeledItem | Reject]) -> Iterator[list[LabeledItem | Reject]]:
    while chunk := list(islice(rows, _CHUNK)):
        yield chunk


def _identity(source: str) -> list[object]:
    """What tells that a source is still the one it was."""
    if source.startswith(DATASET_PREFIX) or not Path(source).exists():
        return [source]
    found = Path(source).stat()
    return [str(Path(source).resolve()), found.st_size, found.st_mtime_ns]
