"""Opens the stores of a service in the background, then asks each at an interval whether it still answers.

A service starts whether or not its stores answer. It is not ready until every store has been opened once, nor while a
store does not hold what the settings say (`NotReady`, for example the base of another face pack). During an outage of a
store that has been opened, the service stays ready: all replicas share the store, so that without them in the load
balancer callers would get no answer at all instead of an error with a reason (503 `dependency_unavailable`, only for
requests that need the store).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Protocol

from bentos.domain.errors import Dependency, DependencyUnavailable, FaceSearchError, NotReady
from bentos.domain.redaction import frames_of
from bentos.observability.dependency_metrics import set_dependency_up
from bentos.serving.background import running

logger = logging.getLogger(__name__)

_FIRST_RETRY_S = 0.5
_LONGEST_RETRY_S = 10.0
_CHECK_S = 5.0


class Store(Protocol):
    """What readiness needs of every store."""

    async def open(self) -> None:
        """Connect. Raises `DependencyUnavailable`; `NotReady`."""

    async def check(self) -> None:
        """Ask whether the store answers now. Raises `DependencyUnavailable`; `NotReady`."""

    async def close(self) -> None:
        """Close every connection."""


class Readiness:
    """The stores of one service, by the name of the dependency behind each. `check_s`: seconds between two checks."""

    def __init__(
        self, stores: Mapping[Dependency, Store], *, service: str = "", check_s: float = _CHECK_S
    ) -> None:
        self._check_s = check_s
        self._watched = {name: _Watched(name, store, service) for name, store in stores.items()}

    def not_ready(self) -> str | None:
        """Why the service cannot serve yet, or None. Fixed words, because `/readyz` answers without a key."""
        reasons = [f"{name}: {each.summary}" for name, each in self._watched.items() if each.summary]
        return "; ".join(reasons) or None

    def states(self) -> dict[Dependency, str | None]:
        """For each dependency None when it answers, else the reason, which is for logs and callers with a key."""
        return {
            name: None if each.error is None else each.error.message for name, each in self._watched.items()
        }

    def require(self, *names: Dependency) -> None:
        """Raise the error of the first of these stores that cannot be used yet; without names, of any store."""
        for name in names or tuple(self._watched):
            watched = self._watched[name]
            if watched.summary and watched.error:
                raise watched.error

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Open and check the stores while the block runs; close them after it."""
        try:
            async with running(self._watch(each) for each in self._watched.values()):
                yield
        finally:
            for each in self._watched.values():
                await each.store.close()

    async def _watch(self, watched: _Watched) -> None:
        retry_s = _FIRST_RETRY_S
        while True:
            await watched.ask()
            await asyncio.sleep(self._check_s if watched.opened else retry_s)
            retry_s = min(2 * retry_s, _LONGEST_RETRY_S)


class _Watched:
    """One store: whether it was opened, and its error while it cannot be used."""

    def __init__(self, name: Dependency, store: Store, service: str) -> None:
        self.store = store
        self.opened = False
        self.error: FaceSearchError | None = DependencyUnavailable(
            name, "the service is still connecting to it"
        )
        self._name, self._service = name, service
        self._failing_since = time.monotonic()
        self._logged: set[str] = set()
        set_dependency_up(service, name, up=False)

    @property
    def summary(self) -> str | None:
        """Why this store makes the service not ready, in fixed words, or None."""
        if isinstance(self.error, NotReady):
            return self.error.summary
        return None if self.opened else "not available"

    async def ask(self) -> None:
        """Open the store, or check it when it is open, and record the result. Raises nothing but cancellation."""
        try:
            await (self.store.check() if self.opened else self.store.open())
        except FaceSearchError as error:
            self._failed(error, error.message)
        except Exception as error:  # noqa: BLE001 - whatever was raised, the next attempt follows
            failure = DependencyUnavailable(self._name, "using it failed in a way that was not expected")
            self._failed(failure, f"{type(error).__name__} was not expected", error)
        else:
            self._succeeded()

    def _failed(self, error: FaceSearchError, reason: str, unexpected: Exception | None = None) -> None:
        if self.error is None:
            self._failing_since = time.monotonic()
        self.error = error
        set_dependency_up(self._service, self._name, up=False)
        if reason not in self._logged:
            self._logged.add(reason)
            state = "does not answer" if self.opened else "is not open yet"
            logger.warning("%s %s: %s", self._name, state, reason, extra={"fields": frames_of(unexpected)})

    def _succeeded(self) -> None:
        seconds = time.monotonic() - self._failing_since
        if not self.opened:
            logger.info("%s is open after %.1f s", self._name, seconds)
        elif self.error is not None:
            logger.warning("%s answers again after %.1f s", self._name, seconds)
        self.opened, self.error = True, None
        self._logged.clear()
        set_dependency_up(self._service, self._name, up=True)
