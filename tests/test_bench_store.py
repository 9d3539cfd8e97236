"""The benchmark of the store runs, at a small size, and says what it measured; on each database."""

import json

import pytest
from pydantic import SecretStr
from support import STARTER, free_port, read_jsonl

from models.figures import at_least, at_most
from models.progress import Silent
from serving.bench.deliver import bench_delivery
from serving.bench.intake import bench_intake
from serving.bench.queries import NOW, QUESTIONS, bench_queries
from serving.settings import Settings
from serving.store.engine import open_engine
from serving.store.queries import Filter, find


def test_all_of_it_is_measured(address, linear_folder):
    queries = bench_queries(address, 1200, Silent(), repeats=1)
    assert len(queries) == len(QUESTIONS) + 3
    assert all(one.median > 0 for one in queries)
    texts = [row["text"] for row in read_jsonl(STARTER / "train.jsonl")][:50]
    settings = Settings(model=linear_folder, store=SecretStr(address), threads=1)
    intake = bench_intake(settings, texts, free_port(), Silent(), lists=2, repeats=1)
    delivery = bench_delivery(address, Silent(), messages=40, repeats=1)
    assert [one.unit for one in (*intake, *delivery)] == ["items/s"] * 5 + ["a second"] * 3
    assert json.dumps([one.as_dict() for one in queries])


def test_the_questions_find_what_they_are_for(tmp_path):
    address = f"sqlite:///{tmp_path / 'feedback.db'}"
    bench_queries(address, 5000, Silent(), repeats=1)
    engine = open_engine(address)
    empty = {name for name, asked in QUESTIONS.items() if not find(engine, Filter.model_validate(asked), NOW).items}
    engine.dispose()
    # of five conditions at once there may be none among so few
    assert empty - {"five conditions", "a rare word"} == {"nothing that there is"}


@pytest.mark.parametrize(
    ("figure", "row"),
    [
        (at_least("a", "items/s", [1400, 1600, 1501], 1500), ["a", "1,501 items/s", "1,400–1,600", "≥ 1,500", "kept"]),
        (
            at_least("a", "items/s", [1400, 1600, 1499], 1500),
            ["a", "1,499 items/s", "1,400–1,600", "≥ 1,500", "missed"],
        ),
        (at_most("b", "ms", [1.25, 60, 2], 50), ["b", "2.0 ms", "1.2–60.0", "≤ 50", "missed"]),
        (at_most("b", "ms", [1.25, 2], None), ["b", "1.6 ms", "1.2–2.0", "", ""]),
    ],
)
def test_a_figure_is_shown_with_its_spread_and_bound(figure, row):
    assert figure.as_row() == row
