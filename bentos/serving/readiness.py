"""Opens the stores in the background, again and again until they answer, and knows which ones have.

A service comes up whether its stores do or not: until then it is not ready and says why, and what needs a missing
store is refused. A store that was open once counts as open: from then on it speaks for itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Protocol

from bentos.domain.errors import Dependency, DependencyUnavailable, FaceSearchError

logger = logging.getLogger(__name__)

_FIRST_RETRY_S = 0.5
_LONGEST_RETRY_S = 10.0


class Store(Protocol):
    """What every store can do."""

    async def open(self) -> None:
        """Connect."""

    async def close(self) -> None:
        """Let go."""


class Opening:
    """The stores of one service by the name of the dependency behind each."""

    def __init__(self, stores: Mapping[Dependency, Store]) -> None:
        self._stores = dict(stores)
        self._missing: dict[Dependency, FaceSearchError] = {
            name: DependencyUnavailable(name, "the service is still connecting to it") for name in stores
        }

    def not_ready(self) -> str | None:
        """Why the service cannot serve yet, in a sentence for each store, or None."""
        return " ".join(error.message for error in self._missing.values()) or None

    def require(self, *names: Dependency) -> None:
        """Raise the error of the first of these stores that is not open yet; of any store, when none is named."""
        for name in names or tuple(self._stores):
            if name in self._missing:
                raise self._missing[name]

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Keep opening while the block runs; close everything behind it."""
        tasks = [asyncio.create_task(self._open(name)) for name in self._stores]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for store in self._stores.values():
                await store.close()

    async def _open(self, name: Dependency) -> None:
        wait = _FIRST_RETRY_S
        while name in self._missing:
            try:
                await self._stores[name].open()
            except FaceSearchError as error:
                if error.message != self._missing[name].message:
                    logger.warning("not ready: %s", error.message)
                self._missing[name] = error
                await asyncio.sleep(wait)
                wait = min(2 * wait, _LONGEST_RETRY_S)
            else:
                del self._missing[name]
                logger.info("%s is open", name)
