"""Turns the rows of a search, one for each face, into the best photos, one match each.

A photo with many similar faces takes one place and hides no other photo.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Collection, Sequence

from bentos.stores.records import Match

WIDEST = 16384
"""The most rows that Milvus returns from one search."""

_WIDTHS = (16, 32, 64, 256, 1024, 4096, WIDEST)
"""How many rows are asked for, in order. The first steps are small, because most searches end there: a row costs the
server 12 us, a search for 16 rows 1.7 ms. All searches use this one sequence of widths, so that pages stay consistent.
"""

Fetch = Callable[[int, Collection[str]], Awaitable[Sequence[Match]]]
"""Called with a number of rows and the photo ids to leave out; returns a `Match` for each face, in any order."""


async def nearest_photos(
    fetch: Fetch, *, photos: int, score_threshold: float, steady_width: int
) -> list[Match]:
    """The `photos` best photos with `score >= score_threshold`, score descending, ties by `photo_id`.

    A photo is certain when its best row scores above the last row fetched, because no other row can score more.
    While fewer than `photos` are certain, more rows are fetched; beyond `WIDEST`, a fetch leaves out all photos seen.

    The answer for fewer photos is always a prefix of the answer for more, so that pages are disjoint. An approximate
    index searches with more effort when it is asked for more rows, and may then find rows that it missed before. Rows
    that score above photos that are certain already are ignored, because they would change earlier pages. Up to
    `steady_width` rows the effort is the same.
    """
    width = _first_width(photos, steady_width)
    settled: list[Match] = []
    ceiling = math.inf
    seen: dict[str, Match] = {}
    left_out: set[str] = set()
    while photos > 0:
        rows = sorted(await fetch(width, left_out), key=_best_first)
        last = rows[-1].score if rows else score_threshold
        taken = {match.photo_id for match in settled}
        fitting = [row for row in rows if row.score <= ceiling and row.photo_id not in taken]
        seen |= best_of_each_photo(fitting)
        complete = len(rows) < width or last < score_threshold
        certain = sorted((m for m in seen.values() if complete or m.score > last), key=_best_first)
        if complete or len(settled) + len(certain) >= photos:
            return [match for match in [*settled, *certain] if match.score >= score_threshold][:photos]
        if width == WIDEST:
            left_out |= {row.photo_id for row in rows}
            continue
        width = next(wider for wider in _WIDTHS if wider > width)
        seen = {}
        if width > steady_width:
            settled += certain
            ceiling = min(ceiling, last)
    return []


def best_of_each_photo(rows: Sequence[Match]) -> dict[str, Match]:
    """The first row of each photo. `rows`: best first."""
    best: dict[str, Match] = {}
    for row in rows:
        best.setdefault(row.photo_id, row)
    return best


def _first_width(photos: int, steady_width: int) -> int:
    """The first width above `photos` that is not above `steady_width`; if there is none, the widest such."""
    steady = [width for width in _WIDTHS if width <= steady_width] or [_WIDTHS[0]]
    return next((width for width in steady if width > photos), steady[-1])


def _best_first(match: Match) -> tuple[float, str, str]:
    return (-match.score, match.photo_id, match.face_id)
