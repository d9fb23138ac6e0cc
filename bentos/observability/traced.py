"""Gives every call to a dependency a span; used only while traces are exported."""

from __future__ import annotations

from typing import Any, TypeVar

from bentos.domain.errors import Dependency
from bentos.observability.each_call import Operation, each_call
from bentos.observability.tracing import Tracing

T = TypeVar("T")


def traced(
    target: T, dependency: Dependency, tracing: Tracing, *, expected_errors: tuple[type[Exception], ...]
) -> T:
    """Wrap `target` so that every public coroutine method has a span; other attributes are unchanged."""

    def spanned(operation: str) -> Operation:
        async def call(*arguments: Any, **named: Any) -> Any:
            with tracing.call(dependency, operation, expected_errors):
                return await getattr(target, operation)(*arguments, **named)

        return call

    return each_call(target, spanned)
