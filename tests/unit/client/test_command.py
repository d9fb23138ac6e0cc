"""Tests of the command `face-search` with arguments and files that it cannot do anything with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bentos.client.command import main

ENVIRONMENT = {
    "FACE_SEARCH_URL": "http://127.0.0.1:1",
    "FACE_SEARCH_API_KEY": "0123456789abcdef-key-of-the-tests",
}


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["remove", "photo", "--collection", "office"], "--collection"),
        (["remove", "--all", "--face-id", "face"], "--face-id"),
        (["remove", "--all", "--purge", "--collection", "office"], "--purge"),
        (["status", "photo", "--collection", "office"], "--collection"),
        (["status", "photo", "--status", "failed"], "--status"),
        (["status", "photo", "--limit", "0"], "--limit"),
    ],
)
def test_an_option_that_would_be_ignored_is_refused(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert f"{named} has no effect here" in capsys.readouterr().err


def test_a_file_whose_name_is_no_utf_8_is_named(tmp_path: Path) -> None:
    done = _run("index", "--json", os.fsdecode(bytes(tmp_path) + b"/\xff\xc3\xbc.jpg"))
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["error"] == "unreadable_file"
    assert json.loads(done.stdout)["file"].endswith("/\udcffü.jpg")


def test_a_reader_that_ends_early_gets_no_error_message(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        done = _run("index", str(tmp_path / "missing.jpg"), stdout=closed)
    assert (done.returncode, done.stderr) == (2, "")


def _run(*arguments: str, stdout: object = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bentos.client.command", *arguments],
        env={**os.environ, **ENVIRONMENT, "PYTHONIOENCODING": "utf-8:strict"},
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
