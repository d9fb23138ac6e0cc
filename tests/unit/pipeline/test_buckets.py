"""Tests of how any number of items is split into runs of a few sizes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bentos.pipeline.batched.buckets import Run, runs_of

SIZES = st.sets(st.integers(1, 64), min_size=1).map(sorted)


@given(st.integers(0, 300), SIZES, st.integers(0, 100))
def test_each_item_is_in_one_run_that_has_a_place_for_it(count: int, sizes: list[int], start: int) -> None:
    runs = list(runs_of(count, sizes, start=start))
    ends = [run.end for run in runs]
    assert [run.first for run in runs] == [0, *ends][: len(runs)]
    assert ends[-1:] == [count][: len(runs)]
    assert all(run.size in sizes and 0 < run.end - run.first <= run.size for run in runs)


@given(st.integers(1, 300), SIZES, st.integers(0, 100))
def test_padding_never_costs_more_than_another_run_would(count: int, sizes: list[int], start: int) -> None:
    *_, last = runs_of(count, sizes, start=start)
    padding = last.size - (last.end - last.first)
    smaller = [size for size in sizes if size <= last.end - last.first]
    assert not padding or not smaller or padding <= start + sizes[-1]


def test_a_small_network_is_padded_and_a_large_one_runs_twice() -> None:
    assert list(runs_of(9, (4, 16), start=60)) == [Run(0, 9, 16)]
    assert list(runs_of(9, (1, 4, 8, 64), start=3)) == [Run(0, 8, 8), Run(8, 9, 1)]
    assert list(runs_of(5, (1, 4, 8), start=3)) == [Run(0, 5, 8)]
    assert list(runs_of(20, (1, 4, 8), start=3)) == [Run(0, 8, 8), Run(8, 16, 8), Run(16, 20, 4)]
