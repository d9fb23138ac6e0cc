"""Error rates and thresholds, against values computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models.evaluate.plots import det_points
from models.evaluate.rates import (
    Proportion,
    false_matches,
    false_non_matches,
    needed,
    rounded_up,
    support_for,
    threshold_at,
)

IMPOSTOR = np.array([-0.1, 0.0, 0.1, 0.2, 0.3, 0.3, 0.4, 0.5, 0.6, 0.7])
GENUINE = np.array([0.35, 0.5, 0.65, 0.8])


def test_a_score_equal_to_the_threshold_is_a_match_as_in_the_product():
    assert false_matches(IMPOSTOR, 0.3) == Proportion(6, 10)
    assert false_non_matches(GENUINE, 0.5) == Proportion(1, 4)


def test_thresholds_outside_the_scores_match_everything_or_nothing():
    assert false_matches(IMPOSTOR, -1.0).rate == 1.0
    assert false_matches(IMPOSTOR, 0.71).rate == 0.0
    assert false_non_matches(GENUINE, -1.0).rate == 0.0
    assert false_non_matches(GENUINE, 0.81).rate == 1.0


def test_a_rate_without_trials_is_not_a_number():
    assert math.isnan(Proportion(0, 0).rate)


@pytest.mark.parametrize(
    ("fmr", "above", "false_match_count"),
    [
        (0.0, 0.7, 0),
        (0.05, 0.7, 0),
        (0.1, 0.6, 1),
        (0.25, 0.5, 2),
        (0.4, 0.3, 4),
        (0.5, 0.3, 4),
        (0.6, 0.2, 6),
    ],
)
def test_the_threshold_at_an_fmr_is_just_above_the_highest_score_that_must_not_match(
    fmr, above, false_match_count
):
    threshold = threshold_at(IMPOSTOR, fmr)
    assert threshold == np.nextafter(above, 1.0)
    assert false_matches(IMPOSTOR, threshold).errors == false_match_count


def test_an_fmr_that_is_a_whole_number_of_pairs_allows_that_number_in_spite_of_floating_point():
    scores = np.arange(100) / 100
    assert 0.29 * 100 < 29
    assert false_matches(scores, threshold_at(scores, 0.29)).errors == 29


def test_equal_impostor_scores_match_together_or_not_at_all():
    scores = np.full(50, 0.4)
    assert false_matches(scores, threshold_at(scores, 0.5)).errors == 0


def test_an_fmr_of_one_allows_every_score():
    assert threshold_at(IMPOSTOR, 1.0) == -math.inf


@pytest.mark.parametrize("threshold", [0.301, 0.3004, np.nextafter(0.301, 1), -0.0105, 0.999, 0.1 + 0.2])
def test_a_threshold_is_rounded_upwards_to_three_decimals(threshold):
    rounded = rounded_up(float(threshold))
    assert threshold <= rounded < threshold + 0.0010001
    assert rounded == pytest.approx(round(rounded, 3), abs=1e-12)


@pytest.mark.parametrize(
    ("fmr", "impostor_pairs", "people_pairs", "support"),
    [
        (1e-2, 299, 299, "none"),
        (1e-2, 300, 300, "rough"),
        (1e-2, 3000, 2999, "rough"),
        (1e-2, 3000, 3000, "good"),
        (1e-3, 1_000_000, 28, "rough"),
        (1e-4, 29_999, 29_999, "none"),
        (1e-4, 300_000, 300_000, "good"),
    ],
)
def test_the_rules_of_3_and_of_30_say_which_fmr_the_pairs_carry(fmr, impostor_pairs, people_pairs, support):
    assert support_for(fmr, impostor_pairs=impostor_pairs, people_pairs=people_pairs) == support


def test_the_rule_of_3_asks_for_whole_pairs():
    assert needed(3, 1e-4) == 30_000
    assert needed(3, 0.07) == 43


def test_the_det_curve_has_a_point_for_each_threshold_that_changes_a_rate():
    fmr, fnmr = det_points(np.array([0.4, 0.9]), np.array([0.1, 0.4, 0.5, 0.5]))
    np.testing.assert_allclose(fmr, [1.0, 0.75, 0.5, 0.0], atol=1e-12)  # at 0.1, 0.4, 0.5, 0.9
    np.testing.assert_allclose(fnmr, [0.0, 0.0, 0.5, 0.5], atol=1e-12)
