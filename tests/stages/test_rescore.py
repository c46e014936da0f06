import json

import lightgbm
import numpy as np
import pandas as pd
import pytest
from pycocotools import mask as coco_mask
from ruamel.yaml import YAML

from src.acceptance.operating_point import read_operating_point
from src.base.errors import InputError
from stages import rescore
from tests.plain_prepared import write_prepared
from tests.plain_rescore import PLAIN

SPLITS = ("oof", "val", "test")
WIDTH = 40
SPLIT_FOLDS = {
    "method": "stratified",
    "balance": "coverage",
    "column": "fold",
    "k": 5,
    "repeats": 1,
    "likeness": False,
    "folds": [0, 1, 2, 4],
    "seed": 0,
}


def bar(start, stop):
    """Return the RLE of columns start to stop of a map one row high."""
    mask = np.zeros((1, WIDTH), np.uint8, order="F")
    mask[0, start:stop] = 1
    return {"size": [1, WIDTH], "counts": coco_mask.encode(mask)["counts"].decode()}


def candidate(name, start, stop, mean, parent=-1, hint=0.0):
    box = {"bbox_x": start, "bbox_y": 0, "bbox_width": stop - start, "bbox_height": 1}
    row = {"name": name, "height": 1, "width": WIDTH, "counts": bar(start, stop)["counts"]}
    row |= {"area": stop - start} | box | {"parent": parent, "part": 0.0, "mean_probability": mean}
    return row | {"hint": hint}


def table(rows):
    return pd.DataFrame(rows, columns=list(candidate("a", 0, 1, 0.5)))


def write(data, oof=(), val=(), test=(), truth=(), folds=(), crowds=()):
    """Write what the stage reads; truth and crowds are (name, start, stop); see `write_folds`."""
    (data / "candidates").mkdir(exist_ok=True)
    listed = {n for n, *_ in (*truth, *crowds, *folds)}
    names = sorted({r["name"] for r in (*oof, *val, *test)} | listed)
    ids = {name: 100 - number for number, name in enumerate(names)}
    annotations = [
        {"image_id": ids[n], "iscrowd": crowd, "segmentation": bar(*span), "split": n.split("/")[0]}
        for crowd, objects in enumerate((truth, crowds))
        for n, *span in objects
    ]
    images = [{"name": n, "image_id": number} for n, number in ids.items()]
    write_prepared(data / "prepared", images, annotations, category={"id": 7, "name": "building"})
    for split, rows in zip(SPLITS, (oof, val, test), strict=True):
        empty = table([candidate("a", 0, 1, 0.5)])[:0]
        (table(rows) if rows else empty).to_parquet(data / f"candidates/{split}.parquet")
    write_folds(data, folds)


def write_folds(data, folds):
    """Write folds.csv; folds are (name, fold) or (name, fold, repeat)."""
    rows = [(name, fold, *(repeat or [0])) for name, fold, *repeat in folds]
    folds = pd.DataFrame(rows, columns=["name", "fold", "repeat"])
    folds = folds.assign(group=folds["name"], copies=1, copy=0, test_likeness="")
    folds.to_csv(data / "folds.csv", index=False)


def run(data, trained=(0, 1, 2, 4), **changes):
    sections = {"rescore": PLAIN | changes}
    sections["split_folds"] = SPLIT_FOLDS | {"folds": list(trained)}
    YAML().dump(sections, data / "params.yaml")
    paths = ("prepared", "folds.csv", "candidates", "predictions")
    rescore.main([*(str(data / p) for p in paths), "--params", str(data / "params.yaml")])
    return {s: json.loads((data / f"predictions/{s}.json").read_text()) for s in SPLITS}


def scores(results):
    return [r["score"] for r in results]


@pytest.fixture
def val_only(tmp_path):
    rows = [
        candidate("val/a", 0, 4, 0.9),
        candidate("val/a", 10, 19, 0.8),
        candidate("val/a", 30, 31, 0.95),
        candidate("val/b", 0, 4, 0.5),
    ]
    write(tmp_path, val=rows, truth=[("val/a", 0, 4), ("val/a", 11, 19)])
    return tmp_path


def test_results_are_coco_results_under_the_ids_of_the_source(val_only):
    results = run(val_only)
    assert results["val"][-1] == {
        "image_id": 99,
        "category_id": 7,
        "segmentation": bar(0, 4),
        "bbox": [0, 0, 4, 1],
        "score": 0.5,
        "accepted": True,
    }
    assert results["oof"] == results["test"] == []


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        ("constant", [1, 1, 1, 1]),
        ("mean", [0.95, 0.9, 0.8, 0.5]),
        ("mean_sqrt_area", [2.4, 1.8, 0.95, 1.0]),
    ],
)
def test_each_rule_ranks_the_objects_of_an_image(val_only, score, expected):
    results = run(val_only, score=score)["val"]
    assert scores(results) == pytest.approx(expected)
    assert [r["image_id"] for r in results] == [100, 100, 100, 99]


def test_a_least_score_drops_candidates_and_no_number_of_them_does(val_only):
    assert scores(run(val_only, min_score=0.9)["val"]) == [0.95, 0.9]
    many = [candidate("val/a", n % 30, n % 30 + 1, (200 - n) / 256) for n in range(130)]
    write(val_only, val=many)
    assert scores(run(val_only)["val"]) == sorted(r["mean_probability"] for r in many)[::-1]


def test_reliability_and_calibration_error_of_labelled_images_by_hand(val_only):
    run(val_only)
    lines = (val_only / "predictions/reliability.csv").read_text().splitlines()
    assert lines[0] == "split,bin,count,mean_score,hit_rate"
    assert lines[1] == "oof,0,0,,"
    assert lines[16] == "val,5,1,0.5,0.0"
    assert lines[19:] == ["val,8,1,0.8,1.0", "val,9,2,0.925,0.5"]
    # (1 * 0.5 + 1 * 0.2 + 2 * 0.425) / 4
    errors = json.loads((val_only / "predictions/calibration.json").read_text())
    assert errors == {"oof.ece": None, "val.ece": 0.3875}


def test_scores_that_are_no_probabilities_have_no_calibration_error(val_only):
    run(val_only, score="mean_sqrt_area")
    errors = json.loads((val_only / "predictions/calibration.json").read_text())
    assert errors == {"oof.ece": None, "val.ece": None}
    reliability = pd.read_csv(val_only / "predictions/reliability.csv")
    assert (reliability["count"] == 0).all()


def test_what_shows_a_crowd_is_kept_but_not_judged(tmp_path):
    rows = [candidate("val/a", 0, 4, 0.9), candidate("val/a", 20, 24, 0.5)]
    write(tmp_path, val=rows, truth=[("val/a", 0, 4)], crowds=[("val/a", 10, 30)])
    assert len(run(tmp_path)["val"]) == 2
    errors = json.loads((tmp_path / "predictions/calibration.json").read_text())
    assert errors["val.ece"] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("selection", "expected"),
    [("none", [0.95, 0.7, 0.6]), ("nms", [0.95, 0.6]), ("tree", [0.95])],
)
def test_each_selection_of_nested_candidates(tmp_path, selection, expected):
    rows = [candidate("val/a", 0, 10, 0.95)]
    rows += [candidate("val/a", 0, 6, 0.7, parent=0), candidate("val/a", 6, 10, 0.6, parent=0)]
    write(tmp_path, val=rows)
    assert scores(run(tmp_path, selection=selection)["val"]) == expected


def noisy(rng, split, images, wrong=6):
    """Candidates of which `hint` tells how well they fit, and the mean probability nothing."""
    rows, truth = [], []
    for number in range(images):
        name = f"{split}/{number:02}"
        truth += [(name, 0, 10), (name, 20, 30)]
        for start in rng.integers(0, wrong, 4):
            stop = 10 + 20 * int(rng.integers(0, 2))
            fit = (10 - start) / 10  # the IoU of its last columns with the object
            rows.append(
                candidate(name, stop - 10 + start, stop, 0.5 + fit / 2 * rng.random(), hint=fit)
            )
    return rows, truth


@pytest.fixture
def learnable(tmp_path):
    rng = np.random.default_rng(0)
    (oof, a), (val, b), (test, _) = (noisy(rng, s, 30, wrong=10) for s in ("train", "val", "test"))
    folds = [(f"train/{n:02}", n % 3) for n in range(30)]
    write(tmp_path, oof=oof, val=val, test=test, truth=a + b, folds=folds)
    return tmp_path


def true_iou(results):
    return [r["bbox"][2] / 10 for r in results]


@pytest.mark.parametrize("model", ["lightgbm", "random_forest"])
def test_a_second_level_ranks_by_what_it_has_learnt_from_oof(learnable, model):
    results = run(learnable, score=model, trees=40)
    for split in SPLITS:
        assert len(results[split]) == 120
        assert np.corrcoef(scores(results[split]), true_iou(results[split]))[0, 1] > 0.95
    gains = pd.read_csv(learnable / "predictions/second_level/importance.csv")
    assert set(gains["feature"]) == {"area", "part", "mean_probability", "hint"}
    assert gains["gain"].sum() == pytest.approx(1, abs=1e-5)
    assert gains["gain"].is_monotonic_decreasing
    assert gains.set_index("feature")["gain"]["mean_probability"] < 0.2


def test_the_target_may_be_whether_it_hits(learnable):
    results = run(learnable, score="lightgbm", target="hit", trees=40)["val"]
    hit, found = np.array(true_iou(results)) >= 0.5, np.array(scores(results))
    assert found[hit].min() > 0.9
    assert found[~hit].max() < 0.1


def test_oof_is_scored_by_the_models_of_the_other_folds_and_the_rest_by_the_last(learnable):
    results = run(learnable, score="lightgbm")
    folder = learnable / "predictions/second_level"
    assert {p.name for p in folder.iterdir()} == {
        *("importance.csv", "final.txt", "fold0.txt", "fold1.txt", "fold2.txt")
    }

    def by_model(split, model):
        rows = pd.read_parquet(learnable / f"candidates/{split}.parquet")
        booster = lightgbm.Booster(model_file=str(folder / f"{model}.txt"))
        found = booster.predict(rows[["area", "part", "mean_probability", "hint"]].to_numpy(float))
        return found.round(8), rows["name"]

    for split in ("val", "test"):
        assert sorted(scores(results[split])) == sorted(by_model(split, "final")[0])
    expected = []
    for fold in range(3):
        found, names = by_model("oof", f"fold{fold}")
        expected += found[names.str[-2:].astype(int) % 3 == fold].tolist()
    assert sorted(scores(results["oof"])) == sorted(expected)


def test_the_truth_of_val_judges_only(learnable):
    names = ("oof.json", "val.json", "test.json", "second_level/final.txt")
    changes = {"score": "lightgbm", "calibration": "isotonic"}
    read = lambda: [(learnable / "predictions" / n).read_bytes() for n in names]  # noqa: E731
    run(learnable, **changes)
    before, errors = read(), (learnable / "predictions/calibration.json").read_text()
    path = learnable / "prepared/labels/val/truth.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"annotations": []}))
    run(learnable, **changes)
    assert read() == before
    assert (learnable / "predictions/calibration.json").read_text() != errors


def test_calibration_lowers_the_error_and_keeps_the_ranking_of_each_image(learnable):
    plain = run(learnable)
    before = json.loads((learnable / "predictions/calibration.json").read_text())
    calibrated = run(learnable, calibration="isotonic")
    after = json.loads((learnable / "predictions/calibration.json").read_text())
    without = [
        [{**r, "score": None} for split in SPLITS for r in results[split]]
        for results in (plain, calibrated)
    ]
    assert without[0] == without[1]
    for split in ("oof", "val"):
        assert after[f"{split}.ece"] < before[f"{split}.ece"]
    for split in ("val", "test"):  # by one calibrator all images together
        pairs = sorted(zip(scores(plain[split]), scores(calibrated[split]), strict=True))
        assert pairs == sorted(pairs, key=lambda pair: pair[1])


def test_any_score_can_be_calibrated(learnable):
    results = run(learnable, score="mean_sqrt_area", calibration="isotonic")
    assert 0 <= min(scores(results["test"])) < max(scores(results["test"])) <= 1
    errors = json.loads((learnable / "predictions/calibration.json").read_text())
    assert errors["oof.ece"] is not None


def test_oof_is_calibrated_by_the_hits_of_the_other_folds(tmp_path):
    truth = [("train/a", 0, 4)]  # the only candidate of fold 0 is right, that of fold 1 is wrong
    oof = [candidate("train/a", 0, 4, 0.6), candidate("train/b", 0, 4, 0.6)]
    folds = [("train/a", 0), ("train/b", 1)]
    write(tmp_path, oof=oof, val=[candidate("val/a", 0, 4, 0.6)], truth=truth, folds=folds)
    results = run(tmp_path, calibration="isotonic")
    assert scores(results["oof"]) == pytest.approx([0, 1], abs=0.001)
    assert scores(results["val"]) == pytest.approx([0.5], abs=0.001)


def test_one_group_is_not_enough_to_learn_from_and_a_rule_takes_its_place(tmp_path, capsys):
    oof = [candidate("train/a", 0, 4, 0.6), candidate("train/a", 10, 14, 0.7)]
    write(tmp_path, oof=oof, folds=[("train/a", 4), ("train/c", 1)], truth=[("train/a", 0, 4)])
    for model in ("lightgbm", "random_forest"):
        results = run(tmp_path, trained=(4,), score=model, calibration="isotonic")
        assert scores(results["oof"]) == [0.7, 0.6]
        told = capsys.readouterr().out
        assert f"{model} has no candidates of two groups of other images to learn from" in told
        assert "val and test, fold 4 scored by mean probability, not calibrated." in told
        assert not (tmp_path / "predictions/second_level").exists()


def test_a_rule_is_calibrated_where_there_is_a_detection_to_learn_from(tmp_path, capsys):
    oof = [candidate("train/a", 0, 4, 0.6)]
    write(tmp_path, oof=oof, folds=[("train/a", 0), ("train/b", 1)], truth=[("train/a", 0, 4)])
    results = run(tmp_path, calibration="isotonic")
    assert scores(results["oof"]) == [0.6]
    told = capsys.readouterr().out
    assert "isotonic has no detection of other images to learn from: fold 0 not calibrated" in told


def test_the_groups_of_a_single_fold_take_the_place_of_folds(tmp_path):
    rng = np.random.default_rng(0)
    oof, truth = noisy(rng, "train", 30, wrong=10)
    val, val_truth = noisy(rng, "val", 30, wrong=10)
    folds = [(f"train/{n:02}", 4) for n in range(30)]
    write(tmp_path, oof=oof, val=val, truth=truth + val_truth, folds=folds)
    changes = {"score": "lightgbm", "trees": 40, "calibration": "isotonic"}
    results = run(tmp_path, trained=(4,), **changes, operating_point="auto")
    for split in ("oof", "val"):
        hit, found = np.array(true_iou(results[split])) >= 0.5, np.array(scores(results[split]))
        assert found[hit].mean() > found[~hit].mean() + 0.4
    names = [f"fold4.{n}.txt" for n in range(5)] + ["final.txt", "importance.csv"]
    folder = tmp_path / "predictions/second_level"
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    point = read_operating_point(tmp_path / "predictions/operating_point.json")
    assert list(point.folds) == [f"4.{n}" for n in range(5)]


@pytest.mark.parametrize("first", [0, 1])
def test_the_fold_of_an_image_with_several_is_the_first_that_is_trained(tmp_path, first):
    truth = [("train/a", 0, 4)]  # as above, in the repeat that counts
    oof = [candidate("train/a", 0, 4, 0.6), candidate("train/b", 0, 4, 0.6)]
    one = [("train/b", 1, first), ("train/a", 0, first)]
    both = [("train/a", 2, 1 - first), ("train/b", 2, 1 - first)]
    write(tmp_path, oof=oof, truth=truth, folds=both + one)
    if first == 0:
        found = run(tmp_path, calibration="isotonic")
        assert scores(found["oof"]) == pytest.approx([0, 1], abs=0.001)
    else:
        found = run(tmp_path, trained=(0, 1), calibration="isotonic")
        assert scores(found["oof"]) == pytest.approx([0, 1], abs=0.001)


def test_candidates_of_images_that_no_table_lists_are_refused(tmp_path):
    oof = [candidate("train/a", 0, 4, 0.6), candidate("train/b", 0, 4, 0.6)]
    write(tmp_path, oof=oof, folds=[("train/b", 0), ("train/a", 3)])
    with pytest.raises(InputError, match="oof.parquet: .*'train/a', which is not in a trained"):
        run(tmp_path)
    write(tmp_path, oof=oof, folds=[("train/b", 0)])
    with pytest.raises(InputError, match="oof.parquet: has candidates of 'train/a', which is not"):
        run(tmp_path)
    write(tmp_path, test=[candidate("test/a", 0, 4, 0.6)])
    write_prepared(tmp_path / "prepared", [{"name": "test/b", "image_id": 1}])
    with pytest.raises(InputError, match="test.parquet: .*'test/a', which is not in .*images.csv"):
        run(tmp_path)
    assert not (tmp_path / "predictions").exists()


def test_nothing_is_learnt_from_what_shows_a_crowd(tmp_path, capsys):
    oof = [candidate(f"train/{n}", 0, 4, 0.6) for n in "abcd"]
    folds = [("train/a", 0), ("train/b", 1), ("train/c", 0), ("train/d", 1)]
    crowds = [("train/b", 0, 20), ("train/d", 0, 20)]
    write(tmp_path, oof=oof, folds=folds, crowds=crowds, truth=[("train/a", 0, 4)])
    for changes, left in [
        ({"score": "lightgbm"}, "scored by"),
        ({"calibration": "isotonic"}, "not"),
    ]:
        run(tmp_path, **changes)
        assert f"fold 0 {left}" in capsys.readouterr().out


def test_without_a_candidate_there_is_nothing_to_learn_from(tmp_path):
    for folds in ([], [("train/a", 0), ("train/b", 1)]):
        write(tmp_path, folds=folds)
        for changes in ({}, {"score": "lightgbm", "calibration": "isotonic", "selection": "nms"}):
            found = run(tmp_path, **changes, operating_point="auto")
            assert found == {"oof": [], "val": [], "test": []}
            point = read_operating_point(tmp_path / "predictions/operating_point.json")
            assert point.all == (0, None, None)


def test_a_fold_without_candidates_has_a_model_all_the_same(tmp_path):
    oof = [candidate(f"train/{n}", 0, 4, 0.6) for n in "abcd"]
    folds = [("train/a", 0), ("train/b", 1), ("train/c", 0), ("train/d", 1), ("train/e", 2)]
    write(tmp_path, oof=oof, truth=[("train/a", 0, 4), ("train/c", 0, 4)], folds=folds)
    assert scores(run(tmp_path, score="lightgbm")["oof"]) == pytest.approx([0, 1, 0, 1])


def test_candidates_that_were_written_for_a_part_are_what_it_learns_from(tmp_path):
    oof = [candidate("train/a", 0, 4, 0.6), candidate("train/b", 0, 4, 0.6)]
    folds = [("train/a", 0), ("train/b", 1)]
    write(tmp_path, oof=oof, truth=[("train/b", 0, 4)], folds=folds)
    assert scores(run(tmp_path, calibration="isotonic")["oof"]) == pytest.approx([1, 0], abs=0.001)
    wrong = table([candidate("train/b", 8, 12, 0.6)])
    wrong.to_parquet(tmp_path / "candidates/learn_0.parquet")
    assert scores(run(tmp_path, calibration="isotonic")["oof"]) == pytest.approx([0, 0], abs=0.001)
    table([candidate("train/a", 8, 12, 0.6)]).to_parquet(tmp_path / "candidates/learn_0.parquet")
    with pytest.raises(
        InputError, match="learn_0.parquet: .*'train/a', .* not one that 0 may learn"
    ):
        run(tmp_path, calibration="isotonic")


def test_each_part_is_cut_where_the_others_are_best(tmp_path):
    # right from 0.8 in fold 0, from 0.5 in fold 1; what is below is wrong
    oof = [candidate(f"train/{n}", 0, 4, s) for n, s in [("a", 0.8), ("b", 0.9), ("c", 0.5)]]
    oof += [candidate(f"train/{n}", 10, 14, s) for n, s in [("a", 0.6), ("b", 0.7), ("c", 0.3)]]
    folds, truth = (
        [("train/a", 0), ("train/b", 0), ("train/c", 1)],
        [(f"train/{n}", 0, 4) for n in "abc"],
    )
    val = [candidate("val/a", 0, 4, s) for s in (0.75, 0.76, 0.4, 0.41)]
    write(tmp_path, oof=oof, val=val, truth=truth, folds=folds)
    results = run(tmp_path, operating_point="auto")
    point = read_operating_point(tmp_path / "predictions/operating_point.json")
    assert point.metric == "f1_50"
    assert {part: one.score for part, one in point.folds.items()} == {"0": 0.4, "1": 0.75}
    assert (point.folds["0"].low, point.folds["0"].high) == (None, None)  # one group
    # of all: F1 is 4 / 5 from 0.8, 6 / 8 from 0.5
    assert point.all.score == 0.75
    assert point.all.low <= 0.75 <= point.all.high
    accepted = {(r["image_id"], r["score"]): r["accepted"] for r in results["oof"]}
    assert [accepted[key] for key in sorted(accepted, key=lambda key: (-key[0], -key[1]))] == [
        *(True, True),  # a
        *(True, True),  # b
        *(False, False),  # c
    ]
    assert [r["accepted"] for r in results["val"]] == [True, True, False, False]


def test_a_score_that_is_given_cuts_all_and_is_no_choice(val_only):
    results = run(val_only, operating_point=0.9)["val"]
    assert [r["accepted"] for r in results] == [True, True, False, False]
    document = json.loads((val_only / "predictions/operating_point.json").read_text())
    assert document == {
        "metric": None,
        "all": {"score": 0.9, "low": None, "high": None},
        "folds": {},
    }


def test_a_tree_of_scores_above_one_is_refused(val_only):
    with pytest.raises(InputError, match="selection tree needs scores up to 1.*mean_sqrt_area"):
        run(val_only, score="mean_sqrt_area", selection="tree")


def test_the_same_input_gives_the_same_bytes(learnable):
    def everything():
        run(learnable, score="lightgbm", calibration="isotonic", selection="nms")
        paths = sorted((learnable / "predictions").rglob("*.*"))
        return {path.name: path.read_bytes() for path in paths}

    assert everything() == everything()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("prepared/test/images.csv", "test/images.csv: no such file; run prepare_masks"),
        (
            "prepared/labels/val/truth.json",
            "labels/val/truth.json: no such file; run the stage that writes it",
        ),
        ("folds.csv", "folds.csv: no such file; run split_folds"),
        ("candidates/test.parquet", "test.parquet: no such file; run postprocess"),
    ],
)
def test_a_missing_file_is_named_and_leaves_nothing_behind(val_only, name, words):
    (val_only / name).unlink()
    with pytest.raises(InputError, match=words):
        run(val_only)
    assert not (val_only / "predictions").exists()
