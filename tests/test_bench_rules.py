"""The benchmark of the rules layer: the engines agree, and each is measured."""

import random

from models.labels import LabelSchema
from models.progress import Silent
from serving.bench.rules import _narrow_rule, _rule, _text_rule, bench, bench_replay


def test_every_engine_sends_every_item_where_ours_does():
    found = bench(Silent(), repeats=1, many=40, items_count=100)
    assert len({one.rules for one in found}) == 3
    engines = {one.engine for one in found}
    assert len(engines) == 4
    assert len(found) == 12
    assert all(one.lowest <= one.rate <= one.highest for one in found)
    assert all(one.ratio == 1 for one in found if one.engine == "feedback-classifier")


def test_the_same_seed_makes_the_same_rules():
    schema = LabelSchema.load()
    for make in (_rule, _narrow_rule, lambda _, chance: _text_rule(chance)):
        assert make(schema, random.Random(3)) == make(schema, random.Random(3))


def test_a_replay_is_measured_with_what_it_moves():
    seconds, moved = bench_replay(Silent(), items_count=300)
    assert seconds > 0
    assert 0 < moved < 300
