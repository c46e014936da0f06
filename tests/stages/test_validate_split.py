import csv
import json

import numpy as np
import pytest

from src.base.errors import InputError
from src.formats.archive import write_archive
from src.likeness.image_statistics import FEATURES
from stages.validate_split import main
from tests.image_tables import write_image_tables as write_images

SECTION = {
    "k": 3,
    "trees": 20,
    "encoder": "none",
    "encoder_weights": "none",
    "max_images": 4000,
    "resamples": 200,
    "warn_above": 0.8,
    "seed": 0,
}
COLOURS = {"red": 0, "green": 1, "blue": 2}


def photo(seed, cast=0.0, colour="blue", size=16):
    """Noise around a grey level of its own, one channel brighter by `cast`."""
    rng = np.random.default_rng(seed)
    levels = rng.normal(rng.uniform(80, 150), 20, (size, size, 3))
    levels[..., COLOURS[colour]] += cast
    return levels.clip(0, 255).astype(np.uint8)


def images(split, count, cast=0.0, start=0, **settings):
    """`count` images of a split by name, those of other numbers than of other splits' images."""
    base = {"train": 0, "val": 10_000, "test": 20_000}[split]
    return {
        f"{split}/{i:04}": photo(base + i, cast, **settings) for i in range(start, start + count)
    }


def prepare(tmp_path, photos, own_groups=None, groups=None):
    """Write what the stage reads."""
    own = {name: name for name in photos} | (own_groups or {})
    groups = own | (groups or {})
    for split in ("train", "val", "test"):
        of_split = sorted(item for item in photos.items() if item[0].startswith(f"{split}/"))
        write_archive(tmp_path / "prepared" / split / "images.zip", of_split)
    write_images(tmp_path / "prepared", [{"name": name} for name in sorted(photos)])
    (tmp_path / "groups").mkdir(exist_ok=True)
    rows = [[n, n.split("/")[0], own[n], groups[n], ""] for n in sorted(photos)]
    header = ["name", "split", "own_group", "group", "cluster"]
    with (tmp_path / "groups/groups.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def validate(tmp_path, scheduler="none", **params):
    """Run the stage; return likeness by name, rows of features.csv and the report."""
    lines = [f"  {key}: {value}\n" for key, value in (SECTION | params).items()]
    text = "validate_split:\n" + "".join(lines) + f"workers:\n  scheduler: {scheduler}\n"
    (tmp_path / "params.yaml").write_text(text)
    places = [str(tmp_path / name) for name in ("prepared", "groups", "split", "split.json")]
    main([*places, "--params", str(tmp_path / "params.yaml")])
    with (tmp_path / "split/likeness.csv").open() as file:
        likeness = {row.pop("name"): row for row in csv.DictReader(file)}
    with (tmp_path / "split/features.csv").open() as file:
        features = list(csv.DictReader(file))
    return likeness, features, json.loads((tmp_path / "split.json").read_text())


def test_a_colour_cast_is_found_and_named_and_marks_the_train_images_that_have_it(tmp_path, capsys):
    cast = images("train", 10, cast=40)
    photos = cast | images("train", 40, start=10) | images("val", 25) | images("test", 25, cast=40)
    prepare(tmp_path, photos)
    likeness, features, report = validate(tmp_path)
    assert report["test.auc"] > 0.85
    assert 0.75 < report["test.auc_low"] < report["test.auc"] < report["test.auc_high"] <= 1
    assert report["val.auc_low"] < 0.5 < report["val.auc_high"]
    colours = ("blue", "hue", "saturation", "value")
    of_test = [row for row in features if row["against"] == "test"]
    assert of_test[0]["feature"].startswith(colours)
    share = sum(float(row["gain"]) for row in of_test if row["feature"].startswith(colours))
    assert share > 0.6
    values = {name: float(row["test_likeness"]) for name, row in likeness.items()}
    assert min(values[name] for name in cast) > np.mean([values[n] for n in values.keys() - cast])
    said = capsys.readouterr().out
    assert f"train and test differ: AUC {report['test.auc']:.2f} [" in said
    assert f"mostly by {of_test[0]['feature']}, {of_test[1]['feature']}, " in said
    assert "scores may not hold on test" in said
    assert "no difference between train and val was found: AUC" in said
    assert report["test.verdict"] in said


def test_tables_have_every_train_image_and_every_feature(tmp_path):
    photos = images("train", 30) | images("val", 12, cast=30) | images("test", 12, cast=30)
    prepare(tmp_path, photos)
    likeness, features, report = validate(tmp_path)
    assert list(likeness) == sorted(images("train", 30))
    for row in likeness.values():
        assert list(row) == ["test_likeness", "val_likeness"]
        assert all(0 < float(value) < 1 for value in row.values())
    for against in ("val", "test"):
        rows = [row for row in features if row["against"] == against]
        assert {row["feature"] for row in rows} == set(FEATURES)
        gains = [float(row["gain"]) for row in rows]
        assert gains == sorted(gains, reverse=True)
        assert sum(gains) == pytest.approx(1, abs=1e-4)
    assert (report["train.images"], report["val.images"], report["test.groups"]) == (30, 12, 12)


def test_splits_that_are_absent_leave_columns_and_numbers_empty(tmp_path, capsys):
    prepare(tmp_path, images("train", 8))
    likeness, features, report = validate(tmp_path)
    assert all(row == {"test_likeness": "", "val_likeness": ""} for row in likeness.values())
    assert features == []
    for split in ("val", "test"):
        assert report[f"{split}.images"] == 0
        assert [report[f"{split}.auc{end}"] for end in ("", "_low", "_high")] == [None] * 3
        assert f"there is no {split} to compare train with" in capsys.readouterr().out + str(report)


def test_a_split_of_one_group_is_said_to_be_too_small(tmp_path):
    photos = images("train", 12) | images("val", 6) | images("test", 1)
    prepare(tmp_path, photos, own_groups=dict.fromkeys(images("val", 6), "street"))
    likeness, _, report = validate(tmp_path)
    assert report["val.auc"] is None
    verdict = "train and val cannot be compared: 12 of train and 1 of val are too few groups"
    assert report["val.verdict"] == verdict
    assert "12 of train and 1 of test are too few" in report["test.verdict"]
    assert {tuple(row.values()) for row in likeness.values()} == {("", "")}


def test_images_of_one_place_without_groups_are_not_known_again_by_each_other(tmp_path):
    """Every place has its brightness; places of test are as those of train, but not named."""
    photos, places = {}, {}
    rng = np.random.default_rng(5)
    for split, count in (("train", 40), ("test", 8)):
        for place in range(count):
            cast, level = rng.uniform(0, 60), rng.uniform(60, 150)
            for i in range(5):
                name = f"{split}/{place:02}_{i}"
                noise = rng.normal(0, 3, (16, 16, 3))
                photos[name] = (noise + [level, level, level + cast]).clip(0, 255).astype(np.uint8)
                places[name] = f"{split} place {place}"
    of_train = {name: place for name, place in places.items() if name.startswith("train")}
    prepare(tmp_path, photos, own_groups=of_train)
    assert validate(tmp_path)[2]["test.auc"] < 0.7
    prepare(tmp_path, photos)  # where train has no groups either nothing can be done
    assert validate(tmp_path)[2]["test.auc"] > 0.85
    prepare(tmp_path, photos, own_groups=places)
    assert validate(tmp_path)[2]["test.auc"] < 0.7


def test_near_duplicates_keep_their_group(tmp_path):
    """A test image that is a copy of a train image never tells what that is."""
    photos = images("train", 24) | images("test", 8)
    photos["test/0003"] = photos["train/0005"]
    pairs = {name: f"pair {int(name[-4:]) // 2}" for name in images("train", 24)}
    joined = {"test/0003": pairs["train/0005"]}
    prepare(tmp_path, photos, own_groups=pairs, groups=joined)
    kept = validate(tmp_path)
    photos["test/0003"] = photo(99)
    prepare(tmp_path, photos, own_groups=pairs, groups=joined)
    other = validate(tmp_path)
    same = [n for n in kept[0] if kept[0][n] == other[0][n]]
    assert {"train/0004", "train/0005"} <= set(same)
    assert len(same) < 24


def test_images_that_are_not_drawn_get_a_likeness_too(tmp_path):
    photos = images("train", 40) | images("test", 30, cast=60)
    prepare(tmp_path, photos)
    likeness, _, report = validate(tmp_path, max_images=20)
    assert (report["train.images"], report["test.images"]) == (20, 20)
    assert len(likeness) == 40
    assert all(float(row["test_likeness"]) < 0.5 for row in likeness.values())


def test_which_images_are_drawn_is_the_seeds(tmp_path):
    photos = images("train", 30) | images("test", 4)
    prepare(tmp_path, photos, own_groups={n: f"pair {int(n[-4:]) // 2}" for n in photos})
    seeds = (0, 0, 1, 4, 5)
    counts = [validate(tmp_path, max_images=10, seed=s)[2]["train.groups"] for s in seeds]
    assert counts[0] == counts[1]
    assert len(set(counts)) > 1


def test_the_bytes_written_are_the_same_each_time(tmp_path):
    prepare(tmp_path, images("train", 20) | images("val", 10) | images("test", 10))
    written = []
    for _ in range(2):
        validate(tmp_path)
        files = ("split/likeness.csv", "split/features.csv", "split.json")
        written.append([(tmp_path / name).read_bytes() for name in files])
    assert written[0] == written[1]


def test_an_encoder_without_weights_is_refused(tmp_path):
    prepare(tmp_path, images("train", 4) | images("test", 4))
    with pytest.raises(InputError, match=r"encoder_weights none: features of random weights"):
        validate(tmp_path, encoder="resnet18")
    assert not (tmp_path / "split").exists()


def test_an_absent_table_or_image_is_named(tmp_path):
    prepare(tmp_path, images("train", 4))
    groups = tmp_path / "groups/groups.csv"
    text = groups.read_text()
    groups.write_text(text[: text.index("train/0002")])
    with pytest.raises(InputError, match=r"groups\.csv: no row for 'train/0002'; run find_dup"):
        validate(tmp_path)
    groups.unlink()
    with pytest.raises(InputError, match=r"groups\.csv: no such file; run find_duplicates"):
        validate(tmp_path)
    prepare(tmp_path, images("test", 4))
    with pytest.raises(InputError, match=r"prepared: no image of split train"):
        validate(tmp_path)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"k": 1}, r"validate_split\.k: .*greater than or equal to 2, got 1"),
        ({"trees": 0}, r"validate_split\.trees: .*greater than 0"),
        ({"max_images": 1}, r"validate_split\.max_images: .*equal to 2"),
        ({"warn_above": 0.4}, r"validate_split\.warn_above: .*equal to 0\.5, got 0\.4"),
        ({"scheduler": "here"}, r"workers\.scheduler: .*tcp://host:port, got 'here'"),
    ],
)
def test_params_that_make_no_sense_are_refused(tmp_path, params, words):
    prepare(tmp_path, images("train", 4))
    with pytest.raises(InputError, match=words):
        validate(tmp_path, **params)
