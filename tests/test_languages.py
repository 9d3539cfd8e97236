"""How language tags are spelled, and for which others each stands."""

import pytest

from models.languages import nearest, spelled, tags_of
from training.languages import rows_under

SPELLED = {
    "EN": "en",
    "en_us": "en-US",
    "ZH-hans-cn": "zh-Hans-CN",
    "es-419": "es-419",
    "sl-NEDIS": "sl-nedis",
    "de-u-CO-phonebk": "de-u-co-phonebk",
    "und": "und",
}


@pytest.mark.parametrize(("given", "expected"), SPELLED.items())
def test_a_tag_has_one_spelling(given, expected):
    assert spelled(given) == expected
    assert spelled(expected) == expected


UNDER = {
    "fr": ("fr",),
    "fr-FR": ("fr-FR", "fr"),
    "zh-Hant-TW": ("zh-Hant-TW", "zh-Hant", "zh"),
    "zh-TW": ("zh-TW", "zh-Hant", "zh"),
    "": (),
}


@pytest.mark.parametrize(("tag", "expected"), UNDER.items())
def test_a_text_is_under_its_own_tag_its_script_and_its_language(tag, expected):
    assert tags_of(tag) == expected


def test_the_nearest_tag_that_is_known_counts():
    assert nearest("zh-Hant-TW", {"zh", "zh-Hant", ""}) == "zh-Hant"
    assert nearest("zh", {"zh-Hant", "fr"}) == ""


def test_rows_are_under_every_tag_of_their_language():
    found = {tag: rows.tolist() for tag, rows in rows_under(["fr-FR", "fr", "en"]).items()}
    assert found == {"en": [False, False, True], "fr": [True, True, False], "fr-FR": [True, False, False]}
