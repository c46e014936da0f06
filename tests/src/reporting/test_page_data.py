import json

import numpy as np
import pandas as pd
import pytest
from pycocotools import mask as coco_mask

from src.acceptance.operating_point import OperatingPoint, Point
from src.base.errors import InputError
from src.matching.matching import match_regions, region_overlaps
from src.reporting.galleries import Judged
from src.reporting.page_data import (
    ACCEPTED,
    IGNORED,
    KINDS,
    TP,
    judged_set,
    page_data,
    unjudged_set,
)

POINTS = OperatingPoint("f1_50", Point(0.6, 0.5, 0.7), {"0": Point(0.5, None, None)})
IMAGES = pd.DataFrame(
    {
        "name": ["test/t", "val/a", "val/b"],
        "split": ["test", "val", "val"],
        "image_id": [1, 7, 8],
        "file_name": ["t.png", "a.png", "</script>"],
        "height": [4, 4, 4],
        "width": [6, 6, 6],
        "group": ["t", "g", "g"],
        "place": ["", "quay", "hill"],
    }
)


def masked(counts, **more):
    return {"segmentation": {"size": [4, 6], "counts": counts}} | more


def judged(**changes):
    """Image a: 1 found below the point of 0.6, 2 found, a duplicate; b: a missed object."""
    rows = [  # image, detection, score, tp, ignored, truth, iou, accepted
        (7, 0, 0.55, True, False, 1, 0.75, False),
        (7, 1, 0.9, True, False, 2, 0.8126, True),
        (7, 2, 0.7, False, False, -1, 0.625, True),
        (7, 3, 0.8, False, True, 3, 0.5, True),
    ]
    scores = {"dice": [0.5, 1.0], "iou": [0.25, np.nan], "boundary_iou": 1.0}
    table = pd.DataFrame({"name": ["val/a", "val/b"], "image_id": [7, 8], "group": "g"} | scores)
    table = table.assign(tp=[1, 0], fp=[1, 0], fn=[1, 1], f1_50=[0.5, 0.0], detection_accuracy=0.5)
    columns = ["image_id", "detection", "score", "tp", "ignored", "truth_id", "iou", "accepted"]
    known = {
        "split": "val",
        "images": table,
        "truth": [
            masked("A", id=1, image_id=7, iscrowd=0),
            masked("B", id=2, image_id=7, iscrowd=0),
            masked("X", id=3, image_id=7, iscrowd=1),
            masked("C", id=4, image_id=8, iscrowd=0),
        ],
        "predictions": [masked(text, score=0.4) for text in "abcde"],
        "matches": pd.DataFrame(rows, columns=columns),
        "worst": pd.DataFrame(),
        "objects": pd.DataFrame(
            {"truth_id": [1, 2, 4], "outcome": ["missed", "found", "split"], "detection": -1}
        ),
        "wrong": pd.DataFrame({"detection": [2], "kind": ["split_part"], "truth_id": [1]}),
    }
    return Judged(**(known | changes))


def test_what_became_of_each_object_and_detection_is_told():
    told = judged_set(judged(), IMAGES, POINTS)
    assert told.record == {"name": "val", "judged": True, "point": 0.6, "from": 0.4}
    a, b = told.images
    assert a["found"] == {  # by falling score
        "rle": ["b", "d", "c", "a"],
        "score": [0.9, 0.8, 0.7, 0.55],
        "is": [TP + ACCEPTED, IGNORED + ACCEPTED, ACCEPTED, TP],
        "kind": [KINDS.index("right"), -1, KINDS.index("split"), KINDS.index("right")],
        "iou": [0.813, 0.5, 0.625, 0.75],
    }
    kinds = [KINDS.index(kind) for kind in ("missed", "found", "split")]
    assert a["truth"] == {"rle": ["A", "B"], "kind": kinds[:2], "by": [3, 0]}
    assert a["crowd"] == ["X"]
    assert b["truth"] == {"rle": ["C"], "kind": kinds[2:], "by": [-1]}
    assert (a["name"], a["file"], a["size"], a["facts"]) == ("val/a", "a.png", [4, 6], ["quay"])
    assert a["scores"] == [0.5, 0.5, 0.25, 1.0, 0.5]
    assert b["scores"] == [0.0, 1.0, None, 1.0, 0.5]


def test_where_all_were_judged_no_score_is_too_low():
    told = judged_set(judged(predictions=[masked(text) for text in "abcd"]), IMAGES, None)
    assert told.record == {"name": "val", "judged": True, "point": None, "from": None}


def test_oof_has_no_one_operating_point():
    assert judged_set(judged(split="oof"), IMAGES, POINTS).record["point"] is None


def test_counts_other_than_those_of_evaluate_are_refused():
    table = judged().images.assign(fp=[2, 0])
    words = (
        r"val/a of val: .*\(1, 1, 1\) right, wrong and missed, and images_val.csv has \(1, 2, 1\)"
    )
    with pytest.raises(InputError, match=words):
        judged_set(judged(images=table), IMAGES, POINTS)


def test_an_object_without_an_outcome_is_refused():
    known = judged().objects.iloc[:2]
    with pytest.raises(InputError, match=r"objects_val.csv: has no object 4; run analyse_errors"):
        judged_set(judged(objects=known), IMAGES, POINTS)


def test_detections_of_test_are_told_without_a_truth(tmp_path):
    rows = [masked("a", score=0.2, image_id=1, accepted=False)]
    rows += [masked("b", score=0.9, image_id=1, accepted=True), masked("c", score=0.5, image_id=1)]
    (tmp_path / "test.json").write_text(json.dumps(rows))
    told = unjudged_set(tmp_path / "test.json", IMAGES[:1], POINTS)
    assert told.record == {"name": "test", "judged": False, "point": 0.6, "from": None}
    (image,) = told.images
    assert image["found"]["rle"] == ["b", "c", "a"]
    assert image["found"]["is"] == [ACCEPTED, ACCEPTED, 0]
    assert image["truth"]["rle"] == image["crowd"] == []
    assert unjudged_set(tmp_path / "gone.json", IMAGES[:0], POINTS).images == []


def test_images_tell_the_place_of_their_set_and_empty_sets_go(tmp_path):
    sets = [judged_set(judged(), IMAGES, POINTS), unjudged_set(tmp_path, IMAGES[:0], POINTS)]
    data = page_data("title", {"val.ap50": 0.5}, sets, IMAGES)
    assert [one["name"] for one in data["sets"]] == ["val"]
    assert [image["set"] for image in data["images"]] == [0, 0]
    assert data["facts"] == ["place"]
    assert data["metrics"] == {"val.ap50": 0.5}
    json.dumps(data, allow_nan=False)


def test_outcomes_found_once_hold_at_every_score():
    """What the page counts at a cut is what matching the detections above it alone finds."""
    random = np.random.default_rng(4)
    for _ in range(20):
        boxes = random.integers(0, 20, (24, 4)) + [0, 0, 3, 3]
        masks = []
        for x, y, width, height in boxes:
            mask = np.zeros((45, 45), np.uint8, order="F")
            mask[y : y + height, x : x + width] = 1
            masks.append(coco_mask.encode(mask))
        detections, regions, crowd = masks[:16], masks[16:], np.arange(8) >= 6
        all_of_them = match_regions(region_overlaps(detections, regions, crowd), crowd, [0.5])
        for cut in range(17):
            alone = region_overlaps(detections[:cut], regions, crowd)
            above = match_regions(alone, crowd, [0.5])
            np.testing.assert_array_equal(above.hit[0], all_of_them.hit[0, :cut])
            np.testing.assert_array_equal(above.ignored[0], all_of_them.ignored[0, :cut])
            np.testing.assert_array_equal(above.region[0], all_of_them.region[0, :cut])
