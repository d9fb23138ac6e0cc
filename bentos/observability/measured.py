"""Counts and times every call to a dependency, so that the metrics show its outages."""

from __future__ import annotations

import time
from asyncio import CancelledError
from typing import Any, TypeVar

from bentos.domain.errors import Dependency, DependencyUnavailable
from bentos.observability.each_call import Operation, each_call
from bentos.observability.metrics import dependency_calls_total, dependency_seconds

T = TypeVar("T")


def measured(target: T, dependency: Dependency, *, expected_errors: tuple[type[Exception], ...]) -> T:
    """Wrap `target` so that every public coroutine method is measured; other attributes are unchanged.

    Outcomes: `ok`; `unavailable`, the dependency is down or too slow; `refused`, one of the `expected_errors`;
    `cancelled`, the caller was cancelled; `failed`, any other exception, which is a bug.
    """

    def timed(operation: str) -> Operation:
        seconds = dependency_seconds(dependency, operation)

        async def call(*arguments: Any, **named: Any) -> Any:
            outcome = "ok"
            started = time.perf_counter()
            try:
                return await getattr(target, operation)(*arguments, **named)
            except BaseException as error:
                outcome = _outcome(error, expected_errors)
                raise
            finally:
                seconds.observe(time.perf_counter() - started)
                dependency_calls_total(dependency, operation, outcome).inc()

        return call

    return each_call(target, timed)


def _outcome(error: BaseException, expected_errors: tuple[type[Exception], ...]) -> str:
    if isinstance(error, DependencyUnavailable):
        return "unavailable"
    if isinstance(error, expected_errors):
        return "refused"
    return "cancelled" if isinstance(error, CancelledError) else "failed"
