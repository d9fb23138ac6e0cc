"""A network for items of one shape, in batches of a few fixed sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bentos.pipeline.batched.buckets import runs_of
from bentos.pipeline.batched.fixed_session import FixedSession
from bentos.pipeline.detector import Floats
from bentos.pipeline.pyramid import Pixels

OpenSession = Callable[[int], FixedSession]
"""Opens the session for a batch size."""


class BucketedNetwork:
    """Runs any number of items, in one thread. `sizes`: the sizes of a batch, ascending. `start`: see `runs_of`.

    `opens_early`: its sessions are opened by `warm_up`; others when they are needed first. `batch`: items of the
    largest batch of the last call.
    """

    def __init__(
        self, open_session: OpenSession, sizes: Sequence[int], *, start: int, opens_early: bool
    ) -> None:
        self._open_session, self._sizes = open_session, sizes
        self._start, self._opens_early = start, opens_early
        self._sessions: dict[int, FixedSession] = {}
        self.batch = 1

    def warm_up(self) -> int:
        """Open the sessions in the thread that runs them later; returns how many."""
        if not self._opens_early:
            return 0
        for size in self._sizes:
            self._session(size)
        return len(self._sizes)

    def run(self, items: Sequence[Pixels], names: Sequence[str]) -> list[Floats]:
        """The outputs of these names for all items, each at most as large as the input; smaller ones end in black."""
        parts: list[list[Floats]] = []
        self.batch = 1
        for run in runs_of(len(items), self._sizes, start=self._start):
            session = self._session(run.size)
            count = run.end - run.first
            for place, pixels in zip(session.buffer, items[run.first : run.end], strict=False):
                _fill(place, pixels)
            parts.append([made.copy() for made in session.run(names, count)])
            self.batch = max(self.batch, count)
        return parts[0] if len(parts) == 1 else [np.concatenate(each) for each in zip(*parts, strict=True)]

    def _session(self, size: int) -> FixedSession:
        session = self._sessions.get(size)
        if session is None:
            session = self._sessions[size] = self._open_session(size)
        return session


def _fill(place: Pixels, pixels: Pixels) -> None:
    height, width = pixels.shape[:2]
    place[:height, :width] = pixels
    if height < place.shape[0]:
        place[height:] = 0
    if width < place.shape[1]:
        place[:height, width:] = 0
