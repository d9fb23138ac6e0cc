"""Tests that the README's table has every setting with its default and description."""

from __future__ import annotations

from pathlib import Path

from bentos.config.settings_table import table

README = Path(__file__).parents[3] / "README.md"


def test_the_readme_has_the_table_of_the_settings_and_nothing_else_in_it() -> None:
    section = README.read_text().split("\n## Settings\n")[1].split("\n## ")[0]
    in_the_readme = [line for line in section.splitlines() if line.startswith("|")]
    assert in_the_readme == table().splitlines()
    assert f"\n\n{table()}\n" in section  # Markdown shows a table only after an empty line, and with its head
