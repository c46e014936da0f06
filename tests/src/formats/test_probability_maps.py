import numpy as np
import pytest

from src.formats.merge_rules import MERGES
from src.formats.probability_maps import (
    decode_probability,
    encode_probability,
    encode_spread,
    merge_maps,
    merge_probabilities,
    spread_of_maps,
)


def test_every_stored_value_survives_a_round_trip():
    stored = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(encode_probability(decode_probability(stored)), stored)


def test_zero_and_one_are_exact():
    assert encode_probability(np.array([0.0, 1.0])).tolist() == [0, 255]
    assert decode_probability(np.array([0, 255], np.uint8)).tolist() == [0, 1]


@pytest.mark.parametrize("bad", [-0.01, 1.01, np.nan])
def test_what_is_no_probability_is_refused(bad):
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
        encode_probability(np.array([0.5, bad]))


def test_a_spread_is_stored_in_steps_of_half_a_probability_s():
    assert encode_spread(np.array([0, 0.25 / 510, 0.1, 0.5])).tolist() == [0, 0, 51, 255]
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
        encode_spread(np.array([0.51]))


def spread(groups):
    return spread_of_maps([[np.full((1, 2), v, np.uint8) for v in one] for one in groups])[0, 1]


def test_the_spread_of_groups_is_that_of_the_means_of_their_maps():
    assert spread([[0], [255]]) == 255
    assert spread([[10], [40], [70]]) == round(2 * 600**0.5) == 49
    assert spread([[10, 30], [50, 90, 70]]) == 50  # of 20 and 70: what folds say is averaged first
    assert spread([[10, 11], [12]]) == round(1.5)
    assert spread([[17, 200]]) == 0
    assert spread([[80]] * 3) == 0


@pytest.mark.parametrize("groups", [[], [[]], [[np.zeros((2, 2))], [np.zeros((2, 3))]]])
def test_groups_without_maps_or_of_unlike_shape_are_refused(groups):
    with pytest.raises(ValueError, match="groups of maps of one shape"):
        spread_of_maps(groups)


@pytest.mark.parametrize("merge", MERGES)
def test_a_single_map_comes_back_unchanged_unless_it_is_sharpened(merge):
    stored = np.arange(256, dtype=np.uint8).reshape(16, 16)
    wanted = stored if merge != "tsharpen" else np.rint((stored / 255.0) ** 0.5 * 255)
    np.testing.assert_array_equal(merge_maps([stored], merge), wanted)
    np.testing.assert_array_equal(merge_maps([stored, stored], merge, [0.3, 7.1]), wanted)
    np.testing.assert_array_equal(merge_maps([stored] * 3, merge, [0.1] * 3), wanted)


def merged(values, merge, weights=None):
    maps = [np.full((1, 1), value, np.uint8) for value in values]
    return merge_maps(maps, merge, weights).item()


def test_merges_by_hand():
    assert merged([16, 240], "mean") == 128
    assert merged([16, 255], "gmean") == 64  # sqrt(16 * 255) = 63.9
    assert merged([60, 180], "hmean") == 90  # 2 / (1 / 60 + 1 / 180)
    odds = (51 / 204 * 250 / 5) ** 0.5  # the geometric mean of the two odds
    assert merged([51, 250], "logit_mean") == round(255 * odds / (1 + odds)) == 199
    assert merged([20, 180], "tsharpen") == 143  # (sqrt(20) + sqrt(180)) / 2 * sqrt(255) = 142.8
    assert merged([60, 180], "max") == 180


def test_weighted_merges_by_hand():
    assert merged([100, 200], "mean", [3, 1]) == 125
    assert merged([16, 128], "gmean", [2, 1]) == 32  # (16 * 16 * 128) ** (1 / 3)
    assert merged([50, 200], "hmean", [0.5, 2]) == 125  # 2.5 / (0.5 / 50 + 2 / 200)
    odds = (51 / 204) ** 0.75 * (204 / 51) ** 0.25  # = 1 / 2
    assert merged([51, 204], "logit_mean", [3, 1]) == round(255 * odds / (1 + odds)) == 85
    assert merged([0, 255], "tsharpen", [1, 4]) == 204
    assert merged([60, 180], "max", [5, 0.1]) == 180


@pytest.mark.parametrize("merge", MERGES)
def test_a_weight_of_two_is_the_map_given_twice_and_of_zero_leaves_it_out(merge):
    maps = list(np.random.default_rng(0).integers(0, 256, (3, 40, 40), np.uint8))
    repeated = merge_maps([maps[0], maps[0], maps[2]], merge)
    np.testing.assert_array_equal(merge_maps(maps, merge, [2, 0, 1]), repeated)
    assert (repeated != merge_maps(maps, merge)).any()


@pytest.mark.parametrize("merge", MERGES)
def test_certain_maps_that_disagree_stay_a_probability(merge):
    certain = {"gmean": 0, "hmean": 0, "max": 255, "logit_mean": 128, "mean": 128, "tsharpen": 128}
    assert merged([0, 255], merge) == certain[merge]
    assert merged([255, 255, 255], merge, [0.1, 0.2, 0.3]) == 255
    assert merged([0, 0], merge) == 0


@pytest.mark.parametrize("merge", MERGES)
def test_numbers_are_merged_as_maps_are(merge):
    numbers = merge_probabilities(np.array([0.2, 0.8]), merge, [1, 3])
    maps = merge_maps([np.array([[51]], np.uint8), np.array([[204]], np.uint8)], merge, [1, 3])
    assert round(255 * float(numbers)) == maps.item()


def test_maps_of_unlike_shape_are_refused():
    with pytest.raises(ValueError, match="maps of one shape"):
        merge_maps([np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8)], "mean")
    with pytest.raises(ValueError, match="maps of one shape"):
        merge_maps([], "mean")


@pytest.mark.parametrize("weights", [[1], [1, -1], [0, 0], [1, np.nan]])
def test_weights_that_are_none_are_refused(weights):
    with pytest.raises(ValueError, match="need 2 weights, none negative and not all 0"):
        merged([1, 2], "mean", weights)


def test_an_unknown_merge_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="'median' is unknown; known: mean, gmean, hmean, logit"):
        merge_maps([np.zeros((1, 1), np.uint8)], "median")
