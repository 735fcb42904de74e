"""The reference pages say what commands, settings, report and certificate are."""

from collections.abc import Callable

import pytest

from tests.support import references

PAGES = {
    "commands": references.commands_page,
    "settings": references.settings_page,
    "report": references.report_page,
    "certificate": references.certificate_page,
}
"""Page of docs/reference and what stands between its marks, by one name."""


@pytest.mark.parametrize("name", PAGES)
def test_a_page_says_what_it_is_made_from(
    name: str, held_to: Callable[[str, str, str], None]
) -> None:
    held_to(name, name, PAGES[name]())
