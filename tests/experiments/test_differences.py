import numpy as np
import pytest
from scipy import stats

from experiments.differences import holm, paired_difference
from src.judging.bootstrap import resample
from src.judging.group_draws import Sampled, interval

ALL = (-1.0, 1.0)


def dice_of(dice, groups, seed=0):
    table = {"group": groups, "image_id": np.arange(len(dice)), "dice": np.array(dice, float)}
    return resample(table, {}, metrics=["dice_mean"], resamples=2000, seed=seed)["dice_mean"]


def test_the_interval_of_a_mean_is_about_that_of_the_normal_distribution():
    low, high = interval(dice_of(np.tile([0, 1], 200), np.arange(400)), within=ALL)
    error = 0.5 / np.sqrt(400)
    assert low == pytest.approx(0.5 - 1.96 * error, abs=0.006)
    assert high == pytest.approx(0.5 + 1.96 * error, abs=0.006)


def test_more_images_of_the_same_groups_make_nothing_surer():
    dice, names = np.tile([0.0, 1.0], 20), [f"scene {number}" for number in range(40)]
    once = interval(dice_of(dice, names), within=ALL)
    thrice = interval(dice_of(np.repeat(dice, 3), np.repeat(names, 3)), within=ALL)
    alone = interval(dice_of(np.repeat(dice, 3), np.arange(120)), within=ALL)
    assert thrice == pytest.approx(once, abs=1e-12)
    assert np.subtract(*alone) > 0.7 * np.subtract(*once)  # narrower


@pytest.mark.parametrize("names", [["one", "one"], ["one", "two"]])
def test_few_groups_tell_nothing_of_the_next(names):
    sampled = dice_of([0.25, 0.75], names)
    assert sampled.value == 0.5
    assert interval(sampled, within=ALL) == (None, None)
    assert paired_difference([sampled], [sampled]) == (0, None, None, None)


def test_what_is_hard_for_both_cancels_out_of_a_difference():
    names, dice = np.arange(30), np.linspace(0, 0.8, 30)
    base, better = dice_of(dice, names), dice_of(dice + 0.1, names)
    assert interval(base, within=ALL)[1] > interval(better, within=ALL)[0]  # they overlap widely
    for pair, gain in (([base], [better]), 0.1), (([better], [base]), -0.1):
        found = paired_difference(*pair)
        assert found[:3] == pytest.approx((gain, gain, gain), abs=1e-12)
        assert found.p < 1e-9


def test_a_change_for_the_better_on_every_second_image_only_is_not_sure():
    names, dice = np.arange(40), np.full(40, 0.5)
    other = dice_of(dice + np.tile([0.21, -0.2], 20), names)
    difference, low, high, p = paired_difference([dice_of(dice, names)], [other])
    assert difference == pytest.approx(0.005)
    assert low < 0 < high
    # a t-test of 40 values of standard deviation 0.2076: t = 0.005 / (0.2076 / sqrt(40))
    assert p == pytest.approx(stats.ttest_1samp(np.tile([0.21, -0.2], 20), 0).pvalue, abs=0.03)


def test_draws_in_which_either_is_undefined_are_left_out():
    base = Sampled(0.5, np.array([0.5, np.nan, 0.5, 0.25]), 3)
    other = Sampled(0.75, np.array([1.0, 0.5, np.nan, 0.0]), 3)
    without = [Sampled(0.5, np.array([0.5, 0.25]), 3), Sampled(0.75, np.array([1.0, 0.0]), 3)]
    assert paired_difference([base], [other]) == paired_difference([without[0]], [without[1]])
    undefined = Sampled(np.nan, np.full(4, np.nan), 3)
    assert paired_difference([base], [undefined]) == (None, None, None, None)


def test_of_seeds_that_agree_the_interval_is_that_of_the_groups():
    rng = np.random.default_rng(0)
    dice, names = rng.random(16) * 0.5, np.arange(16)
    gain = rng.normal(0.05, 0.02, 16)
    base, other = dice_of(dice, names), dice_of(dice + gain, names)
    found = paired_difference([base] * 3, [other] * 3)
    variance = (other.samples - base.samples).var(ddof=1) * 16 / 15
    assert found.difference == pytest.approx(gain.mean())
    reach = stats.t.ppf(0.975, 15) * np.sqrt(variance)
    assert found.high - found.difference == pytest.approx(reach, rel=1e-9)
    assert found.difference - found.low == pytest.approx(reach, rel=1e-9)
    assert variance == pytest.approx(gain.var(ddof=1) / 16, rel=0.1)  # as of a mean


def test_seeds_that_differ_alike_on_all_groups_count_as_values_of_their_own():
    """Groups say the same, so that only the seeds are uncertain: a t-test of three values."""
    names, dice, gains = np.arange(8), np.linspace(0, 0.5, 8), [0.02, 0.05, 0.11]
    others = [dice_of(dice + gain, names) for gain in gains]
    found = paired_difference([dice_of(dice, names)] * 3, others)
    expected = stats.ttest_1samp(gains, 0)
    assert found.difference == pytest.approx(0.06)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval()))
    assert found.p == pytest.approx(expected.pvalue)


def test_what_seeds_do_otherwise_on_each_group_is_counted_once():
    rng = np.random.default_rng(1)
    names, dice, seeds = np.arange(400), np.full(400, 0.5), 3
    base = dice_of(dice, names)
    others = [dice_of(dice + rng.normal(0, 0.1, 400), names) for _ in range(seeds)]
    found = paired_difference([base] * seeds, others)
    # 1,200 values of standard deviation 0.1
    assert (found.high - found.low) / 2 / 1.97 == pytest.approx(0.1 / np.sqrt(1200), rel=0.15)


def test_seeds_are_paired_one_by_one():
    one = dice_of([0.5, 0.5, 0.5], [1, 2, 3])
    with pytest.raises(ValueError, match="2 and 1 seeds cannot be paired"):
        paired_difference([one, one], [one])
    with pytest.raises(ValueError, match="0 and 0 seeds"):
        paired_difference([], [])


def test_the_smallest_of_several_chances_is_corrected_the_most():
    assert holm([0.01, None, 0.04, 0.03]) == pytest.approx([0.03, None, 0.06, 0.06])
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([]) == []
