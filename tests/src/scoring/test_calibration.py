import numpy as np
import pytest

from src.scoring.calibration import (
    TIE_WEIGHT,
    calibrate,
    expected_calibration_error,
    fit_isotonic,
    reliability,
)

SCORES = np.array([0.1, 0.2, 0.3, 0.4, 0.8])
HIT = np.array([0, 1, 0, 1, 1], bool)  # isotonic: 0, 1/2, 1/2, 1, 1


def test_rates_are_the_isotonic_ones_and_ties_are_broken_by_rank_by_hand():
    calibrated = calibrate(fit_isotonic(SCORES, HIT), SCORES)
    rates, ranks = np.array([0, 0.5, 0.5, 1, 1]), np.arange(5) / 4
    order = ranks / 2 + SCORES / (1 + SCORES) / 2
    np.testing.assert_allclose(calibrated, 0.999 * rates + 0.001 * order, rtol=1e-12)


def test_between_knots_the_rate_is_interpolated():
    calibrator = fit_isotonic(np.array([0.0, 1.0]), np.array([False, True]))
    assert calibrate(calibrator, np.array([0.25]))[0] == pytest.approx(0.25, abs=TIE_WEIGHT)


@pytest.mark.parametrize("top", [1.0, 40.0])
@pytest.mark.parametrize("seed", range(4))
def test_the_order_of_any_scores_survives_and_nothing_leaves_the_unit_range(seed, top):
    rng = np.random.default_rng(seed)
    calibrator = fit_isotonic(top * rng.uniform(0.2, 0.8, 200), rng.random(200) < 0.5)
    scores = np.unique(top * np.concatenate([rng.random(300), [0, 1]]))  # also where none was seen
    calibrated = calibrate(calibrator, scores)
    assert (np.diff(calibrated) > 0).all()
    assert 0 <= calibrated[0] < calibrated[-1] <= 1


def test_equal_scores_stay_equal():
    calibrator = fit_isotonic(np.array([0.3, 0.3, 0.9]), np.array([True, False, False]))
    low, high, again = calibrate(calibrator, np.array([0.3, 0.9, 0.3]))
    assert low == again < high


def test_overconfident_scores_come_near_their_hit_rate():
    rng = np.random.default_rng(0)
    chance = rng.random(4000)
    scores = chance**0.2
    hit = rng.random(4000) < chance
    fitted = fit_isotonic(scores[::2], hit[::2])
    raw, hit = scores[1::2], hit[1::2]
    before, after = (
        expected_calibration_error(reliability(one, hit)) for one in (raw, calibrate(fitted, raw))
    )
    assert before > 0.3
    assert after < 0.04


@pytest.mark.parametrize("hit", [False, True])
def test_one_score_is_calibrated_to_its_hit(hit):
    calibrator = fit_isotonic(np.array([0.5]), np.array([hit]))
    assert calibrate(calibrator, np.array([0.5]))[0] == pytest.approx(float(hit), abs=TIE_WEIGHT)


def test_nothing_to_calibrate():
    assert calibrate(fit_isotonic(SCORES, HIT), np.zeros(0)).shape == (0,)
    with pytest.raises(ValueError, match="no score to calibrate on"):
        fit_isotonic(np.zeros(0), np.zeros(0, bool))


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -0.1])
def test_scores_without_a_place_are_refused(wrong):
    with pytest.raises(ValueError, match="finite and at least 0"):
        fit_isotonic(np.array([0.5, wrong]), np.array([True, False]))
    with pytest.raises(ValueError, match="finite and at least 0"):
        calibrate(fit_isotonic(SCORES, HIT), np.array([wrong]))


def test_reliability_by_hand():
    scores = np.array([0.0, 0.05, 0.1, 0.95, 1.0, 0.99])
    rows = reliability(scores, np.array([0, 1, 1, 1, 1, 0], bool))
    assert [row["count"] for row in rows] == [2, 1, 0, 0, 0, 0, 0, 0, 0, 3]
    assert rows[0] == {"bin": 0, "count": 2, "mean_score": 0.025, "hit_rate": 0.5}
    assert rows[5] == {"bin": 5, "count": 0, "mean_score": None, "hit_rate": None}
    assert rows[9]["mean_score"] == pytest.approx(2.94 / 3)
    assert rows[9]["hit_rate"] == pytest.approx(2 / 3)
    # (2 * 0.475 + 1 * 0.9 + 3 * (0.98 - 2 / 3)) / 6
    assert expected_calibration_error(rows) == pytest.approx((0.95 + 0.9 + 0.94) / 6)


def test_perfect_scores_have_no_calibration_error():
    hit = np.array([True, False, True])
    assert expected_calibration_error(reliability(hit.astype(float), hit)) == 0


def test_without_candidates_the_error_is_undefined():
    assert expected_calibration_error(reliability(np.zeros(0), np.zeros(0, bool))) is None


@pytest.mark.parametrize("wrong", [1.5, -0.1, np.nan])
def test_scores_that_are_no_probabilities_have_no_reliability(wrong):
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        reliability(np.array([wrong]), np.array([True]))
