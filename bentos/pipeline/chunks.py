"""Splits the faces of an image into chunks of a fixed size, so that memory does not grow with their number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

CHUNK = 20
"""Faces in one run of the recogniser, and between two checks whether a caller still waits for the answer."""

_Item = TypeVar("_Item")


def in_chunks(items: Sequence[_Item], most: int = CHUNK) -> Iterator[Sequence[_Item]]:
    """The items, at most `most` at a time, in their order."""
    return (items[first : first + most] for first in range(0, len(items), most))
