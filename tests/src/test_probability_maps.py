import numpy as np
import pytest

from src.probability_maps import decode_probability, encode_probability, merge_maps


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


@pytest.mark.parametrize("merge", ["mean", "gmean", "logit_mean"])
def test_a_single_map_comes_back_unchanged(merge):
    stored = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(merge_maps([stored], merge), stored)
    np.testing.assert_array_equal(merge_maps([stored, stored], merge), stored)


def test_merges_by_hand():
    def merged(a, b, merge):
        return merge_maps([np.full((1, 1), value, np.uint8) for value in (a, b)], merge).item()

    assert merged(16, 240, "mean") == 128
    assert merged(16, 255, "gmean") == 64  # sqrt(16 * 255) = 63.9
    odds = (51 / 204 * 250 / 5) ** 0.5  # the geometric mean of the two odds
    assert merged(51, 250, "logit_mean") == round(255 * odds / (1 + odds)) == 199
    assert merged(0, 255, "logit_mean") == 128  # undecided, not a division by zero


def test_maps_of_unlike_shape_are_refused():
    with pytest.raises(ValueError, match="maps of one shape"):
        merge_maps([np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8)], "mean")
    with pytest.raises(ValueError, match="maps of one shape"):
        merge_maps([], "mean")


def test_an_unknown_merge_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="'max' is unknown; known: mean, gmean, logit_mean"):
        merge_maps([np.zeros((1, 1), np.uint8)], "max")
