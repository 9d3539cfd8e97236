"""SetFit on labelled rows, as a process of its own, so that its time is measured like that of a training.

python -m training.bench.peer --data FILE --test FILE --task TASK --encoder NAME --seed N --out FILE
"""

import argparse
import time
from pathlib import Path

from models.encoders import resolve_encoder
from models.encoding import load_encoder, positions
from models.files import write_json
from models.readers import read_items
from models.records import LabeledItem
from models.rejects import Reject
from models.text import normalise
from models.threads import use_threads
from training.metrics import quality
from training.peers import setfit_answerer


def main() -> None:
    """Train, answer, and write macro-F1, accuracy and the seconds of the training."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("data", "test", "task", "encoder", "out"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--threads", type=int)
    given = parser.parse_args()
    use_threads(given.threads)
    learn, test = (_labelled(file, given.task) for file in (given.data, given.test))
    encoder = resolve_encoder(given.encoder)
    _, network = load_encoder(encoder)
    start = time.perf_counter()
    answer = setfit_answerer(
        encoder,
        [normalise(item.text) for item in learn],
        [item.labels(given.task) or () for item in learn],
        max_length=min(given.max_length, positions(network)),
        seed=given.seed,
    )
    seconds = time.perf_counter() - start
    found = quality([item.labels(given.task) or () for item in test], answer([normalise(item.text) for item in test]))
    figures = {name: found[name] for name in ("macro_f1", "micro_f1", "accuracy")}
    write_json(Path(given.out), {"seconds": seconds, "rows": len(learn), **figures})


def _labelled(file: str, task: str) -> list[LabeledItem]:
    return [item for item in read_items(file) if not isinstance(item, Reject) and item.labels(task) is not None]


if __name__ == "__main__":
    main()
