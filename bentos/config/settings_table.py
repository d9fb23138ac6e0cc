"""`python -m bentos.config.settings_table`: prints the settings as the table of the README."""

from __future__ import annotations

from pydantic import SecretStr

from bentos.config.settings import Settings


def table() -> str:
    """A Markdown table with a row for each setting: its name, its default and what it means."""
    rows = (
        f"| `{name.upper()}` | {shown(field.default)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    )
    return "\n".join(("| setting | default | meaning |", "| --- | --- | --- |", *rows))


def shown(value: object) -> str:
    """A default as it is written in the environment; empty for secrets."""
    if isinstance(value, SecretStr) or value == "":
        return ""
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    print(table())  # noqa: T201 - a command-line program
