import math

import numpy as np
import pytest
import torch

from src.label_maps.distances import QUARTERS
from src.losses import pixel_weights as weighing
from tests.sections import section

OFF = {
    "distance": "none",
    "w0": 0.0,
    "sigma": 1.0,
    "size_weight": 0.0,
    "size_reference": 0.0,
    "object_weight": 1.0,
    "boundary_weight": 0.0,
    "boundary_kernel": 3,
    "max_weight": 0.0,
    "normalise_weights": False,
}
EVERYTHING = {
    "distance": "d1_d2",
    "w0": 5.0,
    "sigma": 8.0,
    "size_weight": 0.5,
    "size_reference": 0.0,
    "object_weight": 3.0,
    "boundary_weight": 2.0,
    "boundary_kernel": 5,
    "max_weight": 6.0,
    "normalise_weights": True,
}


def planes(d1, d2, sqrt_area, size=(1, 1)):
    values = torch.tensor([0, d1 * 4, d2 * 4, sqrt_area], dtype=torch.uint8)  # quarter pixels
    return stored(*values.view(4, 1, 1, 1).expand(4, 1, *size))


def stored(target, d1=None, d2=None, sqrt_area=None):
    far = torch.full_like(target, 255)
    d1, d2 = (far if plane is None else plane for plane in (d1, d2))
    sqrt_area = torch.zeros_like(target) if sqrt_area is None else sqrt_area
    return {"target": target, "d1": d1, "d2": d2, "sqrt_area": sqrt_area}


def weights_of_images(stored_planes, image_weights, **options):
    return weighing.pixel_weights(stored_planes, image_weights, section("loss", **options))


def pixel_weights(stored_planes, **options):
    return weights_of_images(stored_planes, torch.ones(len(stored_planes["target"])), **options)


def drawn(seed=0):
    rng = np.random.default_rng(seed)
    target = np.zeros((3, 9, 12), np.uint8)
    target[0, 2:6, 3:9] = 1
    target[0, :, 10:] = 255
    target[1, 0, 0] = 1
    target[2] = 255
    d1, d2 = (rng.integers(0, 256, target.shape).astype(np.uint8) for _ in range(2))
    sqrt_area = (rng.integers(1, 30, target.shape) * (target == 1)).astype(np.uint8)
    return {"target": target, "d1": d1, "d2": d2, "sqrt_area": sqrt_area}


def slow_weights(drawn_planes, image_weights, o):
    target = drawn_planes["target"]
    weights = np.zeros(target.shape)
    half, (height, width) = o["boundary_kernel"] // 2, target.shape[1:]
    for b, r, c_ in np.ndindex(target.shape):
        d1, d2 = (int(drawn_planes[name][b, r, c_]) / 4 for name in ("d1", "d2"))
        d = d1 if o["distance"] == "d1" else d1 + d2
        c = o["object_weight"] if target[b, r, c_] == 1 else 1
        w = c + (o["distance"] != "none") * o["w0"] * math.exp(-(d**2) / o["sigma"] ** 2)
        around = target[b, max(r - half, 0) : r + half + 1, max(c_ - half, 0) : c_ + half + 1]
        valid = (around != 255).sum()
        if valid and 0.01 <= (around == 1).sum() / valid <= 0.99:
            w += o["boundary_weight"]
        size = int(drawn_planes["sqrt_area"][b, r, c_])
        if size:
            reference = o["size_reference"] or math.sqrt(height * width) / 2
            w *= (reference / size) ** o["size_weight"]
        w *= image_weights[b]
        weights[b, r, c_] = min(w, o["max_weight"]) if o["max_weight"] else w
    if o["normalise_weights"]:
        weights /= weights[target != 255].mean()
    return weights


@pytest.mark.parametrize(
    "options",
    [
        OFF,
        EVERYTHING,
        EVERYTHING | {"max_weight": 0.0, "normalise_weights": False},
        OFF | {"boundary_weight": 2.0, "boundary_kernel": 11},
        OFF | {"boundary_weight": 2.0, "boundary_kernel": 31},
        EVERYTHING | {"distance": "d1", "boundary_weight": 0.0},
        EVERYTHING | {"size_reference": 40.0, "max_weight": 0.0},
        OFF | {"object_weight": 0.0},
    ],
)
def test_weights_are_those_of_a_slow_reference(options):
    image_weights = [1.0, 2.5, 0.5]
    tensors = {name: torch.from_numpy(plane) for name, plane in drawn().items()}
    fast = weights_of_images(tensors, torch.tensor(image_weights), **options)
    assert fast.dtype == torch.float32
    np.testing.assert_allclose(fast, slow_weights(drawn(), image_weights, options), rtol=1e-5)


def test_everything_off_weighs_every_pixel_alike():
    assert pixel_weights(planes(3, 5, 7), **OFF).item() == 1


def test_two_nearest_objects_by_the_formula():
    weight = pixel_weights(
        planes(3, 5, 0), **OFF | {"distance": "d1_d2", "w0": 50.0, "sigma": 10.0}
    )
    assert weight.item() == pytest.approx(1 + 50 * math.exp(-64 / 100))


def test_nearest_object_alone_by_the_formula():
    weight = pixel_weights(planes(3, 5, 0), **OFF | {"distance": "d1", "w0": 5.0, "sigma": 10.0})
    assert weight.item() == pytest.approx(1 + 5 * math.exp(-9 / 100))


def test_a_lone_building_has_no_halo_of_two_nearest_objects():
    object_pixel = torch.zeros(1, 1, 1, dtype=torch.uint8)
    lone = stored(object_pixel, d1=object_pixel)
    weight = pixel_weights(lone, **OFF | {"distance": "d1_d2", "w0": 50.0, "sigma": 10.0})
    assert weight.item() == pytest.approx(1, abs=1e-6)


def test_far_pixels_do_not_wrap_around():
    # the sum of two stored distances exceeds a byte: 127.5 px, not 127.5 - 64 px
    far = stored(torch.zeros(1, 1, 1, dtype=torch.uint8))
    weight = pixel_weights(far, **OFF | {"distance": "d1_d2", "w0": 1e4, "sigma": 30.0})
    assert weight.item() == pytest.approx(1 + 1e4 * math.exp(-(127.5**2) / 900), rel=1e-4)


@pytest.mark.parametrize(("exponent", "expected"), [(1.0, 10 / 4), (0.5, (10 / 4) ** 0.5)])
def test_small_objects_weigh_more_and_background_one(exponent, expected):
    size = (20, 20)  # C = 10
    on_object = pixel_weights(planes(0, 0, 4, size), **OFF | {"size_weight": exponent})
    background = pixel_weights(planes(0, 0, 0, size), **OFF | {"size_weight": exponent})
    assert on_object[0, 0, 0].item() == pytest.approx(expected)
    assert (background == 1).all()


@pytest.mark.parametrize(("reference", "of_large"), [(0.0, 20 / 4), (16.0, 16 / 4)])
def test_a_reference_for_sizes_makes_them_independent_of_the_crop(reference, of_large):
    keys = OFF | {"size_weight": 1.0, "size_reference": reference}
    small, large = (pixel_weights(planes(0, 0, 4, (n, n)), **keys)[0, 0, 0] for n in (20, 40))
    assert large.item() == pytest.approx(of_large)
    assert (small == large).item() == bool(reference)


def test_the_class_weight_stands_beside_the_halo_and_below_the_size():
    target = torch.tensor([[[1, 0]]], dtype=torch.uint8)
    maps = stored(target, d1=target * 0, sqrt_area=target * 4)
    keys = OFF | {"distance": "d1", "w0": 5.0, "object_weight": 3.0, "size_weight": 1.0}
    weights = pixel_weights(maps, **keys | {"size_reference": 8.0})
    assert weights.flatten().tolist() == [(3 + 5) * 2, 1 + 5]


def test_both_factors_multiply():
    both = OFF | {"distance": "d1", "w0": 3.0, "sigma": 1.0, "size_weight": 1.0}
    assert pixel_weights(planes(0, 0, 4, (20, 20)), **both)[0, 0, 0].item() == pytest.approx(
        4 * 2.5
    )


def test_the_boundary_band_by_hand():
    target = torch.tensor([[[0, 0, 0, 1, 1, 1, 1]]], dtype=torch.uint8)
    weights = pixel_weights(stored(target), **OFF | {"boundary_weight": 2.0})
    assert weights.tolist() == [[[1, 1, 3, 3, 1, 1, 1]]]


def test_an_object_cut_by_the_edge_of_the_crop_has_no_boundary_there():
    full = torch.ones(1, 6, 6, dtype=torch.uint8)
    weights = pixel_weights(stored(full), **OFF | {"boundary_weight": 2.0, "boundary_kernel": 5})
    assert (weights == 1).all()


def test_ignored_pixels_are_neither_side_of_a_boundary():
    target = torch.tensor([[[1, 1, 1, 255, 255, 0, 0]]], dtype=torch.uint8)
    weights = pixel_weights(stored(target), **OFF | {"boundary_weight": 2.0})
    assert weights.tolist() == [[[1] * 7]]


def test_one_pixel_in_a_hundred_is_on_the_boundary_exactly():
    target = torch.zeros(1, 10, 10, dtype=torch.uint8)
    target[0, 0, 0] = 1
    options = OFF | {"boundary_weight": 2.0, "boundary_kernel": 19}
    weights = pixel_weights(stored(target), **options)  # the first square is the whole crop
    assert weights[0, 0, 0] == 3
    target[0, 0, 0], target[0, 9, 9] = 0, 255  # 1 of 99
    target[0, 5, 5] = 1
    assert pixel_weights(stored(target), **options)[0, 0, 0] == 3


def test_image_weights_scale_whole_images():
    two = stored(torch.zeros(2, 1, 2, dtype=torch.uint8))
    weights = weights_of_images(two, torch.tensor([0.0, 2.5]), **OFF)
    assert weights.tolist() == [[[0, 0]], [[2.5, 2.5]]]


def test_the_cap_comes_after_every_factor_and_before_the_mean():
    target = torch.tensor([[[0, 0, 255]]], dtype=torch.uint8)
    near = stored(target, d1=torch.tensor([[[0, 255, 0]]], dtype=torch.uint8))
    options = OFF | {"distance": "d1", "w0": 9.0, "max_weight": 3.0}
    assert weights_of_images(near, torch.tensor([0.5]), **options).tolist() == [[[3, 0.5, 3]]]
    weights = weights_of_images(near, torch.tensor([0.5]), **options | {"normalise_weights": True})
    torch.testing.assert_close(weights, torch.tensor([[[3, 0.5, 3]]]) / 1.75)


@pytest.mark.parametrize(("fill", "image_weight"), [(255, 1.0), (0, 0.0)])
def test_nothing_to_take_a_mean_of_leaves_the_weights_as_they_are(fill, image_weight):
    target = torch.full((1, 2, 2), fill, dtype=torch.uint8)
    options = OFF | {"normalise_weights": True, "boundary_weight": 1.0}
    weights = weights_of_images(stored(target), torch.tensor([image_weight]), **options)
    assert (weights == image_weight).all()


def test_distances_are_read_in_the_steps_they_are_stored_in():
    assert weighing.STEPS_PER_PIXEL == QUARTERS
