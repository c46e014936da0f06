import copy
import json

import cv2
import numpy as np
import pandas as pd
import pytest
from pycocotools import mask as coco_mask

from experiments.planted_mistakes import BOX, KINDS, Planted, judge, main, plant
from src.base.errors import InputError
from src.formats.tables import read_table
from src.maps.map_folder import write_list, write_maps
from stages.find_label_errors import main as find_label_errors
from tests.stages.test_find_label_errors import PARAMS

SIDE = 64


def document(images=40, seed=0):
    """Images of four rectangles each, as polygons and both kinds of RLE, and a crowd."""
    rng = np.random.default_rng(seed)
    records, annotations = [], []
    for number in range(images):
        records.append(
            {"id": number, "file_name": f"{number:03d}.png", "height": SIDE, "width": SIDE}
        )
        for x, y in ((2, 2), (34, 2), (2, 34)):
            width, height = (int(side) for side in rng.integers(8, 20, 2))
            polygon = [x, y, x + width, y, x + width, y + height, x, y + height]
            annotations.append({"image_id": number, "iscrowd": 0, "segmentation": [polygon]})
        mask = np.zeros((SIDE, SIDE), np.uint8, order="F")
        mask[40:50, 40:48] = 1
        rle = coco_mask.encode(mask)
        rle["counts"] = rle["counts"].decode()
        annotations.append({"image_id": number, "iscrowd": 0, "segmentation": rle})
        runs = {"size": [SIDE, SIDE], "counts": [0, 2, SIDE * SIDE - 2]}
        annotations.append({"image_id": number, "iscrowd": 1, "segmentation": runs})
    for number, one in enumerate(annotations, start=1):
        one |= {"id": number, "category_id": 1}
    categories = [{"id": 1, "name": "roof"}]
    return {"images": records, "annotations": annotations, "categories": categories}


def mask_of(annotation):
    segmentation = annotation["segmentation"]
    if isinstance(segmentation, dict) and isinstance(segmentation["counts"], str):
        return coco_mask.decode(segmentation).astype(bool)
    found = coco_mask.frPyObjects(segmentation, SIDE, SIDE)
    return coco_mask.decode(found[0] if isinstance(found, list) else found).astype(bool)


def by_id(document):
    return {one["id"]: one for one in document["annotations"]}


@pytest.fixture(scope="module")
def planted():
    before = document()
    given = copy.deepcopy(before)
    spoilt, mistakes = plant(given, 0.1, 3)
    assert given == before
    return before, spoilt, mistakes


def test_as_many_are_planted_as_asked_for_each_way_as_often(planted):
    kinds = [one.kind for one in planted[2]]
    assert [kinds.count(kind) for kind in KINDS] == [6, 5, 5]  # a tenth of 160 objects
    assert len({one.object_id for one in planted[2]}) == 16


def test_all_other_annotations_stay(planted):
    before, spoilt, mistakes = planted
    touched = {one.object_id for one in mistakes}
    old, new = by_id(before), by_id(spoilt)
    assert {key: one for key, one in old.items() if key not in touched} == {
        key: one for key, one in new.items() if key not in touched
    }
    crowds = [one["id"] for one in before["annotations"] if one["iscrowd"]]
    assert not touched & set(crowds)


def test_what_is_dropped_is_gone_and_told_with_its_box(planted):
    before, spoilt, mistakes = planted
    for one in (one for one in mistakes if one.kind == "dropped"):
        assert one.object_id not in by_id(spoilt)
        x, y, width, height = one.box
        assert mask_of(by_id(before)[one.object_id])[y : y + height, x : x + width].all()
        assert mask_of(by_id(before)[one.object_id]).sum() == width * height


def test_what_is_shifted_has_its_shape_and_overlaps_itself_by_less_than_half(planted):
    before, spoilt, mistakes = planted
    for one in (one for one in mistakes if one.kind == "shifted"):
        old, new = (mask_of(by_id(d)[one.object_id]) for d in (before, spoilt))
        assert old.sum() == new.sum() == by_id(spoilt)[one.object_id]["area"]
        assert 0 < (old & new).sum() / (old | new).sum() < 0.5
        assert by_id(spoilt)[one.object_id]["bbox"] == [*map(float, one.box)]


def test_what_is_added_is_an_outline_of_the_data_where_nothing_was():
    before = document()
    spoilt, mistakes = plant(before, 0.5, 3)  # so many dropped that their places are hit
    areas = {mask_of(one).sum() for one in before["annotations"] if not one["iscrowd"]}
    for one in (one for one in mistakes if one.kind == "added"):
        new = by_id(spoilt)[one.object_id]
        assert mask_of(new).sum() in areas
        for known in (before, spoilt):
            for other in known["annotations"]:
                if other["image_id"] == new["image_id"] and other is not new:
                    assert not (mask_of(other) & mask_of(new)).any()


def test_a_seed_is_one_choice(planted):
    before, spoilt, mistakes = planted
    assert plant(before, 0.1, 3) == (spoilt, mistakes)
    assert plant(before, 0.1, 4)[1] != mistakes


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"share": 0.0}, "--share 0: must lie above 0 and be at most 0.5"),
        ({"share": 0.51}, "--share 0.51: must lie above 0"),
        ({"document": {"images": [], "annotations": []}}, "only 0 objects can be shifted"),
    ],
)
def test_what_cannot_be_planted_is_refused(changes, words):
    given = {"document": document(4), "share": 0.1, "seed": 0} | changes
    with pytest.raises(InputError, match=words):
        plant(**given)


def test_without_room_nothing_is_added():
    full = [0, 0, SIDE, 0, SIDE, SIDE, 0, SIDE]
    half = [0, 0, 40, 0, 40, 20, 0, 20]
    given = document(1)
    given["annotations"] = [
        {"id": n, "image_id": 0, "iscrowd": 0, "segmentation": [polygon]}
        for n, polygon in enumerate([full, half, half, half, half, half], start=1)
    ]
    with pytest.raises(InputError, match="there is room for 0 objects to add, 1 are asked for"):
        plant(given, 0.5, 0)


def table(*rows):
    columns = ["image", "kind", *BOX]
    return pd.DataFrame([(image, kind, *box) for image, kind, box in rows], columns=columns)


def test_the_first_as_many_as_were_planted_are_judged():
    planted = table(
        ("train/a", "shifted", (0, 0, 10, 10)),
        ("train/a", "added", (20, 0, 10, 10)),
        ("train/b", "added", (0, 0, 10, 10)),
        ("train/d", "dropped", (0, 0, 10, 10)),
    )
    listed = table(
        ("train/a", "", (2, 0, 10, 10)),  # the first
        ("train/a", "", (0, 2, 10, 10)),  # the first again, which counts once
        ("train/c", "", (0, 0, 10, 10)),
        ("train/b", "", (0, 0, 10, 10)),
        ("train/d", "", (0, 0, 10, 10)),  # too late
    )
    assert judge(listed, planted) == {
        "precision": 0.5,
        "recall_shifted": 1.0,
        "recall_added": 0.5,
        "recall_dropped": 0.0,
        "images": 2 / 3,  # a and b of a, c and b
    }


def test_boxes_that_meet_too_little_are_not_the_same():
    planted = table(("train/a", "added", (0, 0, 10, 10)))
    for shift, precision in ((8, 1.0), (9, 0.0)):  # IoU 20 / 180 and 10 / 190
        assert judge(table(("train/a", "", (shift, 0, 10, 10))), planted)["precision"] == precision


def made_up(clean, folder, rng):
    """Write what networks of the clean truth might say: blurred, a tenth missed, some invented."""
    (folder / "predictions").mkdir(parents=True)
    (folder / "ensemble").mkdir()
    maps, found = [], []
    for image in clean["images"]:
        probability = np.zeros((SIDE, SIDE), np.float32)
        for one in clean["annotations"]:
            if one["image_id"] != image["id"] or one["iscrowd"]:
                continue
            missed = rng.random() < 0.1
            mask = mask_of(one)
            probability[mask] = rng.uniform(0.4, 0.5) if missed else rng.uniform(0.7, 1)
            if not missed:
                moved = np.roll(mask, rng.integers(-1, 2, 2), axis=(0, 1))
                found.append((image["id"], moved))
        if rng.random() < 0.1:
            mask = np.zeros((SIDE, SIDE), bool)
            mask[52:60, 20:30] = True
            probability[mask] = rng.uniform(0.5, 0.6)
            found.append((image["id"], mask))
        blurred = cv2.GaussianBlur(probability, (5, 5), 1)
        maps.append((f"train/{image['file_name'][:-4]}", np.rint(255 * blurred).astype(np.uint8)))
    detections = []
    for image_id, mask in found:
        rle = coco_mask.encode(np.asfortranarray(mask, np.uint8))
        rle["counts"] = rle["counts"].decode()
        detections.append({"image_id": image_id, "segmentation": rle, "score": 1, "accepted": True})
    (folder / "predictions/oof.json").write_text(json.dumps(detections))
    write_list(folder / "ensemble", ["mask"], [])
    write_maps(folder / "ensemble", "oof", "mask", maps)


def test_planted_mistakes_are_found_by_made_up_predictions(tmp_path, capsys):
    clean = document(100)
    data = tmp_path / "data"
    (data / "train/images").mkdir(parents=True)
    for image in clean["images"]:
        cv2.imwrite(str(data / "train/images" / image["file_name"]), np.zeros((4, 4), np.uint8))
    (data / "train/annotation.json").write_text(json.dumps(clean))
    main([str(data), str(tmp_path / "spoilt"), "--share", "0.05", "--seed", "1"])
    assert json.loads((data / "train/annotation.json").read_text()) == clean
    spoilt = json.loads((tmp_path / "spoilt/train/annotation.json").read_text())
    assert len(list((tmp_path / "spoilt/train/images").iterdir())) == 100

    made_up(clean, tmp_path, np.random.default_rng(0))
    for image in spoilt["images"]:
        image["name"] = f"train/{image['file_name'][:-4]}"
    for one in spoilt["annotations"]:
        mask = coco_mask.encode(np.asfortranarray(mask_of(one), np.uint8))
        one["segmentation"] = {"size": [SIDE, SIDE], "counts": mask["counts"].decode()}
    labels = tmp_path / "prepared/labels/train"
    labels.mkdir(parents=True)
    (labels / "truth.json").write_text(json.dumps(spoilt))
    rows = "".join(f"{image['name']},0,0,{image['name']},1,0,\n" for image in spoilt["images"])
    (tmp_path / "folds.csv").write_text("name,fold,repeat,group,copies,copy,test_likeness\n" + rows)
    (tmp_path / "params.yaml").write_text(PARAMS)
    inputs = ("prepared", "folds.csv", "ensemble", "predictions", "label_errors")
    paths = [str(tmp_path / name) for name in inputs]
    find_label_errors([*paths, "--params", str(tmp_path / "params.yaml")])
    capsys.readouterr()
    main([str(tmp_path / "spoilt"), "--judge", str(tmp_path / "label_errors")])
    told = dict(line.split() for line in capsys.readouterr().out.splitlines())
    planted = read_table(tmp_path / "spoilt/planted.csv", "it")
    assert len(planted) == 20
    assert float(told["precision"]) >= 0.9
    assert float(told["images"]) >= 0.9


def test_a_copy_that_exists_and_both_uses_at_once_are_refused(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "train/annotation.json").write_text(json.dumps(document(4)))
    with pytest.raises(InputError, match="exists already; remove it to plant"):
        main([str(tmp_path), str(tmp_path / "train")])
    for more in ([], ["copy", "--judge", "folder"]):
        with pytest.raises(InputError, match="give either a folder to write or --judge"):
            main([str(tmp_path), *more])


def test_planted_is_by_image_and_object(planted):
    assert planted[2] == sorted(planted[2])
    assert isinstance(planted[2][0], Planted)
