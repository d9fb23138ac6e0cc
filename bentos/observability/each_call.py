"""Replaces every public coroutine method of an object: for metrics, traces, and calls that may not be interrupted."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

T = TypeVar("T")
Operation = Callable[..., Awaitable[Any]]


def each_call(target: T, replace: Callable[[str], Operation]) -> T:
    """`target` with `replace(name)` in place of each public coroutine method; other attributes are unchanged."""
    return cast("T", _EachCall(target, replace))


class _EachCall:
    def __init__(self, target: object, replace: Callable[[str], Operation]) -> None:
        self._target, self._replace = target, replace

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._target, name)
        if name.startswith("_") or not inspect.iscoroutinefunction(attribute):
            return attribute
        replaced = self._replace(name)
        setattr(self, name, replaced)  # the next call finds it without `__getattr__`
        return replaced
