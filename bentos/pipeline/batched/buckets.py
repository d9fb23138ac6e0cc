"""Splits any number of items into runs of a few fixed sizes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple


class Run(NamedTuple):
    """One run: the items from `first` to `end`, in a batch of `size` places."""

    first: int
    end: int
    size: int


def runs_of(count: int, sizes: Sequence[int], *, start: int) -> Iterator[Run]:
    """Runs for `count` items. `sizes`: the sizes of a batch, ascending.

    `start`: what it costs to start a run, in the time of that number of items. A batch is padded unless a smaller full
    batch and another one for the rest are faster.
    """
    first = 0
    while first < count:
        left = count - first
        size = _size_for(left, sizes)
        if left < size:
            full = max((smaller for smaller in sizes if smaller <= left), default=size)
            if full + start + _size_for(left - full, sizes) < size:
                size = full
        end = min(count, first + size)
        yield Run(first, end, size)
        first = end


def _size_for(count: int, sizes: Sequence[int]) -> int:
    """The smallest size that holds so many items, or the largest."""
    return next((size for size in sizes if size >= count), sizes[-1])
