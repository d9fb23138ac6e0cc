"""Tests of how the progress is shown: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import asyncio
import os
import pty
import termios
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bentos.jobs import progress


@pytest.mark.parametrize(
    ("lines", "expected"), [(40, "0/3"), (0, "made: 3 of 3 photos")], ids=["seen", "without a size"]
)
async def test_the_progress_is_visible_on_every_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], lines: int, expected: str
) -> None:
    monkeypatch.setattr(progress, "_LINE_EVERY_S", 0.01)
    with _terminal(lines) as (ours, theirs):
        monkeypatch.setattr("sys.stderr", theirs)
        async with progress.shown("made", 3) as shown:
            shown.done = 3
            await asyncio.sleep(0.5)
        said = capsys.readouterr().out
        if lines:
            said += os.read(ours, 10_000).decode(errors="replace")
    assert expected in said


@contextmanager
def _terminal(lines: int) -> Iterator[tuple[int, object]]:
    ours, theirs = pty.openpty()
    try:
        termios.tcsetwinsize(theirs, (lines, 80))
        with os.fdopen(theirs, "w") as stream:
            yield ours, stream
    finally:
        os.close(ours)
