"""The time that stages take."""

from __future__ import annotations

import time

import pytest

from bentos.pipeline.stage_clock import STAGES, StageClock


def test_a_stage_counts_what_ran_inside_it_and_starts_anew_once_taken() -> None:
    clock = StageClock()
    for _ in range(2):
        with clock.timed("embed"):
            time.sleep(0.01)
    taken = clock.take()
    assert tuple(taken) == STAGES
    assert taken["embed"] >= 0.02
    assert taken["decode"] == 0
    assert set(clock.take().values()) == {0.0}


def test_a_stage_that_fails_counts_too() -> None:
    clock = StageClock()
    with pytest.raises(ValueError, match="damaged"), clock.timed("decode"):
        raise ValueError("damaged")
    assert clock.take()["decode"] > 0
