"""Splits any number of items into runs of a few fixed sizes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple


class Run(NamedTuple):
    """One run: the items from `first` to `end`, in a batch of `size` places."""

    first: int
    end: int
    size: int


def runs_of(count: int, sizes: Sequence[int]) -> Iterator[Run]:
    """Runs for `count` items. `sizes`: the sizes of a batch, ascending.

    A batch is padded only when at least half of its places are taken; otherwise a smaller full batch comes first.
    """
    first = 0
    while first < count:
        left = count - first
        size = next((size for size in sizes if size >= left), sizes[-1])
        if left < size / 2:
            size = max(smaller for smaller in sizes if smaller <= left)
        end = min(count, first + size)
        yield Run(first, end, size)
        first = end
