import csv
import json

import cv2
import numpy as np
import pytest

from src.base.errors import InputError
from src.duplicates.perceptual_hash import view
from src.formats.archive import write_archive
from src.formats.prepared import IMAGE_TYPES
from src.image_files.geotransforms import COLUMNS as PLACE
from stages.find_duplicates import main


def picture(seed, height=80, width=80):
    rng = np.random.default_rng(seed)
    image = sum(
        cv2.resize(rng.standard_normal((n, n, 3)), (width, height), interpolation=cv2.INTER_CUBIC)
        for n in (3, 6, 12)
    )
    return np.clip(np.rint(128 + 35 * image), 0, 255).astype(np.uint8)


def turned(image, number):
    """A view, a little brighter, as the bytes of a JPEG file."""
    image = np.moveaxis(view(np.moveaxis(image, 2, 0), number), 0, 2)
    image = np.clip(np.rint(image * 1.04), 0, 255).astype(np.uint8)
    return cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 70])[1].tobytes()


def size(image):
    if isinstance(image, bytes):
        image = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
    return image.shape[:2]


def prepare(folder, images, groups=(), places=()):
    """Write a prepared folder of images by name, RGB arrays or the bytes of files."""
    groups = dict(groups)
    for split in ("train", "val", "test"):
        own = {name: image for name, image in images.items() if name.startswith(f"{split}/")}
        (folder / split).mkdir(parents=True)
        (folder / "geotransforms").mkdir(exist_ok=True)
        write_archive(folder / split / "images.zip", sorted(own.items()))
        rows = [
            [name, split, 1, "a.jpg", *size(image), 1, 0, 0.1, groups.get(name, name)]
            for name, image in own.items()
        ]
        for file, header, lines in (
            (f"{split}/images.csv", list(IMAGE_TYPES), rows),
            (f"geotransforms/{split}.csv", ["name", *PLACE], [p for p in places if p[0] in own]),
        ):
            with (folder / file).open("w", newline="") as opened:
                csv.writer(opened, lineterminator="\n").writerows([header, *lines])
    return folder


def run(prepared, **params):
    """Run the stage; return the rows of its tables of all splits, and its report."""
    defaults = {"distance": 10, "difference": 12.0, "local_difference": 0.4, "tile_overlap": 0.0}
    params = defaults | params
    lines = "".join(f"  {key}: {value}\n" for key, value in params.items())
    out = prepared.parent / "out"
    settings = prepared.parent / "params.yaml"
    settings.write_text(f"find_duplicates:\n{lines}workers:\n  scheduler: none\n")
    arguments = [prepared, out / "groups", out / "leakage.json", "--params", settings]
    main([str(argument) for argument in arguments])
    tables = []
    for name in ("groups.csv", "pairs.csv"):
        with (out / "groups" / name).open(newline="") as file:
            tables.append(list(csv.DictReader(file)))
    return *tables, json.loads((out / "leakage.json").read_text())


def column(rows, key):
    return {row["name"]: row[key] for row in rows}


@pytest.fixture
def leaking(tmp_path):
    """A turned copy of train in val and in test, twins in val, and a group of its own."""
    base = [picture(seed) for seed in range(6)]
    images = {f"train/{i}": image for i, image in enumerate(base[:4])}
    images |= {"val/0": turned(base[0], 3), "val/1": base[4], "val/2": turned(base[4], 0)}
    images |= {"val/3": base[5], "test/0": turned(base[2], 6)}
    groups = {"train/0": "roof", "train/1": "roof"}
    return prepare(tmp_path / "prepared", images, groups)


def test_copies_share_a_cluster_and_join_their_groups(leaking):
    groups, pairs, _ = run(leaking)
    assert list(groups[0]) == ["name", "split", "own_group", "group", "cluster"]
    assert [row["name"] for row in groups] == sorted(column(groups, "name"))
    assert column(groups, "split")["val/3"] == "val"
    assert column(groups, "own_group")["train/1"] == "roof"
    assert column(groups, "own_group")["val/0"] == "val/0"
    assert column(groups, "cluster") == {
        "test/0": "0",
        "train/0": "1",
        "train/1": "",
        "train/2": "0",
        "train/3": "",
        "val/0": "1",
        "val/1": "2",
        "val/2": "2",
        "val/3": "",
    }
    assert column(groups, "group") == {
        "test/0": "test/0",
        "train/0": "roof",
        "train/1": "roof",
        "train/2": "test/0",
        "train/3": "train/3",
        "val/0": "roof",
        "val/1": "val/1",
        "val/2": "val/1",
        "val/3": "val/3",
    }
    assert [(row["name_a"], row["name_b"], row["view"]) for row in pairs] == [
        ("test/0", "train/2", "2"),  # 6 are three quarter turns; one undoes them
        ("train/0", "val/0", "3"),
        ("val/1", "val/2", "0"),
    ]
    assert all(0 <= int(row["distance"]) <= 10 for row in pairs)
    assert all(0 < float(row["difference"]) < 4 for row in pairs)


def test_the_leak_is_told_in_numbers_and_in_a_sentence(leaking, capsys):
    *_, leaks = run(leaking)
    assert leaks == {
        "clusters": 3,
        "largest_cluster": 2,
        "train.largest_cluster": 1,
        "train.images": 4,
        "train.duplicated": 0,
        "val.images": 4,
        "val.duplicated": 2,
        "val.in_train": 1,
        "val.in_train_share": 0.25,
        "val.clean": 3,
        "test.images": 1,
        "test.duplicated": 0,
        "test.in_train": 1,
        "test.in_train_share": 1.0,
        "test.clean": 0,
        "blank": 0,
        "warning": None,
    }
    assert "1 of 4 val images (25.0 %) and 1 of 1 test images (100.0 %)" in capsys.readouterr().out


def test_the_same_input_gives_the_same_bytes(leaking):
    written = []
    for _ in range(2):
        run(leaking)
        files = sorted((leaking.parent / "out").rglob("*.*"))
        written.append([(file.name, file.read_bytes()) for file in files])
    names = ["groups.csv", "pairs.csv", "train.csv", "leakage.json"]
    assert [name for name, _ in written[0]] == names
    assert written[0] == written[1]


def test_off_reads_no_image_and_keeps_the_groups(leaking, capsys):
    for split in ("train", "val", "test"):
        (leaking / split / "images.zip").unlink()
    groups, pairs, leaks = run(leaking, distance=-1)
    assert column(groups, "group") == column(groups, "own_group")
    assert set(column(groups, "cluster").values()) == {""}
    assert pairs == []
    assert leaks["val.images"] == 4
    assert leaks["val.in_train"] is leaks["clusters"] is leaks["blank"] is None
    assert "were not looked for" in capsys.readouterr().out


def test_a_chain_through_copies_and_groups_is_one_group(tmp_path):
    image = picture(0)
    images = {"train/a": image, "train/b": turned(image, 5), "train/c": picture(1)}
    groups = [("train/b", "scene"), ("train/c", "scene")]
    groups, *_ = run(prepare(tmp_path / "prepared", images, groups))
    assert set(column(groups, "group").values()) == {"scene"}
    assert column(groups, "cluster") == {"train/a": "0", "train/b": "0", "train/c": ""}


def train_table(folder):
    with (folder.parent / "out/groups/train.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_groups_of_train_are_those_without_the_other_splits(leaking, tmp_path):
    run(leaking)
    table = train_table(leaking)
    assert [row["name"] for row in table] == [f"train/{i}" for i in range(4)]
    assert column(table, "group")["train/2"] == "train/2"  # among all it is test/0
    assert set(column(table, "cluster").values()) == {""}
    alone = {f"train/{i}": picture(i) for i in range(4)}
    (tmp_path / "alone").mkdir()
    other = prepare(tmp_path / "alone/prepared", alone, {"train/0": "roof", "train/1": "roof"})
    run(other)
    assert train_table(other) == table


def test_an_image_of_test_joins_groups_of_train_among_all_and_not_in_train(tmp_path):
    images = {"train/a": picture(0), "train/b": picture(1), "test/c": picture(2)}
    places = [
        ["train/a", 0, 1, 0, 0, 0, -1, "EPSG:32630"],
        ["train/b", 100, 1, 0, 0, 0, -1, "EPSG:32630"],
        ["test/c", 50, 1, 0, 0, 0, -1, "EPSG:32630"],  # 30 px of each
    ]
    folder = prepare(tmp_path / "prepared", images, places=places)
    groups, *_ = run(folder, tile_overlap=0.3)
    assert set(column(groups, "group").values()) == {"test/c"}
    assert column(train_table(folder), "group") == {"train/a": "train/a", "train/b": "train/b"}


def test_blank_images_are_counted_and_not_joined(tmp_path):
    images = {f"train/{i}": np.full((40, 40, 3), 255, np.uint8) for i in range(5)}
    groups, pairs, leaks = run(prepare(tmp_path / "prepared", images))
    assert pairs == []
    assert len(set(column(groups, "group").values())) == 5
    assert leaks["blank"] == 5


def on_black(row, column):
    image = np.full((96, 96, 3), 6, np.uint8)
    cv2.circle(image, (column, row), 5, (150, 150, 150), -1)
    return image


def test_scenes_of_one_background_are_joined_only_if_the_worst_place_is_not_judged(
    tmp_path, capsys
):
    places = [(20, 30), (24, 34), (28, 38), (32, 30)]
    images = {f"train/{i}": on_black(*place) for i, place in enumerate(places)}
    images["train/4"] = turned(images["train/0"], 3)
    images["val/0"] = on_black(22, 32)
    folder = prepare(tmp_path / "prepared", images)
    groups, pairs, leaks = run(folder)
    assert [(pair["name_a"], pair["name_b"]) for pair in pairs] == [("train/0", "train/4")]
    assert len(set(column(groups, "group").values())) == 5
    assert leaks["train.largest_cluster"] == 2
    assert leaks["warning"] is None
    assert "one cluster" not in capsys.readouterr().out
    _, _, leaks = run(folder, local_difference=0, difference=50.0, distance=16)
    assert leaks["train.largest_cluster"] == 3
    assert leaks["warning"] in capsys.readouterr().out
    assert leaks["warning"].startswith("3 of 5 train images are in one cluster of near-duplicates")


def test_one_image_of_one_pixel_is_enough(tmp_path, capsys):
    images = {"train/a": np.zeros((1, 1, 3), np.uint8)}
    groups, _, leaks = run(prepare(tmp_path / "prepared", images))
    assert len(groups) == leaks["train.images"] == 1
    assert leaks["val.in_train_share"] is None
    assert "0 of 1 train images have near-duplicates in train" in capsys.readouterr().out


@pytest.mark.parametrize("number", range(8))
def test_views_of_images_that_are_not_square_are_found(tmp_path, number):
    image = picture(0, 45, 71)
    images = {"train/a": image, "val/a": turned(image, number)}
    _, [pair], leaks = run(prepare(tmp_path / "prepared", images))
    assert pair["view"] == str(number)
    assert leaks["val.in_train"] == 1


@pytest.mark.parametrize(("overlap", "together"), [(0.4, True), (0.6, False), (0, False)])
def test_overlapping_ground_joins_groups_but_makes_no_cluster(tmp_path, overlap, together):
    images = {"train/a": picture(0), "val/b": picture(1), "val/c": picture(2)}
    places = [
        ["train/a", 0, 1, 0, 0, 0, -1, "EPSG:32630"],
        ["val/b", 40, 1, 0, 0, 0, -1, "EPSG:32630"],  # half of it
        ["val/c", 0, 1, 0, 0, 0, -1, "EPSG:32631"],
    ]
    groups, pairs, leaks = run(
        prepare(tmp_path / "prepared", images, places=places), tile_overlap=overlap, distance=-1
    )
    group = column(groups, "group")
    assert (group["train/a"] == group["val/b"]) is together
    assert group["val/c"] == "val/c"
    assert pairs == []
    assert leaks["val.clean"] == (1 if together else 2)


def test_a_dataset_without_images_is_refused(tmp_path):
    with pytest.raises(InputError, match="prepared: holds no image; prepare a dataset that has"):
        run(prepare(tmp_path / "prepared", {}))
    assert not (tmp_path / "out").exists()


def test_what_is_missing_is_told_with_the_stage_to_run(leaking):
    (leaking / "val/images.csv").unlink()
    with pytest.raises(InputError, match="val/images.csv: no such file; run prepare_masks"):
        run(leaking)


def test_an_image_that_is_not_in_the_archive_is_named(leaking):
    write_archive(leaking / "val/images.zip", [("val/0", picture(0))])
    with pytest.raises(InputError, match="val/images.zip: holds no 'val/1'"):
        run(leaking)


@pytest.mark.parametrize(
    "wrong",
    [
        {"distance": 17},
        {"distance": -2},
        {"difference": -1.0},
        {"local_difference": -0.1},
        {"tile_overlap": 1.0},
    ],
)
def test_params_out_of_range_are_refused(leaking, wrong):
    with pytest.raises(InputError, match=f"find_duplicates.{next(iter(wrong))}"):
        run(leaking, **wrong)
