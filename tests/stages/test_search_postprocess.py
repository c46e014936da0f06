import json

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from pycocotools import mask as coco_mask
from ruamel.yaml import YAML

from src.base.errors import InputError
from src.formats.archive import write_archive
from stages import search_postprocess
from tests import plain_postprocess
from tests.plain_postprocess import write_plan

POSTPROCESS = plain_postprocess.PLAIN | {"seeds": "border", "seed_area": 1}
SEARCH = {
    "metric": "dice_mean",
    "threshold": [0.2, 0.4, 0.6, 0.8],
    "min_area": [0, 3],
    "max_hole": [0, 1],
    "dilate": [0, 1],
    "max_images": 0,
    "seed": 0,
}
PLACES = ("prepared", "folds.csv", "ensemble", "plan", "search")
SCHEDULER = "none"
SPLIT_FOLDS = {
    "method": "stratified",
    "balance": "coverage",
    "column": "fold",
    "k": 3,
    "repeats": 1,
    "folds": [0, 1],
    "likeness": False,
    "seed": 0,
}


def picture(object_px, sure, rest):
    """Map and truth of one row of 8 px: the object's pixels are as sure as told, the others too."""
    mask = np.full((1, 8), round(255 * rest), np.uint8)
    mask[0, :object_px] = round(255 * sure)
    truth = np.zeros((1, 8), np.uint8)
    truth[0, :object_px] = 1
    return mask, truth


# Fold 0 wants a threshold above 0.5, fold 1 one below 0.5: 0.6 and 0.8 are as good for the one,
# 0.2 and 0.4 for the other.
PICTURES = {
    "train/a": (0, *picture(3, 0.9, 0.5)),
    "train/b": (0, *picture(4, 0.9, 0.5)),
    "train/c": (1, *picture(3, 0.5, 0.0)),
    "train/d": (1, *picture(2, 0.5, 0.0)),
    "train/e": (1, *picture(5, 0.5, 0.0)),
    "train/f": (2, *picture(5, 0.5, 0.5)),  # a fold that is not trained
}


@pytest.fixture
def run(tmp_path):
    """Function (postprocess, folds, pictures, heads, **search) that runs the stage; see there."""

    def stage(postprocess, folds=(0, 1), pictures=PICTURES, heads=("mask",), **search):
        _write_inputs(tmp_path, pictures, folds, heads)
        sections = {
            "postprocess": POSTPROCESS | postprocess,
            "search": SEARCH | search,
            "split_folds": SPLIT_FOLDS | {"folds": list(folds)},
            "workers": {"scheduler": SCHEDULER},
        }
        YAML().dump(sections, tmp_path / "params.yaml")
        write_plan(tmp_path / "plan")
        arguments = [str(tmp_path / name) for name in PLACES]
        with parallel_config(backend="sequential"):
            search_postprocess.main([*arguments, "--params", str(tmp_path / "params.yaml")])
        chosen = json.loads((tmp_path / "search/chosen.json").read_text())
        return chosen, pd.read_csv(tmp_path / "search/search.csv", dtype={"fold": str})

    return stage


def _write_inputs(root, pictures, folds, heads):
    (root / "prepared/labels/train").mkdir(parents=True, exist_ok=True)
    coco = {"images": [], "annotations": [], "categories": [{"id": 100, "name": "building"}]}
    for number, (name, (_, _, truth)) in enumerate(pictures.items(), start=1):
        height, width = truth.shape
        image = {"id": number, "name": name, "file_name": "x", "height": height, "width": width}
        coco["images"].append(image)
        rle = coco_mask.encode(np.asfortranarray(truth))
        keys = {"id": number, "image_id": number, "category_id": 100, "iscrowd": 0}
        keys["segmentation"] = rle | {"counts": rle["counts"].decode()}
        coco["annotations"] += [keys] if truth.any() else []
    (root / "prepared/labels/train/truth.json").write_text(json.dumps(coco))
    _write_folds(root, [(name, fold, 0) for name, (fold, _, _) in pictures.items()])
    oof = [(name, mask) for name, (fold, mask, _) in pictures.items() if fold in folds]
    write_archive(root / "ensemble/oof.zip", oof)
    (root / "ensemble/maps.json").write_text(json.dumps({"heads": list(heads), "spreads": []}))


def _write_folds(root, rows):
    table = pd.DataFrame(rows, columns=["name", "fold", "repeat"])
    table = table.assign(group=table["name"], copies=1, copy=0, test_likeness="")
    table.to_csv(root / "folds.csv", index=False)


def test_each_fold_gets_what_is_best_on_the_others(run):
    chosen, _ = run({"threshold": "auto"})
    assert chosen == {
        "metric": "dice_mean",
        "all": {"threshold": 0.2},  # right on the three images of fold 1
        "folds": {"0": {"threshold": 0.2}, "1": {"threshold": 0.6}},
    }


def test_the_maps_of_a_fold_have_no_part_in_its_choice(run):
    before, _ = run({"threshold": "auto"})
    changed = {
        name: (fold, *(picture(truth.sum(), 0.9, 0.5) if fold == 1 else (mask, truth)))
        for name, (fold, mask, truth) in PICTURES.items()
    }
    after, _ = run({"threshold": "auto"}, pictures=changed)
    assert after["folds"]["1"] == before["folds"]["1"]
    assert after["folds"]["0"] != before["folds"]["0"]


def test_an_image_of_several_trained_folds_belongs_to_that_of_the_first_repeat(run, tmp_path):
    run({"threshold": "auto"})
    first = [(name, fold, 0) for name, (fold, _, _) in PICTURES.items()]
    again = [(name, 3 + (name < "train/d"), 1) for name in PICTURES if name != "train/f"]
    _write_folds(tmp_path, again + first)
    params = YAML(typ="safe").load((tmp_path / "params.yaml").read_text())
    arguments = [str(tmp_path / name) for name in PLACES]
    arguments += ["--params", str(tmp_path / "params.yaml")]

    def chosen_with(folds):
        params["split_folds"] |= {"repeats": 2, "folds": folds}
        YAML().dump(params, tmp_path / "params.yaml")
        search_postprocess.main(arguments)
        return json.loads((tmp_path / "search/chosen.json").read_text())["folds"]

    low, high = {"threshold": 0.2}, {"threshold": 0.6}
    assert chosen_with([0, 1, 3, 4]) == {"0": low, "1": high}
    table = pd.read_csv(tmp_path / "search/search.csv", dtype=str)
    assert set(table["fold"]) == {"all", "0", "1"}
    chosen_with([3, 4])
    table = pd.read_csv(tmp_path / "search/search.csv", dtype=str)
    assert set(table["fold"]) == {"all", "3", "4"}
    chosen_with([0, 3])  # a and b are of fold 0, d and e of fold 3, c has no prediction
    table = pd.read_csv(tmp_path / "search/search.csv", dtype=str)
    assert set(table["fold"]) == {"all", "0", "3"}


def test_the_table_holds_every_figure(run):
    _, table = run({"threshold": "auto", "dilate": "auto"}, dilate=[1, 0])
    assert table.columns.tolist() == ["fold", "threshold", "dilate", "dice_mean"]
    assert table["fold"].tolist() == ["all"] * 8 + ["0"] * 8 + ["1"] * 8
    assert table["threshold"].tolist() == [0.2, 0.2, 0.4, 0.4, 0.6, 0.6, 0.8, 0.8] * 3
    assert table["dilate"].tolist() == [1, 0] * 12
    value = table.set_index(["fold", "threshold", "dilate"])["dice_mean"]
    too_much = 2 * 3 / 11, 2 * 4 / 12  # all 8 px of a and of b
    assert value["1", 0.2, 0] == pytest.approx(sum(too_much) / 2, abs=1e-6)
    assert value["0", 0.2, 0] == 1
    assert value["0", 0.6, 0] == 0
    assert value["0", 0.2, 1] == pytest.approx((6 / 7 + 4 / 5 + 10 / 11) / 3, abs=1e-6)
    assert value["all", 0.2, 0] == pytest.approx((sum(too_much) + 3) / 5, abs=1e-6)


def test_of_equal_combinations_the_first_is_chosen(run):
    chosen, _ = run({"threshold": "auto"}, threshold=[0.4, 0.2, 0.8, 0.6])
    assert chosen["all"] == {"threshold": 0.4}
    assert chosen["folds"]["1"] == {"threshold": 0.8}


def test_all_keys_are_searched_together(run):
    auto = {"threshold": "auto", "min_area": "auto", "max_hole": "auto", "dilate": "auto"}
    chosen, table = run(auto)
    assert chosen["all"] == {"threshold": 0.2, "min_area": 0, "max_hole": 0, "dilate": 0}
    assert len(table) == 3 * 32


def test_where_nothing_is_auto_nothing_is_read(run, tmp_path):
    chosen, table = run({}, pictures={}, threshold=[])
    assert chosen == {"metric": "dice_mean", "all": {}, "folds": {}}
    assert table.columns.tolist() == ["fold", "dice_mean"]
    assert table.empty


def test_the_groups_of_a_single_fold_are_judged_by_what_is_best_on_the_others(run, capsys):
    pictures = {f"train/{n}": (0, *picture(3, 0.5, 0.0)) for n in "abc"}
    pictures |= {"train/d": (0, *picture(3, 0.9, 0.5))}  # wants more than the others
    chosen, table = run({"threshold": "auto"}, folds=(0,), pictures=pictures)
    assert chosen["all"] == {"threshold": 0.2}
    assert chosen["folds"] == {f"0.{n}": {"threshold": 0.2} for n in range(4)}
    value = table.set_index(["fold", "threshold"])["dice_mean"]
    assert value["0.3", 0.2] == 1  # without the last, by name
    assert value["0.0", 0.2] == pytest.approx((1 + 1 + 6 / 11) / 3, abs=1e-6)
    assert "one group" not in capsys.readouterr().out


def test_a_single_group_gets_the_values_chosen_on_it_and_is_told_so(run, capsys):
    chosen, table = run({"threshold": "auto"}, folds=(1,), pictures=dict([*PICTURES.items()][2:3]))
    assert chosen["all"] == {"threshold": 0.2}
    assert chosen["folds"] == {"1": {"threshold": 0.2}}
    assert set(table["fold"]) == {"all"}
    assert "one group of oof images: it is judged by values chosen on it" in capsys.readouterr().out


def test_nothing_is_searched_of_layers(run):
    chosen, _ = run({"method": "layers", "threshold": "auto", "min_area": "auto"}, pictures={})
    assert chosen == {"metric": "dice_mean", "all": {}, "folds": {}}


def test_the_connectivity_is_the_planned_one(run):
    # two pixels that meet at a corner: one object by 8 neighbours, two by 4
    mask = np.pad(np.array([[255, 0], [0, 255]], np.uint8), ((0, 0), (0, 6)))
    pictures = {f"train/{n}": (n % 2, mask, (mask > 0).astype(np.uint8)) for n in range(4)}
    for connectivity, found in [("auto", 1.0), (4, 2 / 3)]:
        keys = {"threshold": "auto", "connectivity": connectivity}
        _, table = run(keys, pictures=pictures, metric="f1_50", threshold=[0.5])
        assert table["f1_50"].tolist() == pytest.approx([found] * 3, abs=1e-6)


def test_average_precision_is_undefined_without_an_object(run):
    bare = {name: (fold, mask, 0 * truth) for name, (fold, mask, truth) in PICTURES.items()}
    with pytest.raises(InputError, match="ap50 is undefined: the images of all folds show no obj"):
        run({"threshold": "auto"}, pictures=bare, metric="ap50")
    half = {n: (fold, mask, truth * fold) for n, (fold, mask, truth) in PICTURES.items()}
    with pytest.raises(InputError, match="the images of the folds other than 1 show no object"):
        run({"threshold": "auto"}, pictures=half, metric="ap50")


def test_some_images_are_enough_if_asked_for(run, capsys):
    chosen, _ = run({"threshold": "auto"}, max_images=3, seed=1)
    assert "4 combinations on 3 oof images" in capsys.readouterr().out
    assert chosen["folds"]["1"] == {"threshold": 0.6}
    with pytest.raises(InputError, match="search.max_images 1 leaves no image of fold"):
        run({"threshold": "auto"}, max_images=1)


def test_heads_are_read_where_the_method_asks_for_them(run, tmp_path):
    sure = np.full((1, 8), 255, np.uint8)
    pictures = {}
    for name, (fold, mask, truth) in PICTURES.items():
        pictures[name] = (fold, sure, truth) if fold < 2 else (fold, mask, truth)
    empty = [(name, int(fold == 0)) for name, (fold, _, _) in PICTURES.items() if fold < 2]
    (tmp_path / "ensemble").mkdir()
    table = pd.DataFrame(empty, columns=["name", "probability"])
    table.to_csv(tmp_path / "ensemble/oof_empty.csv", index=False)
    edges = []
    for name, (fold, _, truth) in PICTURES.items():
        edges += [(name, (255 * (1 - truth)).astype(np.uint8))] if fold < 2 else []
    write_archive(tmp_path / "ensemble/oof_border.zip", edges)
    keys = {"method": "watershed", "empty_threshold": 0.5, "min_area": "auto"}
    heads = ("mask", "border", "empty")
    _, table = run(keys, pictures=pictures, heads=heads, min_area=[0])
    value = table.set_index("fold")["dice_mean"]
    assert value["1"] == 0  # blank
    assert value["0"] == pytest.approx((6 / 11 + 4 / 10 + 10 / 13) / 3, abs=1e-6)
    with pytest.raises(InputError, match="postprocess.seeds contact needs the head contact"):
        run(keys | {"seeds": "contact"}, pictures=pictures, heads=heads)


@pytest.mark.parametrize(
    ("postprocess", "search", "message"),
    [
        (
            {"threshold": "auto"},
            {"threshold": []},
            "search.threshold lists no value to try",
        ),
        (
            {"threshold": "auto"},
            {"threshold": [1.5]},
            "search.threshold.0: .* less than 1",
        ),
        ({}, {"metric": "ar50"}, "search.metric: .*'ap50'.* got 'ar50'"),
        (
            {"method": "embedding", "dilate": "auto"},
            {},
            "method embedding needs .* embedding",
        ),
    ],
)
def test_mistakes_are_refused(run, tmp_path, postprocess, search, message):
    with pytest.raises(InputError, match=message):
        run(postprocess, **search)
    assert not list(tmp_path.glob("search*"))


def test_folds_and_maps_of_another_run_are_refused(run, tmp_path):
    with pytest.raises(InputError, match=r"no image of .*folds.csv is in \[2\]; name others"):
        run({"threshold": "auto"}, folds=(2,), pictures=dict(list(PICTURES.items())[:5]))
    other = {name + "x": one for name, one in PICTURES.items()}
    run({"threshold": "auto"}, pictures=other)
    (tmp_path / "ensemble/oof.zip").rename(tmp_path / "other.zip")
    run({"threshold": "auto"})
    (tmp_path / "other.zip").replace(tmp_path / "ensemble/oof.zip")
    arguments = [str(tmp_path / name) for name in PLACES]
    with pytest.raises(InputError, match="oof.zip: holds no 'train/a'"):
        search_postprocess.main([*arguments, "--params", str(tmp_path / "params.yaml")])


def test_the_order_of_the_files_does_not_matter(run, tmp_path):
    mask, truth = picture(3, 0.9, 0.0)
    alike = {f"train/{n}": (n % 2, mask, truth if n < 3 else truth[:, ::-1]) for n in range(6)}
    _, table = run({"threshold": "auto"}, pictures=alike, metric="ap50")
    assert table["ap50"][0] == pytest.approx(51 / 101, abs=1e-6)  # the right ones come first
    before = (tmp_path / "search/search.csv").read_bytes()
    for name in ("prepared/labels/train/truth.json", "folds.csv"):
        text = (tmp_path / name).read_text()
        if name.endswith("json"):
            coco = json.loads(text)
            text = json.dumps(coco | {key: coco[key][::-1] for key in ("images", "annotations")})
        else:
            header, *rows = text.splitlines()
            text = "\n".join([header, *rows[::-1]])
        (tmp_path / name).write_text(text)
    arguments = [str(tmp_path / name) for name in PLACES]
    with parallel_config(backend="sequential"):
        search_postprocess.main([*arguments, "--params", str(tmp_path / "params.yaml")])
    assert (tmp_path / "search/search.csv").read_bytes() == before


def test_the_same_input_gives_the_same_bytes(run, tmp_path):
    run({"threshold": "auto", "min_area": "auto"}, max_images=4, seed=3)
    before = [path.read_bytes() for path in sorted((tmp_path / "search").iterdir())]
    run({"threshold": "auto", "min_area": "auto"}, max_images=4, seed=3)
    assert [path.read_bytes() for path in sorted((tmp_path / "search").iterdir())] == before


def test_the_work_goes_where_params_say(run, monkeypatch):
    monkeypatch.setitem(globals(), "SCHEDULER", "tcp://127.0.0.1:8786")
    seen = []

    def in_order(function, arguments, *, scheduler, memory, **fixed):
        seen.append((scheduler, memory))
        return (function(*one, **fixed) for one in arguments)

    monkeypatch.setattr(search_postprocess, "in_order", in_order)
    run({"threshold": "auto"})
    assert seen == [("tcp://127.0.0.1:8786", search_postprocess.BYTES * 8)]  # of 1 x 8 px
