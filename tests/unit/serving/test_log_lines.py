"""Tests that every line of the output becomes one JSON line."""

from __future__ import annotations

import json

import pytest

from bentos.serving.log_lines import is_log_line, json_line


def test_a_json_line_is_unchanged() -> None:
    line = '{"time": "t", "message": "x"}'
    assert json_line(line) == line


def test_the_format_of_bentoml_is_parsed() -> None:
    found = json.loads(
        json_line("2026-11-22T11:00:56+0000 [ERROR] [entry_service:image-search:1] It broke (x)")
    )
    assert (found["level"], found["logger"]) == ("error", "entry_service:image-search:1")
    assert found["message"] == "It broke (x)"


@pytest.mark.parametrize(
    "line", ["", "{not json", "Traceback (most recent call last):", 'a "quoted" \\ line', "лицо"]
)
def test_any_other_line_becomes_a_message(line: str) -> None:
    found = json.loads(json_line(line))
    assert (found["level"], found["logger"], found["message"]) == ("info", "process", line)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"message": "ready"}', True),
        ("2026-11-26T11:30:14+0000 [INFO] [cli] Starting", True),
        ("API_KEY is not set; make a key.", False),
        ("{not json", False),
        ("", False),
    ],
)
def test_a_reason_is_distinguished_from_a_log_line(line: str, expected: bool) -> None:
    assert is_log_line(line) is expected
