"""Tests of arrival times: their rate does not depend on responses."""

from __future__ import annotations

import itertools

import pytest

from bench.arrivals import Metronome, due_times


def test_steady_arrivals_have_equal_intervals():
    assert list(itertools.islice(due_times(4, "steady"), 5)) == [0, 0.25, 0.5, 0.75, 1.0]


def test_poisson_arrivals_have_the_requested_rate_on_average():
    last = next(itertools.islice(due_times(100, "poisson"), 20_000, None))
    assert last == pytest.approx(200, rel=0.03)


def test_poisson_arrivals_never_go_back_in_time_and_are_the_same_for_the_same_seed():
    times = list(itertools.islice(due_times(10, "poisson", seed=5), 1000))
    assert times == sorted(times)
    assert times == list(itertools.islice(due_times(10, "poisson", seed=5), 1000))


def test_a_rate_of_zero_is_refused():
    with pytest.raises(ValueError, match="above 0"):
        next(due_times(0, "steady"))


def test_an_overdue_request_is_sent_without_waiting_and_its_lateness_is_recorded():
    now = [0.0]
    metronome = Metronome(due_times(10, "steady"), lambda: now[0])
    assert metronome.left_s() == 0
    metronome.arrived()
    now[0] = 0.25
    for _ in range(2):
        assert metronome.left_s() == 0
        metronome.arrived()
    assert metronome.left_s() == pytest.approx(0.05)
    assert metronome.lateness_s == pytest.approx([0, 0.15, 0.05])
