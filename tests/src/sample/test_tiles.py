import numpy as np
import pytest

from src.sample.footprints import Footprint, polygon_area, rasterise
from src.sample.tiles import Tile, coco_records, draw_tiles, turn_tile

SQUARE = np.array([(1, 2), (5, 2), (5, 6), (1, 6)], float)
CATEGORY = {"id": 100, "name": "building"}


def tiles(seed=0, rle=0.5, min_area=16.0, kind="industry"):
    rng = np.random.default_rng(seed)
    return draw_tiles(rng, kind, "scene_004", size=128, per_side=2, min_area=min_area, rle=rle)


def tile(footprints, forms):
    image = np.arange(64 * 3, dtype=np.uint8).reshape(8, 8, 3)
    return Tile(image, footprints, forms, "scene_001")


def test_a_scene_is_cut_row_by_row():
    drawn = tiles()
    assert [t.image.shape for t in drawn] == [(128, 128, 3)] * 4
    assert {t.group for t in drawn} == {"scene_004"}
    seam = abs(drawn[0].image[:, -1].astype(int) - drawn[1].image[:, 0]).mean()
    stranger = abs(drawn[0].image[:, -1].astype(int) - drawn[3].image[:, 0]).mean()
    assert seam < 0.7 * stranger


def test_buildings_cut_by_an_edge_are_in_both_tiles():
    left, right = tiles()[:2]
    at_edge = [[f for f in t.footprints if _touches(f, x)] for t, x in ((left, 128), (right, 0))]
    assert len(at_edge[0]) == len(at_edge[1]) > 0


def _touches(footprint, x):
    return any((part[:, 0] == x).any() for part in footprint.parts)


def test_small_pieces_are_left_out():
    areas = [
        [polygon_area(p) for t in tiles(min_area=m) for f in t.footprints for p in f.parts]
        for m in (0.0, 300.0)
    ]
    assert min(areas[0]) < 300 <= min(areas[1])


@pytest.mark.parametrize("rle", [0.0, 1.0])
def test_the_share_of_runs_is_kept_and_courtyards_are_always_runs(rle):
    drawn = [
        pair
        for seed in range(3)
        for t in tiles(seed, rle)
        for pair in zip(t.footprints, t.forms, strict=True)
    ]
    assert any(footprint.holes for footprint, _ in drawn)
    for footprint, form in drawn:
        if footprint.holes or rle == 1:
            assert form in ("rle", "counts")
    assert any(form == "polygon" for _, form in drawn) == (rle == 0)


def test_a_turned_tile_keeps_image_and_footprint_together():
    original = tile([Footprint([SQUARE], [])], ["polygon"])
    turned = turn_tile(original, 5, "scene_009")
    assert turned.group == "scene_009"
    mask = rasterise(original.footprints[0], 8, 8)
    covered = original.image[mask]
    moved = turned.image[rasterise(turned.footprints[0], 8, 8)]
    assert sorted(map(tuple, moved)) == sorted(map(tuple, covered))


def test_records_tell_the_group_and_number_annotations_through():
    square = Footprint([SQUARE], [])
    document = coco_records(
        [tile([square], ["polygon"]), tile([], []), tile([square], ["rle"])],
        ["a.jpg", "b.jpg", "c.jpg"],
        CATEGORY,
    )
    assert document["images"][1] == {
        "id": 1, "file_name": "b.jpg", "height": 8, "width": 8, "group": "scene_001",
    }  # fmt: skip
    assert [(a["id"], a["image_id"]) for a in document["annotations"]] == [(1, 0), (2, 2)]
    assert all(a["category_id"] == 100 and a["area"] == 16 for a in document["annotations"])
    assert document["categories"] == [CATEGORY]


def test_no_tiles_give_empty_lists():
    assert coco_records([], [], CATEGORY)["images"] == []
