import copy

import numpy as np
import pandas as pd
import pytest

from src.applying.maps import map_kinds, merged_maps, predicted_maps
from src.applying.objects import apply_to_image, found_objects, painted_labels
from src.applying.picture import LONGEST, centre_of, outlined
from src.base.errors import InputError
from src.bundles.reading import Network, read_bundle
from tests import tiny_bundle
from tests.blocks import HEIGHT, WIDTH, block, rle


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return read_bundle(tiny_bundle.write(tmp_path_factory.mktemp("whole") / "a.maskline.zip"))


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (40, 33, 3), dtype=np.uint8)


def by_rule(bundle, **postprocess):
    """The bundle with a fixed rule in the place of the second level."""
    rule = {"score": "mean", "selection": "none"}
    params = bundle.learnt.params.model_copy(update=rule)
    learnt = bundle.learnt._replace(params=params, model=None, calibrator=None)
    changed = bundle.postprocess.model_copy(update=postprocess)
    return bundle._replace(learnt=learnt, postprocess=changed)


def map_of(*blocks):
    """A map by hand: probability * 255 in rectangles."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    for value, *place in blocks:
        mask[block(*place)] = value
    return {"mask": mask}


def test_objects_of_a_map_by_hand(whole):
    bundle = by_rule(whole)
    found = found_objects(bundle, map_of((204, 2, 3, 10, 5), (255, 30, 20, 4, 6)))
    assert found["score"].tolist() == [1.0, 0.8]
    assert found["accepted"].tolist() == [True, True]
    assert found["area"].tolist() == [24, 50]
    assert found["counts"].tolist() == [
        rle(block(30, 20, 4, 6))["counts"],
        rle(block(2, 3, 10, 5))["counts"],
    ]
    assert found["bbox_x"].tolist() == [30, 2]


def test_an_object_is_accepted_from_the_operating_point_on(whole):
    bundle = by_rule(whole)
    learnt = bundle.learnt
    maps = map_of((204, 2, 3, 10, 5), (255, 30, 20, 4, 6))
    for score, accepted in ((0.8, [True, True]), (0.80001, [True, False])):
        point = learnt.point._replace(score=score)
        found = found_objects(bundle._replace(learnt=learnt._replace(point=point)), maps)
        assert found["accepted"].tolist() == accepted


def test_a_blank_map_has_no_object_and_all_columns(whole):
    found = found_objects(whole, {"mask": np.zeros((9, 9), np.uint8)})
    assert len(found) == 0
    assert {"counts", "area", "score", "accepted", "height"} <= set(found)


def test_an_image_that_is_empty_by_its_head_has_no_object(whole):
    bundle = by_rule(whole, empty_threshold=0.5)
    maps = map_of((255, 2, 3, 10, 5))
    assert len(found_objects(bundle, maps | {"empty": np.array(0.49)})) == 1
    assert len(found_objects(bundle, maps | {"empty": np.array(0.5)})) == 0


def test_labels_are_painted_best_first():
    rows = [rle(block(0, 0, 4, 4)), rle(block(2, 2, 4, 4))]
    objects = pd.DataFrame(
        {"height": HEIGHT, "width": WIDTH, "counts": [r["counts"] for r in rows]}
    )
    labels = painted_labels(objects, HEIGHT, WIDTH)
    assert labels.dtype == np.uint32
    assert labels[3, 3] == labels[0, 0] == 1
    assert labels[5, 5] == 2
    assert labels.astype(bool).sum() == 16 + 16 - 4


def test_kinds_of_map_are_those_that_are_needed(whole):
    assert map_kinds(whole) == ["mask", "view_spread"]
    assert map_kinds(by_rule(whole)) == ["mask"]
    [one] = whole.networks
    two = whole._replace(networks=[one, one._replace(member="other")])
    assert map_kinds(two) == ["mask", "view_spread", "member_spread"]
    views = whole.predict.model_copy(update={"views": "none"})
    assert map_kinds(two._replace(predict=views)) == ["mask", "member_spread"]


def test_maps_of_networks_are_merged_by_their_weights(whole):
    [one] = whole.networks
    members = [Network(one.model, one.description, weight, m) for weight, m in ((3, "a"), (1, "b"))]
    bundle = whole._replace(networks=members)
    masks = [np.full((2, 2), value, np.uint8) for value in (100, 200)]
    found = [{"mask": mask, "view_spread": mask, "empty": 0.0} for mask in masks]
    merged = merged_maps(bundle, found)
    assert (merged["mask"] == 125).all()
    assert (merged["view_spread"] == 125).all()
    assert (merged["member_spread"] == 100).all()  # half the difference, in steps of 1/510


def test_an_image_is_predicted_at_its_size(whole, image):
    maps = predicted_maps(whole, image)
    assert {kind: one.shape for kind, one in maps.items()} == {
        "mask": (40, 33),
        "view_spread": (40, 33),
    }
    assert all(one.dtype == np.uint8 for one in maps.values())


def test_an_image_goes_in_and_objects_come_out(whole, image):
    found = apply_to_image(whole, image)
    assert found.labels.shape == found.probability.shape == (40, 33)
    assert found.objects["accepted"].all()
    assert set(np.unique(found.labels)) - {0} <= set(range(1, len(found.objects) + 1))


@pytest.mark.parametrize("wrong", ["grey", "float", "empty", "bands"])
def test_another_array_than_an_image_is_refused(whole, image, wrong):
    other = {
        "grey": image[..., 0],
        "float": image / 255,
        "empty": image[:0],
        "bands": np.concatenate([image, image[..., :1]], axis=-1),
    }[wrong]
    with pytest.raises(InputError, match=r"want uint8 \(height, width, 3\), RGB"):
        apply_to_image(whole, other)


def test_a_network_that_answers_with_no_number_is_refused(whole, image):
    model = copy.deepcopy(whole.networks[0].model)
    first = next(iter(model.parameters()))
    first.data[:] = float("nan")
    spoilt = whole._replace(networks=[whole.networks[0]._replace(model=model)])
    with pytest.raises(InputError, match="the network answers with no number"):
        predicted_maps(spoilt, image)


def test_outlines_lie_in_the_objects_of_an_enlarged_picture():
    image = np.full((8, 10, 3), 100, np.uint8)
    labels = np.zeros((8, 10), np.uint32)
    labels[2:6, 3:8] = 1
    picture = outlined(image, labels)
    scale = LONGEST // 10
    assert picture.shape == (8 * scale, 10 * scale, 3)
    yellow = (picture == (255, 221, 0)).all(axis=-1)
    inside = np.kron(labels, np.ones((scale, scale))) > 0
    assert yellow.any()
    assert not yellow[~inside].any()
    assert (picture[4 * scale, 5 * scale] == 100).all()  # the middle of the object is as it was


def test_the_middle_of_a_large_image_is_shown():
    image = np.arange(700 * 600 * 3).reshape(700, 600, 3).astype(np.uint8)
    assert np.array_equal(centre_of(image), image[94:606, 44:556])
    assert np.array_equal(centre_of(image[:20, :30]), image[:20, :30])
