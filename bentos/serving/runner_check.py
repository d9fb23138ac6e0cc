"""Checks for `/readyz` whether the runner answers, over the connections that requests use.

BentoML's own readiness check asks each runner process over HTTP, which no request uses and which costs more.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from bentos.domain.errors import FaceSearchError
from bentos.observability.dependency_metrics import set_dependency_up

logger = logging.getLogger(__name__)

_KEPT_S = 1.0
_NOT_READY = "runner: not available"


class RunnerCheck:
    """Calls `check` (`FaceFinder.check`) at most once in `kept_s` seconds, however often it is asked."""

    def __init__(
        self, check: Callable[[], Awaitable[None]], *, service: str = "", kept_s: float = _KEPT_S
    ) -> None:
        self._check, self._service, self._kept_s = check, service, kept_s
        self._asking: asyncio.Task[str | None] | None = None
        self._kept_until = 0.0
        self._failed = False

    async def not_ready(self) -> str | None:
        """Why the service cannot serve, in fixed words, or None. Callers at the same time share one check."""
        if self._asking is None or (self._asking.done() and time.monotonic() >= self._kept_until):
            self._asking = asyncio.create_task(self._ask())
        return await asyncio.shield(self._asking)

    async def _ask(self) -> str | None:
        try:
            await self._check()
        except FaceSearchError as error:
            if not self._failed:
                logger.warning("not ready: %s", error.message)
            self._failed = True
            set_dependency_up(self._service, "runner", up=False)
            return _NOT_READY
        finally:
            self._kept_until = time.monotonic() + self._kept_s
        if self._failed:
            logger.info("the runner answers again")
        self._failed = False
        set_dependency_up(self._service, "runner", up=True)
        return None
