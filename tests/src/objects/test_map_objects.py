import numpy as np
import pytest

from src.base.errors import InputError
from src.objects.hulls import hull_unsure
from src.objects.linked_objects import linked_labels
from src.objects.map_objects import find_labels, find_objects, heads_used
from src.objects.watershed import seed_map, watershed_labels
from tests.plain_postprocess import plain
from tests.src.objects.test_objects import label_objects

CLEAN = {"connectivity": 4, "white_speckle": 0, "black_speckle": 0, "max_hole": 0, "erode": 0}
SIZES = {"min_area": 0, "max_area": 0, "dilate": 0}


def params(**changes):
    return plain(**{"threshold": 0.4, "seeds": "border", "seed_area": 2} | changes)


@pytest.fixture
def maps():
    random = np.random.default_rng(0)
    heads = {"mask": (30, 40), "border": (30, 40), "embedding": (30, 40, 3)}
    return {head: random.integers(0, 256, shape, np.uint8) for head, shape in heads.items()}


@pytest.mark.parametrize(
    ("method", "seeds", "empty_threshold", "used"),
    [
        ("threshold", "border", 0.0, ["mask"]),
        ("layers", "mask", 0.0, ["mask"]),
        ("layers", "distance", 0.0, ["mask", "boundary_distance"]),
        ("watershed", "mask", 0.0, ["mask"]),
        ("watershed", "distance", 0.5, ["mask", "boundary_distance", "empty"]),
        ("embedding", "border", 0.0, ["mask", "embedding"]),
    ],
)
def test_only_the_heads_that_are_asked_for_are_read(method, seeds, empty_threshold, used):
    heads = ["mask", "border", "contact", "boundary_distance", "embedding", "empty"]
    keys = {"method": method, "seeds": seeds, "empty_threshold": empty_threshold}
    assert heads_used(heads, params(**keys)) == used


@pytest.mark.parametrize(
    ("method", "empty_threshold", "message"),
    [
        (
            "watershed",
            0.0,
            "postprocess.seeds contact needs .* contact, .* have mask, border",
        ),
        (
            "embedding",
            0.0,
            "postprocess.method embedding .* train with loss.embedding_weight",
        ),
        ("threshold", 0.7, "postprocess.empty_threshold 0.7 needs the head empty"),
    ],
)
def test_a_head_that_is_not_there_is_named_with_the_key_that_asks_for_it(
    method, empty_threshold, message
):
    keys = {"method": method, "seeds": "contact", "empty_threshold": empty_threshold}
    with pytest.raises(InputError, match=message):
        heads_used(["mask", "border"], params(**keys))


def test_method_threshold_is_labelling(maps):
    sizes = {"min_area": 3, "max_area": 50, "dilate": 1}
    clean = {"max_hole": 4, "white_speckle": 1, "black_speckle": 1, "erode": 1, "connectivity": 8}
    np.testing.assert_array_equal(
        find_objects(maps, 0.0, params(**clean, **sizes)),
        label_objects(maps["mask"], threshold=0.4, **clean, **sizes),
    )


def test_method_watershed_floods_the_mask_from_seeds(maps):
    labels = find_labels(maps, 0.0, params(method="watershed"))
    expected = watershed_labels(
        maps["mask"] >= 102,
        seed_map(maps, "border"),
        seed_threshold=0.5,
        seed_area=2,
        connectivity=4,
    )
    np.testing.assert_array_equal(labels, expected)
    other = find_labels(maps, 0.0, params(method="watershed", seeds="mask"))
    assert (other != labels).any()


def test_method_embedding_joins_what_is_alike(maps):
    labels = find_labels(maps, 0.0, params(method="embedding", link_threshold=0.7))
    expected = linked_labels(maps["mask"] >= 102, maps["embedding"], link_threshold=0.7)
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize("method", ["threshold", "watershed", "embedding"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (6, 5)])
@pytest.mark.parametrize("value", [0, 255])
def test_nothing_and_everything_in_any_method(method, shape, value):
    maps = {"mask": np.full(shape, value, np.uint8), "border": np.zeros(shape, np.uint8)}
    maps["embedding"] = np.full((*shape, 3), 255, np.uint8)
    changes = {"method": method, "max_hole": 3, "erode": 1, "white_speckle": 0}
    instances = find_objects(maps, 0.0, params(**changes, dilate=1))
    assert instances.dtype == np.uint16
    assert (instances == value // 255).all()


@pytest.mark.parametrize("method", ["threshold", "watershed", "embedding"])
def test_the_region_is_cleaned_in_any_method(maps, method):
    region = find_labels(maps, 0.0, params(method=method, white_speckle=20)) > 0
    expected = label_objects(maps["mask"], threshold=0.4, **CLEAN | {"white_speckle": 20}, **SIZES)
    np.testing.assert_array_equal(region, expected > 0)
    assert 0 < region.sum() < (maps["mask"] >= 102).sum()


@pytest.mark.parametrize(
    ("threshold", "probability", "blank"),
    [(0.0, 1.0, False), (0.5, 0.4, False), (0.5, 0.5, True), (0.5, 0.9, True)],
)
def test_an_image_is_blank_where_the_head_empty_says_so(maps, threshold, probability, blank):
    labels = find_labels(maps, probability, params(empty_threshold=threshold))
    assert (not labels.any()) == blank


def test_hulls_change_the_mask_before_anything_else(maps):
    hulls = params(hull_low=0.1, hull_high=0.4, hull_rows=0.8, hull_min_area=3.0)
    labels = find_labels(maps, 0.0, hulls)
    changed = hull_unsure(maps["mask"], hulls)
    assert (changed != maps["mask"]).any()
    np.testing.assert_array_equal(labels > 0, changed >= 102)


def test_no_method_gives_more_objects_than_labels():
    maps = {"mask": np.full((256, 256), 255, np.uint8)}
    maps["embedding"] = np.zeros((256, 256, 3), np.uint8)
    embedding = params(method="embedding")
    with pytest.raises(InputError, match="leaves 65536 objects in one image, more than 65534"):
        find_objects(maps, 0.0, embedding)
    maps["embedding"][0, :2, 0] = 255
    for sizes, wanted in (({"max_area": 1}, 65533), ({"min_area": 2}, 1)):
        found = find_objects(maps, 0.0, params(method="embedding", **sizes))
        assert found.max() == wanted
    assert found.sum() == 3


def test_a_method_of_many_maps_is_refused(maps):
    with pytest.raises(ValueError, match="'layers' has no one label map; known: thr"):
        find_labels(maps, 0.0, params(method="layers"))
