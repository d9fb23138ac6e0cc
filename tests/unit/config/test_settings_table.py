"""Tests that the README's table has every setting with its default and description."""

from __future__ import annotations

from pathlib import Path

import pytest

from bentos.config.settings_table import rows

README = Path(__file__).parents[3] / "README.md"


@pytest.mark.parametrize("row", rows())
def test_the_readme_has_the_setting_with_its_default(row: str) -> None:
    assert row in README.read_text().splitlines()
