from typing import NamedTuple

import cv2
import numpy as np
import pytest

from src.candidates import candidates
from src.candidates.candidate_features import FEATURES, object_features
from src.candidates.candidates import (
    COLUMNS,
    candidate_positions,
    image_candidates,
    image_stacks,
    linked_stacks,
    overlap_partners,
)
from src.objects.label_runs import layer_objects
from src.objects.rle import decode
from tests.plain_candidates import plain_candidates
from tests.plain_postprocess import plain

PARAMS = {"layers": [0.2, 0.4, 0.6, 0.8], "hull_low": 0.1, "hull_min_area": 0.5}


class Layer(NamedTuple):
    """The objects of one label map, out of a stack."""

    threshold: float
    instances: np.ndarray
    kept: np.ndarray
    parent: np.ndarray
    stability_up: np.ndarray
    stability_down: np.ndarray
    part: bool


def layers_of_stacks(stacks, thresholds):
    """Tell what stacks say layer by layer, parts last."""
    stacks = list(stacks)
    whole = [stack for stack in stacks if not stack.part]
    kept, around = (
        np.concatenate([getattr(stack, name) for stack in whole]) for name in ("kept", "around")
    )
    positions = np.append(candidate_positions(kept, around), -1)
    layers = []
    for stack in sorted(stacks, key=lambda stack: stack.part):
        ends = np.cumsum(stack.objects.counts)
        for instances, end, count in zip(
            stack.objects.layers, ends, stack.objects.counts, strict=True
        ):
            rows = slice(end - count, end)
            layers.append(
                Layer(
                    stack.thresholds[rows].tolist()[0] if count else thresholds[len(layers)],
                    instances,
                    stack.kept[rows],
                    positions[stack.around[rows]],
                    stack.stability_up[rows],
                    stack.stability_down[rows],
                    stack.part,
                )
            )
    return layers


def layers_of(mask, empty=0.0, **changes):
    maps = mask if isinstance(mask, dict) else {"mask": np.asarray(mask, np.uint8)}
    section = plain(**PARAMS | changes)
    thresholds = section.layers if section.method == "layers" else [section.threshold]
    return layers_of_stacks(image_stacks(maps, empty, section), thresholds)


def linked(maps, thresholds):
    """Link layers that are cut one at a time, two at a time, and all at once: the same."""
    found = []
    for together in (1, 2, len(maps)):
        places = range(0, len(maps), together)
        cut = (
            (
                np.array(thresholds[place : place + together]),
                layer_objects(np.array(maps[place : place + together])),
            )
            for place in places
        )
        found.append(layers_of_stacks(linked_stacks(cut), thresholds))
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            for name in ("instances", "kept", "parent", "stability_up", "stability_down"):
                np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    return found[0]


def candidates_of(mask, spreads=None, **changes):
    maps = {"mask": np.asarray(mask, np.uint8)}
    params = plain(**PARAMS | {"method": "layers"} | changes)
    return image_candidates(maps, 0.0, spreads or {}, params)


def masks_of(columns, shape):
    return [decode({"size": list(shape), "counts": text}) for text in columns["counts"]]


def hills(seed, shape=(60, 70)):
    """A smooth random probability map."""
    noise = np.random.default_rng(seed).random(shape).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    return cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


PEAKS = np.array([[60, 120, 170, 120, 60, 60, 120, 250, 0, 0, 60]])  # 0.2 is 51, 0.4 is 102, ...


def test_layers_hold_the_objects_of_each_threshold():
    layers = layers_of(PEAKS, method="layers")
    assert [layer.threshold for layer in layers] == [0.2, 0.4, 0.6, 0.8]
    assert [layer.instances.tolist()[0] for layer in layers] == [
        [1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 2],
        [0, 1, 1, 1, 0, 0, 2, 2, 0, 0, 0],
        [0, 0, 1, 0, 0, 0, 0, 2, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0],
    ]


def test_parents_and_stability_follow_from_the_overlaps():
    layers = layers_of(PEAKS, method="layers")
    assert [layer.parent.tolist() for layer in layers] == [[-1, -1], [0, 0], [2, 3], [5]]
    assert [layer.kept.tolist() for layer in layers] == [
        [True] * 2,
        [True] * 2,
        [True] * 2,
        [False],
    ]
    assert [layer.stability_down.tolist() for layer in layers] == [
        [0, 0],
        [3 / 8, 2 / 8],
        [1 / 3, 1 / 2],
        [1],
    ]
    assert [layer.stability_up.tolist() for layer in layers] == [
        [3 / 8, 0],
        [1 / 3, 1 / 2],
        [0, 1],  # what is dropped still tells that the one below is stable
        [0],
    ]


def test_a_repeated_object_is_dropped_and_its_children_go_to_the_lower_one():
    mask = [[210, 160, 160, 160, 0]]  # the same at 0.2, 0.4 and 0.6; then one pixel
    columns = candidates_of(mask)
    assert columns["threshold"].tolist() == [0.2, 0.8]
    assert columns["area"].tolist() == [4, 1]
    assert columns["parent"].tolist() == [-1, 0]
    assert columns["stability_up"].tolist() == [1, 0]
    assert columns["stability_down"].tolist() == [0, 1 / 4]


def test_children_of_repeated_objects_find_them_among_others():
    mask = [[210, 160, 0, 110, 160, 0, 210, 160]]  # the outer ones repeat at 0.6
    columns = candidates_of(mask, layers=[0.4, 0.6, 0.8])
    assert columns["bbox_x"].tolist() == [0, 3, 6, 4, 0, 6]
    assert columns["parent"].tolist() == [-1, -1, -1, 1, 0, 2]


def test_what_repeats_a_repeated_object_stands_for_the_first_of_them():
    kept = np.array([True, True, False, False, True, False])
    around = np.array([-1, -1, 0, 2, 3, 4])
    assert candidate_positions(kept, around).tolist() == [0, 1, 0, 0, 2, 2]
    assert candidate_positions(kept[:0], around[:0]).tolist() == []


def test_an_object_of_equal_area_but_other_pixels_is_kept():
    maps = [np.array([row], np.uint16) for row in ([1, 1, 0, 2], [0, 1, 1, 2])]
    layers = linked(maps, [0.3, 0.6])
    assert layers[1].kept.tolist() == [True, False]
    assert layers[1].parent.tolist() == [0, 1]
    assert layers[1].stability_down.tolist() == [1 / 3, 1]


def test_an_object_without_one_below_has_no_parent():
    maps = [np.array([row], np.uint16) for row in ([0, 0, 1], [1, 0, 2], [1, 0, 0])]
    layers = linked(maps, [0.3, 0.6, 0.7])
    assert [layer.parent.tolist() for layer in layers] == [[-1], [-1, 0], [1]]
    assert [layer.kept.tolist() for layer in layers] == [[True], [True, False], [False]]


def test_empty_layers_between_others_cut_the_links():
    maps = [np.array([row], np.uint16) for row in ([1, 1], [0, 0], [1, 0])]
    layers = linked(maps, [0.3, 0.6, 0.7])
    assert [layer.parent.tolist() for layer in layers] == [[-1], [], [-1]]
    assert layers[0].stability_up.tolist() == [0]
    assert [layer.kept.tolist() for layer in linked([maps[1]], [0.5])] == [[]]


@pytest.mark.parametrize("seed", range(8))
def test_nested_candidates_lie_in_their_parents_and_none_comes_twice(seed):
    picture = hills(seed)
    knobs = {"max_hole": 6, "min_area": 5, "layers": [step / 20 for step in range(1, 20)]}
    columns = candidates_of(picture, **knobs)
    masks = masks_of(columns, picture.shape)
    assert len(masks) > 10
    assert len({mask.tobytes() for mask in masks}) == len(masks)
    for mask, parent, down in zip(masks, columns["parent"], columns["stability_down"], strict=True):
        if parent < 0:
            assert down == 0
        else:
            assert (mask <= masks[parent]).all()
            assert down == pytest.approx((mask & masks[parent]).sum() / masks[parent].sum())
    for child, parent in enumerate(columns["parent"]):
        assert parent < child
        if parent >= 0:
            assert columns["threshold"][parent] < columns["threshold"][child]


@pytest.mark.parametrize("seed", range(3))
def test_every_object_of_every_layer_is_there_once(seed):
    picture = hills(seed)
    found = {mask.tobytes() for mask in masks_of(candidates_of(picture), picture.shape)}
    expected = set()
    for threshold in PARAMS["layers"]:
        above = (picture >= threshold * 255).astype(np.uint8)
        count, labels = cv2.connectedComponents(above, connectivity=4)
        expected |= {(labels == label).tobytes() for label in range(1, count)}
    assert found == expected


def test_one_map_is_one_layer_without_parents():
    (layer,) = layers_of(PEAKS)
    assert layer.threshold == 0.5
    assert layer.instances.tolist() == [[0, 0, 1, 0, 0, 0, 0, 2, 0, 0, 0]]
    assert layer.parent.tolist() == [-1, -1]
    assert layer.kept.tolist() == [True, True]


def test_one_map_is_as_stable_as_a_tenth_higher_and_lower():
    mask = [[103, 150, 154, 140, 103, 0, 120, 140]]  # 0.4 is 102, 0.5 is 127.5, 0.6 is 153
    (layer,) = layers_of(mask)
    assert layer.stability_up.tolist() == [1 / 3, 0]
    assert layer.stability_down.tolist() == [3 / 5, 1 / 2]


@pytest.mark.parametrize(("threshold", "up", "down"), [(0.95, 0, 1 / 2), (0.05, 2 / 4, 4 / 5)])
def test_the_lowest_threshold_is_one_step_and_above_one_there_is_nothing(threshold, up, down):
    (layer,) = layers_of([[255, 220, 20, 13, 1, 0, 0]], threshold=threshold)
    assert layer.stability_up.tolist() == [up]
    assert layer.stability_down.tolist() == [down]


def test_touching_objects_stay_apart_at_the_other_thresholds():
    mask = np.array([[150, 250, 150, 250, 150]], np.uint8)
    border = np.array([[0, 0, 255, 0, 0]], np.uint8)
    maps = {"mask": mask, "border": border}
    (layer,) = layers_of(maps, method="watershed", seeds="border")
    assert layer.instances.max() == 2
    lower = layers_of(maps, method="watershed", seeds="border", threshold=0.4)[0].instances
    assert lower.max() == 2
    assert layer.stability_down.tolist() == [1, 1]


def test_linked_pixels_are_candidates():
    affinity = np.zeros((1, 4, 3), np.uint8)
    affinity[0, [0, 2], 0] = 255
    maps = {"mask": np.full((1, 4), 200, np.uint8), "embedding": affinity}
    (layer,) = layers_of(maps, method="embedding")
    assert layer.instances.tolist() == [[1, 1, 2, 2]]


@pytest.mark.parametrize("method", ["threshold", "layers"])
def test_an_image_said_to_be_empty_is_blank(method):
    for empty, found in ((0.69, True), (0.7, False), (0.71, False)):
        layers = layers_of(PEAKS, empty, empty_threshold=0.7, method=method)
        assert any(layer.instances.any() for layer in layers) == found
    layers = layers_of(PEAKS, 1.0, method=method)  # the rule is off
    assert any(layer.instances.any() for layer in layers)


def test_hulls_apply_to_every_layer_and_not_to_the_features():
    picture = np.zeros((6, 9), np.uint8)
    picture[1:5, [2, 6]] = picture[4, 2:7] = 100
    columns = candidates_of(picture, hull_high=0.5, layers=[0.6, 0.9])
    assert columns["area"].tolist() == [20]  # the hull is certain, so the same at both
    assert columns["max_probability"].tolist() == [100 / 255]


def test_columns_have_their_types_and_features_belong_to_their_objects():
    picture = hills(0)
    view = hills(1)
    columns = candidates_of(picture, {"view_spread": view}, method="threshold")
    assert list(columns) == list(COLUMNS)
    assert set(FEATURES) <= set(columns)
    kinds = {str: "O", int: "i", float: "f"}
    assert {name: column.dtype.kind for name, column in columns.items()} == {
        name: kinds[of] for name, of in COLUMNS.items()
    }
    (layer,) = layers_of(picture)
    features = object_features(layer_objects(layer.instances), picture, view_spread=view)
    for name, values in features.items():
        np.testing.assert_array_equal(columns[name], values, err_msg=name)
    np.testing.assert_array_equal(columns["stability_up"], layer.stability_up)
    np.testing.assert_array_equal(columns["stability_down"], layer.stability_down)
    for label, mask in enumerate(masks_of(columns, picture.shape), start=1):
        np.testing.assert_array_equal(mask, layer.instances == label)
        x, y, width, height = (
            columns[f"bbox_{side}"][label - 1] for side in ("x", "y", "width", "height")
        )
        assert mask[y : y + height, x : x + width].sum() == mask.sum()


def test_neighbours_are_those_of_the_whole_layer():
    mask = [[210, 160, 0, 210]]  # at 0.8 the second object is what it was
    columns = candidates_of(mask, layers=[0.5, 0.8])
    assert columns["area"].tolist() == [2, 1, 1]
    assert columns["neighbour_area"].tolist() == [1, 2, 1]
    assert columns["neighbour_distance"].tolist() == [1, 1, 2]


def test_an_image_without_candidates_has_empty_columns():
    columns = candidates_of(np.zeros((3, 4)))
    assert {len(column) for column in columns.values()} == {0}
    assert list(columns) == list(COLUMNS)


@pytest.mark.parametrize("seed", range(20))
def test_partners_share_most_pixels(seed):
    rng = np.random.default_rng(seed)
    shape = rng.integers(1, 12, 2)
    maps = []
    for _ in range(2):
        values = rng.integers(0, rng.integers(1, 6), shape)
        maps.append(np.unique([0, *values.ravel()], return_inverse=True)[1][1:].reshape(shape))
    ones, twos = (one.astype(np.uint16) for one in maps)
    found, others = overlap_partners(ones[None], twos[None])
    turned, _ = overlap_partners(twos[None], ones[None])
    np.testing.assert_array_equal(others, turned)
    assert len(found.index) == len(found.iou) == ones.max()
    for label in range(1, ones.max() + 1):
        shared = [((ones == label) & (twos == other)).sum() for other in range(1, twos.max() + 1)]
        if not any(shared):
            assert (found.index[label - 1], found.iou[label - 1]) == (-1, 0)
            continue
        best = int(np.argmax(shared))  # of equal ones the first
        union = ((ones == label) | (twos == best + 1)).sum()
        assert found.index[label - 1] == best
        assert found.iou[label - 1] == pytest.approx(shared[best] / union)


def test_the_largest_labels_find_their_partners():
    ones = np.arange(1, 65535, dtype=np.uint16)[None]
    found, _ = overlap_partners(ones[None], ones[None, :, ::-1].copy())
    np.testing.assert_array_equal(found.index, np.arange(65534)[::-1])
    assert (found.iou == 1).all()


def test_maps_of_two_shapes_have_no_partners():
    with pytest.raises(ValueError, match=r"\(1, 1, 2\) and \(1, 2, 1\)"):
        overlap_partners(np.zeros((1, 1, 2), np.uint16), np.zeros((1, 2, 1), np.uint16))


def two_that_touch():
    """Return maps of two squares side by side, whose distances to their boundaries part them."""
    mask, distance = np.zeros((2, 8, 14), np.uint8)
    mask[2:6, 2:12] = 200
    distance[2:6, 2:12] = 60
    distance[3:5, 3:6] = distance[3:5, 8:11] = 250
    return {"mask": mask, "boundary_distance": distance}


def test_parts_of_objects_that_touch_are_candidates_too():
    section = plain(method="layers", layers=[0.5, 0.6, 0.7], seeds="distance", seed_threshold=0.5)
    columns = image_candidates(two_that_touch(), 0.0, {}, section)
    # whole at 0.5, repeated by the layers above; two halves at 0.5, at 0.7, none at 0.6
    assert columns["area"].tolist() == [40, 20, 20, 20, 20]
    assert columns["part"].tolist() == [0, 1, 1, 1, 1]
    assert columns["parent"].tolist() == [-1, 0, 0, 0, 0]
    assert columns["threshold"].tolist() == [0.5, 0.5, 0.5, 0.7, 0.7]
    assert columns["stability_up"][1:].tolist() == [0.5] * 4


def test_without_a_head_there_are_no_parts():
    section = plain(method="layers", layers=[0.5, 0.6], seeds="mask")
    assert image_candidates(two_that_touch(), 0.0, {}, section)["area"].tolist() == [40]


def test_what_is_not_parted_is_no_candidate_twice():
    maps = two_that_touch()
    maps["boundary_distance"][2:6, 2:12] = 250
    section = plain(method="layers", layers=[0.5, 0.6], seeds="distance", seed_threshold=0.5)
    assert image_candidates(maps, 0.0, {}, section)["area"].tolist() == [40]


def three_maps(seed, shape=(26, 31)):
    return {
        "mask": hills(seed, shape),
        "boundary_distance": hills(seed + 100, shape),
        "view_spread": hills(seed + 200, shape),
    }


OPTIONS = [
    {"layers": [0.3, 0.45, 0.5, 0.7]},
    {"layers": [0.3, 0.45, 0.5, 0.7], "connectivity": 8, "max_hole": 9, "min_area": 6},
    {"layers": [0.35, 0.4, 0.6], "seeds": "distance", "seed_area": 2},
    {"layers": [0.3, 0.35, 0.6], "seeds": "distance", "dilate": 1, "connectivity": 8},
    {"layers": [0.3, 0.5], "white_speckle": 4, "black_speckle": 5, "erode": 1},
    {"layers": [0.3, 0.5, 0.6], "max_area": 90, "hull_low": 0.5, "hull_high": 0.6},
    {"layers": [0.6, 0.99]},
]


@pytest.mark.parametrize("together", [1, 2 * 26 * 31, 1 << 20])
@pytest.mark.parametrize("option", range(len(OPTIONS)))
def test_candidates_are_those_of_a_plain_way_to_the_last_bit(option, together, monkeypatch):
    monkeypatch.setattr(candidates, "STACK", together)  # one layer at a time, two, and all
    maps = three_maps(option)
    spreads = {"view_spread": maps.pop("view_spread")}
    section = plain(method="layers", **OPTIONS[option])
    expected = plain_candidates(maps, spreads, section)
    found = image_candidates(maps, 0.0, spreads, section)
    assert len(found["area"]) == len(expected) > 1
    for name, kind in COLUMNS.items():
        wanted = np.array([row[name] for row in expected], object if kind is str else kind)
        np.testing.assert_array_equal(found[name], wanted, err_msg=name)
