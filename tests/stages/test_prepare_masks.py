import csv
import io
import json
from pathlib import Path, PurePosixPath

import cv2
import joblib
import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from src.base.errors import InputError
from src.formats.archive import PHOTO, ImageArchive
from src.label_maps.labels import IGNORE
from src.objects.rle import encode_instances
from src.preparing.prepared_folder import FILES
from stages.prepare_masks import main

REAL = Path(__file__).parents[3] / "shared" / "data"
IMAGE = np.random.default_rng(0).integers(0, 256, (8, 10, 3), np.uint8)
INNER = {"segmentation": [[3, 3, 6, 3, 6, 5, 3, 5]]}  # rows 3, 4 and columns 3, 4, 5
EDGE = {"segmentation": [[0, 0, 2, 0, 2, 8, 0, 8]]}  # columns 0 and 1
PARAMS = """
workers:
  scheduler: none
dataset:
  root: data/sample
  format: coco
  category_id: 100
  crowd: ignore
  polygons: edges
  masks: instances
  mask_folder: masks
  mask_suffix: ""
  image_pattern: ""
  mask_pattern: ""
  missing_mask: refuse
  ignore_value: none
  id_column: id
  rle_column: rle_mask
  class_column: ""
  rle_order: column
  rle_first: 1
  rle_starts: absolute
  rle_empty: []
  boxes: refuse
  vector_file: auto
  layer: auto
  aoi: auto
  where: {}
  tile_size: 512
  tile_overlap: 0
  tile_block: auto
  group_pattern: ""
  metadata_file: metadata.csv
  metadata: []
  leave_out: []
images:
  bands: []
  stretch: none
  low: 0.0
  high: 0.0
  no_data: none
  orientation: ignore
  keep: 8bit
  shown: []
prepare_masks:
  edge_objects: ignore
  edge_width: 2
  erode: 0
  dilate: 0
  small_area: 196
  duplicate_objects: drop
  reject: []
  max_rejected: 0
"""


@pytest.fixture
def prepare(tmp_path):
    """Function that runs the stage on a dataset, with changed params."""

    def run(root, out="prepared", **changes):
        text = PARAMS
        for key, value in changes.items():
            before = next(line for line in text.splitlines() if line.strip().startswith(f"{key}:"))
            text = text.replace(f"\n{before}\n", f"\n  {key}: {value}\n")
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
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def all_images(prepared):
    """Rows of the tables of images of all splits, by name."""
    tables = (table(prepared / split / "images.csv") for split in ("test", "train", "val"))
    return [row for rows in tables for row in rows]


def names_in(prepared, kind):
    paths = sorted(prepared.rglob(f"{kind}.zip"))
    return [name for path in paths for name in ImageArchive(path).names]


def archive_of(prepared, name, kind="images"):
    folder = prepared / "labels" if kind == "instances" else prepared
    return ImageArchive(folder / name.split("/")[0] / f"{kind}.zip")


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
    names = ["test/y", "test/z", "train/a", "train/b", "train/c", "val/b"]
    assert names_in(prepared, "images") == names
    for name, file in (("train/a", "train/images/a.jpg"), ("test/y", "test_images/y.png")):
        assert archive_of(prepared, name).read_bytes(name) == (root / file).read_bytes()
    np.testing.assert_array_equal(archive_of(prepared, "test/z").read("test/z", PHOTO), IMAGE[:5])
    rows = all_images(prepared)
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
    further = {
        "test": [",depth,path", ",-4.5,4.0", ",-5.5,5.0"],
        "train": [",depth,path", ",-1.5,1.0", ",-2.5,2.0", ",-3.5,3.0"],
        "val": [",depth,path", ",-0.5,0.0"],
    }
    for split, cells in further.items():
        rows = before.pop(f"{split}/images.csv").decode().splitlines()
        expected = [row + more for row, more in zip(rows, cells, strict=True)]
        assert after.pop(f"{split}/images.csv").decode().splitlines() == expected
    assert after == before


def test_an_image_of_any_split_without_metadata_stops_the_stage(root, prepare, tmp_path):
    names = ["val/b", "train/a", "train/b", "train/c", "test/y"]
    (root / "metadata.csv").write_text("name,depth\n" + "".join(f"{name},1\n" for name in names))
    with pytest.raises(InputError, match=r"set/metadata.csv: no row for 'test/z' \(1 of 6 images"):
        prepare(root, metadata="[depth]")
    assert not (tmp_path / "prepared").exists()


@pytest.mark.parametrize(("mode", "edge"), [("ignore", IGNORE), ("drop", 0), ("keep", 2)])
def test_label_maps_follow_the_params(root, prepare, mode, edge):
    prepared = prepare(root, edge_objects=mode)
    assert names_in(prepared, "instances") == ["train/a", "train/b", "train/c", "val/b"]
    archive = archive_of(prepared, "train/b", "instances")
    expected = np.zeros((8, 10), np.uint16)
    expected[:, :2] = edge
    expected[3:5, 3:6] = 1
    np.testing.assert_array_equal(archive.read("train/b"), expected)
    assert archive.read("train/b").dtype == np.uint16


def test_the_truth_is_whole_whatever_the_params(root, prepare):
    prepared = prepare(root)
    truth = read_json(prepared / "labels/train/truth.json")
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
    one, another = contents(prepared), contents(other)
    for name in (
        "labels/train/truth.json",
        "labels/val/truth.json",
        "train/images.zip",
        "val/images.zip",
    ):
        assert one[name] == another[name]
    assert one["labels/train/instances.zip"] != another["labels/train/instances.zip"]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_the_official_tools_read_the_truth(root, prepare, capsys):
    truth = COCO(prepare(root) / "labels/train/truth.json")
    masks = {key: truth.annToMask(annotation) for key, annotation in truth.anns.items()}
    inner, edge = np.zeros((2, 8, 10), np.uint8)
    inner[3:5, 3:6] = 1
    edge[:, :2] = 1
    for key, mask in {1: inner, 2: edge, 3: edge, 4: inner}.items():
        np.testing.assert_array_equal(masks[key], mask)


def test_without_val_and_test_their_files_are_there_and_empty(tmp_path, prepare, write_crowdai):
    prepared = prepare(write_crowdai(tmp_path / "set", [("a.png", IMAGE, [INNER])]))
    truth = read_json(prepared / "labels/val/truth.json")
    assert (truth["images"], truth["annotations"]) == ([], [])
    assert names_in(prepared, "images") == names_in(prepared, "instances") == ["train/a"]
    assert set(contents(prepared)) == FILES


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (30, 7)])
def test_images_of_any_size_are_prepared(tmp_path, prepare, write_crowdai, shape):
    image = np.full((*shape, 3), 9, np.uint8)
    root = write_crowdai(tmp_path / "set", [("a.png", image, [np.ones(shape, bool)])])
    prepared = prepare(root, edge_width=0)
    np.testing.assert_array_equal(
        archive_of(prepared, "train/a", "instances").read("train/a"), np.ones(shape)
    )
    objects = encode_instances(np.ones(shape, np.uint8))
    annotation = read_json(prepared / "labels/train/truth.json")["annotations"][0]
    assert annotation["segmentation"] == objects.rles[0]
    assert annotation["bbox"] == objects.boxes[0].tolist()


def test_content_counts_not_the_extension(tmp_path, prepare, write_crowdai):
    rgba = cv2.imencode(".png", np.dstack([IMAGE[..., ::-1], IMAGE[..., 0]]))[1].tobytes()
    jpeg = cv2.imencode(".jpg", IMAGE)[1].tobytes()
    deep = cv2.imencode(".png", IMAGE[..., 0].astype(np.uint16) * 257)[1].tobytes()
    size = {"height": 8, "width": 10}
    items = [("a.jpg", rgba, [INNER], size), ("b.png", jpeg, [], size), ("c.png", deep, [], size)]
    prepared = prepare(write_crowdai(tmp_path / "set", items))
    archive = archive_of(prepared, "train/a")
    assert [archive.read_bytes(name) for name in archive.names[:2]] == [rgba, jpeg]
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
        "0 hidden under others, 1 without a pixel, 2 duplicates dropped, "
        "1 annotations with iscrowd 1 ignored, 0 images rejected, "
        "1 files not listed; images with warnings: crowd 1, duplicate 1, outside 1, vanished 1"
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
    names = ["test/z", "train/b", "train/c"]
    assert [row["name"] for row in all_images(prepared)] == names
    assert all_images(prepared)[0]["image_id"] == "2"  # numbers stay with the files
    assert names_in(prepared, "images") == names
    assert names_in(prepared, "instances") == names[1:]
    assert [image["id"] for image in read_json(prepared / "labels/train/truth.json")["images"]] == [
        1,
        3,
    ]
    assert {
        a["image_id"] for a in read_json(prepared / "labels/train/truth.json")["annotations"]
    } == {1}
    assert read_json(prepared / "labels/val/truth.json")["images"] == []


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
    (tmp_path / "prepared/train/images.csv").write_text("old")
    (tmp_path / "prepared.partial").mkdir()
    (tmp_path / "prepared.partial/images.csv").write_text("of a run that was killed")
    assert contents(prepare(root)) == before
    assert set(before) == FILES


def test_a_folder_of_other_files_is_not_replaced(root, prepare, tmp_path):
    for out, words in (
        ("set", "holds 'test_images/y.png'"),
        ("set/train", "holds 'annotation.json'"),
    ):
        with pytest.raises(InputError, match=f"would be replaced, but {words}, which is none"):
            prepare(root, out)
    with pytest.raises(InputError, match="is a file, not a folder to write to"):
        prepare(root, "set/train/annotation.json")
    assert (root / "train/images/a.jpg").is_file()


def test_processes_write_the_same_bytes_as_one_process(root, prepare, monkeypatch):
    alone = contents(prepare(root))
    monkeypatch.setattr("src.parallel.workers.ALONE", 0)
    with joblib.parallel_config(backend="loky"):
        assert contents(prepare(root, "again")) == alone


@pytest.mark.slow
@pytest.mark.parametrize("name", ["oam_buildings", "drawn"])
def test_a_cluster_writes_the_same_bytes_as_one_process(root, prepare, dask_scheduler, name):
    root = root if name == "drawn" else REAL / name
    if not root.is_dir():
        pytest.skip(f"{name} is not there")
    alone = contents(prepare(root))
    assert contents(prepare(root, "again", scheduler=dask_scheduler)) == alone


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
        ("scheduler", "here", "workers.scheduler: .*address of a Dask scheduler"),
        (
            "format",
            "voc",
            "dataset.format: .*'coco', 'mask_folder', 'rle_csv', 'vector', 'yolo' or",
        ),
        ("category_id", "'100'", "dataset.category_id is .'100'.: name the categories"),
        ("masks", "boxes", "dataset.masks: .*'instances', 'components', 'whole' or 'ids'"),
        ("id_column", "''", "dataset.id_column: .*at least 1 character"),
        ("group_pattern", "'a('", "dataset.group_pattern: .*no regular expression .*got 'a"),
        ("metadata_file", "../x.csv", "dataset.metadata_file: .*below dataset.root.*'../x.csv'"),
        ("metadata", "[depth, 3]", "dataset.metadata.1: .*valid string"),
        ("metadata", "[group]", "dataset.metadata: .*has a column 'group' of its own"),
        ("metadata", "[copy]", "dataset.metadata: .*makes a column 'copy' itself, rename yours"),
        ("metadata", "[depth, depth]", "dataset.metadata: .*name each column once"),
        ("edge_objects", "crop", "prepare_masks.edge_objects: .*'ignore', 'drop' or 'keep'"),
        ("edge_width", -1, "prepare_masks.edge_width: .*greater than or equal to 0"),
        ("erode", 1.5, "prepare_masks.erode: .*valid integer"),
        ("bands", str([1] * 17), "images.bands: .*at most 16"),
        ("bands", "[0]", "images.bands.0: .*greater than or equal to 1"),
        ("stretch", "log", "images.stretch: .*'none', 'range' or 'percentile'"),
        ("low", ".nan", "images.low: .*finite"),
        ("no_data", "nothing", "images.no_data.*'none'"),
        ("no_data", ".inf", "images.no_data.*finite"),
        ("orientation", "turn", "images.orientation: .*'ignore' or 'apply'"),
        ("duplicate_objects", "merge", "prepare_masks.duplicate_objects: .*'drop' or 'keep'"),
        ("reject", "blank", "prepare_masks.reject: .*valid list"),
        ("reject", "[dark]", "prepare_masks.reject.0: .*'blank', 'saturated', 'no_data'"),
        ("max_rejected", -1, "prepare_masks.max_rejected: .*greater than or equal to 0"),
    ],
)
def test_params_out_of_range_are_refused(root, prepare, key, value, words):
    with pytest.raises(InputError, match=words):
        prepare(root, **{key: value})


@pytest.mark.parametrize(
    ("stretch", "low", "high", "words"),
    [
        ("range", 5.0, 5.0, r"images.high: .*above low \(5\) where stretch is range"),
        ("percentile", 98, 2, r"images.high: .*above low \(98\) where stretch is percentile"),
        ("percentile", -1, 50, r"images.high: .*percentiles lie from 0 to 100, low \(-1\) too"),
        ("percentile", 2, 101, "images.high: .*percentiles lie from 0 to 100"),
    ],
)
def test_a_stretch_between_values_that_do_not_fit_is_refused(
    root, prepare, stretch, low, high, words
):
    with pytest.raises(InputError, match=words):
        prepare(root, stretch=stretch, low=low, high=high)


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
    rows = all_images(prepared)
    assert [sum(row["split"] == s for row in rows) for s in ("train", "val", "test")] == images
    for split, count in zip(("train", "val"), annotations, strict=True):
        truth = read_json(prepared / "labels" / split / "truth.json")
        assert len(truth["annotations"]) == count
        seen = [int(r["objects"]) + int(r["ignored"]) for r in rows if r["split"] == split]
        assert sum(seen) == count


def test_where_images_lie_on_the_map_is_kept(prepare, root):
    world = "0.5\n0\n0\n-0.5\n100.25\n199.75\n"  # the centre of the first pixel
    (root / "train" / "images" / "b.pgw").write_text(world)
    rows = table(prepare(root) / "geotransforms/train.csv")
    assert [list(row.values()) for row in rows] == [
        ["train/b", "100.0", "0.5", "0.0", "200.0", "0.0", "-0.5", ""]
    ]


@pytest.fixture
def odd(tmp_path, write_crowdai):
    """Dataset with an image for each kind of warning, and one without."""
    grey, dark = np.full((8, 10, 3), 90, np.uint8), np.clip(IMAGE, 1, 254)
    dark[:, :6] = 0
    clear = np.dstack([IMAGE, np.where(np.arange(10) < 7, 0, 255) + np.zeros((8, 1))])
    clear = cv2.imencode(".png", clear.astype(np.uint8))[1].tobytes()
    bow_tie = {"segmentation": [[2, 2, 8, 6, 8, 2, 2, 6]]}
    inside = {"segmentation": [[3, 3, 5, 3, 5, 5, 3, 5]]}
    size = {"height": 8, "width": 10}
    train = [
        ("blank.png", grey, [INNER]),
        ("clear.png", clear, [INNER], size),
        ("dark.png", dark, []),
        ("hidden.png", IMAGE, [inside, {"segmentation": [[3, 3, 4, 3, 4, 5, 3, 5]]},
                               {"segmentation": [[4, 3, 5, 3, 5, 5, 4, 5]]}]),
        ("objects.png", IMAGE, [INNER, bow_tie, INNER, {"segmentation": [[5, 5, 5, 5, 5, 5]]},
                                INNER, {"segmentation": [[5, 3, 12, 3, 12, 6, 5, 6]]}]),
        ("plain.png", IMAGE, [INNER]),
    ]  # fmt: skip
    return write_crowdai(tmp_path / "odd", train, test=[("flat.png", grey)])


def test_what_is_odd_is_listed_and_kept(odd, prepare, capsys):
    prepared = prepare(odd)
    rows = table(prepared / "warnings.csv")
    stems = [PurePosixPath(row["file"]).stem for row in rows]
    assert [PurePosixPath(row.pop("name")).stem for row in rows] == stems
    assert [tuple(row.values()) for row in rows] == [
        ("test_images/flat.png", "blank", "all pixels are alike"),
        ("train/images/blank.png", "blank", "all pixels are alike"),
        ("train/images/clear.png", "saturated", "70.0 % of the pixels are 0 or 255 in all bands"),
        ("train/images/clear.png", "no_data", "70.0 % of the pixels are without data"),
        ("train/images/dark.png", "saturated", "60.0 % of the pixels are 0 or 255 in all bands"),
        ("train/images/hidden.png", "hidden", "1 object lies wholly under others"),
        ("train/images/objects.png", "outside", "1 object (id 11)"),
        ("train/images/objects.png", "repaired", "1 object (id 7)"),
        ("train/images/objects.png", "vanished", "1 object (id 9)"),
        ("train/images/objects.png", "duplicate", "2 objects (id 8 10)"),
    ]
    assert len(all_images(prepared)) == 7
    assert (
        capsys.readouterr()
        .out.splitlines()[-1]
        .endswith(
            "; images with warnings: blank 2, duplicate 1, hidden 1, no_data 1, outside 1, "
            "repaired 1, saturated 2, vanished 1"
        )
    )


def test_warnings_reject_an_image_where_asked(odd, prepare):
    prepared = prepare(odd, reject="[hidden, vanished, blank, repaired]", max_rejected=4)
    assert [tuple(row.values()) for row in table(prepared / "rejected.csv")] == [
        ("test_images/flat.png", "blank: all pixels are alike"),
        ("train/images/blank.png", "blank: all pixels are alike"),
        ("train/images/hidden.png", "hidden: 1 object lies wholly under others"),
        ("train/images/objects.png", "repaired: 1 object (id 7)"),
    ]
    kinds = [row["kind"] for row in table(prepared / "warnings.csv")]
    assert kinds == ["saturated", "no_data", "saturated"]
    with pytest.raises(InputError, match="4 images rejected, .* first test_images/flat.png: blank"):
        prepare(odd, reject="[hidden, vanished, blank, repaired]", max_rejected=3)


def test_an_object_annotated_twice_counts_once_unless_kept(odd, prepare):
    truths = {}
    for choice in ("drop", "keep"):
        prepared = prepare(odd, choice, duplicate_objects=choice)
        truth = read_json(prepared / "labels/train/truth.json")
        truths[choice] = [a["id"] for a in truth["annotations"] if a["image_id"] == 5]
        assert "duplicate" in [row["kind"] for row in table(prepared / "warnings.csv")]
    assert truths == {"drop": [6, 7, 11], "keep": [6, 7, 8, 10, 11]}


def test_a_group_may_be_a_part_of_the_file_name(tmp_path, prepare, write_crowdai):
    items = [(f"{name}.png", IMAGE, [INNER], {"group": "own"}) for name in ("a_1", "a_2", "b")]
    root = write_crowdai(tmp_path / "set", items)
    for pattern, groups in ((r"'^(.+)_\d'", ["a", "a", "own"]), (r"'\w\.'", ["1.", "2.", "b."])):
        rows = all_images(prepare(root, group_pattern=pattern))
        assert [row["group"] for row in rows] == groups


def test_bands_of_16_bits_are_brought_to_8(tmp_path, prepare, write_crowdai):
    deep = np.arange(80, dtype=np.uint16).reshape(8, 10) * 100
    content = cv2.imencode(".png", deep)[1].tobytes()
    items = [("a.png", content, [INNER], {"height": 8, "width": 10})]
    root = write_crowdai(tmp_path / "set", items)
    prepared = prepare(root, bands="[1]", stretch="range", low=0.0, high=5100.0)
    found = archive_of(prepared, "train/a").read("train/a", PHOTO)
    expected = np.minimum(np.arange(80).reshape(8, 10) * 5, 255)
    np.testing.assert_array_equal(found, np.dstack([expected] * 3))


def test_what_is_auto_is_found_told_and_stored(tmp_path, prepare, capsys):
    for folder in ("images", "gt"):
        (tmp_path / "set/train" / folder).mkdir(parents=True)
    deep = np.arange(80, dtype=np.uint16).reshape(8, 10) * 50
    cv2.imwrite(str(tmp_path / "set/train/images/a.png"), deep)
    mask = np.zeros((8, 10), np.uint8)
    mask[3:5, 3:6] = 1
    cv2.imwrite(str(tmp_path / "set/train/gt/a.png"), mask)
    keys = ("format", "category_id", "masks", "mask_folder", "mask_suffix", "stretch")
    prepared = prepare(tmp_path / "set", **dict.fromkeys(keys, "auto"))
    found = {one["key"]: one["value"] for one in read_json(prepared / "recognised.json")}
    assert found == {
        "dataset.format": "mask_folder", "dataset.masks": "components",
        "dataset.mask_folder": "gt", "dataset.mask_suffix": "", "dataset.category_id": 1,
        "images.stretch": "range", "images.low": 0.0, "images.high": 3950.0,
    }  # fmt: skip
    printed = capsys.readouterr().out
    assert "dataset.mask_folder is gt: it is the only folder with images beside 'images'" in printed
    assert printed.index("dataset.format is mask_folder") < printed.index("images.high is 3950.0")
    image = archive_of(prepared, "train/a").read("train/a", PHOTO)
    assert (image.min(), image.max()) == (0, 255)
    truth = read_json(prepared / "labels/train/truth.json")
    assert [one["category_id"] for one in truth["annotations"]] == [1]


def test_an_image_left_with_few_grey_levels_is_warned_of(tmp_path, prepare, write_crowdai):
    deep = np.arange(80, dtype=np.uint16).reshape(8, 10) * 50
    content = cv2.imencode(".png", deep)[1].tobytes()
    items = [("a.png", content, [INNER], {"height": 8, "width": 10})]
    prepared = prepare(write_crowdai(tmp_path / "set", items), stretch="none")
    [row] = table(prepared / "warnings.csv")
    assert row["kind"] == "few_levels"
    # 0 to 3950 in steps of 50, of 256 each: 0 to 15
    expected = (
        "16 of 256 grey levels are left of 80 values; set images.stretch to auto, or to range"
    )
    assert row["detail"] == expected


def test_pages_that_nobody_asked_for_are_warned_of(tmp_path, prepare, write_crowdai):
    pages = [Image.fromarray(IMAGE[..., band]) for band in range(3)]
    stream = io.BytesIO()
    pages[0].save(stream, "TIFF", save_all=True, append_images=pages[1:])
    items = [("a.tif", stream.getvalue(), [INNER], {"height": 8, "width": 10})]
    root = write_crowdai(tmp_path / "set", items)
    prepared = prepare(root)
    [row] = table(prepared / "warnings.csv")
    assert (row["kind"], row["detail"]) == (
        "pages",
        "the first of 3 pages or frames was read; of a TIFF file images.bands numbers the bands of "
        "all",
    )
    prepared = prepare(root, bands="[1, 2, 3]")
    assert table(prepared / "warnings.csv") == []
    image = archive_of(prepared, "train/a").read("train/a", PHOTO)
    np.testing.assert_array_equal(image, IMAGE)


def test_masks_in_files_are_read(tmp_path, prepare):
    for folder in ("images", "labels"):
        (tmp_path / "set/train" / folder).mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "set/train/images/a.png"), IMAGE)
    mask = np.zeros((8, 10), np.uint8)
    mask[3:5, 3:6] = mask[6, 8:] = 255
    cv2.imwrite(str(tmp_path / "set/train/labels/a_mask.png"), mask)
    options = {"format": "mask_folder", "mask_folder": "labels", "mask_suffix": "_mask"}
    for masks, objects in (("components", 2), ("whole", 1)):
        prepared = prepare(tmp_path / "set", masks=masks, edge_objects="keep", **options)
        instances = archive_of(prepared, "train/a", "instances").read("train/a")
        np.testing.assert_array_equal(instances > 0, mask > 0)
        assert instances.max() == objects
        truth = read_json(prepared / "labels/train/truth.json")
        assert [entry["category_id"] for entry in truth["annotations"]] == [100] * objects
        assert truth["categories"] == [{"id": 100, "name": "100"}]


def test_run_lengths_in_a_table_are_read(tmp_path, prepare):
    (tmp_path / "set/train/images").mkdir(parents=True)
    for name in ("a", "b"):
        cv2.imwrite(str(tmp_path / f"set/train/images/{name}.png"), IMAGE)
    (tmp_path / "set/train/train.csv").write_text("picture,runs\na,28 2 36 2 44 2\nb,\n")
    options = {"id_column": "picture", "rle_column": "runs"}
    prepared = prepare(tmp_path / "set", format="rle_csv", masks="components", **options)
    expected = np.zeros((8, 10), np.uint16)
    expected[3:5, 3:6] = 1  # pixels are counted from 1, down the columns
    archive = archive_of(prepared, "train/a", "instances")
    np.testing.assert_array_equal(archive.read("train/a"), expected)
    assert not archive.read("train/b").any()
    with pytest.raises(InputError, match="dataset.masks is ids"):
        prepare(tmp_path / "set", format="rle_csv", masks="ids", **options)


BRUSH = {"segmentation": {"size": [8, 10], "counts": [27, 2, 6, 2, 6, 2, 35]}, "iscrowd": 1}


def test_brush_masks_with_iscrowd_are_warned_of_and_can_be_objects(
    tmp_path, prepare, write_crowdai
):
    root = write_crowdai(tmp_path / "set", [("a.png", IMAGE, [BRUSH, INNER | {"id": 7}])])
    prepared = prepare(root, edge_objects="keep")
    [row] = table(prepared / "warnings.csv")
    assert (row["kind"], row["detail"][:40]) == (
        "crowd",
        "1 object (id 1) with iscrowd 1, which ar",
    )
    prepared = prepare(root, crowd="objects", duplicate_objects="keep")
    assert table(prepared / "warnings.csv")[0]["kind"] == "duplicate"  # it is the very square
    truth = read_json(prepared / "labels/train/truth.json")["annotations"]
    assert [(one["iscrowd"], one["area"]) for one in truth] == [(0, 6), (0, 6)]
    root = write_crowdai(tmp_path / "all", [("a.png", IMAGE, [BRUSH]), ("b.png", IMAGE, [BRUSH])])
    with pytest.raises(
        InputError, match="edge_objects; 2 annotations have iscrowd 1, set dataset.cr"
    ):
        prepare(root)


def test_what_an_annotation_lacks_costs_the_object_and_not_its_image(
    tmp_path, prepare, write_crowdai
):
    thin, line = {"segmentation": []}, {"segmentation": [[3, 3, 6, 5]]}
    part = {"segmentation": [*INNER["segmentation"], [7, 7, 8, 8]]}
    root = write_crowdai(tmp_path / "set", [("a.png", IMAGE, [thin, line, part])])
    prepared = prepare(root)
    found = {row["kind"]: row["detail"] for row in table(prepared / "warnings.csv")}
    assert found["vanished"] == "2 objects (id 1 2)"
    assert found["incomplete"].startswith("2 objects (id 2 3): parts of an outline with fewer")
    [one] = read_json(prepared / "labels/train/truth.json")["annotations"]
    assert (one["id"], one["area"]) == (3, 6)


def test_outlines_through_pixel_centres_are_told_and_taken_whole(tmp_path, prepare, write_crowdai):
    # rows 2 to 5 and columns 2 to 6, as OpenCV's contour of them goes
    cut = {"segmentation": [[2, 2, 2, 5, 6, 5, 6, 2]], "area": 20}
    root = write_crowdai(tmp_path / "set", [("a.png", IMAGE, [cut])])
    prepared = prepare(root, edge_width=0)
    [row] = table(prepared / "warnings.csv")
    assert row["kind"] == "shrunk"
    assert row["detail"].endswith("cuts off a row and a column; set dataset.polygons to centres")
    assert (archive_of(prepared, "train/a", "instances").read("train/a") > 0).sum() == 12
    prepared = prepare(root, edge_width=0, polygons="centres")
    assert table(prepared / "warnings.csv") == []
    expected = np.zeros((8, 10), np.uint16)
    expected[2:6, 2:7] = 1
    found = archive_of(prepared, "train/a", "instances").read("train/a")
    np.testing.assert_array_equal(found, expected)


def test_several_categories_can_be_one_and_others_are_counted(
    tmp_path, prepare, write_crowdai, capsys
):
    other = {"segmentation": [[3, 6, 6, 6, 6, 7, 3, 7]], "category_id": 3}
    annotations = [INNER | {"category_id": 1}, other, INNER | {"category_id": 2}]
    root = write_crowdai(tmp_path / "set", [("a.png", IMAGE, annotations)])
    prepared = prepare(root, category_id="[1, 3]", edge_width=0)
    assert "1 annotations of other categories" in capsys.readouterr().out
    truth = read_json(prepared / "labels/train/truth.json")
    assert [one["category_id"] for one in truth["annotations"]] == [1, 1]
    assert [one["id"] for one in truth["annotations"]] == [1, 2]
    assert truth["categories"] == [{"id": 1, "name": "1, 3"}]


def test_images_without_a_place_are_counted_where_others_have_one(root, prepare, capsys):
    prepare(root)
    assert "place on the map" not in capsys.readouterr().out
    (root / "train/images/b.pgw").write_text("0.5\n0\n0\n-0.5\n100.25\n199.75\n")
    prepare(root)
    line = capsys.readouterr().out.splitlines()[-1]
    assert "5 images without a place on the map, which others have" in line
