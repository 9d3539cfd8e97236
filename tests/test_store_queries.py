"""Finding stored items: every filter, page by page, and as a file."""

import csv
import gzip
import io
import json
from datetime import timedelta

import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sqlalchemy import update
from store_support import NOON, accepted, entry

from models.errors import DataError
from serving.store.engine import writing
from serving.store.export import COLUMNS, export
from serving.store.queries import Filter, QueryError, every, find
from serving.store.search import tokens
from serving.store.tables import items

TEXTS = ("The lid is cracked", "Capacul e spart", "包裹来晚了，盖子裂了", "Zażółć gęślą jaźń", "the LID came late")
CATEGORIES = (("product/defect",), ("product/defect", "product/quality"), ("other",), ("customer_service/staff",))
STATES = ("routed", "acknowledged", "in_progress", "resolved", "told")
NOW = NOON + timedelta(days=2)


def filled(engine, count=60):
    """Items of every kind, an hour apart, the state of each changed afterwards; the newest last."""
    made = []
    for number in range(count):
        one = entry(
            f"{TEXTS[number % 5]} {number}",
            *CATEGORIES[number % 4],
            at=NOON + timedelta(hours=number),
            sentiment=("negative", "neutral", "positive")[number % 3],
            language=("en", "ro", "zh-Hans", "pl", "en")[number % 5],
            team=("support", "product")[number % 2],
            urgency=("low", "urgent")[number % 7 == 0],
            due_at=None if number % 3 else NOON + timedelta(hours=number + 4),
            needs_review=number % 11 == 0,
            channel=(None, "email", "app")[number % 3],
            external_id=str(number),
        )
        (receipt,) = accepted(engine, [one])
        made.append((receipt.id, one, STATES[number * 7 % 5]))
    with writing(engine) as connection:
        for identity, _, state in made:
            connection.execute(update(items).where(items.c.id == identity).values(state=state))
    return made


def fits(wanted: Filter, one, state) -> bool:
    answer, decision = one.prediction, one.decision
    labels = answer.tasks["category"].labels
    family = wanted.category and wanted.category.endswith("/*") and wanted.category[:-1]
    is_open = state in ("routed", "acknowledged", "in_progress")
    return all(
        (
            wanted.team in (None, decision.team),
            not wanted.state or state in wanted.state,
            wanted.category is None
            or (any(label.startswith(family) for label in labels) if family else wanted.category in labels),
            wanted.sentiment in (None, answer.tasks["sentiment"].labels[0]),
            wanted.urgency in (None, decision.urgency),
            wanted.language in (None, answer.language),
            wanted.channel in (None, one.item.channel),
            wanted.review in (None, decision.needs_review),
            wanted.since is None or one.received_at >= wanted.since,
            wanted.until is None or one.received_at < wanted.until,
            not wanted.overdue or (is_open and decision.due_at is not None and decision.due_at < NOW),
            wanted.text is None or set(tokens(wanted.text)) <= set(tokens(one.item.text)),
        )
    )


HOURS = st.integers(0, 60).map(lambda hours: NOON + timedelta(hours=hours))
FILTERS = st.fixed_dictionaries(
    {},
    optional={
        "team": st.sampled_from(["support", "product", "nobody"]),
        "state": st.sets(st.sampled_from(STATES), min_size=1).map(lambda states: tuple(sorted(states))),
        "category": st.sampled_from(["product/defect", "product/*", "other", "customer_service/*", "none"]),
        "sentiment": st.sampled_from(["negative", "positive"]),
        "urgency": st.sampled_from(["low", "urgent"]),
        "language": st.sampled_from(["en", "zh-Hans"]),
        "channel": st.sampled_from(["email", "app"]),
        "review": st.booleans(),
        "since": HOURS,
        "until": HOURS,
        "overdue": st.booleans(),
        "text": st.sampled_from(["lid", "LID cracked", "盖子", "zazolc gesla", "capacul 1", "late the"]),
    },
)


@pytest.fixture
def stored(engine):
    return filled(engine)


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wanted=FILTERS, limit=st.integers(1, 40))
def test_a_filter_finds_what_fits_and_nothing_else_the_newest_first(wanted, limit, engine, stored):
    asked = Filter(**wanted)
    expected = [identity for identity, one, state in reversed(stored) if fits(asked, one, state)]
    found: list[str] = []
    cursor = None
    while True:
        page = find(engine, asked, NOW, cursor=cursor, limit=limit)
        assert len(page.items) <= limit
        found += [one["id"] for one in page.items]
        cursor = page.next
        if cursor is None:
            break
    assert found == expected
    assert [one["id"] for one in every(engine, asked, NOW)] == expected


def test_a_page_is_not_disturbed_by_what_comes_in_meanwhile(engine):
    accepted(engine, [entry(str(number)) for number in range(6)])
    first = find(engine, Filter(), NOW, limit=3)
    accepted(engine, [entry("new")])
    second = find(engine, Filter(), NOW, cursor=first.next, limit=3)
    assert [one["text"] for one in (*first.items, *second.items)] == ["5", "4", "3", "2", "1", "0"]
    assert second.next is None


@pytest.mark.parametrize("cursor", ["", "x", "a2FiYw", "k5", "🐦", "a" * 200])
def test_a_cursor_that_was_never_given_out_is_refused(cursor, engine):
    with pytest.raises(QueryError, match="cursor: expected `next` of a page"):
        find(engine, Filter(), NOW, cursor=cursor)


def test_a_search_needs_a_word(engine):
    with pytest.raises(QueryError, match="text: expected words"):
        find(engine, Filter(text="?!"), NOW)


@pytest.mark.parametrize("words", ['"', "a OR b", "NEAR(a b)", "x*", "'; DROP TABLE items; --", "col:x", "^a", "(a"])
def test_words_are_words_and_no_query_language(words, engine):
    accepted(engine, [entry("quite something else")])
    assert find(engine, Filter(text=f"{words} q"), NOW).items == []


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"state": "routed,lost"}, "Input should be"),
        ({"urgency": "very"}, "Input should be"),
        ({"since": "yesterday"}, "since"),
        ({"tema": "support"}, "Extra inputs"),
    ],
)
def test_a_filter_that_means_nothing_is_refused(wanted, message):
    with pytest.raises(ValidationError, match=message):
        Filter.model_validate(wanted)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Zażółć, GĘŚLĄ jaźń!", ["zazolc", "gesla", "jazn"]),
        ("包裹来晚", ["包裹", "裹来", "来晚"]),
        ("用iPhone充电 好", ["用", "iphone", "充电", "好"]),
        ("don't e-mail me_twice", ["don", "t", "e", "mail", "me", "twice"]),
        ("", []),
    ],
)
def test_texts_are_found_by_their_words_in_every_script(text, found):
    assert tokens(text) == found


DANGEROUS = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("http://x")', "＝1")


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.xlsx", "a.jsonl", "a.jsonl.gz"])
def test_a_file_holds_every_item_and_no_cell_that_a_spreadsheet_runs(name, tmp_path, engine):
    accepted(engine, [entry(text, "product/defect", "other", channel=text.strip()[:20]) for text in DANGEROUS])
    out = tmp_path / name
    assert export(every(engine, Filter(), NOW), out, lambda _: None) == len(DANGEROUS)
    content = gzip.decompress(out.read_bytes()) if name.endswith(".gz") else out.read_bytes()
    if ".jsonl" in name:
        rows = [json.loads(line) for line in content.decode().splitlines()]
        assert [row["text"] for row in rows] == list(reversed(DANGEROUS))
        assert rows[0]["received_at"] == NOON.isoformat()
        return
    if name == "a.xlsx":
        sheet = openpyxl.load_workbook(out).active
        cells = [cell for row in sheet.iter_rows(min_row=2) for cell in row]
        assert {cell.data_type for cell in cells} <= {"s", "d", "b", "n"}
        assert [cell.value for cell in sheet[1]] == list(COLUMNS)
        assert sheet.max_row == len(DANGEROUS) + 1
        return
    rows = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    assert [row["text"] for row in rows] == [f"'{text}" for text in reversed(DANGEROUS)]
    assert rows[-1]["categories"] == "other|product/defect"


def test_a_file_of_an_unknown_kind_is_refused(tmp_path, engine):
    with pytest.raises(DataError, match="unknown format; expected a name that ends with one of"):
        export(every(engine, Filter(), NOW), tmp_path / "a.doc", lambda _: None)
