"""Gives every call to a dependency a span; used only while traces are exported."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from bentos.domain.errors import Dependency
from bentos.observability.tracing import Tracing

T = TypeVar("T")


def traced(
    target: T, dependency: Dependency, tracing: Tracing, *, expected_errors: tuple[type[Exception], ...]
) -> T:
    """Wrap `target` so that every public coroutine method has a span; other attributes are unchanged."""
    return cast("T", _Traced(target, dependency, tracing, expected_errors))


class _Traced:
    def __init__(
        self,
        target: object,
        dependency: Dependency,
        tracing: Tracing,
        expected_errors: tuple[type[Exception], ...],
    ) -> None:
        self._target, self._dependency, self._tracing = target, dependency, tracing
        self._expected_errors = expected_errors

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._target, name)
        if name.startswith("_") or not inspect.iscoroutinefunction(attribute):
            return attribute
        spanned = self._spanned(name)
        setattr(self, name, spanned)  # the next call finds it without `__getattr__`
        return spanned

    def _spanned(self, operation: str) -> Callable[..., Awaitable[Any]]:
        async def spanned(*arguments: Any, **named: Any) -> Any:
            with self._tracing.call(self._dependency, operation, self._expected_errors):
                return await getattr(self._target, operation)(*arguments, **named)

        return spanned
