import json

import numpy as np
import pytest

from src.base.errors import InputError
from src.formats.map_folder import (
    MapFolder,
    open_maps,
    read_empty,
    read_map_folder,
    write_empty,
    write_list,
    write_maps,
    write_split,
)

HEADS = ["mask", "border", "embedding", "empty"]
KINDS = [*HEADS, "view_spread"]


def prediction(seed):
    random = np.random.default_rng(seed)
    shapes = {"mask": (4, 5), "border": (4, 5), "embedding": (4, 5, 3), "view_spread": (4, 5)}
    maps = {kind: random.integers(0, 256, shape, np.uint8) for kind, shape in shapes.items()}
    return maps | {"empty": seed / 10}


@pytest.fixture
def folder(tmp_path):
    predictions = [("val/a", prediction(1)), ("val/b", prediction(2))]
    write_split(tmp_path, "val", KINDS, iter(predictions))
    write_split(tmp_path, "test", KINDS, iter([]))
    write_list(tmp_path, HEADS, ["view"])
    return tmp_path


def test_every_kind_of_map_is_read_as_it_was_written(folder):
    maps = read_map_folder(folder, "predict")
    assert maps == MapFolder(folder, "predict", HEADS, ["view"])
    for kind in ("mask", "border", "embedding", "view_spread"):
        archive = open_maps(maps, "val", kind)
        assert archive.names == ["val/a", "val/b"]
        for seed, name in enumerate(archive.names, start=1):
            np.testing.assert_array_equal(archive.read(name), prediction(seed)[kind])
        assert open_maps(maps, "test", kind).names == []
    assert read_empty(maps, "val", ["val/b", "val/a"]).tolist() == [0.2, 0.1]
    assert read_empty(maps, "test", []).shape == (0,)


def test_the_files_have_the_names_and_texts_that_are_told(folder):
    files = {path.name for path in folder.iterdir()}
    suffixes = [".zip", "_border.zip", "_embedding.zip", "_view_spread.zip", "_empty.csv"]
    assert files == {f"{s}{suffix}" for s in ("val", "test") for suffix in suffixes} | {"maps.json"}
    assert (folder / "maps.json").read_text() == (
        '{"heads": ["mask", "border", "embedding", "empty"], "spreads": ["view"]}\n'
    )
    table = "name,probability\nval/a,0.100000\nval/b,0.200000\n"
    assert (folder / "val_empty.csv").read_text() == table
    assert (folder / "test_empty.csv").read_text() == "name,probability\n"


def test_image_by_image_and_kind_by_kind_give_the_same_bytes(folder, tmp_path):
    by_kind = tmp_path / "by_kind"
    for kind in ("mask", "border", "embedding", "view_spread"):
        maps = [("val/a", prediction(1)[kind]), ("val/b", prediction(2)[kind])]
        write_maps(by_kind, "val", kind, maps)
    write_empty(by_kind, "val", ["val/a", "val/b"], [0.1, 0.2])
    for path in by_kind.iterdir():
        assert path.read_bytes() == (folder / path.name).read_bytes()
    assert len(list(by_kind.iterdir())) == 5


def test_a_mask_alone_leaves_nothing_else(tmp_path):
    write_split(tmp_path, "oof", ["mask"], [("train/a", prediction(0))])
    assert [path.name for path in tmp_path.iterdir()] == ["oof.zip"]


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ([], "want the lists heads and spreads alone; run predict again"),
        ({"heads": ["mask"]}, "want the lists heads and spreads alone"),
        ({"heads": ["mask"], "spreads": [], "more": 1}, "want the lists heads and spreads alone"),
        ({"heads": "mask", "spreads": []}, "heads 'mask': want mask and any of mask, border"),
        ({"heads": ["border"], "spreads": []}, r"heads \['border'\]: want mask and any of"),
        ({"heads": ["mask", "mask"], "spreads": []}, "heads .*each once; run predict again"),
        ({"heads": ["mask", "edge"], "spreads": []}, "heads .*'edge'"),
        ({"heads": ["mask", ["border"]], "spreads": []}, "heads .*'border'"),
        ({"heads": ["mask"], "spreads": ["fold"]}, r"spreads \['fold'\]: want any of view, member"),
        ({"heads": ["mask"], "spreads": {"view": 1}}, "spreads .*want any of view, member, each"),
    ],
)
def test_a_list_of_maps_that_is_none_is_refused(tmp_path, listed, message):
    (tmp_path / "maps.json").write_text(json.dumps(listed))
    with pytest.raises(InputError, match=f"maps.json: {message}"):
        read_map_folder(tmp_path, "predict")


def test_a_missing_file_is_named_with_the_stage_that_writes_it(tmp_path):
    with pytest.raises(InputError, match="maps.json: no such file"):
        read_map_folder(tmp_path, "predict")
    write_list(tmp_path, ["mask", "empty"], [])
    maps = read_map_folder(tmp_path, "ensemble")
    with pytest.raises(InputError, match="val.zip: no such archive"):
        open_maps(maps, "val", "mask")
    with pytest.raises(InputError, match="val_empty.csv: no such file; run ensemble"):
        read_empty(maps, "val", [])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("val/a,0.5\nval/a,0.5\n", "'val/a' is there twice; run predict again"),
        ("val/a,\n", r"'val/a' has no probability in \[0, 1\]"),
        ("val/a,1.5\n", r"'val/a' has no probability in \[0, 1\]"),
        ("val/b,0.5\n", "lacks 'val/a'; run predict again"),
        ("val/a,much\n", "probability must be a number, got 'much'"),
    ],
)
def test_a_table_of_empty_images_without_their_numbers_is_refused(folder, rows, message):
    (folder / "val_empty.csv").write_text("name,probability\n" + rows)
    with pytest.raises(InputError, match=f"val_empty.csv: .*{message}"):
        read_empty(read_map_folder(folder, "predict"), "val", ["val/a"])
