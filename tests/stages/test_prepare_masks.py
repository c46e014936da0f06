import csv
import json
from pathlib import Path

import cv2
import joblib
import numpy as np
import pytest
from pycocotools.coco import COCO

from src.archive import PHOTO, ImageArchive
from src.errors import InputError
from src.instances import IGNORE
from src.rle import encode_instances
from stages.prepare_masks import main

REAL = Path(__file__).parents[3] / "shared" / "data"
IMAGE = np.random.default_rng(0).integers(0, 256, (8, 10, 3), np.uint8)
INNER = {"segmentation": [[3, 3, 6, 3, 6, 5, 3, 5]]}  # rows 3, 4 and columns 3, 4, 5
EDGE = {"segmentation": [[0, 0, 2, 0, 2, 8, 0, 8]]}  # columns 0 and 1
PARAMS = """
dataset:
  root: data/sample
  layout: coco
  category_id: 100
  metadata: []
prepare_masks:
  edge_objects: ignore
  edge_width: 2
  erode: 0
  dilate: 0
  small_area: 196
  max_rejected: 0
"""


@pytest.fixture
def prepare(tmp_path):
    """Function that runs the stage on a dataset, with changed params."""

    def run(root, out="prepared", **changes):
        text = PARAMS
        for key, value in changes.items():
            before = next(line for line in text.splitlines() if line.strip().startswith(f"{key}:"))
            text = text.replace(before, f"  {key}: {value}")
        (tmp_path / "params.yaml").write_text(text)
        main([str(root), str(tmp_path / out), "--params", str(tmp_path / "params.yaml")])
        return tmp_path / out

    return run


def table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def read_json(path):
    return json.loads(path.read_text())


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture
def root(tmp_path, write_crowdai):
    """Dataset of three train images, one val image and two test images."""
    return write_crowdai(
        tmp_path / "set",
        train=[
            ("b.png", IMAGE, [INNER, EDGE], {"group": "north"}),
            ("a.jpg", IMAGE, [EDGE | {"area": 15.5}, INNER | {"iscrowd": 1}]),
            ("c.png", IMAGE, []),
        ],
        val=[("b.png", IMAGE[:, :9], [INNER], {"id": 31})],
        test=[("z.bmp", IMAGE[:5]), ("y.png", IMAGE[..., 0])],
    )


def test_every_image_is_kept_as_it_is_and_listed(root, prepare):
    prepared = prepare(root)
    archive = ImageArchive(prepared / "images.zip")
    names = ["test/y", "test/z", "train/a", "train/b", "train/c", "val/b"]
    assert archive.names == names
    for name, file in (("train/a", "train/images/a.jpg"), ("test/y", "test_images/y.png")):
        assert archive.read_bytes(name) == (root / file).read_bytes()
    np.testing.assert_array_equal(archive.read("test/z", PHOTO), IMAGE[:5])
    rows = table(prepared / "images.csv")
    assert [list(row.values()) for row in rows] == [
        ["test/y", "test", "1", "y.png", "8", "10", "", "", "", "test/y"],
        ["test/z", "test", "2", "z.bmp", "5", "10", "", "", "", "test/z"],
        ["train/a", "train", "2", "a.jpg", "8", "10", "0", "2", "0.0", "train/a"],
        ["train/b", "train", "1", "b.png", "8", "10", "1", "1", "0.075", "north"],
        ["train/c", "train", "3", "c.png", "8", "10", "0", "0", "0.0", "train/c"],
        ["val/b", "val", "31", "b.png", "8", "9", "1", "0", "0.083333", "val/b"],
    ]
    assert list(rows[0]) == [
        "name", "split", "image_id", "file_name", "height", "width",
        "objects", "ignored", "coverage", "group",
    ]  # fmt: skip
    assert (prepared / "rejected.csv").read_text() == "file,reason\n"


def test_the_chosen_metadata_come_behind_the_columns_of_images_csv(root, prepare):
    before = contents(prepare(root))
    names = ["val/b", "train/a", "train/b", "train/c", "test/y", "test/z", "train/of_another_set"]
    lines = [f"{name},{i},-{i}.5,{i}\n" for i, name in enumerate(names)]
    (root / "metadata.csv").write_text("name,age,depth,path\n" + "".join(lines))
    assert contents(prepare(root, "without")) == before
    after = contents(prepare(root, "with", metadata="[depth, path]"))
    header, *rows = before.pop("images.csv").decode().splitlines()
    assert after.pop("images.csv").decode().splitlines() == [
        header + ",depth,path",
        rows[0] + ",-4.5,4.0",
        rows[1] + ",-5.5,5.0",
        rows[2] + ",-1.5,1.0",
        rows[3] + ",-2.5,2.0",
        rows[4] + ",-3.5,3.0",
        rows[5] + ",-0.5,0.0",
    ]
    assert after == before


def test_an_image_of_any_split_without_metadata_stops_the_stage(root, prepare, tmp_path):
    names = ["val/b", "train/a", "train/b", "train/c", "test/y"]
    (root / "metadata.csv").write_text("name,depth\n" + "".join(f"{name},1\n" for name in names))
    with pytest.raises(InputError, match=r"set/metadata.csv: no row for 'test/z' \(1 of 6 images"):
        prepare(root, metadata="[depth]")
    assert not (tmp_path / "prepared").exists()


@pytest.mark.parametrize(("mode", "edge"), [("ignore", IGNORE), ("drop", 0), ("keep", 2)])
def test_label_maps_follow_the_params(root, prepare, mode, edge):
    archive = ImageArchive(prepare(root, edge_objects=mode) / "instances.zip")
    assert archive.names == ["train/a", "train/b", "train/c", "val/b"]
    expected = np.zeros((8, 10), np.uint16)
    expected[:, :2] = edge
    expected[3:5, 3:6] = 1
    np.testing.assert_array_equal(archive.read("train/b"), expected)
    assert archive.read("train/b").dtype == np.uint16


def test_the_truth_is_whole_whatever_the_params(root, prepare):
    prepared = prepare(root)
    truth = read_json(prepared / "truth_train.json")
    assert truth["categories"] == [{"id": 100, "name": "building"}]
    assert truth["images"][0] == {
        "id": 2, "name": "train/a", "file_name": "a.jpg", "height": 8, "width": 10
    }  # fmt: skip
    keys = ("id", "image_id", "iscrowd", "area", "bbox")
    assert [[entry[key] for key in keys] for entry in truth["annotations"]] == [
        [3, 2, 0, 15.5, [0, 0, 2, 8]],
        [4, 2, 1, 6, [3, 3, 3, 2]],
        [1, 1, 0, 6, [3, 3, 3, 2]],
        [2, 1, 0, 16, [0, 0, 2, 8]],
    ]
    other = prepare(root, "other", edge_objects="drop", erode=1, dilate=2, small_area=6)
    for name in ("truth_train.json", "truth_val.json", "images.zip"):
        assert (prepared / name).read_bytes() == (other / name).read_bytes()
    assert (prepared / "instances.zip").read_bytes() != (other / "instances.zip").read_bytes()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_the_official_tools_read_the_truth(root, prepare, capsys):
    truth = COCO(prepare(root) / "truth_train.json")
    masks = {key: truth.annToMask(annotation) for key, annotation in truth.anns.items()}
    inner, edge = np.zeros((2, 8, 10), np.uint8)
    inner[3:5, 3:6] = 1
    edge[:, :2] = 1
    for key, mask in {1: inner, 2: edge, 3: edge, 4: inner}.items():
        np.testing.assert_array_equal(masks[key], mask)


def test_without_val_and_test_their_files_are_there_and_empty(tmp_path, prepare, write_crowdai):
    prepared = prepare(write_crowdai(tmp_path / "set", [("a.png", IMAGE, [INNER])]))
    truth = read_json(prepared / "truth_val.json")
    assert (truth["images"], truth["annotations"]) == ([], [])
    assert ImageArchive(prepared / "images.zip").names == ["train/a"]


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (30, 7)])
def test_images_of_any_size_are_prepared(tmp_path, prepare, write_crowdai, shape):
    image = np.full((*shape, 3), 9, np.uint8)
    root = write_crowdai(tmp_path / "set", [("a.png", image, [np.ones(shape, bool)])])
    prepared = prepare(root, edge_width=0)
    np.testing.assert_array_equal(
        ImageArchive(prepared / "instances.zip").read("train/a"), np.ones(shape)
    )
    objects = encode_instances(np.ones(shape, np.uint8))
    annotation = read_json(prepared / "truth_train.json")["annotations"][0]
    assert annotation["segmentation"] == objects.rles[0]
    assert annotation["bbox"] == objects.boxes[0].tolist()


def test_content_counts_not_the_extension(tmp_path, prepare, write_crowdai):
    rgba = cv2.imencode(".png", np.dstack([IMAGE[..., ::-1], IMAGE[..., 0]]))[1].tobytes()
    jpeg = cv2.imencode(".jpg", IMAGE)[1].tobytes()
    deep = cv2.imencode(".png", IMAGE[..., 0].astype(np.uint16) * 257)[1].tobytes()
    size = {"height": 8, "width": 10}
    items = [("a.jpg", rgba, [INNER], size), ("b.png", jpeg, [], size), ("c.png", deep, [], size)]
    prepared = prepare(write_crowdai(tmp_path / "set", items))
    archive = ImageArchive(prepared / "images.zip")
    assert [archive.read_bytes(name) for name in archive.names] == [rgba, jpeg, deep]
    np.testing.assert_array_equal(archive.read("train/a", PHOTO), IMAGE)
    np.testing.assert_array_equal(archive.read("train/c", PHOTO), np.dstack([IMAGE[..., 0]] * 3))


def test_the_last_line_counts_everything(root, prepare, capsys):
    objects = [INNER, INNER | {"segmentation": [[90, 90, 99, 90, 99, 99]]}, INNER]
    document = read_json(root / "val/annotation.json")
    document["annotations"] += [
        annotation | {"id": 10 + i, "image_id": 31, "category_id": 100, "iscrowd": 0}
        for i, annotation in enumerate(objects)
    ]
    (root / "val/annotation.json").write_text(json.dumps(document))
    (root / "train/images/extra.png").write_bytes(b"x")
    prepare(root)
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.endswith(
        "prepared: 2 test images, 3 train images, 1 val images, 2 objects, 3 ignored, "
        "2 hidden under others, 1 without a pixel, 0 images rejected, 1 files not listed"
    )


@pytest.fixture
def damaged(root):
    """The dataset with three images that cannot be used."""
    (root / "train/images/a.jpg").unlink()
    (root / "test_images/y.png").write_bytes(b"")
    document = read_json(root / "val/annotation.json")
    document["annotations"][0]["segmentation"] = [[1, 2, 3]]
    (root / "val/annotation.json").write_text(json.dumps(document))
    return root


def test_rejected_images_are_listed_and_left_out_everywhere(damaged, prepare):
    prepared = prepare(damaged, max_rejected=3)
    assert [tuple(row.values()) for row in table(prepared / "rejected.csv")] == [
        ("test_images/y.png", "the file is empty (0 bytes)"),
        ("train/images/a.jpg", "no such file"),
        ("val/images/b.png", "annotation 1: polygon 1 has 3 coordinates, an odd number"),
    ]
    assert [row["name"] for row in table(prepared / "images.csv")] == [
        "test/z", "train/b", "train/c"
    ]  # fmt: skip
    assert table(prepared / "images.csv")[0]["image_id"] == "2"  # numbers stay with the files
    assert ImageArchive(prepared / "images.zip").names == ["test/z", "train/b", "train/c"]
    assert ImageArchive(prepared / "instances.zip").names == ["train/b", "train/c"]
    assert [image["id"] for image in read_json(prepared / "truth_train.json")["images"]] == [1, 3]
    assert {a["image_id"] for a in read_json(prepared / "truth_train.json")["annotations"]} == {1}
    assert read_json(prepared / "truth_val.json")["images"] == []


def test_more_rejected_images_than_allowed_stop_the_stage(damaged, prepare, tmp_path):
    words = (
        r"set: 3 images rejected, more than 2, the first test_images/y.png: the file is empty "
        r"\(0 bytes\); mend them or raise prepare_masks.max_rejected"
    )
    with pytest.raises(InputError, match=words):
        prepare(damaged, max_rejected=2)
    assert not list(tmp_path.glob("prepared*"))


def test_train_left_without_objects_stops_the_stage(tmp_path, prepare, write_crowdai):
    val = [("b.png", IMAGE, [INNER])]
    root = write_crowdai(tmp_path / "set", [("a.png", IMAGE, [EDGE])], val)
    words = "no object is left to learn from .0 images rejected.; check .*edge_objects"
    with pytest.raises(InputError, match=words):
        prepare(root)
    prepare(root, edge_objects="keep")


def test_a_failure_leaves_the_former_output_as_it_was(root, prepare, tmp_path):
    before = contents(prepare(root))
    (root / "train/images/c.png").write_bytes(b"broken")
    with pytest.raises(InputError, match="train/images/c.png: not a readable image"):
        prepare(root)
    assert contents(tmp_path / "prepared") == before
    assert not (tmp_path / "prepared.partial").exists()


def test_a_former_output_is_replaced_whole(root, prepare, tmp_path):
    before = contents(prepare(root))
    (tmp_path / "prepared/images.csv").write_text("old")
    (tmp_path / "prepared.partial").mkdir()
    (tmp_path / "prepared.partial/images.csv").write_text("of a run that was killed")
    assert contents(prepare(root)) == before
    assert set(before) == {
        "geotransforms.csv", "images.csv", "images.zip", "instances.zip", "rejected.csv",
        "truth_train.json", "truth_val.json",
    }  # fmt: skip


def test_a_folder_of_other_files_is_not_replaced(root, prepare, tmp_path):
    for out, words in (("set", "holds 'test_images'"), ("set/train", "holds 'annotation.json'")):
        with pytest.raises(InputError, match=f"would be replaced, but {words}, which is none"):
            prepare(root, out)
    with pytest.raises(InputError, match="is a file, not a folder to write to"):
        prepare(root, "set/train/annotation.json")
    assert (root / "train/images/a.jpg").is_file()


def test_processes_write_the_same_bytes_as_one_process(root, prepare):
    alone = contents(prepare(root))
    with joblib.parallel_config(backend="loky"):
        assert contents(prepare(root, "again")) == alone


def test_the_order_of_the_annotation_file_does_not_matter(root, prepare):
    before = contents(prepare(root))
    document = read_json(root / "train/annotation.json")
    for key in ("images", "annotations"):
        document[key].reverse()
    (root / "train/annotation.json").write_text(json.dumps(document))
    assert contents(prepare(root)) == before


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("layout", "voc", "dataset.layout: .*'coco'"),
        ("category_id", "'100'", "dataset.category_id: .*valid integer"),
        ("metadata", "[depth, 3]", "dataset.metadata.1: .*valid string"),
        ("metadata", "[group]", "dataset.metadata: .*has a column 'group' of its own"),
        ("metadata", "[depth, depth]", "dataset.metadata: .*name each column once"),
        ("edge_objects", "crop", "prepare_masks.edge_objects: .*'ignore', 'drop' or 'keep'"),
        ("edge_width", -1, "prepare_masks.edge_width: .*greater than or equal to 0"),
        ("erode", 1.5, "prepare_masks.erode: .*valid integer"),
        ("max_rejected", -1, "prepare_masks.max_rejected: .*greater than or equal to 0"),
    ],
)
def test_params_out_of_range_are_refused(root, prepare, key, value, words):
    with pytest.raises(InputError, match=words):
        prepare(root, **{key: value})


@pytest.mark.parametrize(
    ("name", "images", "annotations"),
    [
        ("oam_buildings", [308, 32, 0], [948, 127]),
        pytest.param("accra_buildings", [366, 86, 79], [7379, 1519], marks=pytest.mark.slow),
    ],
)
def test_real_data_are_prepared_without_loss(name, images, annotations, prepare):
    root = REAL / name
    if not root.is_dir():
        pytest.skip(f"{name} is not there")
    with joblib.parallel_config(backend="loky", n_jobs=2):
        prepared = prepare(root)
    rows = table(prepared / "images.csv")
    assert [sum(row["split"] == s for row in rows) for s in ("train", "val", "test")] == images
    for split, count in zip(("train", "val"), annotations, strict=True):
        truth = read_json(prepared / f"truth_{split}.json")
        assert len(truth["annotations"]) == count
        seen = [int(r["objects"]) + int(r["ignored"]) for r in rows if r["split"] == split]
        assert sum(seen) == count


def test_where_images_lie_on_the_map_is_kept(prepare, root):
    world = "0.5\n0\n0\n-0.5\n100.25\n199.75\n"  # the centre of the first pixel
    (root / "train" / "images" / "b.pgw").write_text(world)
    rows = table(prepare(root) / "geotransforms.csv")
    assert [list(row.values()) for row in rows] == [
        ["train/b", "100.0", "0.5", "0.0", "200.0", "0.0", "-0.5"]
    ]
