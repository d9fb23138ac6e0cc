"""From rows, one for each face, to photos: the most similar face of each, none hidden by a photo with many."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Collection, Sequence

from bentos.stores.base import Match

WIDEST = 16384
"""Milvus returns no more rows than this from one search."""

_WIDTHS = (16, 32, 64, 256, 1024, 4096, WIDEST)
"""Close at first, where most searches end: a row costs the server 12 us, a search of 16 rows 1.7 ms. Each search that
goes on takes every step, so that all of them settle the same photos before the index has to look harder.
"""

Fetch = Callable[[int, Collection[str]], Awaitable[Sequence[Match]]]
"""The best rows, at most so many, without those of the photos given: a `Match` for each face, in any order."""


async def nearest_photos(
    fetch: Fetch, *, photos: int, score_threshold: float, steady_width: int
) -> list[Match]:
    """The `photos` best photos with `score >= score_threshold`, score descending, ties by `photo_id`.

    A photo is certain when its best row scores above the last row fetched: what was not fetched cannot score more.
    Until enough are, more rows are asked for; at the widest, all photos seen are left out of the next question.

    The answer for fewer photos is always the beginning of the answer for more, so that pages are disjoint. An
    approximate index looks harder when asked for more rows, and then finds what it missed before: what it adds above
    the photos that are certain already comes too late, and is left out. Up to `steady_width` rows the index looks
    equally hard.
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
    """More rows than photos, in steps, but no more than the index looks equally hard for."""
    steady = [width for width in _WIDTHS if width <= steady_width] or [_WIDTHS[0]]
    return next((width for width in steady if width > photos), steady[-1])


def _best_first(match: Match) -> tuple[float, str, str]:
    return (-match.score, match.photo_id, match.face_id)
