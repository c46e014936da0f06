import json

import pytest

from src.judging.fingerprint import data_fingerprint

RLE = {"size": [4, 5], "counts": "PPY4"}


def annotation(number, image, **changes):
    record = {"id": number, "image_id": image, "category_id": 1, "iscrowd": 0, "area": 3}
    return record | {"segmentation": RLE, "bbox": [0, 0, 3, 1]} | changes


def truths():
    images = [
        {"id": n, "name": f"train/{n}", "file_name": f"{n}.png", "height": 4, "width": 5}
        for n in (1, 2)
    ]
    train = {
        "categories": [{"id": 1, "name": "building"}],
        "images": images,
        "annotations": [annotation(1, 1), annotation(2, 2, area=4)],
    }
    return [train, {"categories": [{"id": 1, "name": "building"}], "images": [], "annotations": []}]


def test_it_is_twelve_hexadecimal_digits_and_the_same_on_every_machine():
    assert data_fingerprint(truths()) == "56b935c32e21"


def reordered(one):
    for key in ("images", "annotations"):
        one[0][key].reverse()


def renumbered(one):
    for image in one[0]["images"]:
        image["id"] += 70
    for record in one[0]["annotations"]:
        record["id"], record["image_id"] = record["id"] + 5, record["image_id"] + 70


def written_otherwise(one):
    one[0]["annotations"] = [dict(reversed(record.items())) for record in one[0]["annotations"]]


@pytest.mark.parametrize("change", [reordered, renumbered, written_otherwise])
def test_order_and_numbers_do_not_change_it(change):
    changed = truths()
    change(changed)
    assert json.dumps(changed) != json.dumps(truths())
    assert data_fingerprint(changed) == data_fingerprint(truths())


def other_category(one):
    one[0]["categories"][0]["name"] = "car"


def other_name(one):
    one[0]["images"][1]["name"] = "train/3"


def other_size(one):
    one[0]["images"][0]["width"] = 6


def one_image_less(one):
    del one[0]["images"][1], one[0]["annotations"][1]


def an_image_without_objects_more(one):
    one[0]["images"].append(one[0]["images"][0] | {"id": 9, "name": "train/9"})


def other_mask(one):
    one[0]["annotations"][0]["segmentation"] = RLE | {"counts": "QPY4"}


def crowd(one):
    one[0]["annotations"][0]["iscrowd"] = 1


def on_the_other_image(one):
    for record in one[0]["annotations"]:
        record["image_id"] = 3 - record["image_id"]


def of_the_other_split(one):
    one.reverse()


def twice(one):
    one[0]["annotations"].append(annotation(3, 1))


@pytest.mark.parametrize(
    "change",
    [
        other_category,
        other_name,
        other_size,
        one_image_less,
        an_image_without_objects_more,
        other_mask,
        crowd,
        on_the_other_image,
        of_the_other_split,
        twice,
    ],
)
def test_what_is_judged_changes_it(change):
    changed = truths()
    change(changed)
    assert data_fingerprint(changed) != data_fingerprint(truths())
