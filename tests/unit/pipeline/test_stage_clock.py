"""Tests the measured time of stages."""

from __future__ import annotations

import time

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
