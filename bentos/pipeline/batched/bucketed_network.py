"""A network for items of one shape, in batches of a few fixed sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bentos.pipeline.batched.buckets import runs_of
from bentos.pipeline.batched.fixed_session import FixedSession
from bentos.pipeline.pyramid import Pixels

Floats = NDArray[np.float32]
OpenSession = Callable[[int], FixedSession]
"""Opens the session for a batch size."""


class BucketedNetwork:
    """Runs any number of items. `sizes`: the sizes of a batch, ascending; their sessions are opened at once."""

    def __init__(self, open_session: OpenSession, sizes: Sequence[int]) -> None:
        self._sessions = {size: open_session(size) for size in sizes}
        self._sizes = sorted(sizes)

    def run(self, items: Sequence[Pixels], names: Sequence[str]) -> list[Floats]:
        """The outputs of these names for all items, each at most as large as the input; smaller ones end in black."""
        parts = [made for made, _ in self._runs(items, names)]
        return [np.concatenate(each) for each in zip(*parts, strict=True)]

    def run_each(
        self,
        items: Sequence[Pixels],
        names: Sequence[str],
        more: Callable[[int, FixedSession, int, list[Floats]], Any],
    ) -> list[Any]:
        """For each item what `more` makes of its number, the session, its place and the outputs of its batch."""
        found: list[Any] = []
        for made, session in self._runs(items, names):
            found += [more(len(found) + place, session, place, made) for place in range(len(made[0]))]
        return found

    def _runs(
        self, items: Sequence[Pixels], names: Sequence[str]
    ) -> Iterator[tuple[list[Floats], FixedSession]]:
        for run in runs_of(len(items), self._sizes):
            session = self._sessions[run.size]
            for place, pixels in zip(session.buffer, items[run.first : run.end], strict=False):
                _fill(place, pixels)
            yield [made[: run.end - run.first] for made in session.run(names)], session


def _fill(place: Pixels, pixels: Pixels) -> None:
    height, width = pixels.shape[:2]
    place[:height, :width] = pixels
    place[height:] = 0
    place[:height, width:] = 0
