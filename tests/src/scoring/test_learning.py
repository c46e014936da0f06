import numpy as np
import pandas as pd
import pytest
from pycocotools import mask as coco_mask

from src.scoring.candidate_targets import Overlaps
from src.scoring.learning import detect, inner_parts, learn
from tests.plain_rescore import params


def inner(parts, groups, used):
    images = pd.DataFrame({"part": list(parts), "group": list(groups)})
    found = inner_parts(images, np.array(used, bool))
    return None if found is None else found.tolist()


def test_the_inner_parts_are_the_folds_where_two_have_candidates():
    assert inner("0220", "abcd", [1, 1, 0, 1]) == [0, 1, 1, 0]


@pytest.mark.parametrize("used", [[1, 1, 0, 0, 1, 1], [1, 1, 1, 0, 1, 1]])
def test_else_they_are_three_groups_of_those_that_are_used(used):
    # the second fold has none that is used
    found = inner("000100", "aabbcd", used)
    assert found[:2] == [0, 0]
    assert sorted({found[0], found[4], found[5]}) == [0, 1, 2]
    assert found[2] == found[3]


def test_two_groups_make_two_parts():
    assert inner("0000", "abab", [1, 1, 1, 1]) == [0, 1, 0, 1]


def test_one_group_cannot_be_parted():
    assert inner("0011", "aaaa", [1, 1, 0, 0]) is None
    assert inner("0000", "abab", [1, 0, 1, 0]) is None
    assert inner("", "", []) is None


def bars(rng, count):
    """Candidates one row high, of which half at random show an object, and noise to learn from."""
    hit = rng.random(count) < 0.5
    names = np.array([f"{number:03}" for number in range(count)])
    start = np.where(hit, 0, 10)
    masks = np.zeros((1, 20, count), np.uint8, order="F")
    for number, left in enumerate(start):
        masks[0, left : left + 5, number] = 1
    rles = [rle | {"counts": rle["counts"].decode()} for rle in coco_mask.encode(masks)]
    table = pd.DataFrame({"name": names, "height": 1, "width": 20, "parent": -1, "area": 5})
    table["counts"] = [rle["counts"] for rle in rles]
    table["mean_probability"] = 0.5
    table["part"] = 0.0
    box = {"bbox_x": start, "bbox_y": 0, "bbox_width": 5, "bbox_height": 1}
    table = table.assign(**box, noise=rng.random(count), more=rng.random(count))
    whole = np.zeros((1, 20), np.uint8, order="F")
    whole[0, :5] = 1
    rle = coco_mask.encode(whole)
    truth = {
        name: [{"segmentation": rle | {"counts": rle["counts"].decode()}, "iscrowd": 0}]
        for name in names
    }
    return table, truth, hit


@pytest.mark.parametrize("parts", ["one fold", "two folds"])
def test_what_follows_the_model_is_learnt_on_scores_that_know_no_more_than_it(parts):
    rng = np.random.default_rng(0)
    table, truth, hit = bars(rng, 400)
    overlaps = Overlaps(hit.astype(float), np.zeros(400, bool))
    part = np.where((np.arange(400) % 2 == 0) & (parts == "two folds"), "0", "1")
    images = pd.DataFrame({"part": part, "group": table["name"]}).set_index(table["name"])
    asked = params(score="lightgbm", target="hit", trees=60, leaves=30, learning_rate=0.5)
    asked = asked.model_copy(update={"calibration": "isotonic", "operating_point": "auto"})
    learnt = learn(table, overlaps, truth, images, asked)
    fresh, _, _ = bars(rng, 400)
    scores = detect(fresh, learnt)["score"]
    assert np.abs(scores - 0.5).mean() < 0.12  # as fitted it would be sure of noise
    assert learnt.params == asked
