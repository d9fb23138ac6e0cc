"""Counts and times every call to a dependency, so that the metrics show its outages."""

from __future__ import annotations

import inspect
import time
from asyncio import CancelledError
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from bentos.domain.errors import Dependency, DependencyUnavailable
from bentos.observability.metrics import dependency_calls_total, dependency_seconds

T = TypeVar("T")


def measured(target: T, dependency: Dependency, *, expected_errors: tuple[type[Exception], ...]) -> T:
    """Wrap `target` so that every public coroutine method is measured; other attributes are unchanged.

    Outcomes: `ok`; `unavailable`, the dependency is down or too slow; `refused`, one of the `expected_errors`;
    `cancelled`, the caller was cancelled; `failed`, any other exception, which is a bug.
    """
    return cast("T", _Measured(target, dependency, expected_errors))


class _Measured:
    def __init__(
        self, target: object, dependency: Dependency, expected_errors: tuple[type[Exception], ...]
    ) -> None:
        self._target, self._dependency, self._expected_errors = target, dependency, expected_errors

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._target, name)
        if name.startswith("_") or not inspect.iscoroutinefunction(attribute):
            return attribute
        timed = self._timed(name)
        setattr(self, name, timed)  # the next call finds it without `__getattr__`
        return timed

    def _timed(self, operation: str) -> Callable[..., Awaitable[Any]]:
        seconds = dependency_seconds(self._dependency, operation)

        async def timed(*arguments: Any, **named: Any) -> Any:
            outcome = "ok"
            started = time.perf_counter()
            try:
                return await getattr(self._target, operation)(*arguments, **named)
            except BaseException as error:
                outcome = self._outcome(error)
                raise
            finally:
                seconds.observe(time.perf_counter() - started)
                dependency_calls_total(self._dependency, operation, outcome).inc()

        return timed

    def _outcome(self, error: BaseException) -> str:
        if isinstance(error, DependencyUnavailable):
            return "unavailable"
        if isinstance(error, self._expected_errors):
            return "refused"
        return "cancelled" if isinstance(error, CancelledError) else "failed"
