import random
from typing import get_args

import albumentations as A
import numpy as np
import pytest

from src.base.errors import InputError
from src.training.augmentation import (
    GEOMETRIC,
    OFF,
    SETS,
    UNSUITABLE,
    centre_crop,
    training_transform,
)
from src.training.params import AugmentParams
from tests.sections import section

NOTHING = OFF | {"set": "custom", "allowed": "d4", "crop_size": 8}
KNOBS = {  # one value of each key that must show
    "views": "d4",
    "shift": 0.3,
    "scale": 0.4,
    "rotate": 40.0,
    "brightness": 0.3,
    "contrast": 0.3,
    "gamma": 0.5,
    "hue": 30,
    "saturation": 60,
    "grey": 1.0,
    "grey_objects": 1.0,
    "blur": 1.0,
    "noise": 1.0,
    "clahe": 1.0,
    "grid": 1.0,
    "elastic": 1.0,
    "transforms": [{"name": "InvertImg", "p": 1.0}],
}
MOVING = ("views", "shift", "scale", "rotate", "grid", "elastic")
ARGUMENTS = {  # of the free transforms that need some to do anything here
    "Affine": {"rotate": [20, 40], "shear": [5, 10]},
    "CropAndPad": {"percent": [0.05, 0.1]},
    "ElasticTransform": {"alpha": 200, "sigma": 6},
    "OpticalDistortion": {"distort_limit": 0.9},
    "RandomResizedCrop": {"size": [32, 32]},
    "RandomScale": {"scale_limit": [0.2, 0.4]},
    "RandomSizedCrop": {"min_max_height": [12, 24], "size": [32, 32]},
    "XYMasking": {"num_masks_x": [2, 2], "mask_x_length": [4, 4]},
}


def transform_of(**changes):
    values = NOTHING | changes
    placed = {key: values.pop(key) for key in ("allowed", "crop_size")}
    return training_transform(section("augment", **values), **placed)


def picture(size=8):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
    return image, np.dstack([image, image[..., :1]])  # planes that show what became of the image


def draws(transform, count=40, size=8, picture=picture):
    image, planes = picture(size)
    for seed in range(count):
        transform.set_random_state(np.random.default_rng(seed), random.Random(seed))
        seen = transform(image=image, mask=planes)
        yield seen["image"], seen["mask"]


def coordinates(size, channels=8):
    """An image and maps in which each pixel holds its row and column, 1 to size."""
    rows, columns = np.mgrid[1 : size + 1, 1 : size + 1].astype(np.uint8)
    planes = np.dstack([rows, columns] * (channels // 2))
    return np.dstack([rows, columns, rows]), planes


def test_everything_off_changes_nothing():
    image, planes = picture()
    for seen, mask in draws(transform_of(), count=5):
        np.testing.assert_array_equal(seen, image)
        np.testing.assert_array_equal(mask, planes)


def test_the_knobs_tried_here_are_all_there_are():
    assert KNOBS.keys() == OFF.keys()


@pytest.mark.parametrize("key", KNOBS)
def test_each_key_changes_the_image_and_only_what_moves_it_the_maps(key):
    image, planes = picture(32)
    images = maps = 0
    transform = transform_of(**{key: KNOBS[key], "crop_size": 32})
    for seen, mask in draws(transform, count=10, size=32):
        images += (seen != image).any()
        maps += (mask != planes).any()
    assert images >= 7
    assert maps >= 7 if key in MOVING else maps == 0


@pytest.mark.parametrize("key", ["grey", "blur", "noise", "clahe", "grid", "elastic"])
def test_probabilities_are_kept(key):
    image, _ = picture(32)
    transform = transform_of(**{key: 0.3, "crop_size": 32})
    changed = sum((seen != image).any() for seen, _ in draws(transform, count=300, size=32))
    assert changed == pytest.approx(90, abs=40)


@pytest.mark.parametrize(
    ("views", "allowed", "number"),
    [
        ("d4", "none", 1),
        ("d4", "hflip", 2),
        ("d4", "d2", 4),
        ("d4", "d4", 8),
        ("d2", "d4", 4),
        ("hflip", "d2", 2),
        ("none", "d4", 1),
    ],
)
def test_views_give_each_allowed_view_and_no_other(views, allowed, number):
    image, _ = picture()
    transform = transform_of(views=views, allowed=allowed)
    seen = {s.tobytes() for s, _ in draws(transform, count=100)}
    nested = [image, image[:, ::-1], image[::-1], image[::-1, ::-1]]
    nested += [np.rot90(m, k) for m in (image, image[:, ::-1]) for k in (1, 3)]
    assert seen == {np.ascontiguousarray(view).tobytes() for view in nested[:number]}


# what becomes of (row, column) in each view: the nested sets are the first 1, 2, 4 and 8
MATRICES = [((1, 0), (0, 1)), ((1, 0), (0, -1)), ((-1, 0), (0, 1)), ((-1, 0), (0, -1))]
MATRICES += [((0, 1), (1, 0)), ((0, 1), (-1, 0)), ((0, -1), (1, 0)), ((0, -1), (-1, 0))]


def nearest_view(mask):
    """Return the number of the view that the slopes of the places in a map are nearest to."""
    slopes = [[np.gradient(mask[..., k], axis=axis).mean() for axis in (0, 1)] for k in (0, 1)]
    return int(np.argmax([np.sum(np.array(slopes) * matrix) for matrix in MATRICES]))


@pytest.mark.parametrize("name", ["light", "heavy"])
@pytest.mark.parametrize(("allowed", "number"), [("none", 1), ("hflip", 2), ("d2", 4), ("d4", 8)])
def test_no_set_shows_a_forbidden_view(name, allowed, number):
    transform = transform_of(set=name, allowed=allowed, crop_size=48)
    places = draws(transform, count=200, size=48, picture=coordinates)
    assert {nearest_view(mask.astype(float)) for _, mask in places} == set(range(number))


def test_maps_follow_the_image():
    for seen, mask in draws(transform_of(views="d4", crop_size=5)):
        np.testing.assert_array_equal(seen, mask[..., :3])


@pytest.mark.parametrize("key", ["shift", "scale", "rotate", "grid", "elastic"])
@pytest.mark.parametrize("channels", [4, 6, 8])
def test_maps_stay_aligned_with_the_image_and_are_never_blended(key, channels):
    transform = transform_of(**{key: KNOBS[key], "crop_size": 64})
    image, planes = coordinates(64, channels)
    for seed in range(8):
        transform.set_random_state(np.random.default_rng(seed), random.Random(seed))
        seen = transform(image=image, mask=planes)
        assert_aligned(seen["image"], seen["mask"])


def assert_aligned(image, mask):
    """Each pixel of the maps holds one place, the one that the image shows there."""
    for channel in range(0, mask.shape[2], 2):
        np.testing.assert_array_equal(mask[..., channel : channel + 2], mask[..., :2])
    apart = np.abs(mask[..., :2].astype(int) - image[..., :2])
    assert (apart <= 2).mean() > 0.95  # the image is blended, the maps are rounded


def test_maps_are_never_blended_when_scaled_and_turned():
    transform = transform_of(scale=0.3, rotate=30.0, shift=0.2)
    image = np.zeros((8, 8, 3), np.uint8)
    planes = np.zeros((8, 8, 4), np.uint8)
    planes[2:6, 2:6] = (1, 200, 255, 40)
    known = {(0, 0, 0, 0), (1, 200, 255, 40)}
    moved = 0
    for seed in range(20):
        transform.set_random_state(np.random.default_rng(seed), random.Random(seed))
        mask = transform(image=image, mask=planes)["mask"]
        assert set(map(tuple, mask.reshape(-1, 4).tolist())) <= known
        moved += (mask != planes).any()
    assert moved > 15


def test_one_seed_gives_one_result():
    transform = transform_of(views="d4", rotate=20.0, hue=20, noise=0.5, elastic=0.5, crop_size=6)
    first, second = ([s.tobytes() for s, _ in draws(transform, count=8)] for _ in range(2))
    assert first == second
    assert len(set(first)) > 4


@pytest.mark.parametrize("name", SETS)
def test_a_set_is_the_values_that_it_names_and_not_those_given(name):
    named = transform_of(**KNOBS | {"set": name})
    spelled = transform_of(**SETS[name])
    for first, second in zip(draws(named, 20), draws(spelled, 20), strict=True):
        np.testing.assert_array_equal(first[0], second[0])
        np.testing.assert_array_equal(first[1], second[1])


def test_the_sets_grow():
    assert all(set(values) == set(OFF) for values in SETS.values())
    for key in OFF.keys() - {"views", "transforms"}:
        assert SETS["none"][key] <= SETS["light"][key] <= SETS["heavy"][key]
    assert all(SETS["heavy"][key] for key in OFF.keys() - {"transforms", "grey_objects"})


def test_the_watched_view_is_the_middle():
    image, planes = picture(8)
    seen = centre_crop(4)(image=image, mask=planes)
    np.testing.assert_array_equal(seen["image"], image[2:6, 2:6])


@pytest.mark.parametrize("name", GEOMETRIC)
def test_each_free_geometric_transform_keeps_eight_maps_aligned(name):
    entry = {"name": name, "p": 1.0} | ARGUMENTS.get(name, {})
    transform = transform_of(transforms=[entry], crop_size=32)
    image, planes = coordinates(32)
    changed = 0
    for seed in range(10):
        transform.set_random_state(np.random.default_rng(seed), random.Random(seed))
        seen = transform(image=image, mask=planes)
        mask = seen["mask"]
        assert seen["image"].shape == (32, 32, 3)
        assert (mask.shape, mask.dtype) == ((32, 32, 8), np.uint8)
        kept = mask[(mask[..., 0] != 255) & (seen["image"] > 0).all(axis=2)]
        assert len(kept) > 32 * 8
        assert (kept[:, ::2] == kept[:, :1]).all()
        assert (kept[:, 1::2] == kept[:, 1:2]).all()
        assert kept.min() >= 1
        assert kept.max() <= 32
        changed += (seen["image"] != image).any()
    assert changed >= 6


def test_what_a_free_transform_uncovers_is_ignored():
    shift = {"name": "Affine", "translate_px": {"x": [3, 3], "y": [0, 0]}, "p": 1.0}
    _, mask = next(draws(transform_of(transforms=[shift])))
    assert (mask[:, :3, 0] == 255).all()
    _, mask = next(draws(transform_of(transforms=[shift | {"fill_mask": 7}])))
    assert (mask[:, :3, 0] == 7).all()


def test_a_free_transform_sees_the_whole_image_and_not_a_crop_of_it():
    whole = {"name": "RandomResizedCrop", "size": [8, 8], "scale": [1, 1], "ratio": [1, 1]}
    image, planes = coordinates(32)
    transform = transform_of(transforms=[whole | {"p": 1.0}])
    mask = transform(image=image, mask=planes)["mask"]
    assert mask.min() <= 4
    assert mask.max() >= 29


def test_a_free_transform_may_make_the_image_smaller_than_the_crop():
    smaller = {"name": "RandomScale", "scale_limit": [-0.5, -0.5], "p": 1.0}
    for seen, mask in draws(transform_of(transforms=[smaller]), count=3):
        assert seen.shape[:2] == mask.shape[:2] == (8, 8)


def test_the_colour_transforms_taken_answer_with_the_same_type_and_size():
    kinds = [
        name
        for name, kind in vars(A).items()
        if isinstance(kind, type) and issubclass(kind, A.ImageOnlyTransform)
    ]
    image, _ = picture(64)
    for name in set(kinds) - set(UNSUITABLE):
        step = transform_of(transforms=[{"name": name, "p": 1.0}], crop_size=64)
        seen, _ = next(draws(step, size=64))
        assert (seen.dtype, seen.shape) == (np.uint8, image.shape), name


@pytest.mark.parametrize(
    ("name", "allowed", "least"),
    [
        ("HorizontalFlip", "none", "hflip"),
        ("VerticalFlip", "hflip", "d2"),
        ("VerticalFlip", "none", "d2"),
        ("Transpose", "d2", "d4"),
        ("D4", "d2", "d4"),
        ("SquareSymmetry", "hflip", "d4"),
        ("RandomRotate90", "d2", "d4"),
    ],
)
def test_free_transforms_that_show_forbidden_views_are_refused(name, allowed, least):
    entries = [{"name": "Blur"}, {"name": name, "p": 0.1}]
    message = f"augment.transforms.1 {name}: .*views.allowed {allowed} .* to {least}"
    with pytest.raises(InputError, match=message):
        transform_of(transforms=entries, allowed=allowed)
    transform_of(transforms=entries, allowed=least)


@pytest.mark.parametrize(
    "entry",
    [
        {"name": "Rotate"},
        {"name": "Rotate", "limit": 60},
        {"name": "SafeRotate", "limit": [-50, 0]},
        {"name": "Affine", "rotate": [0, 180]},
    ],
)
def test_free_turns_near_a_quarter_are_refused_unless_d4_is_allowed(entry):
    with pytest.raises(InputError, match="augment.transforms.0 .* 45 degrees .*views.allowed d2"):
        transform_of(transforms=[entry], allowed="d2")
    transform_of(transforms=[entry])


def test_turns_near_a_quarter_are_refused_unless_d4_is_allowed():
    with pytest.raises(InputError, match="augment.rotate 90: .* 45 degrees .*views.allowed hflip"):
        transform_of(rotate=90.0, allowed="hflip")
    transform_of(rotate=90.0, allowed="d4")
    transform_of(rotate=45.0, allowed="none")


@pytest.mark.parametrize(
    "scale", [-1, [-1.2, -0.8], {"x": [-1, -1], "y": [1, 1]}, {"x": 1.0, "y": -1.0}]
)
def test_a_free_affine_that_mirrors_by_its_scale_is_refused(scale):
    with pytest.raises(InputError, match="augment.transforms.0 Affine: scale .* mirrors"):
        transform_of(transforms=[{"name": "Affine", "scale": scale, "p": 1.0}])


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"name": "GaussBlur"}, "transforms.0 GaussBlur: unknown or of no use here"),
        ({"name": "Mosaic"}, "transforms.0 Mosaic: unknown or of no use here"),
        ({"name": "Normalize"}, "transforms.0 Normalize: unknown or of no use here"),
        ({"name": "Compose"}, "transforms.0 Compose: unknown or of no use here"),
        ({"name": "os"}, "transforms.0 os: unknown or of no use here"),
        ({"p": 0.5}, "transforms.0 {'p': 0.5}: needs a name"),
        (
            {"name": "GaussNoise", "var_limit": 3},
            "GaussNoise: unknown argument var_limit, use.*std",
        ),
        (
            {"name": "Blur", "p": 2.0},
            "transforms.0 Blur: p: Input should be less than or equal to 1",
        ),
        ({"name": "Blur", "blur_limit": "big"}, "transforms.0 Blur: blur_limit"),
        ({"name": "RandomResizedCrop"}, "transforms.0 RandomResizedCrop: size: Field required"),
    ],
)
def test_mistakes_in_free_transforms_are_refused(entry, message):
    with pytest.raises(InputError, match=message) as caught:
        transform_of(transforms=[entry])
    assert "\n" not in str(caught.value)


def test_views_that_are_not_known_to_be_allowed_are_refused():
    with pytest.raises(ValueError, match="'vflip' is unknown; known: none, hflip, d2, d4"):
        transform_of(allowed="vflip")


def test_the_sets_are_those_that_the_section_knows():
    known = get_args(AugmentParams.model_fields["set"].annotation)
    assert {*SETS, "custom"} == set(known)
