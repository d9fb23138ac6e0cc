"""Confidence intervals, against published values, scipy, and cases whose distribution is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from models.evaluate import bootstrap
from models.evaluate.bootstrap import ScoredPairs, intervals_by_people
from models.evaluate.intervals import Interval, wilson
from models.evaluate.rates import Proportion, false_matches, false_non_matches, threshold_at


@pytest.mark.parametrize(
    ("errors", "trials", "lower", "upper"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_the_values_that_newcombe_published(errors, trials, lower, upper):
    """R. G. Newcombe: Two-sided confidence intervals for the single proportion, Statistics in Medicine 17, 1998."""
    interval = wilson(Proportion(errors, trials))
    assert (round(interval.lower, 4), round(interval.upper, 4)) == (lower, upper)


@pytest.mark.parametrize(
    ("errors", "trials"), [(0, 1), (1, 1), (3, 7), (500, 1000), (1, 1_000_000), (40, 40)]
)
def test_wilson_agrees_with_scipy(errors, trials):
    interval = wilson(Proportion(errors, trials))
    expected = stats.binomtest(errors, trials).proportion_ci(0.95, method="wilson")
    assert (interval.lower, interval.upper) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_without_trials_nothing_is_known():
    assert wilson(Proportion(0, 0)) == Interval(0.0, 1.0)


def pairs(scores, first, second) -> ScoredPairs:
    order = np.argsort(scores, kind="stable")
    return ScoredPairs(
        np.asarray(scores, dtype=np.float64)[order],
        np.asarray(first, dtype=np.int64)[order],
        np.asarray(second, dtype=np.int64)[order],
    )


def made(people: int, genuine_each: int, seed: int) -> tuple[ScoredPairs, ScoredPairs]:
    """Scores to two decimals, so that there are ties."""
    rng = np.random.default_rng(seed)
    owners = np.repeat(np.arange(people), genuine_each)
    first, second = np.triu_indices(people, 1)
    genuine = pairs(rng.normal(0.5, 0.2, len(owners)).round(2), owners, owners)
    return genuine, pairs(rng.normal(0.2, 0.2, len(first)).round(2), first, second)


def test_a_replicate_has_the_rates_of_the_pairs_repeated_as_often_as_their_people_were_drawn():
    genuine, impostor = made(12, 5, seed=1)
    thresholds, fmrs = np.array([-1.0, 0.3, 0.45, 2.0]), np.array([0.01, 0.1, 0.5, 1.0])
    for seed in range(20):
        drawn = np.bincount(np.random.default_rng(seed).integers(12, size=12), minlength=12)
        repeated_genuine = np.repeat(genuine.scores, drawn[genuine.first])
        repeated_impostor = np.repeat(impostor.scores, drawn[impostor.first] * drawn[impostor.second])
        expected = [
            *(false_non_matches(repeated_genuine, threshold_at(repeated_impostor, fmr)).rate for fmr in fmrs),
            *(false_matches(repeated_impostor, threshold).rate for threshold in thresholds),
            *(false_non_matches(repeated_genuine, threshold).rate for threshold in thresholds),
        ]
        found = bootstrap._rates(genuine, impostor, drawn, fmrs, thresholds)
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_pairs_of_one_person_that_fail_together_count_as_one_person_and_not_as_many_pairs():
    # Of 20 people 5 always fail, so FNMR in a replicate is a binomial number of 20 with p = 1/4, over 20.
    owners = np.repeat(np.arange(20), 50)
    first, second = np.triu_indices(20, 1)
    genuine = pairs(np.where(owners < 5, 0.0, 1.0), owners, owners)
    impostor = pairs(np.full(len(first), -0.5), first, second)
    found = intervals_by_people(genuine, impostor, people=20, fmrs=[0.5], thresholds=[0.5], seed=3).fnmr[0]
    assert found is not None
    expected = stats.binom.ppf([0.025, 0.975], 20, 0.25) / 20
    assert (found.lower, found.upper) == pytest.approx(tuple(expected), abs=0.051)
    by_pairs = wilson(Proportion(250, 1000))
    assert found.upper - found.lower > 4 * (by_pairs.upper - by_pairs.lower)


def test_without_any_error_the_interval_is_that_of_as_many_trials_as_there_are_people():
    first, second = np.triu_indices(10, 1)
    genuine = pairs(np.full(30, 0.9), np.repeat(np.arange(10), 3), np.repeat(np.arange(10), 3))
    impostor = pairs(np.zeros(len(first)), first, second)
    found = intervals_by_people(genuine, impostor, people=10, fmrs=[0.1], thresholds=[0.5], seed=0)
    assert found.fnmr_at_fmr == found.fnmr == (wilson(Proportion(0, 10)),)
    assert found.fmr == (wilson(Proportion(0, 45)),)


def test_genuine_pairs_of_a_single_person_give_no_interval_unless_none_or_all_fail():
    genuine, impostor = pairs([0.4, 0.8], [0, 0], [0, 0]), pairs([0.1, 0.6], [0, 0], [1, 1])
    found = intervals_by_people(genuine, impostor, people=2, fmrs=[0.5], thresholds=[0.5], seed=0)
    assert found.fnmr == (None,)  # one of two pairs fails in every replicate
    assert found.fnmr_at_fmr == (wilson(Proportion(0, 1)),)


def test_the_same_seed_gives_the_same_interval():
    genuine, impostor = made(30, 4, seed=2)
    first, again, other = (
        intervals_by_people(genuine, impostor, people=30, fmrs=[0.1], thresholds=[0.4], seed=seed)
        for seed in (7, 7, 8)
    )
    assert first == again != other


def test_pairs_of_the_same_two_people_are_counted_once_in_either_order():
    assert pairs([0.1, 0.2, 0.3, 0.4], [0, 1, 0, 2], [1, 0, 2, 1]).people_pairs == 3
