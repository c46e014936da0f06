import cv2
import numpy as np
import pytest
from scipy.spatial import ConvexHull
from skimage.measure import label as measure_label
from skimage.measure import regionprops

from src.candidates import candidate_features
from src.candidates.candidate_features import FEATURES, mean_probabilities
from src.candidates.candidate_features import object_features as features_of_objects
from src.objects.label_runs import layer_objects

OF_LAYERS = {"threshold", "part", "stability_up", "stability_down"}


def object_features(labels, probability, **given):
    return features_of_objects(layer_objects(labels), probability, **given)


def numbered(labels):
    """Make the labels 1..N."""
    values, index = np.unique(labels, return_inverse=True)
    return (index.reshape(labels.shape) + (values[0] > 0)).astype(np.uint16)


def random_map(seed):
    """Touching shapes with holes, single pixels between; in parts or each part its own."""
    rng = np.random.default_rng(seed)
    labels = np.full(rng.integers(1, 28, 2), seed % 5 == 0, np.uint16)  # all object, or nothing
    for label in range(2, rng.integers(2, 12)):
        row, column, height, width = rng.integers(0, 28, 4)
        region = labels[row : row + height // 3 + 1, column : column + width // 3 + 1]
        region[rng.random(region.shape) < rng.choice([0.5, 0.9, 1])] = label
    spots = rng.random(labels.shape) < rng.choice([0, 0.02, 0.1])
    labels[spots] = 100 + np.arange(spots.sum()) % (3 if seed % 3 == 0 else 1000)
    if seed % 3 == 0:
        return numbered(labels)
    parts = measure_label(labels, background=0, connectivity=1)
    return numbered(np.where(parts <= 80, parts, 0))


def slow_features(labels, probability, view_spread, member_spread):
    """Measure object by object, with masks and loops."""
    masks = [labels == label for label in range(1, labels.max() + 1)]
    grown = slowly_grown(labels)
    rows = []
    for label, mask in enumerate(masks, start=1):
        inside, ring = probability[mask] / 255, probability[(grown == label) & ~mask] / 255
        row = slow_shape(mask) | slow_neighbours(masks, label - 1)
        row |= {"mean_probability": inside.mean(), "std_probability": inside.std()}
        row |= {"max_probability": inside.max(), "min_probability": inside.min()}
        row |= {"ring_contrast": inside.mean() - ring.mean() if ring.size else 0}
        row |= {"view_spread": view_spread[mask].mean() / 510}
        row |= {"member_spread": member_spread[mask].mean() / 510}
        rows.append(row)
    return {name: np.array([row[name] for row in rows]) for name in set(FEATURES) - OF_LAYERS}


def box_of(mask):
    rows, columns = np.nonzero(mask)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def slow_shape(mask):
    rows, columns = np.nonzero(mask)
    left, top, right, bottom = box_of(mask)
    width, height = right - left, bottom - top
    framed = np.pad(mask, 1)
    sides = sum(
        not framed[row + 1 + down, column + 1 + across]
        for row, column in zip(rows, columns, strict=True)
        for down, across in ((0, 1), (0, -1), (1, 0), (-1, 0))
    )
    corners = np.concatenate([np.c_[columns + i, rows + j] for i in (0, 1) for j in (0, 1)])
    covariance = np.cov(np.c_[columns, rows].T, bias=True) + np.eye(2) / 12
    short, long = np.linalg.eigvalsh(covariance)
    return {
        "area": len(rows),
        "perimeter": sides,
        "aspect": max(width, height) / min(width, height),
        "fill": len(rows) / (width * height),
        "solidity": len(rows) / ConvexHull(corners).volume,
        "eccentricity": np.sqrt(max(1 - short / long, 0)),
        "edge_distance": min(left, top, mask.shape[1] - right, mask.shape[0] - bottom),
    }


def slowly_grown(labels):
    grown = labels.copy()
    for _ in range(3):
        before = grown.copy()
        for row, column in np.argwhere(before == 0):
            around = before[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
            grown[row, column] = around.max()
    return grown


def slow_neighbours(masks, index):
    left, top, right, bottom = box_of(masks[index])
    gaps, areas = [], []
    for other, mask in enumerate(masks):
        if other != index:
            x, y, x_end, y_end = box_of(mask)
            gaps.append(np.hypot(max(x - right, left - x_end, 0), max(y - bottom, top - y_end, 0)))
            areas.append(mask.sum())
    near = [area for gap, area in zip(gaps, areas, strict=True) if gap <= 10]
    return {
        "neighbours": len(near),
        "neighbour_distance": min(gaps, default=np.hypot(*masks[index].shape)),
        "neighbour_area": max(near, default=0),
    }


def features_of(rows, probability=None, **spreads):
    labels = np.array(rows, np.uint16)
    probability = np.zeros(labels.shape, np.uint8) if probability is None else probability
    return object_features(labels, np.asarray(probability, np.uint8), **spreads)


@pytest.mark.parametrize("seed", range(25))
def test_every_feature_is_what_a_slow_reference_says(seed):
    labels = random_map(seed)
    rng = np.random.default_rng(seed)
    probability, view, member = rng.integers(0, 256, (3, *labels.shape)).astype(np.uint8)
    found = object_features(labels, probability, view_spread=view, member_spread=member)
    expected = slow_features(labels, probability, view, member) if labels.any() else {}
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-9, atol=2e-7, err_msg=name)
    assert set(found) == set(FEATURES) - OF_LAYERS
    assert {(values.dtype, values.shape) for values in found.values()} == {
        (np.dtype(float), (labels.max(),))
    }


def test_the_random_maps_hold_what_is_easily_forgotten():
    maps = [random_map(seed) for seed in range(25)]
    assert any((np.bincount(labels.ravel())[1:] == 1).any() for labels in maps)
    assert any(labels.all() for labels in maps)  # no background
    assert any(labels.max() > 40 for labels in maps)
    assert any(labels.max() == 1 for labels in maps)
    assert any(measure_label(labels).max() > labels.max() > 3 for labels in maps)  # in parts


@pytest.mark.parametrize("seed", range(5))
def test_moments_and_boxes_agree_with_skimage_on_large_objects(seed):
    rng = np.random.default_rng(seed)
    labels = np.zeros((400, 500), np.uint8)
    for label in range(1, 6):
        ellipse = (rng.uniform(0, 400, 2), rng.uniform(40, 200, 2), rng.uniform(0, 180))
        cv2.ellipse(labels, ellipse, label, cv2.FILLED)
    labels = numbered(labels)
    found = object_features(labels, np.zeros(labels.shape, np.uint8))
    props = regionprops(labels)
    np.testing.assert_array_equal(found["area"], [prop.area for prop in props])
    np.testing.assert_allclose(found["fill"], [prop.extent for prop in props])
    for found_one, prop in zip(found["eccentricity"], props, strict=True):
        assert found_one == pytest.approx(prop.eccentricity, abs=2e-3)  # its pixels are points
    for found_one, prop in zip(found["solidity"], props, strict=True):
        assert found_one == pytest.approx(prop.solidity, abs=0.02)  # its hull is drawn in pixels


def test_one_pixel_is_a_square():
    found = features_of([[0, 0, 0], [0, 1, 0], [0, 0, 0]], [[8, 8, 8], [8, 128, 8], [8, 8, 8]])
    expected = {"area": 1, "perimeter": 4, "aspect": 1, "fill": 1, "solidity": 1}
    expected |= {"eccentricity": 0, "edge_distance": 1, "std_probability": 0}
    expected |= {"ring_contrast": 120 / 255, "mean_probability": 128 / 255}
    expected |= {"neighbours": 0, "neighbour_distance": np.sqrt(18), "neighbour_area": 0}
    for name, value in expected.items():
        assert found[name] == pytest.approx([value]), name


def test_an_object_that_is_the_whole_image_has_no_ring():
    found = features_of(np.ones((3, 4)), np.full((3, 4), 255))
    assert found["ring_contrast"].tolist() == [0]
    assert found["perimeter"].tolist() == [14]
    assert found["edge_distance"].tolist() == [0]
    assert found["solidity"].tolist() == [1]
    assert found["min_probability"].tolist() == [1]
    assert found["neighbour_distance"].tolist() == [5]


@pytest.mark.parametrize("length", [1, 2, 7, 1000])
def test_a_row_has_the_eccentricity_of_its_closed_form(length):
    for labels in (np.ones((1, length)), np.ones((length, 1))):
        assert features_of(labels)["eccentricity"] == pytest.approx([np.sqrt(1 - 1 / length**2)])


def test_rectangles_have_the_eccentricity_of_their_sides():
    assert features_of(np.ones((5, 5)))["eccentricity"] == pytest.approx([0], abs=1e-7)
    assert features_of(np.ones((3, 5)))["eccentricity"] == pytest.approx([0.8])
    # the moments of a diagonal of 3 pixels are 2 / 3 + 1 / 12 twice, and 2 / 3
    assert features_of(np.eye(3))["eccentricity"] == pytest.approx([np.sqrt(16 / 17)])


def test_solidity_is_that_of_the_hull_of_pixel_corners():
    corner = [[1, 0], [1, 1]]  # of the square of 4 a triangle of 1/2 is missing
    assert features_of(corner)["solidity"] == pytest.approx([3 / 3.5])
    diagonal = np.eye(3)  # a hexagon: 9 less two triangles of 2
    assert features_of(diagonal)["solidity"] == pytest.approx([3 / 5])
    cross = [[0, 1, 0], [1, 1, 1], [0, 1, 0]]  # 9 less four triangles of 1/2
    assert features_of(cross)["solidity"] == pytest.approx([5 / 7])
    u_shape = [[1, 0, 1], [1, 1, 1]]
    assert features_of(u_shape)["solidity"] == pytest.approx([5 / 6])


def test_sides_to_a_touching_object_and_around_a_hole_count():
    found = features_of([[1, 1, 1, 2], [1, 0, 1, 2], [1, 1, 1, 2]])
    assert found["perimeter"].tolist() == [12 + 4, 8]


def test_the_larger_label_has_the_pixels_where_rings_meet():
    # columns 1 and 2 are the first's, 4 and 5 the second's, and both reach 3 in the third step
    found = features_of([[1, 0, 0, 0, 0, 0, 2]], [[255, 0, 51, 102, 255, 0, 255]])
    np.testing.assert_allclose(
        found["ring_contrast"], [1 - (0 + 51) / 2 / 255, 1 - (102 + 255 + 0) / 3 / 255]
    )


def test_the_ring_is_three_pixels_wide_with_corners():
    labels = np.zeros((11, 11), np.uint16)
    labels[5, 5] = 1
    probability = np.zeros((11, 11), np.uint8)
    probability[2:9, 2:9] = 100
    assert features_of(labels, probability)["ring_contrast"] == pytest.approx([0])
    probability[1] = probability[:, 9] = 255  # beyond
    assert features_of(labels, probability)["ring_contrast"] == pytest.approx([0])
    probability[2, 2] = 148  # of 48 pixels
    assert features_of(labels, probability)["ring_contrast"] == pytest.approx([-1 / 255])


def test_neighbours_are_at_most_ten_pixels_away_in_a_straight_line():
    labels = np.zeros((40, 60), np.uint16)
    labels[0, 0:2] = 1
    labels[0, 12:15] = 2  # 10 px right of 1
    labels[7:9, 23:25] = 3  # 8 px right of 2, 6 px down
    labels[20, 25] = 4  # 11 px below 3, its box touching in x
    found = features_of(labels)
    assert found["neighbours"].tolist() == [1, 2, 1, 0]
    assert found["neighbour_distance"].tolist() == [10, 10, 10, 11]
    assert found["neighbour_area"].tolist() == [3, 4, 3, 0]


def test_boxes_that_overlap_are_no_distance_apart():
    found = features_of([[1, 1, 1], [1, 0, 0], [1, 0, 2]])
    assert found["neighbour_distance"].tolist() == [0, 0]
    assert found["neighbour_area"].tolist() == [1, 5]


@pytest.mark.parametrize("pairs", [1, 1 << 18])
def test_far_neighbours_of_many_objects_are_found(pairs, monkeypatch):
    monkeypatch.setattr(candidate_features, "PAIRS", pairs)
    labels = np.zeros((200, 900), np.uint16)
    spots = np.random.default_rng(0).choice(120 * 120, 255, replace=False)
    labels[np.divmod(spots, 120)] = np.arange(1, 256)
    # the last two are compared first with one another, then with the nearer one further down
    labels[40, 800], labels[:10, 800], labels[:10, 850] = 256, 257, 258
    boxes = np.array([box_of(labels == label) for label in range(1, labels.max() + 1)])
    x, y, right, bottom = boxes.T[..., None]
    across = np.maximum(np.maximum(x - right.T, x.T - right), 0)
    down = np.maximum(np.maximum(y - bottom.T, y.T - bottom), 0)
    gaps = np.hypot(across, down) + np.diag(np.full(len(boxes), np.inf))
    found = features_of(labels)
    np.testing.assert_allclose(found["neighbour_distance"], gaps.min(axis=1))
    assert found["neighbour_distance"][-3:].tolist() == [30, 30, 49]
    np.testing.assert_array_equal(found["neighbours"], (gaps <= 10).sum(axis=1))


def test_spreads_are_means_inside_and_nothing_without_a_map():
    labels = [[1, 1, 0, 2]]
    found = features_of(labels, view_spread=np.array([[51, 102, 255, 255]], np.uint8))
    np.testing.assert_allclose(found["view_spread"], [0.15, 0.5])
    assert found["member_spread"].tolist() == [0, 0]


def test_a_constant_probability_has_no_deviation():
    for value in (0, 77, 255):
        found = features_of(np.ones((7, 9)), np.full((7, 9), value))
        assert found["std_probability"].tolist() == [0]
        assert found["mean_probability"] == pytest.approx([value / 255])


def test_no_object_has_no_features():
    found = features_of(np.zeros((4, 5)))
    assert {values.shape for values in found.values()} == {(0,)}
    assert {values.dtype for values in found.values()} == {np.dtype(float)}


def test_mean_probabilities_are_those_of_the_features():
    labels = random_map(3)
    probability = np.random.default_rng(0).integers(0, 256, labels.shape).astype(np.uint8)
    np.testing.assert_array_equal(
        mean_probabilities(layer_objects(labels).rows, probability),
        object_features(labels, probability)["mean_probability"],
    )


def test_thousands_of_touching_pixels_are_measured():
    labels = np.arange(1, 10001, dtype=np.uint16).reshape(100, 100)
    found = features_of(labels)
    assert (found["perimeter"] == 4).all()
    assert (found["neighbour_distance"] == 0).all()
    # a gap of 10 px is 11 columns; a disc in the middle, a quarter of it in the corner
    gap = np.maximum(np.abs(np.arange(-11, 12)) - 1, 0)
    disc = gap[:, None] ** 2 + gap**2 <= 100
    assert found["neighbours"][50 * 100 + 50] == disc.sum() - 1
    assert found["neighbours"][0] == disc[11:, 11:].sum() - 1


def test_the_memory_order_of_the_maps_does_not_matter():
    labels = random_map(1)
    probability = np.random.default_rng(1).integers(0, 256, labels.shape).astype(np.uint8)
    straight = object_features(labels, probability)
    turned = object_features(np.asfortranarray(labels), np.asfortranarray(probability))
    for name, values in straight.items():
        np.testing.assert_array_equal(turned[name], values, err_msg=name)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((2, 2), int), "3-D uint16, got int64"),
        (np.zeros((2, 2, 1, 1), np.uint16), "3-D uint16"),
        (np.zeros((0, 2), np.uint16), "3-D uint16"),
        (np.array([[0, 1, 3]], np.uint16), "labels must be 1..N, got 2 of 3"),
    ],
)
def test_what_is_no_label_map_is_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        object_features(labels, np.zeros(labels.shape, np.uint8))


def test_a_map_of_another_shape_is_refused():
    labels = np.ones((2, 3), np.uint16)
    with pytest.raises(ValueError, match=r"\(2, 3\), but a map is \(3, 2\)"):
        object_features(labels, np.zeros((3, 2), np.uint8))
    with pytest.raises(ValueError, match=r"\(2, 3\), but a map is \(2, 2\)"):
        object_features(labels, np.zeros((2, 3), np.uint8), view_spread=np.zeros((2, 2), np.uint8))


@pytest.mark.parametrize("seed", range(4))
def test_objects_of_a_stack_are_measured_as_those_of_each_layer_alone(seed):
    rng = np.random.default_rng(seed)
    maps = [random_map(5 * seed + place) for place in range(1, 5)]
    shape = np.min([labels.shape for labels in maps], axis=0)
    layers = np.array([numbered(labels[: shape[0], : shape[1]]) for labels in maps])
    layers[2] = 0  # nothing between others
    probability, view = rng.integers(0, 256, (2, *shape), np.uint8)
    alone = [object_features(one, probability, view_spread=view) for one in layers]
    together = object_features(layers, probability, view_spread=view)
    chosen = rng.random(len(together["area"])) < 0.5
    some = object_features(layers, probability, chosen=chosen, view_spread=view)
    for name, values in together.items():
        expected = np.concatenate([one[name] for one in alone])
        np.testing.assert_array_equal(values, expected, err_msg=name)
        np.testing.assert_array_equal(some[name], expected[chosen], err_msg=name)


def test_layers_of_more_objects_than_are_compared_at_once_have_their_own_neighbours():
    crowded = np.zeros((30, 30), np.uint16)
    crowded[::2, ::2] = np.arange(1, 226).reshape(15, 15)
    sparse = np.zeros((30, 30), np.uint16)
    sparse[0, 0], sparse[0, 29] = 1, 2
    found = object_features(np.array([sparse, crowded, sparse]), np.zeros((30, 30), np.uint8))
    alone = object_features(crowded, np.zeros((30, 30), np.uint8))
    assert found["neighbour_distance"][[0, 1, -2, -1]].tolist() == [28] * 4
    np.testing.assert_array_equal(found["neighbours"][2:-2], alone["neighbours"])
    assert alone["neighbours"][112] > 80


def test_what_grows_around_an_object_does_not_grow_around_through_the_next_layer():
    # the second walls the first in, and in the next layer the way around is free
    wall = np.array([[0, 0, 0, 0], [1, 2, 0, 0]], np.uint16)
    free = np.array([[0, 0, 0, 0], [0, 0, 0, 1]], np.uint16)
    probability = np.full((2, 4), 100, np.uint8)
    probability[:, 2:] = 250
    found = object_features(np.array([wall[::-1], free]), probability)
    for layer, rows in ((wall[::-1], slice(0, 2)), (free, slice(2, 3))):
        alone = object_features(layer, probability)["ring_contrast"]
        np.testing.assert_array_equal(found["ring_contrast"][rows], alone)
