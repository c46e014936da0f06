import numpy as np
import pandas as pd
import pytest

from src.base.errors import InputError
from src.pseudo_labelling import pseudo_labels
from src.pseudo_labelling.pseudo_labels import (
    choose_images,
    is_uncertain,
    pseudo_instances,
    sureness,
    unlabelled_images,
)

U = 65535  # uncertain
LIMITS = {"low": 0.2, "high": 0.8}


def array(rows):
    return np.array(rows, np.uint8)


def test_the_limits_themselves_are_certain():
    rows = [[0, 51, 52, 128, 203, 204, 255]]  # 51 / 255 is 0.2, 204 / 255 is 0.8
    assert is_uncertain(array(rows), **LIMITS).tolist() == [[0, 0, 1, 1, 1, 0, 0]]
    assert not is_uncertain(array(rows), low=0.5, high=0.5).any()


def test_certain_is_the_share_of_certain_pixels_of_the_mean():
    maps = [array([[255, 255, 0, 0]]), array([[255, 0, 0, 0]])]  # the second pixel has 0.5
    assert sureness(maps, [], **LIMITS).certain == 0.75
    assert sureness(maps[:1], [], **LIMITS).certain == 1.0


def test_spread_is_the_mean_deviation_over_networks():
    maps = [array([[255, 10, 40, 0]]), array([[0, 10, 10, 0]])]
    expected = (255 / 2 + 30 / 2) / 255 / 4
    assert sureness(maps, [], **LIMITS).spread == pytest.approx(expected)
    assert sureness(maps[:1], [], **LIMITS).spread == 0


def test_spread_of_one_network_is_that_over_views():
    spread = sureness([array([[0, 255]])], [array([[102, 0]])], **LIMITS).spread
    assert spread == pytest.approx(102 / 510 / 2)


def test_spread_over_networks_and_views_is_that_of_all_their_maps():
    rng = np.random.default_rng(0)
    views = rng.random((3, 4, 5, 6))  # networks, views of each, pixels
    maps = [array(np.rint(one.mean(0) * 255)) for one in views]
    spreads = [array(np.rint(one.std(0) * 510)) for one in views]
    expected = views.reshape(12, 5, 6).std(0).mean()
    assert sureness(maps, spreads, **LIMITS).spread == pytest.approx(expected, abs=0.5 / 255)


def test_the_iou_to_expect_is_the_expected_intersection_over_the_expected_union():
    probability = array([[255, 204, 127, 51]])  # two pixels found, 178 / 255 expected outside
    expected = (255 + 204) / (2 * 255 + 127 + 51)
    assert sureness([probability], [], **LIMITS).expected_iou == pytest.approx(expected)


def test_the_iou_to_expect_is_1_for_sure_objects_and_0_for_none():
    found = [sureness([array([row])], [], **LIMITS).expected_iou for row in ([255, 0], [0, 127])]
    assert found == [1.0, 0.0]


def images():
    rows = [
        ("test/b", "test", False, "g1"),
        ("test/a", "test", False, "g0"),
        ("test/c", "test", False, "g2"),
        ("test/d", "test", False, "g3"),
        ("train/a", "train", True, "g2"),
        ("train/b", "train", False, "g1"),
        ("val/a", "val", False, "g3"),
    ]
    table = pd.DataFrame(rows, columns=["name", "split", "left_out", "group"])
    return table.assign(height=3, width=range(7))


def groups(table):
    return table.set_index("name")["group"]


def test_images_in_a_group_with_val_or_the_left_out_fold_are_not_allowed():
    found = unlabelled_images(images().drop(columns="group"), groups(images()))
    assert found["name"].tolist() == ["test/a", "test/b", "test/c", "test/d"]
    assert found["allowed"].tolist() == [True, True, False, False]
    assert found["width"].tolist() == [1, 0, 2, 3]
    assert found.index.tolist() == [0, 1, 2, 3]


def test_the_group_is_that_of_the_table_of_groups_not_that_of_the_images():
    other = groups(images()).replace("g2", "g1")
    assert unlabelled_images(images(), other)["allowed"].tolist() == [True, False, False, False]


def test_an_image_without_group_and_a_data_set_without_test_are_refused():
    with pytest.raises(InputError, match="groups.csv: lacks 'test/c' of images.csv"):
        unlabelled_images(images(), groups(images()).drop(["test/c", "val/a"]))
    labelled = images()[images()["split"] != "test"]
    with pytest.raises(InputError, match="no images of test to label; add test_images/"):
        unlabelled_images(labelled, groups(images()))


def table(**columns):
    defaults = {"certain": 1.0, "spread": 0.0, "expected_iou": 1.0, "allowed": True}
    rows = len(next(iter(columns.values())))
    names = [f"test/{i}" for i in range(rows)]
    return pd.DataFrame({"name": names} | defaults | columns, index=range(rows))


def chosen(table, **changes):
    bounds = {"min_certain": 0.9, "max_spread": 0.1, "min_expected_iou": 0.5, "max_share": 0.0}
    taken = choose_images(table, **bounds | {"training_images": 10} | changes)
    assert taken.shape == (len(table),)
    return np.flatnonzero(taken).tolist()


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("certain", [0.9, 0.89, 0.91]),
        ("spread", [0.1, 0.11, 0.0]),
        ("expected_iou", [0.5, 0.49, 1.0]),
        ("allowed", [True, False, True]),
    ],
)
def test_every_bound_leaves_out_what_is_beyond_it_alone(column, values):
    assert chosen(table(**{column: values})) == [0, 2]


def test_the_surest_are_taken_by_certain_then_spread_then_name():
    rows = table(certain=[0.95, 0.99, 0.95, 0.99, 0.95], spread=[0.01, 0.05, 0.0, 0.02, 0.0])
    order = [chosen(rows, max_share=count / 10) for count in range(1, 6)]
    assert order == [[3], [1, 3], [1, 2, 3], [1, 2, 3, 4], [0, 1, 2, 3, 4]]
    renamed = rows.assign(name=[f"test/{4 - i}" for i in range(5)])
    assert chosen(renamed, max_share=0.3) == [1, 3, 4]


def test_the_share_is_of_the_training_images_rounded_down_and_0_takes_all():
    rows = table(certain=[1.0] * 9)
    assert len(chosen(rows, max_share=0.29, training_images=10)) == 2
    assert len(chosen(rows, max_share=0.07, training_images=100)) == 7  # 7.000000000000001
    assert len(chosen(rows, max_share=0.04, training_images=10)) == 0
    assert len(chosen(rows, max_share=5.0)) == 9
    assert len(chosen(rows, max_share=0.0)) == 9


def test_images_that_are_not_sure_do_not_count_as_the_surest():
    rows = table(certain=[1.0, 0.99, 0.98], allowed=[False, True, True])
    assert chosen(rows, max_share=0.1) == [1]


def test_instances_are_connected_regions_with_uncertain_pixels_ignored():
    probability = [
        [255, 204, 0, 51, 0, 128, 0],
        [128, 203, 0, 52, 0, 127, 0],
        [0, 0, 255, 0, 0, 0, 230],
    ]
    found = pseudo_instances(array(probability), **LIMITS)
    assert found.dtype == np.uint16
    assert found.tolist() == [
        [1, 1, 0, 0, 0, U, 0],
        [U, U, 0, U, 0, U, 0],
        [0, 0, 2, 0, 0, 0, 3],  # touching at a corner is not touching
    ]


def test_parts_joined_by_uncertain_pixels_from_a_half_on_are_one_object():
    assert pseudo_instances(array([[255, 128, 255]]), **LIMITS).tolist() == [[1, U, 1]]
    assert pseudo_instances(array([[255, 127, 255]]), **LIMITS).tolist() == [[1, U, 2]]


def test_labels_have_no_gap_where_a_region_has_no_certain_pixel():
    row = [255, 0, 150, 0, 255]
    assert pseudo_instances(array([row]), **LIMITS).tolist() == [[1, 0, U, 0, 2]]


def test_an_image_without_objects_is_background():
    assert pseudo_instances(array([[0, 51]]), **LIMITS).tolist() == [[0, 0]]


def test_more_objects_than_labels_are_refused(monkeypatch):
    monkeypatch.setattr(pseudo_labels, "MAX_OBJECTS", 2)
    row = [255, 0, 255, 0, 255]
    assert pseudo_instances(array([row[:3]]), **LIMITS).max() == 2
    with pytest.raises(InputError, match="3 objects in one image, more than 2; cut it into tiles"):
        pseudo_instances(array([row]), **LIMITS)
