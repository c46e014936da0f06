import json

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from src.base.errors import InputError
from src.candidates.candidate_features import FEATURES
from src.formats.archive import write_archive
from src.objects.rle import decode
from stages import postprocess
from tests import plain_postprocess
from tests.plain_postprocess import write_plan

PARAMS = plain_postprocess.PLAIN | {
    "layers": [0.3, 0.7],
    "min_area": 3,
    "hull_low": 0.1,
    "hull_min_area": 0.5,
}
SPLIT_FOLDS = {
    "method": "stratified",
    "balance": "coverage",
    "column": "fold",
    "k": 4,
    "repeats": 1,
    "folds": [0, 1, 2, 3],
    "likeness": False,
    "seed": 0,
}
FOLDS = "name,fold,repeat,group,copies,copy,test_likeness\n"
INTEGERS = ["height", "width", "area", "parent"]
INTEGERS += ["bbox_x", "bbox_y", "bbox_width", "bbox_height"]
SPLITS = ("oof", "val", "test")
SCHEDULER = "none"


def write_ensemble(root, heads=("mask",), spreads=(), **maps):
    """Write archives, by "<split>" or "<split>_<head>"; of the mask empty ones where not given."""
    folder = root / "in"
    for part in {**dict.fromkeys(SPLITS, []), **maps}:
        write_archive(folder / f"{part}.zip", maps.get(part, []))
    stored = {"heads": list(heads), "spreads": list(spreads)}
    (folder / "maps.json").write_text(json.dumps(stored))


def folds_csv(*rows):
    """Return the table of folds as text; a row is (name, fold) or (name, fold, repeat)."""
    rows = [(name, fold, *(repeat or [0])) for name, fold, *repeat in rows]
    return FOLDS + "".join(f"{name},{fold},{r},{name},1,0,\n" for name, fold, r in rows)


def postprocess_all(root, folds=FOLDS, chosen=None, trained=(0, 1, 2, 3), **changes):
    (root / "folds.csv").write_text(folds)
    if chosen is not None:
        (root / "search").mkdir(exist_ok=True)
        (root / "search/chosen.json").write_text(json.dumps(chosen))
    sections = {"postprocess": PARAMS | changes}
    sections["split_folds"] = SPLIT_FOLDS | {"folds": list(trained)}
    sections["workers"] = {"scheduler": SCHEDULER}
    YAML().dump(sections, root / "params.yaml")
    write_plan(root / "plan")
    places = [str(root / name) for name in ("folds.csv", "in", "plan", "search", "out")]
    postprocess.main([*places, "--params", str(root / "params.yaml")])
    return {split: pd.read_parquet(root / f"out/{split}.parquet") for split in SPLITS}


def run(root, maps, **changes):
    write_ensemble(root, val=maps)
    return postprocess_all(root, **changes)


@pytest.fixture
def probability():
    picture = np.zeros((6, 8), np.uint8)
    picture[1:3, 1:4] = 204
    picture[1, 1] = 255
    picture[5, 5] = 255  # too small
    picture[4:6, 7] = 153
    picture[3, 7] = 128
    return picture


def test_each_object_is_a_row_with_its_mask_and_measures(tmp_path, probability):
    table = run(tmp_path, [("val/a", probability)])["val"]
    assert table["name"].tolist() == ["val/a"] * 2
    assert table["area"].tolist() == [6, 3]
    boxes = table[["bbox_x", "bbox_y", "bbox_width", "bbox_height"]]
    assert boxes.to_numpy().tolist() == [[1, 1, 3, 2], [7, 3, 1, 3]]
    np.testing.assert_allclose(
        table["mean_probability"], [(5 * 204 + 255) / 6 / 255, (153 * 2 + 128) / 3 / 255]
    )
    np.testing.assert_allclose(table["max_probability"], [1, 0.6])
    assert table["threshold"].tolist() == [0.5, 0.5]
    assert table["parent"].tolist() == [-1, -1]
    assert table["perimeter"].tolist() == [10, 8]
    assert table["edge_distance"].tolist() == [1, 0]
    first = table.iloc[0]
    mask = decode({"size": [first["height"], first["width"]], "counts": first["counts"]})
    expected = np.zeros((6, 8), bool)
    expected[1:3, 1:4] = True
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize(
    ("knob", "areas"),
    [
        ({"threshold": 0.55}, [6]),
        ({"min_area": 0}, [6, 3, 1]),
        ({"min_area": 4}, [6]),
        ({"max_area": 5}, [3]),
        ({"dilate": 1}, [16, 7]),
        ({"threshold": 0.9, "min_area": 1}, [1, 1]),
        ({"white_speckle": 3}, [6]),
        ({"erode": 1, "min_area": 0}, []),
        ({"black_speckle": 40}, [48]),
    ],
)
def test_every_knob_does_what_it_says(tmp_path, probability, knob, areas):
    table = run(tmp_path, [("val/a", probability)], **knob)["val"]
    assert table["area"].tolist() == areas


def cup():
    """An uncertain U below the threshold, 5 px wide and 4 px high, in the upper half."""
    picture = np.zeros((10, 9), np.uint8)
    picture[1:5, [2, 6]] = picture[4, 2:7] = 100
    return picture


@pytest.mark.parametrize(
    ("knob", "areas"),
    [
        ({}, []),
        ({"hull_high": 0.5}, [20]),
        ({"hull_high": 0.5, "hull_rows": 0.5}, [20]),
        ({"hull_high": 0.5, "hull_rows": 0.1}, []),
        ({"hull_high": 0.5, "hull_min_area": 12.0}, []),
        ({"hull_high": 0.5, "hull_low": 0.4}, []),
        ({"hull_high": 0.3}, []),
        ({"hull_high": 0.5, "hull_threshold": 0.4}, []),
        ({"hull_high": 0.5, "hull_erode": 3}, []),
    ],
)
def test_the_hull_of_an_uncertain_region_is_an_object_if_asked_for(tmp_path, knob, areas):
    assert run(tmp_path, [("val/a", cup())], **knob)["val"]["area"].tolist() == areas


def test_hulls_do_not_change_the_probabilities(tmp_path):
    table = run(tmp_path, [("val/a", cup())], hull_high=0.5)["val"]
    np.testing.assert_allclose(table["mean_probability"], 11 * 100 / 20 / 255)
    np.testing.assert_allclose(table["max_probability"], 100 / 255)


def test_a_range_of_hulls_that_is_none_is_refused(tmp_path):
    with pytest.raises(InputError, match="hull_low 0.6 is above postprocess.hull_high 0.5; give"):
        run(tmp_path, [("val/a", cup())], hull_low=0.6, hull_high=0.5)
    assert len(run(tmp_path, [("val/a", cup())], hull_low=0.6)["val"]) == 0  # switched off


def test_parents_are_rows_of_the_table_of_all_images(tmp_path):
    nested = np.array([[100, 200, 200, 100, 0, 100]], np.uint8)
    maps = [("val/a", nested), ("val/b", nested * 0), ("val/c", nested)]
    table = run(tmp_path, maps, method="layers", min_area=0)["val"]
    assert table["name"].tolist() == ["val/a"] * 3 + ["val/c"] * 3
    assert table["area"].tolist() == [4, 1, 2] * 2
    assert table["threshold"].tolist() == [0.3, 0.3, 0.7] * 2
    assert table["parent"].tolist() == [-1, -1, 0, -1, -1, 3]
    assert table["stability_up"].tolist() == [0.5, 0, 0] * 2
    assert table["stability_down"].tolist() == [0, 0, 0.5] * 2


def test_out_of_fold_images_get_what_their_fold_was_given(tmp_path):
    mask = np.array([[250, 200, 100, 0, 0]], np.uint8)
    images = {"oof": [("train/a", mask), ("train/b", mask)], "val": [("val/a", mask)]}
    write_ensemble(tmp_path, **images, test=[("test/a", mask)])
    chosen = {"metric": "ap50", "all": {"threshold": 0.9, "min_area": 0}}
    chosen["folds"] = {"0": {"threshold": 0.3, "min_area": 2}, "3": {"threshold": 0.7}}
    chosen["folds"]["3"]["min_area"] = 0
    chosen["folds"]["1"] = chosen["all"]
    folds = folds_csv(("train/b", 0), ("train/c", 1), ("train/a", 3))
    asked = {"threshold": "auto", "min_area": "auto"}
    tables = postprocess_all(tmp_path, folds, chosen, **asked)
    areas = {split: table["area"].tolist() for split, table in tables.items()}
    assert areas == {"oof": [2, 3], "val": [1], "test": [1]}
    assert tables["oof"]["threshold"].tolist() == [0.7, 0.3]


@pytest.mark.parametrize(
    ("trained", "areas"), [((0, 1, 2, 3), [2, 3]), ((0, 3), [1, 3]), ((2, 3), [1, 1])]
)
def test_an_image_of_several_folds_belongs_to_the_first_that_is_trained(tmp_path, trained, areas):
    mask = np.array([[250, 200, 100, 0, 0]], np.uint8)
    write_ensemble(tmp_path, oof=[("train/a", mask), ("train/b", mask)])
    thresholds = {"0": 0.3, "1": 0.7, "2": 0.1, "3": 0.9, "3.0": 0.9, "3.1": 0.9}
    chosen = {"metric": "ap50", "all": {"threshold": 0.5}}
    chosen["folds"] = {fold: {"threshold": value} for fold, value in thresholds.items()}
    first, again = [("train/a", 1), ("train/b", 0)], [("train/b", 3, 1), ("train/a", 3, 1)]
    folds = folds_csv(*again, *first)
    table = postprocess_all(tmp_path, folds, chosen, trained, threshold="auto", min_area=0)["oof"]
    assert table["area"].tolist() == areas


def learning_tables(root):
    paths = sorted((root / "out").glob("learn_*.parquet"))
    return {path.stem: pd.read_parquet(path) for path in paths}


def test_what_a_fold_learns_from_is_cut_at_its_own_values(tmp_path):
    mask = np.array([[250, 200, 100, 0, 250]], np.uint8)
    names = [f"train/{n}" for n in "abcd"]
    write_ensemble(tmp_path, oof=[(name, mask) for name in names])
    thresholds = {"0": 0.3, "1": 0.7, "2": 0.9}
    chosen = {"metric": "ap50", "all": {"threshold": 0.7}}
    chosen["folds"] = {fold: {"threshold": value} for fold, value in thresholds.items()}
    folds = folds_csv(*zip(names, (0, 1, 2, 1), strict=True))
    table = postprocess_all(tmp_path, folds, chosen, threshold="auto", min_area=0)["oof"]
    assert table["threshold"].tolist() == [0.3] * 2 + [0.7] * 2 + [0.9] * 2 + [0.7] * 2
    tables = learning_tables(tmp_path)
    assert {
        one: dict(zip(t["name"], t["threshold"], strict=True)) for one, t in tables.items()
    } == {
        "learn_all": dict.fromkeys(names, 0.7),
        "learn_0": dict.fromkeys(names[1:], 0.3),
        "learn_1": {"train/a": 0.7, "train/c": 0.7},
        "learn_2": {"train/a": 0.9, "train/b": 0.9, "train/d": 0.9},
    }
    assert tables["learn_0"]["area"].tolist() == [3, 1] * 3
    for one in tables.values():
        assert one.dtypes.equals(table.dtypes)


def test_what_is_rows_of_the_oof_table_is_not_written_again(tmp_path):
    mask = np.array([[250, 200, 100, 0, 250]], np.uint8)
    names = [f"train/{n}" for n in "abc"]
    write_ensemble(tmp_path, oof=[(name, mask) for name in names])
    folds = folds_csv(*zip(names, (0, 1, 2), strict=True))
    chosen = {"metric": "ap50", "all": {"threshold": 0.7}}
    chosen["folds"] = dict.fromkeys("012", {"threshold": 0.7})
    postprocess_all(tmp_path, folds, chosen, threshold="auto", min_area=0)
    assert learning_tables(tmp_path) == {}
    chosen["folds"] = chosen["folds"] | {"2": {"threshold": 0.3}}
    postprocess_all(tmp_path, folds, chosen, threshold="auto", min_area=0)
    assert list(learning_tables(tmp_path)) == ["learn_0", "learn_1", "learn_2", "learn_all"]
    postprocess_all(tmp_path, folds, method="layers", threshold="auto", min_area="auto")
    assert learning_tables(tmp_path) == {}


def test_layers_take_what_is_auto_from_the_plan(tmp_path):
    corner = np.zeros((6, 8), np.uint8)
    corner[:2, :2] = corner[2:4, 2:4] = 255  # one object by 8 neighbours
    corner[5, 7] = 255  # below the least area
    auto = dict.fromkeys(["threshold", "connectivity", "min_area", "max_hole", "dilate"], "auto")
    for changes, areas in [
        ({}, [8]),
        ({"connectivity": 4}, []),
        ({"connectivity": 4, "min_area": 4}, [4, 4]),
    ]:
        keys = auto | {"method": "layers", "layers": [0.5]} | changes
        assert run(tmp_path, [("val/a", corner)], **keys)["val"]["area"].tolist() == areas


def test_values_that_were_not_searched_are_asked_for(tmp_path):
    mask = np.full((1, 5), 250, np.uint8)
    write_ensemble(tmp_path, oof=[("train/a", mask)])
    folds = folds_csv(("train/a", 2))
    with pytest.raises(InputError, match="chosen.json: no such file; run"):
        postprocess_all(tmp_path, folds, threshold="auto")
    chosen = {"metric": "ap50", "all": {}, "folds": {}}
    with pytest.raises(InputError, match=r"chosen.json.*threshold.*run search_postprocess"):
        postprocess_all(tmp_path, folds, chosen, threshold="auto")
    with pytest.raises(InputError, match="no values for all images and for folds; run search"):
        postprocess_all(tmp_path, folds, {"all": {}}, threshold="auto")
    chosen = {"metric": "ap50", "all": {"threshold": 0.4}, "folds": {"0": {"threshold": 0.4}}}
    with pytest.raises(InputError, match=r"train/a: no values for its fold \(2\); run"):
        postprocess_all(tmp_path, folds, chosen, threshold="auto")
    with pytest.raises(InputError, match=r"train/a: no values for its fold \(2\); run"):
        postprocess_all(tmp_path, folds, chosen | {"folds": {}}, threshold="auto")
    with pytest.raises(InputError, match=r"train/a: no values for its fold \(None\); run"):
        postprocess_all(tmp_path, folds_csv(("train/b", 2)))
    assert not (tmp_path / "out").exists()


def test_what_was_chosen_does_not_matter_where_nothing_is_auto(tmp_path, probability):
    chosen = {"metric": "ap50", "all": {"threshold": 0.9}, "folds": {}}
    write_ensemble(tmp_path, oof=[("train/a", probability)])
    table = postprocess_all(tmp_path, folds_csv(("train/a", 0)), chosen)["oof"]
    assert table["area"].tolist() == [6, 3]


def test_only_the_maps_that_are_needed_are_read(tmp_path):
    mask = np.array([[150, 250, 150, 250, 150]], np.uint8)
    border = np.array([[0, 0, 255, 0, 0]], np.uint8)
    heads = ["mask", "border", "contact", "empty"]
    write_ensemble(tmp_path, heads, val=[("val/a", mask)], val_border=[("val/a", border)])
    for split in ("oof", "test"):
        write_archive(tmp_path / f"in/{split}_border.zip", [])
    table = postprocess_all(tmp_path, method="watershed", seeds="border", min_area=0)["val"]
    assert table["area"].sum() == 5
    assert len(table) == 2
    with pytest.raises(InputError, match="oof_contact.zip: no such archive"):
        postprocess_all(tmp_path, method="watershed", seeds="contact")
    with pytest.raises(InputError, match="seeds distance needs the head boundary_distance"):
        postprocess_all(tmp_path, method="watershed", seeds="distance")


def test_linked_pixels_are_candidates(tmp_path):
    affinity = np.zeros((1, 4, 3), np.uint8)
    affinity[0, [0, 2], 0] = 255
    maps = {f"{split}_embedding": [] for split in SPLITS}
    maps |= {"val": [("val/a", np.full((1, 4), 200, np.uint8))]}
    maps |= {"val_embedding": [("val/a", affinity)]}
    write_ensemble(tmp_path, ["mask", "embedding"], **maps)
    table = postprocess_all(tmp_path, method="embedding", min_area=0)["val"]
    assert table[["bbox_x", "bbox_width"]].to_numpy().tolist() == [[0, 2], [2, 2]]


def test_images_said_to_be_empty_are_blank(tmp_path, probability):
    maps = [("val/a", probability), ("val/b", probability)]
    write_ensemble(tmp_path, ["mask", "empty"], val=maps)
    with pytest.raises(InputError, match="oof_empty.csv: no such file; run ensemble"):
        postprocess_all(tmp_path, empty_threshold=0.5)
    for split in SPLITS:
        (tmp_path / f"in/{split}_empty.csv").write_text("name,probability\nval/b,0.5\nval/a,0.4\n")
    table = postprocess_all(tmp_path, empty_threshold=0.5)["val"]
    assert set(table["name"]) == {"val/a"}
    assert set(postprocess_all(tmp_path)["val"]["name"]) == {"val/a", "val/b"}


def test_spreads_are_features_where_they_were_stored(tmp_path, probability):
    spread = np.full(probability.shape, 51, np.uint8)
    maps = {f"{split}_member_spread": [] for split in SPLITS}
    maps |= {"val": [("val/a", probability)], "val_member_spread": [("val/a", spread)]}
    write_ensemble(tmp_path, spreads=["member"], **maps)
    table = postprocess_all(tmp_path)["val"]
    np.testing.assert_allclose(table["member_spread"], [0.1, 0.1])
    assert table["view_spread"].tolist() == [0, 0]
    write_ensemble(tmp_path, spreads=["view"], **maps)
    with pytest.raises(InputError, match="oof_view_spread.zip: no such archive"):
        postprocess_all(tmp_path)


@pytest.mark.parametrize("method", ["threshold", "layers"])
def test_images_and_splits_without_objects_give_no_rows_of_the_right_type(tmp_path, method):
    full = np.full((3, 3), 255, np.uint8)
    filled = run(tmp_path / "filled", [("val/a", full)], method=method)["val"]
    tables = run(tmp_path, [("val/a", full * 0)], method=method)
    types = dict.fromkeys(INTEGERS, "int64") | {"name": "str", "counts": "str"}
    types |= {name: "float64" for name in FEATURES if name != "area"}
    for table in tables.values():
        assert len(table) == 0
        assert table.dtypes.astype(str).to_dict() == types
        assert list(table.columns) == list(filled.columns)
    assert filled.dtypes.astype(str).to_dict() == types


def test_the_same_input_gives_the_same_bytes(tmp_path, probability):
    maps = [("val/a", probability), ("val/b", probability.T.copy())]
    run(tmp_path, maps, method="layers")
    first = (tmp_path / "out/val.parquet").read_bytes()
    run(tmp_path, maps, method="layers")
    assert (tmp_path / "out/val.parquet").read_bytes() == first


def test_a_missing_archive_leaves_nothing_half_written(tmp_path, probability):
    write_ensemble(tmp_path, val=[("val/a", probability)])
    (tmp_path / "in/test.zip").unlink()
    with pytest.raises(InputError, match="test.zip: no such archive"):
        postprocess_all(tmp_path)
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob("*.partial"))


def test_missing_folds_are_asked_for(tmp_path, probability):
    run(tmp_path, [("val/a", probability)])
    (tmp_path / "folds.csv").unlink()
    places = [str(tmp_path / name) for name in ("folds.csv", "in", "plan", "search", "new")]
    with pytest.raises(InputError, match="folds.csv: no such file; run split_folds"):
        postprocess.main([*places, "--params", str(tmp_path / "params.yaml")])


def test_the_work_goes_where_params_say(tmp_path, probability, monkeypatch):
    monkeypatch.setitem(globals(), "SCHEDULER", "tcp://127.0.0.1:8786")
    seen = []

    def in_order(function, arguments, *, scheduler, memory):
        seen.append((scheduler, memory))
        return (function(*one) for one in arguments)

    monkeypatch.setattr(postprocess, "in_order", in_order)
    assert len(run(tmp_path, [("val/a", probability)])["val"]) == 2
    taken = postprocess.BYTES * probability.size  # of the only image there is
    assert seen == [("tcp://127.0.0.1:8786", memory) for memory in (0, taken, 0)]
