"""What people read of a message: the facts, and nothing that a stranger's text could do."""

import unicodedata
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from message_support import DIGEST, ITEM, hostile, message

from serving.delivery.plain import isolated, one_line, readable
from serving.delivery.render import SUBJECT, render

KINDS = ("item", "notice", "reminder", "escalation", "digest")


class Page(HTMLParser):
    """The tags of a page, with their attributes, and the text between them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, tuple(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.mark.parametrize(
    ("kind", "subject", "headline"),
    [
        ("item", "[urgent] product/defect: The lid is cracked and", "New feedback for support"),
        ("notice", "For your information: product/defect: The lid", "For your information: support has this feedback"),
        ("reminder", "Overdue: product/defect: The lid", "Overdue: this feedback waits for support"),
        ("escalation", "Escalated: product/defect: The lid", "support has not dealt with this feedback in time"),
    ],
)
def test_an_item_is_told_with_its_text_its_facts_and_one_way_to_act(kind, subject, headline):
    found = render(message(kind))
    page = Page(found.html)
    assert found.subject.startswith(subject)
    for text in (found.text, page.text):
        assert headline in text
        for fact in ("Please help.", "product/defect", "Wed 11 March 2026, 10:00 UTC", "Tue 10 March 2026, 12:00 UTC"):
            assert fact in text
    assert "Open: acknowledge, resolve, or say it is not yours\n" + ITEM["link"] in found.text
    assert [dict(attributes)["href"] for tag, attributes in page.tags if tag == "a"] == [ITEM["link"]]


def test_without_a_public_address_there_is_nothing_to_open():
    found = render(message(link=None))
    assert "<a " not in found.html
    assert "Open" not in found.text
    assert "<a " not in render(message(link="javascript:alert(1)")).html


def test_a_digest_counts_compares_and_shows_what_to_read_first():
    found = render(message("digest"))
    assert found.subject == "42 pieces of feedback for Customer support, 9 March"
    assert "Mon 9 March 2026, 00:00 to Tue 10 March 2026, 00:00 (Europe/Bucharest)" in found.text
    lines = found.text.splitlines()
    assert "Arrived      42   +12" in lines
    assert "  product/defect     12  ##########  +5" in lines
    assert "  delivery/late       6  #####       as before" in lines
    assert "  other               0              −1" in lines
    assert "  ro     42  ##########" in [line.rstrip() for line in lines]
    assert "due Wed 11 March 2026, 12:00" in found.text
    page = Page(found.html)
    bars = [
        dict(attributes)["width"] for tag, attributes in page.tags if tag == "td" and ("height", "10") in attributes
    ]
    assert bars == ["100%", "50%", "50%", "100%", "100%", "100%"]
    assert "42 arrived +12 on the last digest" in page.text


def test_a_first_digest_compares_with_nothing():
    rows = [{"label": "other", "count": 1, "before": None}]
    found = render(message("digest", count=1, before=None, categories=rows, sentiments=[], languages=[], items=[]))
    assert found.subject == "1 piece of feedback for Customer support, 9 March"
    for text in (found.text, Page(found.html).text):
        assert "last digest" not in text
        assert "+" not in text


@pytest.mark.parametrize(
    ("opens", "closes", "days"),
    [
        ("2026-03-09T00:00:00+02:00", "2026-03-16T00:00:00+02:00", "9–15 March"),
        ("2026-02-28T00:00:00+02:00", "2026-03-07T00:00:00+02:00", "28 February – 6 March"),
        ("2026-03-29T00:00:00+02:00", "2026-03-30T00:00:00+03:00", "29 March"),
    ],
)
def test_the_days_of_a_digest_are_those_of_the_team(opens, closes, days):
    assert render(message("digest", opens_at=opens, closes_at=closes)).subject.endswith(f", {days}")


@pytest.mark.parametrize("kind", KINDS)
def test_no_tag_comes_from_a_text(kind):
    wanted, found = Page(render(message(kind)).html), render(hostile(kind))
    page = Page(found.html)
    # an urgency that is none of ours has no badge of its own
    assert {tag for tag, _ in page.tags} <= {tag for tag, _ in wanted.tags}
    assert {one for one in page.tags if one[0] not in ("span", "td")} <= set(wanted.tags)
    assert not [name for _, attributes in page.tags for name, _ in attributes if name.startswith("on")]
    assert "<script>alert(1)</script>" in page.text
    assert "{{ 7 * 7 }}" in page.text
    for text in found:
        assert not [one for one in text if unicodedata.category(one) in ("Cc", "Cs") and one != "\n"]
        assert not set(text) & set("\u202e\u2066\u200b\ufeff\u2028")
    assert "😀" in found.text


def test_a_text_that_plays_the_end_of_the_message_stays_quoted():
    found = render(message(text="fine\n\n-- \nOpen: click\nhttp://evil.example")).text
    assert "> -- \n" in found.replace("> --\n", "> -- \n")
    assert "\nOpen: click" not in found


@pytest.mark.parametrize(("kind", "longest"), [("item", 1500), ("digest", 280)])
def test_long_texts_are_cut(kind, longest):
    text = "word " * 1000
    made = message(text=text) if kind == "item" else message(kind, items=[DIGEST["items"][0] | {"text": text}])
    found = render(made)
    assert longest - 10 < found.text.count("word") * 5 < longest + 5
    assert "…" in found.text
    assert "…" in found.html


def test_right_to_left_text_is_isolated_and_other_text_is_left_alone():
    assert isolated("plain\ntext") == "plain\ntext"
    assert isolated("שלום\n\nhi") == "\u2068שלום\u2069\n\n\u2068hi\u2069"
    assert "\u2068שלום\u2069" in render(message(text="שלום")).html


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a\x00b\x1b[31m\u200bc", "ab[31mc"),
        ("a\r\nb\rc\u2028d", "a\nb\nc\nd"),
        ("a\n\n\n\n b ", "a\n\nb"),
        ("a\tb  c", "a b c"),
        ("👩\u200d💻 می\u200cخواهم", "👩\u200d💻 می\u200cخواهم"),
        ("a" + "\u0301" * 50, "a" + "\u0301" * 4),
        ("\u3164\u2800", ""),
        ("\ud800x", "x"),
    ],
)
def test_what_hides_is_removed_and_scripts_keep_what_they_need(text, found):
    assert readable(text) == found


@given(st.text(st.characters(), max_size=400))
def test_a_subject_is_one_short_line_of_any_text(text):
    for kind in KINDS:
        found = render(hostile(kind, text))
        assert 0 < len(found.subject) <= SUBJECT
        assert not [one for one in found.subject if unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp")]
    assert one_line(text, 50) == one_line(one_line(text, 50), 50)
