"""Tests how rows become photos, with rows in memory: a limit on rows must not hide photos."""

from __future__ import annotations

from collections.abc import Collection
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bentos.domain.faces import BoundingBox
from bentos.stores.milvus import search as milvus_search
from bentos.stores.milvus.search import WIDEST, nearest_photos
from bentos.stores.records import Match

BBOX = BoundingBox(0, 0, 1, 1)


def row(photo_id: str, score: float, face_id: str = "0") -> Match:
    return Match(photo_id, None, f"{photo_id}/{face_id}", BBOX, score)


class Base:
    """Rows in memory. Like Milvus, it returns the best `width` rows, and any of those with equal scores."""

    def __init__(self, rows: list[Match], steady_width: int = WIDEST) -> None:
        self._rows = sorted(rows, key=lambda row: -row.score)
        self._steady_width = steady_width
        self.widths: list[int] = []

    async def fetch(self, width: int, without: Collection[str]) -> list[Match]:
        self.widths.append(width)
        return [row for row in self._rows if row.photo_id not in without][:width]

    async def nearest(self, photos: int, threshold: float) -> list[Match]:
        return await nearest_photos(
            self.fetch, photos=photos, score_threshold=threshold, steady_width=self._steady_width
        )


class ApproximateBase(Base):
    """An index that misses rows at small widths: `effort[i]` is the width from which row i is found."""

    def __init__(self, rows: list[Match], effort: list[int], steady_width: int) -> None:
        super().__init__(rows, steady_width)
        self._effort = dict(zip(map(id, rows), effort, strict=True))

    async def fetch(self, width: int, without: Collection[str]) -> list[Match]:
        effort = max(width, self._steady_width)
        return [row for row in self._rows if row.photo_id not in without and self._effort[id(row)] <= effort][
            :width
        ]


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that returns at most eight rows, so that the next request has to exclude the photos found so far."""
    monkeypatch.setattr(milvus_search, "_WIDTHS", (2, 3, 8))
    monkeypatch.setattr(milvus_search, "WIDEST", 8)


def expected(rows: list[Match], photos: int, threshold: float) -> list[tuple[str, float]]:
    best: dict[str, float] = {}
    for each in rows:
        best[each.photo_id] = max(each.score, best.get(each.photo_id, -2))
    above = [(photo_id, score) for photo_id, score in best.items() if score >= threshold]
    return sorted(above, key=lambda match: (-match[1], match[0]))[:photos]


ROWS = st.lists(
    st.builds(
        row,
        st.sampled_from([f"photo{i}" for i in range(12)]),
        st.sampled_from([0.1, 0.2, 0.3, 0.4, 0.5]),
        st.uuids().map(str),
    ),
    max_size=60,
)
THRESHOLDS = st.sampled_from([-1.0, 0.2, 0.45, 0.9])
SAME_FIXTURE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@SAME_FIXTURE
@given(rows=ROWS, photos=st.integers(0, 14), threshold=THRESHOLDS, steady_width=st.sampled_from([0, 2, 3, 8]))
async def test_the_result_equals_that_of_a_search_without_a_limit(
    narrow: None, rows: list[Match], photos: int, threshold: float, steady_width: int
) -> None:
    matches = await Base(rows, steady_width).nearest(photos, threshold)
    assert [(match.photo_id, match.score) for match in matches] == expected(rows, photos, threshold)


@SAME_FIXTURE
@given(rows=ROWS, threshold=THRESHOLDS, steady_width=st.sampled_from([0, 2, 3]), data=st.data())
async def test_the_result_for_fewer_photos_is_a_prefix_even_if_the_index_misses_rows(
    narrow: None, rows: list[Match], threshold: float, steady_width: int, data: st.DataObject
) -> None:
    effort = data.draw(st.lists(st.sampled_from([2, 3, 8]), min_size=len(rows), max_size=len(rows)))
    base = ApproximateBase(rows, effort, steady_width)
    answers = [await base.nearest(photos, threshold) for photos in range(14)]
    for fewer, more in pairwise(answers):
        assert more[: len(fewer)] == fewer
    ranks = [(-match.score, match.photo_id) for match in answers[-1]]
    assert ranks == sorted(ranks)
    assert len({match.photo_id for match in answers[-1]}) == len(ranks)


async def test_one_request_is_enough_when_photos_have_one_face_each() -> None:
    base = Base([row(f"photo{i:02}", 0.9 - i / 100) for i in range(50)])
    assert len(await base.nearest(11, 0.0)) == 11
    assert base.widths == [16]


async def test_one_request_is_enough_when_the_other_rows_are_below_the_threshold() -> None:
    crowd = [row("crowd", 0.9, str(i)) for i in range(10)]
    base = Base([*crowd, *(row(f"photo{i}", 0.1) for i in range(500))])
    assert [m.photo_id for m in await base.nearest(11, 0.5)] == ["crowd"]
    assert base.widths == [16]


async def test_all_searches_use_the_same_sequence_of_widths() -> None:
    crowd = [row("crowd", 0.9, str(i)) for i in range(300)]
    base = Base(crowd, steady_width=128)
    for photos in (11, 21, 51):
        await base.nearest(photos, 0.0)
    assert base.widths == [16, 32, 64, 256, 1024, 32, 64, 256, 1024, 64, 256, 1024]


async def test_a_photo_with_more_faces_than_one_response_displaces_no_other() -> None:
    crowd = [row("crowd", 0.9, str(i)) for i in range(milvus_search.WIDEST + 100)]
    base = Base([*crowd, row("other", 0.8)])
    found = await base.nearest(2, 0.0)
    assert [match.photo_id for match in found] == ["crowd", "other"]


@pytest.mark.parametrize(
    ("photos", "steady_width", "first"),
    [
        (11, 128, 16),
        (16, 128, 32),
        (31, 128, 32),
        (32, 128, 64),
        (500, 128, 64),
        (500, WIDEST, 1024),
        (500, 0, 16),
    ],
)
async def test_the_first_request_is_not_wider_than_the_steady_width(
    photos: int, steady_width: int, first: int
) -> None:
    base = Base([row(f"photo{i}", 0.5) for i in range(10)], steady_width)
    await base.nearest(photos, 0.0)
    assert base.widths == [first]
