"""What the tests share: small real encoders, small real models, the service as a process."""

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Engine
from support import ROOT, STARTER, free_port, new_database, postgres_server, read_jsonl

from models.threads import calm_barriers

calm_barriers()

if TYPE_CHECKING:
    from label_studio_sdk.client import LabelStudio

from labeling.studio.client import connect  # noqa: E402
from labeling.studio.server import Studio, find_binary  # noqa: E402
from labeling.studio.server import running as running_studio  # noqa: E402
from models.classifier import Classifier  # noqa: E402  (compute libraries are loaded after their settings)
from models.labels import DEFAULT_SCHEMA, LabelSchema  # noqa: E402
from models.progress import Silent  # noqa: E402
from serving.server import base_url, running  # noqa: E402
from serving.settings import Settings  # noqa: E402
from serving.store.schema import open_store  # noqa: E402
from training.config import TrainConfig  # noqa: E402
from training.train import train  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def _own_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test writes into the store that lies in this checkout."""
    previous = os.environ.get("FEEDBACK_STORE")
    os.environ["FEEDBACK_STORE"] = f"sqlite:///{tmp_path_factory.mktemp('store') / 'feedback.db'}"
    yield
    if previous is None:
        del os.environ["FEEDBACK_STORE"]
    else:
        os.environ["FEEDBACK_STORE"] = previous


@pytest.fixture(scope="session")
def texts() -> list[str]:
    return [row["text"] for row in read_jsonl(STARTER / "train.jsonl")]


@pytest.fixture(scope="session")
def schema() -> LabelSchema:
    """The labels that come with the project."""
    return LabelSchema.load(DEFAULT_SCHEMA)


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> Path:
    """A BERT-like encoder with WordPiece, two layers, random weights."""
    import torch
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertModel, BertTokenizer

    folder = tmp_path_factory.mktemp("bert")
    pieces = BertWordPieceTokenizer(lowercase=True)
    pieces.train_from_iterator(texts, vocab_size=2000, show_progress=False)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=pieces.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder)
    BertTokenizer(vocab=pieces.get_vocab()).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def xlmr(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> Path:
    """An XLM-R-like encoder with a SentencePiece model, two layers, random weights."""
    import sentencepiece
    import torch
    from transformers import XLMRobertaConfig, XLMRobertaModel

    folder = tmp_path_factory.mktemp("xlmr")
    pieces = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=pieces, vocab_size=3000, minloglevel=2
    )
    (folder / "sentencepiece.bpe.model").write_bytes(pieces.getvalue())
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "XLMRobertaTokenizer"}')
    torch.manual_seed(0)
    config = XLMRobertaConfig(
        vocab_size=3002,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=50,
    )
    XLMRobertaModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def linear_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the linear part alone, trained on the starter data."""
    out = tmp_path_factory.mktemp("models") / "linear"
    config = TrainConfig(encoder="none")
    train(
        str(STARTER / "train.jsonl"),
        out,
        config,
        dev=str(STARTER / "dev.jsonl"),
        labels=ROOT / "models/labels.toml",
        progress=Silent(),
    )
    return out


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory, bert: Path) -> Path:
    """A model of both parts, trained on the starter data with the small BERT."""
    out = tmp_path_factory.mktemp("models") / "both"
    config = TrainConfig(encoder=str(bert), epochs=2, max_length=48, learning_rate=2e-3, threads=1)
    train(
        str(STARTER / "train.jsonl"),
        out,
        config,
        dev=str(STARTER / "dev.jsonl"),
        labels=ROOT / "models/labels.toml",
        progress=Silent(),
    )
    return out


@pytest.fixture(scope="session")
def classifier(model_folder: Path) -> Classifier:
    return Classifier.load(model_folder)


@pytest.fixture(scope="session")
def service_url(model_folder: Path) -> Iterator[str]:
    """The real service in a process of its own."""
    port = free_port()
    settings = Settings(model=model_folder, threads=1)
    with running(settings, "127.0.0.1", port, Silent()):
        yield base_url("127.0.0.1", port)


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """The real Label Studio; a test that needs it fails where it is not installed."""
    with running_studio(tmp_path_factory.mktemp("labelstudio"), find_binary(ROOT), Silent()) as server:
        yield server


@pytest.fixture(scope="session")
def studio_client(studio: Studio) -> "LabelStudio":
    """The SDK, connected to it."""
    return connect(studio.url, studio.key)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a real PostgreSQL server."""
    with postgres_server() as server:
        yield server.get_uri()


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database, once of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'feedback.db'}"
    return new_database(request.getfixturevalue("postgres"))


@pytest.fixture
def engine(address: str) -> Iterator[Engine]:
    """A store that is ready, on each database."""
    found = open_store(address)
    yield found
    found.dispose()
