"""Lets many requests run at once, or one alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Exclusive:
    """For the tasks of one event loop. A request that has to be alone waits for all others, and they wait for it."""

    def __init__(self) -> None:
        self._together = 0
        self._alone = asyncio.Lock()
        self._nobody = asyncio.Event()
        self._nobody.set()

    @asynccontextmanager
    async def together(self) -> AsyncIterator[None]:
        """Run beside others."""
        while self._alone.locked():
            async with self._alone:
                pass
        self._together += 1
        self._nobody.clear()
        try:
            yield
        finally:
            self._together -= 1
            if not self._together:
                self._nobody.set()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Run while no other does."""
        async with self._alone:
            await self._nobody.wait()
            yield
