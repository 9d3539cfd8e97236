"""One reader for every file of feedback."""

import csv
import gzip
import io
import json
import re
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from pyarrow import parquet

from models.errors import DataError
from models.readers import read_items
from models.records import LabeledItem
from models.rejects import Reject, RejectLog

ROWS = [
    {"text": "Größe passt, 👍\nwirklich", "id": "1", "rating": 5.0, "categories": ["product/quality", "other"]},
    {"text": 'he said "no"; a,b\tc', "id": "2", "sentiment": "negative", "colour": "red"},
]
ITEMS = [
    LabeledItem(text=ROWS[0]["text"], id="1", rating=5, categories=["product/quality", "other"]),
    LabeledItem(text=ROWS[1]["text"], id="2", sentiment="negative", meta={"colour": "red"}),
]


def as_json_lines(rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def as_csv(rows, delimiter=",", encoding="utf-8"):
    names = list(dict.fromkeys(name for row in rows for name in row))
    file = io.StringIO()
    writer = csv.DictWriter(file, names, delimiter=delimiter)
    writer.writeheader()
    for row in rows:
        writer.writerow({key: "|".join(value) if isinstance(value, list) else value for key, value in row.items()})
    return file.getvalue().encode(encoding)


def as_parquet(rows):
    sink = io.BytesIO()
    values = {name: value for row in rows for name, value in row.items()}
    schema = pa.schema([(name, pa.infer_type([value])) for name, value in values.items()])
    parquet.write_table(pa.Table.from_pylist(rows, schema), sink)
    return sink.getvalue()


def put(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(tmp_path, name, content, columns=None):
    return list(read_items(put(tmp_path, name, content), columns))


FORMATS = {
    "JSON Lines": ("a.jsonl", as_json_lines),
    "JSON Lines with BOM": ("a.jsonl", lambda rows: b"\xef\xbb\xbf" + as_json_lines(rows)),
    "JSON Lines, gzip": ("a.jsonl.gz", lambda rows: gzip.compress(as_json_lines(rows))),
    "JSON Lines, gzip, capitals": ("A.JSONL.GZ", lambda rows: gzip.compress(as_json_lines(rows))),
    "CSV": ("a.csv", as_csv),
    "CSV, semicolon": ("a.csv", lambda rows: as_csv(rows, ";")),
    "CSV, tab": ("a.csv", lambda rows: as_csv(rows, "\t")),
    "CSV with BOM": ("a.csv", lambda rows: as_csv(rows, encoding="utf-8-sig")),
    "CSV, gzip": ("a.csv.gz", lambda rows: gzip.compress(as_csv(rows))),
    "CSV, Unix lines": ("a.csv", lambda rows: as_csv(rows).replace(b"\r\n", b"\n")),
    "CSV that was JSON Lines": ("a.jsonl.csv", as_csv),
    "TSV": ("a.tsv", lambda rows: as_csv(rows, "\t")),
    "TSV, gzip": ("a.tsv.gz", lambda rows: gzip.compress(as_csv(rows, "\t"))),
    "Parquet": ("a.parquet", as_parquet),
    "Parquet, capitals": ("A.PARQUET", as_parquet),
}


@pytest.mark.parametrize(("name", "encode"), FORMATS.values(), ids=FORMATS)
def test_every_format_gives_the_same_items(tmp_path, name, encode):
    assert read(tmp_path, name, encode(ROWS)) == ITEMS


BAD_MIDDLE = [{"text": "one", "nps": 1}, {"text": "two", "nps": 11}, {"text": "three", "nps": 3}]


@pytest.mark.parametrize(
    ("name", "encode", "line"),
    [
        ("a.jsonl", as_json_lines, 2),
        ("a.jsonl.gz", lambda rows: gzip.compress(as_json_lines(rows)), 2),
        ("a.csv", as_csv, 3),
        ("a.csv.gz", lambda rows: gzip.compress(as_csv(rows)), 3),
        ("a.parquet", as_parquet, 2),
    ],
    ids=["jsonl", "jsonl.gz", "csv", "csv.gz", "parquet"],
)
def test_bad_row_never_stops_the_rest_and_names_its_place(tmp_path, name, encode, line):
    first, reject, last = read(tmp_path, name, encode(BAD_MIDDLE))
    assert (first.text, first.nps, last.text, last.nps) == ("one", 1, "three", 3)
    assert str(reject) == f"{tmp_path / name}:{line}: nps: input should be less than or equal to 10, got '11'"


BAD_LINES = {
    "no JSON": ("a.jsonl", b"{text: 1}", "not valid JSON"),
    "JSON that is no object": ("a.jsonl", b'["text"]', "expected a JSON object, got list"),
    "NaN": ("a.jsonl", b'{"text": "a", "rating": NaN}', "not valid JSON: NaN is not JSON"),
    "infinity": ("a.jsonl", b'{"text": "a", "x": -Infinity}', "not valid JSON: -Infinity is not JSON"),
    "a number too large": ("a.jsonl", b'{"text": "a", "x": 1e999}', "finite number"),
    "not UTF-8": ("a.jsonl", b'{"text": "\xfcber"}', "not valid JSON: 'utf-8' codec"),
    "half a surrogate pair": ("a.jsonl", rb'{"text": "\ud83d"}', "lone surrogate"),
    "half a pair in an unknown column": ("a.jsonl", rb'{"text": "a", "x": "\ud83d"}', "surrogate|unicode"),
    "nested without end": ("a.jsonl", b"[" * 100_000, "not valid JSON: .*recursion"),
    "no text": ("a.jsonl", b'{"nps": 3}', "field 'text' is missing"),
    "text is null": ("a.jsonl", b'{"text": null}', "field 'text' is missing"),
    "blank text": ("a.jsonl", b'{"text": " "}', "text: expected some text"),
    "two faults": ("a.jsonl", b'{"text": "a", "nps": 11, "rating": 0}', "rating: .*; nps: "),
    "CSV not UTF-8": ("a.csv", b"\xfcber,1,", "text: expected Unicode text"),
    "CSV not UTF-8 in an unknown column": ("a.csv", b"a,1,\xfc", "surrogate|unicode"),
    "CSV blank text": ("a.csv", b" ,1,", "text: expected some text"),
    "CSV too many cells": ("a.csv", b"a,1,x,y", "expected 3 cells, got 4"),
    "CSV stray quote": ("a.csv", b'"a"b,1', "not valid CSV"),
    "CSV nan": ("a.csv", b"a,nan,", "nps: .*valid integer"),
}


@pytest.mark.parametrize(("name", "line", "reason"), BAD_LINES.values(), ids=BAD_LINES)
def test_bad_line_between_good_ones_is_a_reject_with_its_reason(tmp_path, name, line, reason):
    lines = [b"text,nps,x", b"before,1,", line, b"after,2,"]
    if name == "a.jsonl":
        lines = [b'{"text": "before"}', line, b'{"text": "after"}']
    rows = read(tmp_path, name, b"\n".join(lines))
    assert [type(row) for row in rows] == [LabeledItem, Reject, LabeledItem]
    assert re.search(reason, rows[1].reason)
    assert rows[1].place == f"{tmp_path / name}:{lines.index(line) + 1}"


def test_blank_lines_are_passed_over_and_counted(tmp_path):
    rows = read(tmp_path, "a.jsonl", '\n{"text": "one"}\n  \n{"nps": 1}\n')
    assert [str(getattr(row, "place", "")) for row in rows] == ["", f"{tmp_path}/a.jsonl:4"]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("text,nps\n\n\none,11\n", 4),
        ('text,nps\n"one\ntwo",1\nthree,11\n', 4),
        ('text,nps\n"a"b,1\nthree,11\n', 3),
    ],
    ids=["after blank lines", "after a quoted newline", "after a stray quote"],
)
def test_place_of_a_bad_csv_row_is_its_line_in_the_file(tmp_path, content, line):
    *_, last = read(tmp_path, "a.csv", content)
    assert str(last).startswith(f"{tmp_path}/a.csv:{line}: nps: ")


def test_row_that_is_refused_keeps_what_it_held_but_its_reason_never_repeats_the_text(tmp_path):
    (reject,) = read(tmp_path, "a.jsonl", json.dumps({"text": "secret " * 10_000, "nps": 11, "colour": "red"}))
    assert "secret" not in str(reject)
    assert reject.row["colour"] == "red"


# --- files that cannot be read

damaged_gzip = bytearray(gzip.compress(as_json_lines([{"text": str(number**3)} for number in range(500)])))
damaged_gzip[20] ^= 0xFF
damaged_parquet = bytearray(as_parquet([{"text": f"hello {number**3}"} for number in range(500)]))
damaged_parquet[4:24] = b"\xff" * 20
no_rows = io.BytesIO()
parquet.write_table(pa.table({"text": pa.array([], pa.string())}), no_rows)

UNREADABLE = {
    "absent": ("", None, r"no such file; for a dataset of the hub write hf:"),
    "folder": (".", None, "expected a file, got a folder"),
    "unknown format": ("a.xlsx", b"x", r"unknown format; expected a name that ends with one of \.jsonl, "),
    "empty": ("a.jsonl", b"", "expected at least one row, got an empty file"),
    "only blank lines": ("a.jsonl", b"\n \n", "expected at least one row, got an empty file"),
    "gzip of nothing": ("a.jsonl.gz", gzip.compress(b""), "expected at least one row, got an empty file"),
    "only a header": ("a.csv", b"text,nps\n", "expected at least one row, got an empty file"),
    "Parquet without rows": ("a.parquet", no_rows.getvalue(), "expected at least one row, got an empty file"),
    "CSV without text": ("a.csv", b"review,nps\na,1\n", "expected a column 'text', got columns review, nps; rename"),
    "CSV without a header": ("a.csv", b"\n\n", "expected a column 'text', got columns none"),
    "CSV in UTF-16": ("a.csv", "text,nps\na,1\n".encode("utf-16"), "expected a column 'text'"),
    "Parquet without text": (
        "a.parquet",
        as_parquet([{"review": "a"}]),
        "expected a column 'text', got columns review",
    ),
    "no gzip": ("a.jsonl.gz", b'{"text": "a"}', "damaged file"),
    "cut gzip": ("a.csv.gz", gzip.compress(as_csv(ROWS))[:-9], "damaged file"),
    "flipped bits in gzip": ("a.jsonl.gz", bytes(damaged_gzip), "damaged file"),
    "no Parquet": ("a.parquet", b"PAR1 not", "not a readable Parquet file"),
    "cut Parquet": ("a.parquet", as_parquet(ROWS)[:-20], "not a readable Parquet file"),
    "flipped bits in Parquet": ("a.parquet", bytes(damaged_parquet), "not a readable Parquet file"),
}


@pytest.mark.parametrize(("name", "content", "error"), UNREADABLE.values(), ids=UNREADABLE)
def test_file_that_cannot_be_read_is_a_data_error_that_names_it(tmp_path, name, content, error):
    path = tmp_path / (name or "nowhere.jsonl")
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=error) as caught:
        list(read_items(path))
    assert str(path) in str(caught.value)


# --- columns


@pytest.mark.parametrize(
    ("name", "encode"),
    [("a.jsonl", as_json_lines), ("a.csv", as_csv), ("a.parquet", as_parquet)],
    ids=["jsonl", "csv", "parquet"],
)
def test_columns_of_other_names_are_renamed(tmp_path, name, encode):
    rows = [{"Review": "good", "Tags": "a", "Shop": "Rome"}]
    (item,) = read(tmp_path, name, encode(rows), {"text": "Review", "category": "Tags"})
    assert item == LabeledItem(text="good", category="a", meta={"Shop": "Rome"})


@pytest.mark.parametrize("order", [("Review", "text"), ("text", "Review")], ids=" before ".join)
@pytest.mark.parametrize(("name", "encode"), [("a.jsonl", as_json_lines), ("a.csv", as_csv)], ids=["jsonl", "csv"])
def test_column_that_was_chosen_wins_over_one_that_has_the_name(tmp_path, name, encode, order):
    values = {"Review": "chosen", "text": "not chosen"}
    (item,) = read(tmp_path, name, encode([{key: values[key] for key in order}]), {"text": "Review"})
    assert item.text == "chosen"


def test_renaming_to_an_unknown_field_is_refused_with_the_nearest(tmp_path):
    with pytest.raises(DataError, match=r"no field 'sentimant' in a record; did you mean 'sentiment'\?"):
        read(tmp_path, "a.csv", "text\na\n", {"sentimant": "Mood"})


def test_unknown_columns_are_kept_in_meta_beside_what_stands_there(tmp_path):
    (item,) = read(tmp_path, "a.jsonl", '{"text": "a", "x": [1, {"y": 2}], "empty": null, "meta": {"z": 3}}')
    assert item.meta == {"x": [1, {"y": 2}], "z": 3}


@pytest.mark.parametrize("header", [",text", "text,"], ids=["first", "last"])
def test_column_without_a_name_spoils_no_row(tmp_path, header):
    cells = ["0", "good"] if header.startswith(",") else ["good", "0"]
    (item,) = read(tmp_path, "a.csv", f"{header}\n{','.join(cells)}\n")
    assert item.text == "good"


def test_name_of_a_csv_column_may_hold_a_newline(tmp_path):
    (item,) = read(tmp_path, "a.csv", 'text,"Shop\n(city)"\ngood,Rome\n')
    assert item == LabeledItem(text="good", meta={"Shop\n(city)": "Rome"})


CELLS = {
    "labels": ("categories", "a|b/c", "categories", ("a", "b/c")),
    "labels with blanks": ("categories", " a | b |", "categories", ("a", "b")),
    "labels as JSON": ("categories", '["a|b", "c"]', "categories", ("a|b", "c")),
    "no label applies": ("categories", "[]", "categories", ()),
    "not labelled": ("categories", "", "categories", None),
    "one label": ("category", "a", "category", "a"),
    "meta as JSON": ("meta", '{"a": 1}', "meta", {"a": 1}),
    "labels of a further task": ("topic", "a|b", "meta", {"topic": "a|b"}),
    "a list in an unknown column": ("tags", "[1]", "meta", {"tags": "[1]"}),
    "blank number": ("nps", "  ", "nps", None),
    "number": ("rating", "4.5", "rating", 4.5),
    "time": ("created_at", "2026-03-10", "created_at", datetime(2026, 3, 10, tzinfo=UTC)),
}


@pytest.mark.parametrize(("column", "cell", "field", "value"), CELLS.values(), ids=CELLS)
def test_cell_of_a_table_becomes_a_value(tmp_path, column, cell, field, value):
    (item,) = read(tmp_path, "a.csv", as_csv([{"text": "good", column: cell}]))
    assert getattr(item, field) == value


@pytest.mark.parametrize(
    ("column", "cell", "error"),
    [
        ("meta", "[1", "meta: "),
        ("meta", '{"a": NaN}', "meta: "),
        ("categories", "[a", "categories: "),
        ("created_at", "1700000000", "created_at: "),
    ],
    ids=["half a list", "NaN", "labels that are half a list", "time as a number"],
)
def test_cell_that_cannot_be_read_refuses_its_row(tmp_path, column, cell, error):
    (reject,) = read(tmp_path, "a.csv", as_csv([{"text": "good", column: cell}]))
    assert isinstance(reject, Reject)
    assert reject.reason.startswith(error)


PARQUET = {
    "nan is missing": ("rating", float("nan"), "rating", None),
    "time": ("created_at", datetime(2026, 3, 10, 9, tzinfo=UTC), "created_at", datetime(2026, 3, 10, 9, tzinfo=UTC)),
    "naive time": ("created_at", datetime(2026, 3, 10, 9), "created_at", datetime(2026, 3, 10, 9, tzinfo=UTC)),
    "struct": ("meta", {"a": 1}, "meta", {"a": 1}),
    "day in an unknown column": ("bought", date(2026, 3, 10), "meta", {"bought": "2026-03-10"}),
    "list in an unknown column": ("tags", ["a"], "meta", {"tags": ["a"]}),
}


@pytest.mark.parametrize(("column", "value", "field", "kept"), PARQUET.values(), ids=PARQUET)
def test_value_of_a_parquet_column_is_kept(tmp_path, column, value, field, kept):
    (item,) = read(tmp_path, "a.parquet", as_parquet([{"text": "good", column: value}]))
    assert getattr(item, field) == kept


@pytest.mark.parametrize(
    "value",
    [Decimal("1.50"), [date(2026, 3, 10)], {"at": date(2026, 3, 10)}],
    ids=["decimal", "list of days", "struct"],
)
def test_unknown_parquet_column_of_any_type_spoils_no_row(tmp_path, value):
    (item,) = read(tmp_path, "a.parquet", as_parquet([{"text": "good", "x": value}]))
    assert isinstance(item, LabeledItem), str(item)
    assert item.meta["x"] is not None


# --- datasets


@pytest.fixture
def dataset(tmp_path):
    import datasets

    with pytest.MonkeyPatch.context() as patch:
        # the library locks a file in its cache; that shall be no one's own
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
        folder = tmp_path / "dataset"
        folder.mkdir()
        yield folder


def test_local_dataset_is_read_like_a_file(dataset):
    (dataset / "train.jsonl").write_bytes(as_json_lines(BAD_MIDDLE))
    (dataset / "test.jsonl").write_bytes(as_json_lines([{"text": "other"}]))
    first, reject, last = read_items(f"hf:{dataset}")
    assert (first.text, last.text, last.nps) == ("one", "three", 3)
    assert str(reject).startswith(f"hf:{dataset}:2: nps: ")
    assert [item.text for item in read_items(f"hf:{dataset}:test")] == ["other"]


@pytest.mark.parametrize("split", ["", ":absent"], ids=["empty folder", "unknown split"])
def test_dataset_that_cannot_be_loaded_is_a_data_error(dataset, split):
    if split:
        (dataset / "train.jsonl").write_bytes(as_json_lines(BAD_MIDDLE))
    with pytest.raises(DataError, match=f"hf:{dataset}{split}: the dataset cannot be loaded: .*save it as a file"):
        list(read_items(f"hf:{dataset}{split}"))


# --- rejects


def rejects(path):
    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    return [json.loads(line, parse_constant=refuse) for line in path.read_text(encoding="utf-8").splitlines()]


def test_rejects_stand_in_a_file_when_the_block_ends_and_not_before(tmp_path):
    path = tmp_path / "out" / "a.rejects.jsonl"
    source = put(tmp_path, "a.jsonl", as_json_lines(BAD_MIDDLE))
    with RejectLog(path, "data.jsonl") as log:
        assert [item.text for item in log.usable(read_items(source))] == ["one", "three"]
        assert not path.exists()
    assert rejects(path) == [
        {"place": f"{source}:2", "reason": log.first[0].reason, "row": {"text": "two", "nps": 11}},
    ]
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert log.summary().startswith(f"1 row(s) left out, kept in {path}\n  - {source}:2: nps: ")


def test_no_rejects_leave_no_file_and_remove_an_old_one(tmp_path):
    path = put(tmp_path, "a.rejects.jsonl", "old")
    with RejectLog(path, "data.jsonl") as log:
        assert list(log.usable(ITEMS)) == ITEMS
    assert list(tmp_path.iterdir()) == []


def test_rejects_are_kept_when_the_rest_fails(tmp_path):
    path = tmp_path / "a.rejects.jsonl"

    def fail_after_one():
        with RejectLog(path, "data.jsonl") as log:
            log.add(Reject("a:1", "bad", None))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail_after_one()
    assert [line["place"] for line in rejects(path)] == ["a:1"]
    assert list(tmp_path.iterdir()) == [path]


def test_summary_shows_the_first_rejects_and_counts_the_rest(tmp_path):
    with RejectLog(tmp_path / "a.rejects.jsonl", "data.jsonl") as log:
        for number in range(1, 9):
            log.add(Reject(f"a:{number}", "bad", None))
    assert log.summary().startswith("8 row(s) left out")
    assert log.summary().endswith("\n  - a:5: bad\n  - and 3 more")


@pytest.mark.parametrize(
    ("row", "kept"),
    [
        ({"rating": float("inf")}, None),
        ({"x": date(2026, 3, 10)}, {"x": "2026-03-10"}),
        ({"x": "\ud800"}, {"x": "\ud800"}),
        ({"x": "größe"}, {"x": "größe"}),
    ],
    ids=["infinity", "day", "surrogate", "umlaut"],
)
def test_rejects_file_is_json_whatever_the_row_held(tmp_path, row, kept):
    path = tmp_path / "a.rejects.jsonl"
    with RejectLog(path, "data.jsonl") as log:
        log.add(Reject("a:1", "bad", row))
    (line,) = rejects(path)
    assert kept is None or line["row"] == kept


def test_csv_with_the_line_ends_of_an_old_mac_is_read(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"text,nps\ra,1\rb,2\r")
    assert [item.text for item in read_items(tmp_path / "a.csv")] == ["a", "b"]


def test_csv_row_with_too_few_cells_is_a_reject(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"text,nps\na\nb,2\n")
    first, second = read_items(tmp_path / "a.csv")
    assert "expected 2 cells, got 1" in str(first)
    assert second.nps == 2


def test_csv_with_a_column_twice_is_refused(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"text,nps,nps\na,1,2\n")
    with pytest.raises(DataError, match="column 'nps' stands twice"):
        list(read_items(tmp_path / "a.csv"))


def test_a_quote_that_is_never_closed_costs_one_row(tmp_path):
    lines = [f"text {n},{n % 10}" for n in range(100)]
    lines[4] = '"text 4,4'
    (tmp_path / "a.csv").write_text("\n".join(["text,nps", *lines]), encoding="utf-8")
    rows = list(read_items(tmp_path / "a.csv"))
    bad = [row for row in rows if isinstance(row, Reject)]
    assert [row.place for row in bad] == [f"{tmp_path / 'a.csv'}:6"]
    assert bad[0].row == '"text 4,4'
    assert len(rows) == 100


def test_a_column_that_is_nowhere_is_refused(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "a", "Topc": "x"}\n', encoding="utf-8")
    with pytest.raises(DataError, match="no row has the column 'Topic' that --column names"):
        list(read_items(tmp_path / "a.jsonl", {"category": "Topic"}))


def test_several_labels_in_a_cell_of_category_are_told_apart():
    assert LabeledItem(text="a", category="x|y").labels("category") == ("x", "y")
