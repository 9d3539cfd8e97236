"""The outbox: rows are taken by one, and come back until they are settled; on SQLite and on PostgreSQL."""

import threading
from datetime import timedelta

from sqlalchemy import select, update
from store_support import NOON, rows, waiting

from serving.delivery.channels import Outcome
from serving.delivery.outbox import FAILURES, LEASE, MAX_AGE, REFUSALS, Settled, claim, redrive, settle, status
from serving.store.engine import reading, writing
from serving.store.tables import channel_states, deliveries, outbox

FAILED = Outcome(False, error="refused", status=500)
DONE = Outcome(True)


def settled(taken, outcome=DONE):
    return [Settled(row, outcome, 1) for row in taken]


def test_a_row_is_taken_by_one_sent_and_done(engine):
    waiting(engine, 5)
    first = claim(engine, "inbox", "a", NOON, 3)
    second = claim(engine, "inbox", "b", NOON, 9)
    assert len(first), len(second) == (3, 2)
    assert not {row.key for row in first} & {row.key for row in second}
    assert claim(engine, "inbox", "c", NOON, 9) == []
    assert settle(engine, "inbox", settled([*first, *second]), NOON) == 5
    assert {row["state"] for row in rows(engine)} == {"done"}
    assert claim(engine, "inbox", "c", NOON + 2 * LEASE, 9) == []


def test_a_row_whose_lease_ran_out_is_another_s_and_a_late_answer_changes_nothing(engine):
    waiting(engine, 1)
    (slow,) = claim(engine, "inbox", "slow", NOON, 1)
    later = NOON + LEASE + timedelta(seconds=1)
    assert claim(engine, "inbox", "quick", NOON + LEASE / 2, 1) == []
    (quick,) = claim(engine, "inbox", "quick", later, 1)
    assert (quick.delivery_id, quick.attempts) == (slow.delivery_id, 2)
    assert settle(engine, "inbox", settled([slow], FAILED), later) == 0
    assert rows(engine)[0]["state"] == "leased"
    assert settle(engine, "inbox", settled([quick]), later) == 1
    assert settle(engine, "inbox", settled([slow], FAILED), later) == 0
    assert rows(engine)[0]["state"] == "done"
    with reading(engine) as connection:
        outcomes = connection.execute(select(deliveries.c.outcome).order_by(deliveries.c.key)).scalars().all()
    assert outcomes == ["late", "done", "late"]


def test_what_fails_comes_back_later_and_later_for_three_days(engine):
    waiting(engine, 1)
    now, delays = NOON, []
    while True:
        with writing(engine) as connection:  # the channel's own rest is another matter
            connection.exec_driver_sql("DELETE FROM channel_states")
        (row,) = claim(engine, "inbox", "a", now, 1)
        settle(engine, "inbox", settled([row], FAILED), now)
        found = rows(engine)[0]
        if found["state"] == "dead":
            break
        delays.append((found["next_at"] - now).total_seconds())
        assert claim(engine, "inbox", "a", found["next_at"] - timedelta(seconds=1), 1) == []
        now = found["next_at"]
    assert now <= NOON + MAX_AGE
    assert now > NOON + MAX_AGE * 0.8
    assert 4 <= delays[0] <= 6
    assert 24 <= delays[1] <= 36
    assert max(delays) <= 14400 * 1.2
    assert found["last_error"] == "refused"
    assert len(delays) > 15


def test_a_receiver_s_wish_to_wait_is_respected(engine):
    waiting(engine, 1)
    (row,) = claim(engine, "inbox", "a", NOON, 1)
    settle(engine, "inbox", settled([row], Outcome(False, error="busy", status=429, retry_after=1000)), NOON)
    assert rows(engine)[0]["next_at"] == NOON + timedelta(seconds=1000)


def test_what_is_refused_for_good_is_given_up_early_and_sent_again_when_told(engine):
    waiting(engine, 1)
    now = NOON
    for attempt in range(REFUSALS):
        (row,) = claim(engine, "inbox", "a", now, 1)
        assert row.attempts == attempt + 1
        settle(engine, "inbox", settled([row], Outcome(False, final=True, error="gone", status=404)), now)
        now = rows(engine)[0]["next_at"]
    assert rows(engine)[0]["state"] == "dead"
    assert redrive(engine, "another", now) == 0
    assert redrive(engine, None, now) == 1
    (again,) = claim(engine, "inbox", "a", now, 1)
    assert (again.delivery_id, again.attempts) == (row.delivery_id, 1)


def test_a_receiver_that_wants_nothing_more_is_left_alone_until_somebody_says_otherwise(engine):
    waiting(engine, 3)
    taken = claim(engine, "inbox", "a", NOON, 1)
    settle(engine, "inbox", settled(taken, Outcome(False, final=True, error="answered 410", status=410)), NOON)
    for days in (0, 1, 30):
        assert claim(engine, "inbox", "a", NOON + timedelta(days=days), 8) == []
    (shown,) = status(engine)
    assert (shown["new"], shown["dead"], shown["disabled_at"]) == (3, 0, NOON)
    assert redrive(engine, "inbox", NOON) == 3
    assert len(claim(engine, "inbox", "a", NOON, 8)) == 3


def test_what_waited_has_its_three_days_from_its_first_attempt(engine):
    waiting(engine, 2)
    late = NOON + timedelta(days=30)  # until then its channel was not set up
    (row,) = claim(engine, "inbox", "a", late, 1)
    settle(engine, "inbox", settled([row], FAILED), late)
    assert [row["state"] for row in rows(engine)] == ["new", "new"]
    (row, _) = claim(engine, "inbox", "a", late + MAX_AGE, 2)
    settle(engine, "inbox", settled([row], FAILED), late + MAX_AGE)
    assert rows(engine)[0]["state"] == "dead"


def test_what_waited_while_its_channel_was_switched_off_is_tried_for_another_three_days(engine):
    waiting(engine, 2)
    gone = Outcome(False, final=True, error="answered 410", status=410)
    settle(engine, "inbox", settled(claim(engine, "inbox", "a", NOON, 1), gone), NOON)
    later = NOON + timedelta(days=30)
    assert redrive(engine, "inbox", later) == 2
    taken = claim(engine, "inbox", "a", later, 8)
    # what was never tried is as old as it was
    assert [(row.attempts, row.created_at) for row in taken] == [(1, later), (1, NOON)]
    settle(engine, "inbox", settled(taken, FAILED), later)
    assert [row["state"] for row in rows(engine)] == ["new", "new"]


def test_a_receiver_that_wants_nothing_more_is_heard_although_it_takes_what_was_sent_beside(engine):
    waiting(engine, 2)
    first, second = claim(engine, "inbox", "a", NOON, 2)
    gone = Outcome(False, final=True, error="answered 410", status=410)
    settle(engine, "inbox", [Settled(first, gone, 1), Settled(second, DONE, 1)], NOON)
    assert claim(engine, "inbox", "a", NOON + timedelta(days=1), 8) == []


def test_a_channel_that_fails_rests_and_then_tries_one_at_a_time(engine):
    waiting(engine, 40)
    waiting(engine, 3, "other")
    taken = claim(engine, "inbox", "a", NOON, FAILURES)
    settle(engine, "inbox", settled(taken, FAILED), NOON)
    assert claim(engine, "inbox", "a", NOON + timedelta(seconds=10), 8) == []
    assert len(claim(engine, "other", "a", NOON, 8)) == 3
    later = NOON + timedelta(seconds=31)
    probe = claim(engine, "inbox", "a", later, 8)
    assert len(probe) == 1
    settle(engine, "inbox", settled(probe), later)
    assert len(claim(engine, "inbox", "a", later, 8)) == 8


def test_what_fails_at_once_is_one_step_to_a_longer_rest(engine):
    def rest(now):
        (row,) = status(engine)
        return (row["rests_until"] - now).total_seconds()

    waiting(engine, 40)
    first, second = (claim(engine, "inbox", owner, NOON, 12) for owner in "ab")
    settle(engine, "inbox", settled(first, FAILED), NOON)
    assert rest(NOON) == 30
    # these had begun before the rest, and tell nothing new
    settle(engine, "inbox", settled(second, FAILED), NOON + timedelta(seconds=9))
    assert rest(NOON) == 30
    now, rests = NOON + timedelta(seconds=30), []
    for _ in range(6):
        settle(engine, "inbox", settled(claim(engine, "inbox", "a", now, 12), FAILED), now)
        rests.append(rest(now))
        now += timedelta(seconds=rests[-1])
    assert rests == [60, 120, 240, 480, 900, 900]


def test_failures_that_two_workers_settle_at_once_are_both_counted(engine):
    channels = [f"channel{number}" for number in range(10)]
    for channel in channels:
        waiting(engine, 4, channel)
        for _ in range(2):  # the first failures of a channel, and later ones
            taken = [claim(engine, channel, owner, NOON, 1) for owner in "ab"]
            begin = threading.Barrier(2)

            def answer(mine, channel=channel, begin=begin):
                begin.wait()
                settle(engine, channel, settled(mine, FAILED), NOON)

            threads = [threading.Thread(target=answer, args=(mine,)) for mine in taken]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    assert {row["state"] for row in rows(engine)} == {"new"}
    with reading(engine) as connection:
        counted = connection.execute(select(channel_states.c.channel, channel_states.c.failures)).all()
    assert dict(counted) == dict.fromkeys(channels, 4)


def test_the_state_of_each_channel_is_told(engine):
    waiting(engine, 4)
    waiting(engine, 1, "other")
    taken = claim(engine, "inbox", "a", NOON, 3)
    settle(engine, "inbox", settled(taken[:1]), NOON)
    with writing(engine) as connection:
        connection.execute(update(outbox).where(outbox.c.key == taken[1].key).values(state="dead"))
    inbox, other = status(engine)
    assert (inbox["channel"], other["channel"]) == ("inbox", "other")
    assert [inbox[name] for name in ("new", "leased", "done", "dead")] == [1, 1, 1, 1]
    assert [other[name] for name in ("new", "leased", "done", "dead")] == [1, 0, 0, 0]
    assert inbox["oldest"] == NOON
