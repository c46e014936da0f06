import numpy as np
import pandas as pd
import pytest

from src.base.errors import InputError
from src.pseudo_labelling.choice import choose_images, unlabelled_images
from src.pseudo_labelling.params import PseudoLabelParams

PARAMS = PseudoLabelParams(
    low=0.2,
    high=0.8,
    min_certain=0.9,
    max_spread=0.1,
    min_expected_iou=0.5,
    min_share=0.0,
    max_share=0.0,
    targets="hard",
)


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


def chosen(table, max_share=0.0, training_images=10):
    params = PARAMS.model_copy(update={"max_share": max_share})
    taken = choose_images(table, params, training_images=training_images)
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
