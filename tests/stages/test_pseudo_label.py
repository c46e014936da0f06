import json

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from src.base.errors import InputError
from src.formats.archive import ImageArchive, write_archive
from stages import pseudo_label
from tests.sections import write_plan

DEFAULTS = {
    "low": 0.2,
    "high": 0.8,
    "min_certain": 0.75,
    "max_spread": 0.5,
    "min_expected_iou": 0.0,
    "min_share": 0.0,
    "max_share": 0.0,
    "targets": "hard",
}
# Of both members: by the mean all of a is certain, 3 of 4 pixels of b, half of c.
MAIN = {"a": [255, 255, 0, 204], "b": [255, 0, 0, 100], "c": [255, 0, 100, 100], "d": [0] * 4}
OTHER = {"a": [255, 255, 0, 204], "b": [255, 0, 0, 200], "c": [255, 0, 100, 200], "d": [0] * 4}
U = 65535  # uncertain
SCHEDULER = "none"
NAMES = [*(f"train/{i}" for i in range(4)), "val/a", *(f"test/{name}" for name in "dcba")]


def named(maps):
    return [(f"test/{name}", np.array([row], np.uint8)) for name, row in sorted(maps.items())]


def write_teacher(data, member, fold, maps, *, oof, spreads=None):
    folder = data / f"teachers/{member}/fold{fold}"
    write_archive(folder / "test.zip", named(maps))
    write_archive(folder / "oof.zip", [(name, np.zeros((1, 4), np.uint8)) for name in oof])
    if spreads:
        write_archive(folder / "test_view_spread.zip", named(spreads))
    listed = {"heads": ["mask"], "spreads": ["view"] if spreads else []}
    (folder / "maps.json").write_text(json.dumps(listed))


def write_groups(data, **others):
    """Every image is a group of its own but for those given, by the letter of a test image."""
    joined = {f"test/{letter}": group for letter, group in others.items()}
    groups = pd.DataFrame({"name": NAMES, "group": [joined.get(name, name) for name in NAMES]})
    (data / "groups").mkdir(exist_ok=True)
    groups.to_csv(data / "groups/groups.csv", index=False)


@pytest.fixture
def data(tmp_path):
    """Two members of fold 1, four training images, one of val and four of test."""
    for split in ("train", "val", "test"):
        names = [name for name in NAMES if name.startswith(split)]
        images = pd.DataFrame({"name": names, "split": split, "image_id": range(1, len(names) + 1)})
        images = images.assign(file_name=names, height=1, width=4, group=names)
        images = images.assign(objects="", ignored="", coverage="")
        (tmp_path / "prepared" / split).mkdir(parents=True)
        images.to_csv(tmp_path / f"prepared/{split}/images.csv", index=False)
    names = NAMES
    folds = pd.DataFrame({"name": names[:4], "fold": [0, 0, 1, 1], "repeat": 0, "group": names[:4]})
    folds = folds.assign(copies=1, copy=0, test_likeness=0.5)
    folds.to_csv(tmp_path / "folds.csv", index=False)
    for member, maps in {"main": MAIN, "other": OTHER}.items():
        write_teacher(tmp_path, member, 1, maps, oof=["train/2", "train/3"])
    write_groups(tmp_path)
    return tmp_path


def run(data, fold=1, members=("main", "other"), **changes):
    params = {
        "pseudo_label": DEFAULTS | changes,
        "weight_maps": {"max_distance": "auto"},
        "members": {name: {} for name in members},
        "workers": {"scheduler": SCHEDULER},
    }
    YAML().dump(params, data / "params.yaml")
    write_plan(data / "plan", weight_maps={"max_distance": 20})
    paths = ["prepared", "plan", "groups", "folds.csv", "teachers", "out"]
    options = ["--fold", str(fold), "--params", str(data / "params.yaml")]
    pseudo_label.main([*(str(data / path) for path in paths), *options])
    table = pd.read_csv(data / "out/images.csv")
    return "".join(table["name"][table["taken"]].str[-1])


def maps(data, file):
    archive = ImageArchive(data / f"out/{file}")
    return {name[-1]: archive.read(name)[0].tolist() for name in archive.names}


def test_sure_images_become_labels(data):
    assert run(data) == "abd"
    expected = {"a": [1, 1, 0, 2], "b": [1, 0, 0, U], "d": [0, 0, 0, 0]}
    assert maps(data, "instances.zip") == expected
    assert sorted(path.name for path in (data / "out").iterdir()) == [
        "images.csv",
        "instances.zip",
        "weight_maps.zip",
    ]


def test_every_test_image_is_listed_with_what_was_measured(data):
    run(data)
    table = pd.read_csv(data / "out/images.csv")
    assert table.columns.tolist() == ["name", "certain", "spread", "expected_iou", "taken"]
    assert table["name"].tolist() == ["test/a", "test/b", "test/c", "test/d"]
    assert table["certain"].tolist() == [1.0, 0.75, 0.5, 1.0]
    spread = [0, 50 / 255 / 4, 50 / 255 / 4, 0]  # 100 and 200 in one pixel
    np.testing.assert_allclose(table["spread"], spread, atol=1e-6)
    iou = [(255 + 255 + 204) / (3 * 255), (255 + 150) / (2 * 255), (255 + 150) / (2 * 255 + 100)]
    np.testing.assert_allclose(table["expected_iou"], [*iou, 0], atol=1e-6)
    assert table["taken"].tolist() == [True, True, False, True]


def test_weight_maps_are_those_of_the_instances(data):
    run(data)
    far = 4 * 20
    assert maps(data, "weight_maps.zip") == {
        "a": [[0, 12, 1], [0, 8, 1], [4, 4, 0], [0, 8, 1]],
        "b": [[0, far, 1], [4, far, 0], [8, far, 0], [12, far, 0]],
        "d": [[far, far, 0]] * 4,
    }


def test_soft_targets_are_the_merged_maps_of_the_images_taken(data):
    assert run(data, targets="soft") == "abd"
    assert maps(data, "soft.zip") == {"a": MAIN["a"], "b": [255, 0, 0, 150], "d": [0] * 4}
    assert maps(data, "instances.zip")["b"] == [1, 0, 0, U]


def test_only_networks_that_left_the_fold_out_are_teachers(data):
    sure = {name: [255] * 4 for name in "abcd"}
    write_teacher(data, "main", 0, sure, oof=["train/0", "train/1"])
    assert run(data, members=["main"]) == "abd"
    assert run(data, members=["main"], fold=0) == "abcd"
    assert maps(data, "instances.zip")["c"] == [1] * 4


@pytest.mark.parametrize("oof", [[], ["train/0", "train/1"], ["train/2"]])
def test_a_teacher_that_may_have_learnt_from_the_fold_is_refused(data, oof):
    write_teacher(data, "other", 1, OTHER, oof=oof)
    with pytest.raises(InputError, match=r"other/fold1/oof.zip: lacks 'train/[23]' of fold 1"):
        run(data)
    assert not (data / "out").exists()


def test_images_in_a_group_with_val_or_the_left_out_fold_are_not_taken(data):
    write_groups(data, a="val/a", b="train/2", d="train/0")
    assert run(data) == "d"
    write_groups(data, a="train/1", b="test/c", d="val/a")
    assert run(data) == "ab"


def test_groups_may_join_what_those_of_the_folds_part(data):
    # Alone, train/0 (fold 0) and train/2 (fold 1) are no group: they are one through test/a, and
    # train/1 (fold 0) and train/3 (fold 1) through val/a, which has test/b in its group too.
    joined = {"train/0": "g", "train/2": "g", "test/a": "g"}
    joined |= dict.fromkeys(["train/1", "train/3", "val/a", "test/b"], "h")
    groups = pd.DataFrame({"name": NAMES, "group": [joined.get(name, name) for name in NAMES]})
    groups.to_csv(data / "groups/groups.csv", index=False)
    for member in ("main", "other"):
        maps = {"main": MAIN, "other": OTHER}[member]
        write_teacher(data, member, 0, maps, oof=["train/0", "train/1"])
    assert run(data, fold=0) == run(data, fold=1) == "d"


def test_the_fold_an_image_is_in_may_be_one_of_several(data):
    folds = pd.read_csv(data / "folds.csv")
    again = folds.assign(repeat=1, fold=[3, 2, 3, 2])
    pd.concat([folds, again]).to_csv(data / "folds.csv", index=False)
    write_teacher(data, "main", 2, MAIN, oof=["train/1", "train/3"])
    write_groups(data, a="train/1", b="train/2", d="train/3")
    assert run(data, fold=2, members=["main"]) == "b"


@pytest.mark.parametrize(
    ("changes", "taken"),
    [
        ({"min_certain": 0.5}, "abcd"),
        ({"min_certain": 0.76}, "ad"),
        ({"max_spread": 0.04}, "ad"),
        ({"min_expected_iou": 0.01}, "ab"),
        ({"low": 0.4}, "abcd"),
        ({"high": 0.81, "min_certain": 0.76}, "d"),
        ({"max_share": 0.5}, "ad"),  # of four training images
        ({"max_share": 0.49}, "a"),
        ({"min_share": 0.75}, "abd"),
    ],
)
def test_params_decide_what_is_taken(data, changes, taken):
    assert run(data, **changes) == taken


def test_spread_over_views_counts_where_every_network_has_it(data):
    spreads = {name: [102] * 4 for name in "abcd"}
    write_teacher(data, "main", 1, MAIN, oof=["train/2", "train/3"], spreads=spreads)
    run(data, members=["main"])
    assert pd.read_csv(data / "out/images.csv")["spread"].tolist() == [0.2] * 4
    run(data)
    assert pd.read_csv(data / "out/images.csv")["spread"][0] == 0
    write_teacher(data, "other", 1, MAIN, oof=["train/2", "train/3"], spreads=spreads)
    assert run(data, max_spread=0.2) == "abd"
    assert run(data, members=["main"], max_spread=0.21) == "abd"


def test_what_it_writes_is_the_same_each_time(data):
    run(data, targets="soft")
    before = {path.name: path.read_bytes() for path in (data / "out").iterdir()}
    run(data, targets="soft")
    assert {path.name: path.read_bytes() for path in (data / "out").iterdir()} == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"min_share": 0.76},
            r"takes 3 of 4 test images \(4 share no group .* min_share 0.76 of 4",
        ),
        (
            {"max_spread": 0.0, "min_expected_iou": 1.0},
            "takes 0 of 4 .*, fewer than one; lower min",
        ),
        ({"max_share": 0.2}, "pseudo_label takes 0 of 4 test images"),
        ({"min_share": 0.5, "max_share": 0.25}, "max_share 0.25 is below pseudo_label.min_share 0"),
        ({"low": 0.6}, "pseudo_label.low: .*less than or equal to 0.5"),
        ({"high": 0.4}, "pseudo_label.high: .*greater than or equal to 0.5"),
        ({"targets": "firm"}, "pseudo_label.targets.*'firm'"),
        ({"fold": 2}, "fold 2 is not one of several"),
        ({"members": ["third"]}, "third/fold1/maps.json: no such file"),
    ],
)
def test_mistakes_are_one_sentence_and_leave_nothing_behind(data, changes, message):
    with pytest.raises(InputError, match=message) as caught:
        run(data, **changes)
    assert "\n" not in str(caught.value)
    assert not (data / "out").exists()


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("prepared/train/images.csv", "train/images.csv: no such file; run prepare_masks"),
        ("prepared/val/images.csv", "val/images.csv: no such file; run prepare_masks"),
        ("prepared/test/images.csv", "test/images.csv: no such file; run prepare_masks"),
        ("groups/groups.csv", "groups.csv: no such file; run find_duplicates"),
        ("folds.csv", "folds.csv: no such file; run split_folds"),
        ("teachers/main/fold1/maps.json", "fold1/maps.json: no such file"),
        ("teachers/other/fold1/oof.zip", "other/fold1/oof.zip: no such archive"),
        ("teachers/other/fold1/test.zip", "other/fold1/test.zip: no such archive"),
    ],
)
def test_a_missing_file_is_named(data, file, message):
    (data / file).unlink()
    with pytest.raises(InputError, match=message):
        run(data)


def test_maps_of_other_images_are_refused(data):
    oof = ["train/2", "train/3"]
    write_teacher(data, "other", 1, {name: OTHER[name] for name in "abc"}, oof=oof)
    with pytest.raises(InputError, match="other/fold1/test.zip: holds no 'test/d'"):
        run(data)
    write_teacher(data, "other", 1, OTHER | {"b": [0] * 5}, oof=oof)
    with pytest.raises(InputError, match="test/b: a map is 1 x 5 px and the image 1 x 4; predict"):
        run(data)


def test_the_work_goes_where_params_say(data, monkeypatch):
    monkeypatch.setitem(globals(), "SCHEDULER", "tcp://127.0.0.1:8786")
    seen = []

    def in_order(function, arguments, *, scheduler, memory, **fixed):
        seen.append((scheduler, memory))
        return (function(*one, **fixed) for one in arguments)

    monkeypatch.setattr(pseudo_label, "in_order", in_order)
    assert run(data, targets="soft") == "abd"
    assert seen == [("tcp://127.0.0.1:8786", (32 + 16 * 2) * 4)] * 4  # two maps of 1 x 4 px
