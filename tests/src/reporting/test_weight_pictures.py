import numpy as np

from src.reporting.weight_pictures import count_gap_pixels, two_distances


def test_gaps_are_background_near_two_objects():
    weight_map = np.zeros((1, 4, 3), np.uint8)
    weight_map[0, :, 0] = [0, 4, 20, 4]  # quarter pixels
    weight_map[0, :, 1] = [8, 8, 20, 36]
    weight_map[0, 0, 2] = 9  # an object
    assert two_distances(weight_map).tolist() == [[2, 3, 10, 10]]
    assert count_gap_pixels(weight_map, 10) == 1
    assert count_gap_pixels(weight_map, 10.5) == 3


def test_distances_beyond_a_byte_do_not_wrap():
    assert two_distances(np.full((1, 1, 3), 255, np.uint8)).tolist() == [[127.5]]
