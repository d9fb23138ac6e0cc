"""From rows to photos, against rows in memory: what a server with a limit on its answers can hide, and does not."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentos.common.faces import BoundingBox
from bentos.stores import milvus_search
from bentos.stores.base import Match
from bentos.stores.milvus_search import nearest_photos, width_for

BBOX = BoundingBox(0, 0, 1, 1)


def row(photo_id: str, score: float, face_id: str = "0") -> Match:
    return Match(photo_id, None, f"{photo_id}/{face_id}", BBOX, score)


class Base:
    """Rows in memory. Like Milvus, it gives the best `width` rows, and of equal ones whichever it likes."""

    def __init__(self, rows: list[Match]) -> None:
        self._rows = sorted(rows, key=lambda row: -row.score)
        self.widths: list[int] = []

    async def fetch(self, width: int, without: Collection[str]) -> list[Match]:
        self.widths.append(width)
        return [row for row in self._rows if row.photo_id not in without][:width]


def expected(rows: list[Match], photos: int, threshold: float) -> list[tuple[str, float]]:
    best: dict[str, float] = {}
    for each in rows:
        best[each.photo_id] = max(each.score, best.get(each.photo_id, -2))
    above = [(photo_id, score) for photo_id, score in best.items() if score >= threshold]
    return sorted(above, key=lambda match: (-match[1], match[0]))[:photos]


@given(
    rows=st.lists(
        st.builds(
            row,
            st.sampled_from([f"photo{i}" for i in range(12)]),
            st.sampled_from([0.1, 0.2, 0.3, 0.4, 0.5]),
            st.uuids().map(str),
        ),
        max_size=60,
    ),
    photos=st.integers(0, 14),
    threshold=st.sampled_from([-1.0, 0.2, 0.45, 0.9]),
)
async def test_the_answer_is_that_of_a_search_without_any_limit(
    rows: list[Match], photos: int, threshold: float
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        # A server that gives at most eight rows, so that the photos seen have to be left out of the next question.
        patched.setattr(milvus_search, "_WIDTHS", (2, 8))
        patched.setattr(milvus_search, "WIDEST", 8)
        matches = await nearest_photos(Base(rows).fetch, photos=photos, score_threshold=threshold)
    assert [(match.photo_id, match.score) for match in matches] == expected(rows, photos, threshold)


async def test_one_question_is_enough_when_photos_have_one_face_each() -> None:
    base = Base([row(f"photo{i:02}", 0.9 - i / 100) for i in range(50)])
    assert len(await nearest_photos(base.fetch, photos=11, score_threshold=0.0)) == 11
    assert base.widths == [16]


async def test_one_question_is_enough_when_the_rest_is_below_the_threshold() -> None:
    crowd = [row("crowd", 0.9, str(i)) for i in range(10)]
    base = Base([*crowd, *(row(f"photo{i}", 0.1) for i in range(500))])
    assert [m.photo_id for m in await nearest_photos(base.fetch, photos=11, score_threshold=0.5)] == ["crowd"]
    assert base.widths == [16]


async def test_a_photo_with_more_faces_than_one_answer_holds_hides_no_other() -> None:
    crowd = [row("crowd", 0.9, str(i)) for i in range(milvus_search.WIDEST + 100)]
    base = Base([*crowd, row("other", 0.8)])
    found = await nearest_photos(base.fetch, photos=2, score_threshold=0.0)
    assert [match.photo_id for match in found] == ["crowd", "other"]


def test_the_first_question_asks_for_more_rows_than_photos() -> None:
    assert [width_for(photos) for photos in (1, 15, 16, 51, 64, 10_001, 16_384, 50_000)] == [
        *(16, 16, 64, 64, 256, 16384, 16384, 16384)
    ]
