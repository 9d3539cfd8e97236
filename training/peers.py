"""What others make of few labels, for comparison: SetFit (Tunstall et al. 2022), where it is installed."""

import logging
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from importlib.util import find_spec
from io import StringIO
from pathlib import Path

from datasets import Dataset
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from models.encoding import quiet_library
from training.metrics import LabelSet

#: Most pairs for each text (R = 20 of the same label and as many of others, Tunstall et al. 2022).
_PAIRS = 40


def has_setfit() -> bool:
    """Whether the package setfit is installed; it comes with the extra ``peers``."""
    return find_spec("setfit") is not None


def setfit_answerer(
    encoder: Path, texts: Sequence[str], labels: Sequence[LabelSet], *, max_length: int, seed: int
) -> Callable[[Sequence[str]], list[LabelSet]]:
    """What labels texts, as SetFit on ``encoder`` learned it from ``texts``, each of which has some ``labels``.

    With its own settings: the encoder is trained for one epoch on pairs of ``texts``, alike where their labels
    are, then a logistic regression reads the vectors. It takes every pair there is; where that would be more than
    40 for each text, it takes 40, which is the number of its authors.
    """
    keys = sorted({label for row in labels for label in row})
    several = any(len(row) != 1 for row in labels)
    targets: list[str] | list[list[int]] = [row[0] for row in labels] if not several else []
    if several:
        targets = [[int(key in row) for key in keys] for row in labels]
    with quiet_library(), warnings.catch_warnings(), redirect_stderr(StringIO()), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")  # it warns of its own use of its libraries
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.models import Pooling, Transformer
        from setfit import SetFitModel, Trainer, TrainingArguments

        logging.getLogger("setfit").setLevel(logging.ERROR)
        reader = Transformer(str(encoder), max_seq_length=max_length)
        pooling = Pooling(reader.get_embedding_dimension(), "mean")
        body = SentenceTransformer(modules=[reader, pooling], device="cpu")
        regression = LogisticRegression(max_iter=1000)
        model = SetFitModel(
            model_body=body,
            model_head=OneVsRestClassifier(regression) if several else regression,
            multi_target_strategy="one-vs-rest" if several else None,
        )
        with tempfile.TemporaryDirectory(prefix="feedback-setfit-") as folder:
            settings = TrainingArguments(
                output_dir=folder,
                report_to="none",
                seed=seed,
                save_strategy="no",
                show_progress_bar=False,
                num_iterations=_PAIRS // 2 if _pairs(targets) > _PAIRS * len(texts) else None,
            )
            rows = Dataset.from_dict({"text": list(texts), "label": targets})
            Trainer(model=model, args=settings, train_dataset=rows).train()

    def answer(asked: Sequence[str]) -> list[LabelSet]:
        found = model.predict(list(asked), show_progress_bar=False)
        if not several:
            return [(str(label),) for label in found]
        return [tuple(key for key, applies in zip(keys, row, strict=True) if applies) for row in found]

    return answer


def _pairs(targets: Sequence[object]) -> int:
    """How many pairs it takes of its own accord: those of different labels, and as many of the same."""
    counts = Counter(map(str, targets)).values()
    return len(targets) ** 2 - sum(count**2 for count in counts)
