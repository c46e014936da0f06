import numpy as np
import pandas as pd
import pytest

from experiments.compare import SHOWN, SPLITS, differences, judge, main, table
from src.base.errors import InputError
from src.judging.bootstrap import PERCENTS

IMAGES = 12


def write_evaluation(folder, *, bonus=(0.0, 0.0), objects=2, val=True):
    """Every image has an object found; `bonus` is added to the Dice of every other image.

    With a bonus, the second object of the image is found too.
    """
    folder.mkdir(parents=True)
    for split in SPLITS:
        numbers = np.arange(IMAGES if val or split == "oof" else 0)
        extra = np.array(bonus)[numbers % 2]
        names = [f"{split}/{number:02}" for number in numbers]
        images = pd.DataFrame({"name": names, "image_id": numbers, "group": names})
        images = images.assign(objects=objects, tp=1 + (extra > 0), fp=0)
        images = images.assign(dice=0.5 + extra, detection_accuracy=0.25)
        images.to_csv(folder / f"images_{split}.csv", index=False)
        found = pd.concat([images[["image_id"]], images[["image_id"]][extra > 0]])
        found = found.assign(score=0.5, ranked=True)
        at = {f"{kind}_{p}": kind == "tp" for kind in ("tp", "ignored") for p in PERCENTS}
        found.assign(**at).to_parquet(folder / f"detections_{split}.parquet")
    return folder


def judged(folder, name="some", data=""):
    return [judge(folder, name, data, SPLITS, SHOWN, 400, 0)]


@pytest.fixture
def base(tmp_path):
    return judged(write_evaluation(tmp_path / "base"), "base")


def by_metric(rows, split):
    return {row["metric"]: row for row in rows if row["split"] == split}


def test_a_gain_on_every_image_is_sure(base, tmp_path):
    better = judged(write_evaluation(tmp_path / "better", bonus=(0.125, 0.125)))
    rows = differences(base, better)
    assert [(row["split"], row["metric"]) for row in rows] == [
        (s, m) for s in SPLITS for m in SHOWN
    ]
    for split in SPLITS:
        found = by_metric(rows, split)
        assert found["ap50"]["value"] == 1
        assert found["ap50"]["difference"] == pytest.approx(1 - 51 / 101)
        # TP 1 of 2 objects with no FP: F1 2/3; then all are found
        assert found["f1_50"]["difference"] == pytest.approx(1 / 3)
        numbers = [found["dice_mean"][key] for key in ("difference", "low", "high", "p")]
        assert numbers == pytest.approx([0.125, 0.125, 0.125, 0])
        assert found["detection_accuracy"]["low"] == found["detection_accuracy"]["high"] == 0


def test_a_table_says_of_what_one_is_not_sure(base, tmp_path):
    mixed = judged(write_evaluation(tmp_path / "mixed", bonus=(0.25, -0.125)), "mixed")
    lines = table(base, [(mixed, differences(base, mixed))]).splitlines()
    assert lines[0] == (
        "| split | metric | experiment | seeds | value | difference | low | high | p |  |"
    )
    assert lines[1].count("---") == 10
    assert len(lines) == 2 + 2 * len(SPLITS) * len(SHOWN)
    dice = [line for line in lines if line.startswith("| val | dice_mean")]
    assert dice[0] == "| val | dice_mean | base | 1 | 0.5000 |  |  |  |  |  |"
    assert dice[1].startswith("| val | dice_mean | mixed | 1 | 0.5625 | +0.0625 | -0.")
    assert dice[1].endswith(" | not sure |")
    f1 = [line for line in lines if line.startswith("| val | f1_50 | mixed")][0]
    assert f1.endswith("|  |")


def test_a_difference_of_a_single_group_has_no_interval(tmp_path):
    folder = write_evaluation(tmp_path / "base")
    for split in SPLITS:
        path = folder / f"images_{split}.csv"
        pd.read_csv(path).assign(group="one").to_csv(path, index=False)
    one = judged(folder)
    line = table(one, [(one, differences(one, one))]).splitlines()[3]
    assert line == "| oof | ap50 | some | 1 | 0.5050 | +0.0000 | – | – | – | no interval |"


def test_a_split_without_images_is_left_out(base, tmp_path):
    oof = judged(write_evaluation(tmp_path / "oof", val=False))
    assert {row["split"] for row in differences(oof, oof)} == {"oof"}
    with pytest.raises(InputError, match="some: judged on other images of val than base"):
        differences(base, oof)


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("name", "oof/99", "new: judged on other images of oof than base; compare experiments"),
        ("group", "shared", "other groups of images of oof"),
        ("objects", 3, "other truth of oof"),
    ],
)
def test_only_experiments_on_the_same_images_are_compared(base, tmp_path, column, value, words):
    folder = write_evaluation(tmp_path / "new")
    images = pd.read_csv(folder / "images_oof.csv")
    images[column] = [*images[column][:-1], value]
    images.to_csv(folder / "images_oof.csv", index=False)
    with pytest.raises(InputError, match=words):
        differences(base, judged(folder, "new"))


def test_the_workspace_is_compared_with_itself_by_the_command(tmp_path, monkeypatch, capsys):
    write_evaluation(tmp_path / "data/evaluation")
    monkeypatch.chdir(tmp_path)
    main(["workspace", "workspace", "--split", "val", "--metric", "recall_50"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:] == [
        "| val | recall_50 | workspace | 1 | 0.5000 |  |  |  |  |  |",
        "| val | recall_50 | workspace | 1 | 0.5000 | +0.0000 | +0.0000 | +0.0000 | 1.000 "
        "| not sure |",
    ]
    with pytest.raises(InputError, match="--resamples 5: too few"):
        main(["workspace", "workspace", "--resamples", "5"])


def test_tables_of_before_are_named(tmp_path):
    images = "data/evaluation/images_oof.csv"
    folder = write_evaluation(tmp_path / "old")
    pd.read_csv(folder / "images_oof.csv").drop(columns="group").to_csv(folder / "images_oof.csv")
    with pytest.raises(InputError, match=f"^some: {images}: has no column group; run the experim"):
        judged(folder)
    (folder / "images_oof.csv").unlink()
    with pytest.raises(InputError, match=f"^some: {images}: no such file; run the experiment"):
        judged(folder)


def test_a_table_that_is_damaged_is_named_by_its_experiment(tmp_path):
    folder = write_evaluation(tmp_path / "new")
    (folder / "detections_val.parquet").write_bytes(b"PAR1")
    with pytest.raises(
        InputError, match="^some: data/evaluation/detections_val.parquet: not a Par"
    ):
        judged(folder)


def test_experiments_on_other_data_are_not_compared(tmp_path):
    folder = write_evaluation(tmp_path / "any")
    base, other, unknown = judged(folder, "a", "01ab"), judged(folder, "b", "02ab"), judged(folder)
    with pytest.raises(
        InputError, match=r"^b: judged on other data \(02ab\) than a \(01ab\); compare exp[^\n]*$"
    ):
        differences(base, other)
    assert differences(base, base) == differences(base, unknown) == differences(unknown, other)


def test_a_group_may_be_called_like_nothing_or_like_a_number(tmp_path):
    folder = write_evaluation(tmp_path / "any")
    images = pd.read_csv(folder / "images_oof.csv").assign(group=["NA", "007", "7"] * 4)
    images.to_csv(folder / "images_oof.csv", index=False)
    assert judged(folder)[0].images["oof"]["group"][:3].tolist() == ["NA", "007", "7"]


def test_runs_of_several_seeds_are_one_experiment(tmp_path):
    bonuses = {"gain-s1": 0.05, "gain-s2": 0.1, "gain-s3": 0.15}
    folders = [write_evaluation(tmp_path / name, bonus=(by, by)) for name, by in bonuses.items()]
    gain = [judged(folder, folder.name)[0] for folder in folders]
    base = judged(write_evaluation(tmp_path / "base"), "defaults") * 3
    row = by_metric(differences(base, gain), "val")["dice_mean"]
    # all images agree: a t-test of 0.05, 0.1 and 0.15, t with 2 degrees of freedom is 4.302653
    assert (row["value"], row["difference"]) == pytest.approx((0.6, 0.1))
    assert row["high"] - 0.1 == pytest.approx(4.302653 * 0.05 / np.sqrt(3), rel=1e-6)
    lines = table(base, [(gain, differences(base, gain))]).splitlines()
    [line] = [line for line in lines if line.startswith("| val | dice_mean | gain ")]
    assert line.startswith("| val | dice_mean | gain | 3 | 0.6000 | +0.1000 | -0.0242 | +0.2242 |")
    with pytest.raises(InputError, match="^gain has 2 runs and defaults 3; give as many of each"):
        differences(base, gain[:2])


def test_of_several_experiments_one_may_be_sure_by_chance(tmp_path):
    base = judged(write_evaluation(tmp_path / "base"), "base")
    better = judged(write_evaluation(tmp_path / "better", bonus=(0.17, -0.03)), "better")
    found = differences(base, better)
    alone = table(base, [(better, found)]).splitlines()
    of_three = table(base, [(better, found)] * 3).splitlines()
    dice = [
        [line for line in lines if "| val | dice_mean | better" in line]
        for lines in (alone, of_three)
    ]
    assert dice[0][0].endswith("|  |")
    assert all(line.endswith("| not sure of 3 |") for line in dice[1])
