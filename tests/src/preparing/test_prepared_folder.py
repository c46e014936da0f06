import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from src.formats.archive import ImageArchive, encode_png
from src.formats.prepared import LABELLED, SPLITS
from src.preparing.prepared_folder import FILES, write_prepared
from src.preparing.prepared_image import PreparedImage
from src.reading.records import Dataset, ImageRecord

ROOT = Path("/data")
CATEGORY = {"id": 100, "name": "house"}


def record_of(name, image_id, group="g"):
    split, file = name.split("/")
    path = ROOT / split / f"{file}.png"
    return ImageRecord(name, split, image_id, f"{file}.png", path, group, None, ())


def prepared_of(value, size=(2, 3), **fields):
    """An image of one value whose label map, of the same size, holds it too."""
    plain = {
        "content": encode_png(np.full(size, value, np.uint8)),
        "height": size[0],
        "width": size[1],
        "objects": 1,
        "ignored": 0,
        "coverage": 0.5,
        "instances": encode_png(np.full(size, value, np.uint16)),
        "truth": [{"id": value}],
        "losses": {"without a pixel": 1},
        "warnings": [],
        "place": None,
    }
    return PreparedImage(**plain | fields)


UNLABELLED = {"objects": None, "ignored": None, "coverage": None, "instances": b""}
UNLABELLED |= {"truth": [], "losses": {}}


def write(folder, records, results, metadata=None, choices=()):
    metadata = metadata or {record.name: {} for record in records}
    folder.mkdir()
    return write_prepared(folder, ROOT, Dataset(records, CATEGORY, 0), results, metadata, choices)


def table(path):
    with open(path, newline="") as file:
        return [list(row.values()) for row in csv.DictReader(file)]


def test_each_image_goes_where_it_belongs(tmp_path):
    names = ["test/x", "train/a", "train/b", "train/c", "val/v"]
    records = [record_of(name, 7 - i) for i, name in enumerate(names)]
    results = [
        prepared_of(5, **UNLABELLED),
        prepared_of(1, truth=[{"id": 1}, {"id": 4}], ignored=2, place=(1.0, 0, 0, 2, 0, -1.5, "")),
        "torn, alas",
        prepared_of(3, (4, 5), warnings=[("hidden", "2"), ("blank", "x, y")]),
        prepared_of(9, truth=[], objects=0, warnings=[("blank", "x")]),
    ]
    folder = tmp_path / "out"
    written = write(folder, records, iter(results))
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files == FILES
    assert json.loads((folder / "recognised.json").read_text()) == []
    images = {split: ImageArchive(folder / split / "images.zip") for split in SPLITS}
    maps = {split: ImageArchive(folder / "labels" / split / "instances.zip") for split in LABELLED}
    names = {"train": ["train/a", "train/c"], "val": ["val/v"], "test": ["test/x"]}
    assert {split: archive.names for split, archive in images.items()} == names
    assert {split: archive.names for split, archive in maps.items()} == {
        split: names[split] for split in LABELLED
    }
    assert images["train"].read("train/c", cv2.IMREAD_UNCHANGED).tolist() == [[3] * 5] * 4
    assert [maps["train"].read(name)[0, 0] for name in names["train"]] == [1, 3]
    assert maps["val"].read("val/v")[0, 0] == 9
    assert table(folder / "test/images.csv") == [
        ["test/x", "test", "7", "x.png", "2", "3", "", "", "", "g"]
    ]
    assert table(folder / "train/images.csv") == [
        ["train/a", "train", "6", "a.png", "2", "3", "1", "2", "0.5", "g"],
        ["train/c", "train", "4", "c.png", "4", "5", "1", "0", "0.5", "g"],
    ]
    assert table(folder / "val/images.csv") == [
        ["val/v", "val", "3", "v.png", "2", "3", "0", "0", "0.5", "g"]
    ]
    assert table(folder / "geotransforms/train.csv") == [
        ["train/a", "1.0", "0", "0", "2", "0", "-1.5", ""]
    ]
    assert table(folder / "geotransforms/val.csv") == []
    assert table(folder / "warnings.csv") == [
        ["train/c", "train/c.png", "hidden", "2"],
        ["train/c", "train/c.png", "blank", "x, y"],
        ["val/v", "val/v.png", "blank", "x"],
    ]
    assert table(folder / "rejected.csv") == [["train/b.png", "torn, alas"]]
    assert written.images == {"test": 1, "train": 2, "val": 1}
    assert written.objects == {"train": 2, "val": 0}
    assert written.losses == {"ignored": 2, "without a pixel": 3}
    assert written.warnings == {"hidden": 1, "blank": 2}
    assert written.rejected == ["train/b.png: torn, alas"]


def test_the_truth_is_json_with_one_annotation_a_line(tmp_path):
    records = [record_of("train/a", 4), record_of("train/b", 2)]
    results = [prepared_of(1, truth=[{"id": 1}, {"id": 2}]), prepared_of(1, truth=[{"id": 3}])]
    write(tmp_path / "out", records, results)
    text = (tmp_path / "out/labels/train/truth.json").read_text()
    assert json.loads(text) == {
        "categories": [CATEGORY],
        "images": [
            {"id": 4, "name": "train/a", "file_name": "a.png", "height": 2, "width": 3},
            {"id": 2, "name": "train/b", "file_name": "b.png", "height": 2, "width": 3},
        ],
        "annotations": [{"id": 1}, {"id": 2}, {"id": 3}],
    }
    assert text.splitlines()[3:6] == ['{"id": 1},', '{"id": 2},', '{"id": 3}']
    empty = json.loads((tmp_path / "out/labels/val/truth.json").read_text())
    assert empty == {"categories": [CATEGORY], "images": [], "annotations": []}


def test_a_split_without_images_is_there_and_empty(tmp_path):
    write(
        tmp_path / "out", [record_of("train/a", 1), record_of("val/b", 2)], [prepared_of(1), "no"]
    )
    for split in ("val", "test"):
        assert ImageArchive(tmp_path / "out" / split / "images.zip").names == []
        assert table(tmp_path / "out" / split / "images.csv") == []
    assert ImageArchive(tmp_path / "out/labels/val/instances.zip").names == []


def test_what_changes_in_one_split_changes_no_file_of_another(tmp_path):
    records = [record_of("test/x", 1), record_of("train/a", 1), record_of("val/b", 1)]
    results = [prepared_of(5, **UNLABELLED), prepared_of(1), prepared_of(2)]
    for folder, change in (("one", 5), ("other", 6)):
        results[0] = prepared_of(change, **UNLABELLED)
        write(tmp_path / folder, records, results)
    for file in sorted(FILES):
        same = (tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes()
        assert same == (file != "test/images.zip"), file


def test_metadata_become_columns(tmp_path):
    records = [record_of("train/a", 1), record_of("train/b", 2)]
    metadata = {"train/a": {"depth": 1.5, "path": 2.0}, "train/b": {"depth": -1.0, "path": 3.0}}
    write(tmp_path / "out", records, [prepared_of(1), prepared_of(2)], metadata)
    lines = (tmp_path / "out/train/images.csv").read_text().splitlines()
    assert lines[0].endswith(",coverage,group,depth,path")
    assert [line.split(",")[-3:] for line in lines[1:]] == [
        ["g", "1.5", "2.0"],
        ["g", "-1.0", "3.0"],
    ]


def test_only_one_image_is_asked_for_at_a_time(tmp_path):
    records = [record_of(f"train/{i}", i) for i in range(5)]
    asked = []

    def results():
        for number in range(5):
            archive = list((tmp_path / "out/train").glob("images.zip.*"))
            asked.append(archive[0].stat().st_size if archive else 0)
            yield prepared_of(number, (90, 90), content=b"\x89PNG" + bytes(20_000))

    write(tmp_path / "out", records, results())
    assert [size // 20_000 for size in asked] == [0, 1, 2, 3, 4]


def test_an_error_is_passed_on(tmp_path):
    def results():
        yield prepared_of(1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "out", [record_of("train/a", 1), record_of("train/b", 2)], results())
    assert not (tmp_path / "out/train/images.zip").exists()
