"""Shows the progress: a bar on a terminal, a line every ten seconds elsewhere."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tqdm import tqdm

_LINE_EVERY_S = 10.0


def say(line: str) -> None:
    """Print a line on standard output, above the bar if there is one."""
    tqdm.write(line.encode(errors="backslashreplace").decode())  # a file name may be no UTF-8
    sys.stdout.flush()


@dataclass
class Progress:
    """How many photos of `total` are done."""

    title: str
    total: int
    done: int = 0
    _begun: float = field(default_factory=time.monotonic)

    def line(self) -> str:
        """The number done, the rate and the remaining time, in words."""
        seconds = max(time.monotonic() - self._begun, 1e-3)
        rate = self.done / seconds
        left = f"{_duration((self.total - self.done) / rate)} left" if rate else "remaining time unknown"
        return f"{self.title}: {self.done} of {self.total} photos, {rate:.1f}/s, {left}"


@asynccontextmanager
async def shown(title: str, total: int) -> AsyncIterator[Progress]:
    """Show the progress while the block runs."""
    progress = Progress(title, total)
    showing = asyncio.create_task(_bar(progress) if _has_room() else _lines(progress))
    try:
        yield progress
    finally:
        showing.cancel()
        await asyncio.gather(showing, return_exceptions=True)


def _has_room() -> bool:
    """Whether a bar is visible: a terminal that nobody looks at, as a container's, has no lines."""
    try:
        return sys.stderr.isatty() and os.get_terminal_size(sys.stderr.fileno()).lines > 1
    except (OSError, ValueError):
        return False


async def _bar(progress: Progress) -> None:
    with tqdm(desc=progress.title, total=progress.total, unit="photo", leave=False) as bar:
        while True:
            await asyncio.sleep(bar.mininterval)
            bar.update(progress.done - bar.n)


async def _lines(progress: Progress) -> None:
    while True:
        await asyncio.sleep(_LINE_EVERY_S)
        say(progress.line())


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
    )
