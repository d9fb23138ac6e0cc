"""Tests the measured time of stages."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from bentos.pipeline.stage_clock import STAGES, StageClock


def test_a_stage_counts_the_time_of_its_blocks_and_restarts_after_take() -> None:
    clock = StageClock()
    for _ in range(2):
        with clock.timed("embed"):
            time.sleep(0.01)
    taken = clock.take()
    assert tuple(taken) == STAGES
    assert taken["embed"] >= 0.02
    assert taken["decode"] == 0
    assert set(clock.take().values()) == {0.0}


def test_the_time_of_a_failing_stage_is_counted() -> None:
    clock = StageClock()
    with pytest.raises(ValueError, match="damaged"), clock.timed("decode"):
        raise ValueError("damaged")
    assert clock.take()["decode"] > 0


def test_the_time_of_a_stage_inside_another_counts_once() -> None:
    clock = StageClock()
    started = time.monotonic()
    with clock.timed("detect"):
        for _ in range(2):
            with clock.timed("decode"), clock.timed("align"):
                time.sleep(0.01)
    whole = time.monotonic() - started
    taken = clock.take()
    assert taken["align"] >= 0.02
    assert sum(taken.values()) <= whole


def test_threads_may_share_a_clock() -> None:
    clock = StageClock()

    def work() -> None:
        for _ in range(20):
            with clock.timed("decode"):
                time.sleep(0.001)

    with ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            pool.submit(work)
    assert clock.take()["decode"] >= 4 * 20 * 0.001
