"""Every command in the documentation of training, run as it stands there."""

from pathlib import Path

import pytest
from pages import PAGES, WITHOUT_COMMANDS, checkout, run_page


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page not in WITHOUT_COMMANDS and page.startswith("training")]
)
def test_the_commands_of_a_page_run_in_their_order(page: str, tmp_path: Path) -> None:
    run_page(page, checkout(tmp_path))
