"""What others make of few labels, for comparison: SetFit (Tunstall et al. 2022), where it is installed."""

import logging
import tempfile
import warnings
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from importlib.util import find_spec
from io import StringIO
from pathlib import Path

from datasets import Dataset
from sklearn.linear_model import LogisticRegression

from models.encoding import quiet_library


def has_setfit() -> bool:
    """Whether the package setfit is installed; it comes with the extra ``peers``."""
    return find_spec("setfit") is not None


def setfit_answerer(
    encoder: Path, texts: Sequence[str], labels: Sequence[str], *, max_length: int, seed: int
) -> Callable[[Sequence[str]], list[str]]:
    """What labels texts, as SetFit on ``encoder`` learned it from ``texts``.

    With its own settings throughout: the encoder is trained for one epoch on pairs of ``texts``,
    alike where their labels are, then a logistic regression reads the vectors.
    """
    with quiet_library(), warnings.catch_warnings(), redirect_stderr(StringIO()), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")  # it warns of its own use of its libraries
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.models import Pooling, Transformer
        from setfit import SetFitModel, Trainer, TrainingArguments

        logging.getLogger("setfit").setLevel(logging.ERROR)
        reader = Transformer(str(encoder), max_seq_length=max_length)
        pooling = Pooling(reader.get_embedding_dimension(), "mean")
        body = SentenceTransformer(modules=[reader, pooling], device="cpu")
        model = SetFitModel(model_body=body, model_head=LogisticRegression(max_iter=1000))
        with tempfile.TemporaryDirectory(prefix="feedback-setfit-") as folder:
            settings = TrainingArguments(
                output_dir=folder, report_to="none", seed=seed, save_strategy="no", show_progress_bar=False
            )
            rows = Dataset.from_dict({"text": list(texts), "label": list(labels)})
            Trainer(model=model, args=settings, train_dataset=rows).train()
    return lambda asked: [str(label) for label in model.predict(list(asked), show_progress_bar=False)]
