"""The store: what is accepted is on disk, once, and is found again; on SQLite and on PostgreSQL."""

import threading
from datetime import timedelta

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, inspect, select, text
from store_support import NOON, accepted, decided, entry, predicted

from models.errors import ConfigError
from models.records import FeedbackItem
from serving.store.columns import metadata
from serving.store.engine import StoreError, open_engine, reading, writing
from serving.store.intake import find_known, receipt_of
from serving.store.record import get
from serving.store.schema import head, migrate
from serving.store.tables import events, items, outbox, predictions


def count(engine, table) -> int:
    with reading(engine) as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def test_migrations_make_the_tables_of_the_code(engine):
    def compared(_, name, kind, *__):
        own = engine.dialect.name == "postgresql"
        return kind != "table" or not (name.startswith("item_words") or (name == "item_tokens" and not own))

    with writing(engine) as connection:
        context = MigrationContext.configure(connection, opts={"include_object": compared})
        assert compare_metadata(context, metadata) == []
    assert migrate(engine) == head()
    assert "items" in inspect(engine).get_table_names()


def test_a_store_of_a_newer_version_is_refused_and_left_alone(engine):
    accepted(engine, [entry()])
    with writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigError, match=r"of version 9999, which this program \(up to 0001\) does not know"):
        migrate(engine)
    assert count(engine, items) == 1


def test_several_processes_may_migrate_at_once(address):
    engines = [open_engine(address) for _ in range(4)]
    done: list[str] = []
    threads = [threading.Thread(target=lambda one=one: done.append(migrate(one))) for one in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == [head()] * 4
    for one in engines:
        one.dispose()


def test_an_item_is_stored_with_all_that_was_said_of_it(engine):
    given_entry = entry(
        "The lid is cracked",
        "product/defect",
        "product/quality",
        sentiment="negative",
        team="support",
        urgency="high",
        due_at=NOON + timedelta(hours=8),
        deliver="now",
        notify=("product",),
        channel="email",
        external_id="a1",
        source="web",
    )
    (receipt,) = accepted(engine, [given_entry], {"support": ["inbox", "hook"], "product": ["inbox"]})
    assert receipt.status == "stored"
    found = get(engine, receipt.id)
    assert found["text"] == "The lid is cracked"
    assert found["categories"] == ["product/defect", "product/quality"]
    assert (found["team"], found["state"], found["urgency"]) == ("support", "routed", "high")
    assert found["due_at"] == NOON + timedelta(hours=8)
    assert found["received_at"] == NOON
    assert found["item"] == {"text": "The lid is cracked", "channel": "email", "external_id": "a1", "source": "web"}
    assert [one["body"]["model"] for one in found["predictions"]] == [{"name": "m", "version": "1"}]
    assert [(one["cause"], one["body"]["rule"]) for one in found["decisions"]] == [("intake", "first")]
    assert [one["kind"] for one in found["events"]] == ["received"]
    sent = [(one["kind"], one["team"], one["channel"], one["state"]) for one in found["deliveries"]]
    assert sent == [
        ("item", "support", "inbox", "new"),
        ("item", "support", "hook", "new"),
        ("notice", "product", "inbox", "new"),
    ]
    assert get(engine, "no-such-id") is None


def test_the_same_item_again_gets_the_first_answer_and_another_content_is_a_conflict(engine):
    first = entry("hello", external_id="a1", team="support")
    (stored,) = accepted(engine, [first])
    again = first._replace(decision=decided("product"), prediction=predicted("product/defect"))
    (duplicate,) = accepted(engine, [again])
    assert (duplicate.status, duplicate.id) == ("duplicate", stored.id)
    assert (duplicate.prediction, duplicate.decision) == (first.prediction, first.decision)
    (conflict,) = accepted(engine, [entry("hello there", external_id="a1")])
    assert (conflict.status, conflict.id, conflict.prediction) == ("conflict", stored.id, None)
    (other,) = accepted(engine, [entry("hello there", external_id="a1", source="app")])
    assert other.status == "stored"
    assert [count(engine, table) for table in (items, predictions, events)] == [2, 2, 2]
    known = find_known(engine, [first.item, FeedbackItem(text="x"), FeedbackItem(text="y", external_id="b")])
    assert receipt_of(first.item, known["", "a1"]) == duplicate


def test_items_without_an_external_id_are_each_their_own(engine):
    receipts = accepted(engine, [entry("hello"), entry("hello")])
    assert [one.status for one in receipts] == ["stored", "stored"]
    assert receipts[0].id != receipts[1].id


def test_items_that_stand_twice_in_a_list_are_told_apart(engine):
    receipts = accepted(
        engine,
        [
            entry("a", external_id="1"),
            entry("b", external_id="1"),
            entry("a", external_id="1"),
            entry("c", external_id="2"),
        ],
    )
    assert [one.status for one in receipts] == ["stored", "conflict", "duplicate", "stored"]
    assert receipts[0].id == receipts[1].id == receipts[2].id
    assert receipts[2].decision == receipts[0].decision


def test_of_many_who_send_the_same_item_at_once_one_stores_it(engine):
    found: list[str] = []
    lock = threading.Lock()

    def send(number: int) -> None:
        same = [entry("hello", external_id="same"), entry(f"own {number}", external_id=f"own-{number}")]
        receipts = accepted(engine, same)
        with lock:
            found.extend(receipt.status for receipt in receipts)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(25)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == ["duplicate"] * 24 + ["stored"] * 26
    assert count(engine, items) == 26


def test_a_list_is_stored_whole_or_not_at_all(engine):
    broken = entry("b", deliver="now")._replace(received_at=NOON.replace(tzinfo=None))
    with pytest.raises(Exception, match="expected a time with a zone"):
        accepted(engine, [entry("a"), broken])
    assert [count(engine, table) for table in (items, predictions, outbox)] == [0, 0, 0]


ODD = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60).filter(
    lambda value: any(one.isprintable() and not one.isspace() for one in value)
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=ODD, key=ODD)
def test_any_text_comes_back_as_it_was(value, key, engine):
    (receipt,) = accepted(engine, [entry(value, meta={"said": [value, {"deep": value}], key: 1})])
    found = get(engine, receipt.id)
    assert found["text"] == value.replace("\x00", "␀")
    assert found["item"]["meta"]["said"][0] == value.replace("\x00", "␀")


def test_sqlite_keeps_what_it_has_said_it_has(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path / 'new' / 'feedback.db'}")
    with reading(engine) as connection:
        wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 5000}
        found = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in wanted}
    assert found == wanted
    engine.dispose()


def test_a_full_disk_accepts_nothing_and_recovers_by_itself(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path / 'feedback.db'}")
    migrate(engine)
    with reading(engine) as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(StoreError, match="the store cannot be used now: database or disk is full"):
        accepted(engine, [entry("x" * 40_000)])
    assert count(engine, items) == 0
    with reading(engine) as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 100000")
    assert accepted(engine, [entry("x" * 40_000)])[0].status == "stored"
    engine.dispose()


def test_a_store_that_is_locked_too_long_says_so(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path / 'feedback.db'}")
    migrate(engine)
    other = open_engine(f"sqlite:///{tmp_path / 'feedback.db'}")
    with reading(engine) as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout = 100")
    with writing(other), pytest.raises(StoreError, match="database is locked"):
        accepted(engine, [entry()])
    assert accepted(engine, [entry()])[0].status == "stored"
    for one in (engine, other):
        one.dispose()


@pytest.mark.parametrize(
    "address", ["feedback.db", "mysql://x@y/z", "sqlite://", "sqlite:///:memory:", "postgresql:/secret@"]
)
def test_an_address_that_names_no_store_is_refused_without_showing_secrets(address):
    with pytest.raises(ConfigError, match=r"store: expected sqlite:///FILE or postgresql://USER@HOST/NAME") as error:
        open_engine(address)
    assert "secret" not in str(error.value)


def test_a_server_that_is_away_is_said_without_the_password():
    engine = open_engine("postgresql://me:hunter2@127.0.0.1:1/feedback")
    with pytest.raises(StoreError, match="the store cannot be used now") as error:
        migrate(engine)
    assert "hunter2" not in str(error.value)
