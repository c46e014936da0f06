import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from ruamel.yaml import YAML
from scipy.ndimage import binary_fill_holes

from src.base.errors import InputError
from src.formats.archive import PHOTO, decode_image
from src.sample.footprints import turn_image
from stages.make_sample import main

PARAMS = {
    "seed": 1,
    "tile_size": 128,
    "scene_tiles": 2,
    "train": 24,
    "val": 12,
    "test": 5,
    "duplicates": 0.25,
    "rle": 0.2,
    "min_area": 16,
    "jpeg_quality": 80,
}


def make(folder: Path, **changes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "params.yaml").open("w") as file:
        YAML().dump({"sample": PARAMS | changes, "workers": {"scheduler": "none"}}, file)
    main([str(folder / "sample"), "--params", str(folder / "params.yaml")])
    return folder / "sample"


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    return make(tmp_path_factory.mktemp("sample"))


def records(sample, split):
    return json.loads((sample / split / "annotation.json").read_text())


def image(path):
    return decode_image(path.read_bytes(), PHOTO, str(path)).astype(float)


def masks(document):
    for annotation in document["annotations"]:
        shape = annotation["segmentation"]
        if isinstance(shape, list):
            shape = coco_mask.merge(coco_mask.frPyObjects(shape, 128, 128))
        elif isinstance(shape["counts"], list):
            shape = coco_mask.frPyObjects(shape, 128, 128)
        yield annotation, coco_mask.decode(shape).astype(bool)


def content(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def repeats(sample, split):
    """List (train record, record of the split, view) of images that are the same, turned."""
    train = {r["id"]: r for r in records(sample, "train")["images"]}
    others = records(sample, split)["images"]
    found = []
    for a in train.values():
        original = image(sample / "train/images" / a["file_name"])
        views = [turn_image(original, view) for view in range(8)]
        for b in others:
            if split != "train" or b["id"] > a["id"]:
                picture = image(sample / split / "images" / b["file_name"])
                errors = [abs(view - picture).mean() for view in views]
                if min(errors) < 4:
                    found.append((a, b, int(np.argmin(errors))))
    return found


def test_the_layout_is_that_of_the_mapping_challenge(sample):
    for split, folder, count in (
        ("train", "train/images", 24),
        ("val", "val/images", 12),
        ("test", "test_images", 5),
    ):
        files = sorted(p.name for p in (sample / folder).iterdir())
        assert files == [f"{i:06d}.jpg" for i in range(count)]
        assert all(image(sample / folder / name).shape == (128, 128, 3) for name in files)
        if split != "test":
            document = records(sample, split)
            assert [r["file_name"] for r in document["images"]] == files
            assert [c["id"] for c in document["categories"]] == [100]
    assert {p.name for p in sample.iterdir()} == {"train", "val", "test_images"}


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_with_one_worker_too(sample, tmp_path, monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    assert content(make(tmp_path)) == content(sample)


def test_another_seed_gives_other_bytes(sample, tmp_path):
    other = content(make(tmp_path, seed=2, train=4, val=1, test=0, duplicates=0.0))
    assert not set(other.values()) & set(content(sample).values())


@pytest.mark.parametrize("split", ["train", "val"])
def test_every_annotation_lies_in_its_image_and_says_its_area(sample, split):
    document = records(sample, split)
    for annotation, mask in masks(document):
        x, y, width, height = annotation["bbox"]
        assert min(x, y) >= 0
        assert max(x + width, y + height) <= 128
        assert annotation["area"] >= 15
        assert mask.sum() == pytest.approx(annotation["area"], rel=0.1, abs=6)
        assert annotation["category_id"] == 100


def test_annotations_do_not_overlap(sample):
    cover = np.zeros((24, 128, 128), int)
    for annotation, mask in masks(records(sample, "train")):
        cover[annotation["image_id"]] += mask
    assert (cover > 1).sum() <= 0.001 * (cover > 0).sum()


def test_buildings_are_brighter_or_darker_than_what_is_around_them(sample):
    document = records(sample, "train")
    files = {r["id"]: r["file_name"] for r in document["images"]}
    contrasts = []
    for annotation, mask in masks(document):
        picture = image(sample / "train/images" / files[annotation["image_id"]]).mean(axis=2)
        steps = abs(np.diff(picture, axis=1))
        on_wall = mask[:, 1:] != mask[:, :-1]
        contrasts.append(steps[on_wall].mean() / steps[mask[:, 1:] & mask[:, :-1]].mean())
    assert np.median(contrasts) > 1.5  # the outline follows an edge in the picture


def test_all_that_is_hard_is_in_it(sample):
    documents = [records(sample, split) for split in ("train", "val")]
    shapes = [a["segmentation"] for d in documents for a in d["annotations"]]
    assert any(isinstance(shape, list) for shape in shapes)
    assert any(isinstance(shape, dict) and isinstance(shape["counts"], str) for shape in shapes)
    assert any(isinstance(shape, dict) and isinstance(shape["counts"], list) for shape in shapes)
    assert any((binary_fill_holes(mask) & ~mask).any() for _, mask in masks(documents[0]))
    labelled = {a["image_id"] for a in documents[0]["annotations"]}
    assert 0 < len(labelled) < 24  # empty tiles too
    cut = [a for a in documents[0]["annotations"] if a["bbox"][0] == 0 or a["bbox"][1] == 0]
    assert cut


def test_scenes_have_several_tiles_and_do_not_cross_splits(sample):
    train, val = ([r["group"] for r in records(sample, s)["images"]] for s in ("train", "val"))
    assert not set(train) & set(val)
    assert max(map(train.count, train)) == 4


def test_tiles_repeat_between_splits_turned_and_mirrored_under_another_group(sample):
    found = repeats(sample, "val")
    assert len(found) == 3  # a quarter of 12
    assert {view for _, _, view in found} == {0, 1, 4}
    assert all(a["group"] != b["group"] for a, b, _ in found)
    original, exact = next((a["file_name"], b["file_name"]) for a, b, view in found if view == 0)
    first, second = sample / "train/images" / original, sample / "val/images" / exact
    assert first.read_bytes() == second.read_bytes()


def test_tiles_repeat_within_train_under_another_group(sample):
    found = repeats(sample, "train")
    assert len(found) == 6  # a quarter of 24
    assert all(a["group"] != b["group"] for a, b, _ in found)


def test_a_copy_has_as_many_buildings_as_its_original(sample):
    counts = {}
    for split in ("train", "val"):
        ids = [a["image_id"] for a in records(sample, split)["annotations"]]
        counts[split] = {i: ids.count(i) for i in ids}
    for a, b, _ in repeats(sample, "val"):
        assert counts["train"][a["id"]] == counts["val"][b["id"]]


def test_more_copies_than_originals_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"sample\.duplicates.*lower it"):
        make(tmp_path, train=1, val=20, test=0, duplicates=0.3)


def test_an_existing_folder_is_not_overwritten(tmp_path):
    (tmp_path / "sample").mkdir()
    with pytest.raises(InputError, match="exists already"):
        make(tmp_path)


def test_a_share_beyond_its_range_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"sample\.rle.*1\.5"):
        make(tmp_path, rle=1.5)
    assert not (tmp_path / "sample").exists()
