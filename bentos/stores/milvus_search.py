"""From rows, one for each face, to photos: the most similar face of each, none hidden by a photo with many."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence

from bentos.stores.base import Match

WIDEST = 16384
"""Milvus returns no more rows than this from one search."""

_WIDTHS = (16, 64, 256, 1024, 4096, WIDEST)

Fetch = Callable[[int, Collection[str]], Awaitable[Sequence[Match]]]
"""The best rows, at most so many, without those of the photos given: a `Match` for each face, in any order."""


def width_for(photos: int) -> int:
    """How many rows to ask for at first. In steps, so that pages of one search mostly ask the same question."""
    return next((width for width in _WIDTHS if width > photos), WIDEST)


async def nearest_photos(fetch: Fetch, *, photos: int, score_threshold: float) -> list[Match]:
    """The `photos` best photos with `score >= score_threshold`, score descending, ties by `photo_id`.

    A photo is certain when its best row scores above the last row fetched: what was not fetched cannot score more.
    Until enough are, more rows are asked for; at the widest, the photos already seen are left out of the next
    question, since the best row of each was among those fetched.
    """
    width = width_for(photos)
    settled: dict[str, Match] = {}
    while photos > 0:
        rows = sorted(await fetch(width, settled.keys()), key=_best_first)
        seen = settled | best_of_each_photo(rows)
        last = rows[-1].score if rows else score_threshold
        if len(rows) < width or last < score_threshold:
            return _cut(seen, photos, score_threshold)
        if sum(match.score > last for match in seen.values()) >= photos:
            return _cut(seen, photos, score_threshold)
        if width < WIDEST:
            width = min(4 * width, WIDEST)
        else:
            settled = seen
    return []


def best_of_each_photo(rows: Sequence[Match]) -> dict[str, Match]:
    """The first row of each photo. `rows`: best first."""
    best: dict[str, Match] = {}
    for row in rows:
        best.setdefault(row.photo_id, row)
    return best


def _cut(seen: dict[str, Match], photos: int, score_threshold: float) -> list[Match]:
    matches = [match for match in seen.values() if match.score >= score_threshold]
    return sorted(matches, key=_best_first)[:photos]


def _best_first(match: Match) -> tuple[float, str, str]:
    return (-match.score, match.photo_id, match.face_id)
