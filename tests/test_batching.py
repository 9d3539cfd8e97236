"""The batcher by itself: real threads, a model that can be held up, and every way in which a request may end."""

import asyncio
import time
from concurrent.futures import Future

import pytest
from batching_support import SOON, Model, deadline, held, items, numbered, run

from serving.batching.batcher import Batcher
from serving.batching.limits import LateError, Limits, OverloadedError
from serving.batching.queue import WaitingQueue
from serving.batching.turn import Turn


def test_what_waits_is_computed_together_and_everybody_gets_the_own_answer():
    async def scenario(batcher: Batcher, model: Model) -> None:
        first = await held(batcher, model)
        answers = [batcher.enter(numbered(2, f"{caller} "), deadline(), list) for caller in range(20)]
        model.free.set()
        assert await first == ["first"]
        assert await asyncio.gather(*answers) == [[f"{caller} 0", f"{caller} 1"] for caller in range(20)]

    model, seen = run(scenario)
    assert seen.sizes == [1, 40]
    assert seen.left == [0, 0]
    assert len(seen.waits) == 21
    assert model.batches[1][:3] == ["0 0", "0 1", "1 0"]


def test_who_comes_alone_waits_for_nobody():
    async def scenario(batcher: Batcher, model: Model) -> None:
        for number in range(3):
            assert await batcher.enter(numbered(1), deadline(), list) == ["0"], number

    assert run(scenario)[1].sizes == [1, 1, 1]


def test_a_batch_lingers_until_it_is_full_if_that_is_set():
    async def scenario(batcher: Batcher, model: Model) -> None:
        answers = [batcher.enter(numbered(1), deadline(), list) for _ in range(4)]
        assert await asyncio.gather(*answers) == [["0"]] * 4

    # a full batch goes at once, whatever else might come
    assert run(scenario, Limits(items=4, linger=SOON * 10))[1].sizes == [4]


def test_nobody_lingers_longer_than_set():
    async def scenario(batcher: Batcher, model: Model) -> None:
        assert await batcher.enter(numbered(1), deadline(), list) == ["0"]

    assert run(scenario, Limits(linger=0.05))[1].sizes == [1]


@pytest.mark.parametrize(
    ("limits", "sizes"),
    [
        (Limits(items=8), [1, 8, 8, 4]),
        (Limits(items=8, characters=50), [1, 5, 5, 5, 5]),
        # an item that is too long by itself is computed alone
        (Limits(characters=5), [1, *[1] * 20]),
    ],
)
def test_a_batch_is_bounded_by_items_and_by_characters(limits, sizes):
    async def scenario(batcher: Batcher, model: Model) -> None:
        await_first = await held(batcher, model)
        answers = [batcher.enter(items("x" * 10), deadline(), list) for _ in range(20)]
        model.free.set()
        await asyncio.gather(await_first, *answers)

    assert run(scenario, limits)[1].sizes == sizes


def test_a_long_list_is_computed_by_turns_with_others_and_answered_in_order():
    async def scenario(batcher: Batcher, model: Model) -> None:
        first = await held(batcher, model)
        long = batcher.enter(numbered(10, "long "), deadline(), list)
        short = batcher.enter(items("short"), deadline(), list)
        model.free.set()
        await first
        assert await short == ["short"]
        assert await long == [f"long {number}" for number in range(10)]

    model, _ = run(scenario, Limits(items=4))
    assert model.batches[1:] == [
        ["long 0", "long 1", "long 2", "long 3"],
        ["short"],
        ["long 4", "long 5", "long 6", "long 7"],
        ["long 8", "long 9"],
    ]


@pytest.mark.parametrize("place", [0, 3, 6])
def test_an_item_that_the_model_fails_at_harms_no_other(place, caplog):
    async def scenario(batcher: Batcher, model: Model) -> None:
        first = await held(batcher, model)
        texts = [f"good {number}" for number in range(7)]
        texts[place] = "poison of a customer"
        answers = [batcher.enter(items(text), deadline(), lambda said: said[0]) for text in texts]
        model.free.set()
        await first
        said = await asyncio.gather(*answers)
        assert isinstance(said.pop(place), ValueError)
        assert said == texts[:place] + texts[place + 1 :]

    run(scenario)
    assert "a text of 20 characters cannot be predicted: ValueError" in caplog.text
    assert "customer" not in caplog.text


def test_a_request_whose_answer_cannot_be_made_fails_alone():
    def fail(_: list) -> None:
        raise KeyError("of one alone")

    async def scenario(batcher: Batcher, model: Model) -> None:
        first = await held(batcher, model)
        bad, good = batcher.enter(numbered(1), deadline(), fail), batcher.enter(numbered(1), deadline(), list)
        model.free.set()
        await first
        with pytest.raises(KeyError, match="of one alone"):
            await bad
        assert await good == ["0"]

    run(scenario)


def test_too_few_predictions_are_nobodys_answer():
    batcher = Batcher(lambda asked: asked[1:])
    with pytest.raises(RuntimeError, match="expected 1 predictions, got 0"):
        batcher.compute(numbered(3), SOON)
    batcher.close()


def test_who_hangs_up_is_not_computed():
    async def scenario(batcher: Batcher, model: Model) -> None:
        first = await held(batcher, model)
        gone, stays = (batcher.enter(items(name), deadline(), list) for name in ("gone", "stays"))
        gone.cancel()
        await asyncio.sleep(0)
        model.free.set()
        await first
        assert await stays == ["stays"]

    model, seen = run(scenario)
    assert model.batches == [["first"], ["stays"]]
    assert (seen.passed, seen.left) == (1, [0, 0])


def test_what_is_too_late_is_not_computed():
    async def scenario(batcher: Batcher, model: Model) -> None:
        first = await held(batcher, model)
        late, stays = (batcher.enter(items(name), until, list) for name, until in (("late", 0.0), ("on", deadline())))
        model.free.set()
        await first
        with pytest.raises(LateError, match="not computed in time"):
            await late
        assert await stays == ["on"]

    model, seen = run(scenario)
    assert model.batches == [["first"], ["on"]]
    assert seen.passed == 1


def test_more_than_may_wait_is_refused_at_once_and_taken_again_later():
    async def scenario(batcher: Batcher, model: Model) -> None:
        first = await held(batcher, model)
        # one list is taken however long, if nothing waits
        waits = batcher.enter(numbered(12), deadline(), list)
        with pytest.raises(OverloadedError, match=r"try again in 1 s") as refusal:
            batcher.enter(numbered(1), deadline(), list)
        assert (refusal.value.retry_after, refusal.value.http_status) == (1, 429)
        with pytest.raises(OverloadedError):
            batcher.check()
        model.free.set()
        await asyncio.gather(first, waits)
        batcher.check()
        assert await batcher.enter(numbered(1), deadline(), list) == ["0"]

    assert run(scenario, Limits(waiting=10, always=0))[1].refusals == 2


def test_places_of_who_hangs_up_are_free_at_once():
    async def scenario(batcher: Batcher, model: Model) -> None:
        first = await held(batcher, model)
        gone = batcher.enter(numbered(10), deadline(), list)
        gone.cancel()
        await asyncio.sleep(0)
        stays = batcher.enter(numbered(10), deadline(), list)
        model.free.set()
        await asyncio.gather(first, stays)

    assert run(scenario, Limits(waiting=10, always=0))[1].refusals == 0


def test_the_expected_wait_is_that_of_the_measured_pace():
    queue = WaitingQueue(Limits(wait=5.0, always=20))

    def put(count: int) -> None:
        queue.put(Turn(items(*["x" * 50] * count), deadline(), list, Future()))

    for _ in range(3):
        put(1)
        assert queue.expected_wait() == 0  # too little is known yet
        queue.next_batch()
        time.sleep(0.05)
        queue.finished()
    put(10)
    one = queue.expected_wait() / 10
    assert one >= 0.05
    put(10)
    assert queue.expected_wait() == pytest.approx(20 * one)
    # of a long list others only wait for a part
    put(2000)
    assert queue.expected_wait() == pytest.approx(84 * one)
    for _ in range(20):
        put(64)
    with pytest.raises(OverloadedError) as refusal:
        queue.check()
    assert refusal.value.retry_after == 60


def test_a_few_may_wait_however_slow_the_model_is():
    queue = WaitingQueue(Limits(wait=0.01, always=3))
    for _ in range(3):
        queue.put(Turn(numbered(1), deadline(), list, Future()))
        queue.next_batch()
        time.sleep(0.05)
        queue.finished()
    queue.put(Turn(numbered(2), deadline(), list, Future()))
    assert queue.expected_wait() > 0.01
    queue.check(1)
    with pytest.raises(OverloadedError, match="try again in 1 s"):
        queue.check(2)


def test_other_threads_ask_too_and_are_never_refused():
    async def scenario(batcher: Batcher, model: Model) -> None:
        first = await held(batcher, model)
        waits = batcher.enter(numbered(10), deadline(), list)
        asked = asyncio.create_task(asyncio.to_thread(batcher.compute, numbered(3, "store "), SOON))
        model.free.set()
        await asyncio.gather(first, waits)
        assert await asked == ["store 0", "store 1", "store 2"]
        with pytest.raises(ValueError, match="cannot be read"):
            await asyncio.to_thread(batcher.compute, items("fine", "poison"), SOON)
        assert batcher.compute([], SOON) == []

    run(scenario, Limits(waiting=10, always=0))


def test_another_thread_gives_up_after_its_time():
    async def scenario(batcher: Batcher, model: Model) -> None:
        first = await held(batcher, model)
        with pytest.raises(LateError, match=r"no answer of the model within 0.01 s"):
            await asyncio.to_thread(batcher.compute, items("late"), 0.01)
        model.free.set()
        await first

    assert run(scenario)[0].batches == [["first"]]


def test_many_callers_at_once_get_what_is_theirs():
    async def scenario(batcher: Batcher, model: Model) -> None:
        async def caller(name: int) -> None:
            for number in range(50):
                wanted = [f"{name} {number} {place}" for place in range(1 + number % 3)]
                assert await batcher.enter(items(*wanted), deadline(), list) == wanted

        await asyncio.gather(*(caller(name) for name in range(32)))

    model, seen = run(scenario)
    assert sum(seen.sizes) == sum(map(len, model.batches)) == 32 * (17 * 1 + 17 * 2 + 16 * 3)
    assert max(seen.sizes) <= 64
