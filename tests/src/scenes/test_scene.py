import cv2
import numpy as np
import pytest
import rasterio
from rasterio import Affine

from src.base.errors import InputError
from src.formats.archive import PHOTO
from src.mosaics.runs import Area
from src.preparing.photos import read_photo
from src.reading.params import ImagesParams
from src.scenes.scene import (
    choose_levels,
    join_tiles,
    open_scene,
    read_area,
    resampled,
)

IMAGES = ImagesParams(
    keep="8bit",
    bands=[],
    shown=[],
    stretch="none",
    low=0.0,
    high=0.0,
    no_data="none",
    orientation="ignore",
)


def from_origin(west, north, width, height):
    return Affine(width, 0, west, 0, -height, north)


UTM = {"crs": "EPSG:32737", "transform": from_origin(400_000, 5_000_000, 0.5, 0.5)}


def write(path, values, **options):
    values = values[None] if values.ndim == 2 else np.moveaxis(values, -1, 0)
    mask, colours = options.pop("mask", None), options.pop("colours", None)
    profile = {"count": len(values), "dtype": values.dtype, **UTM, **options}
    with rasterio.open(path, "w", height=values.shape[1], width=values.shape[2], **profile) as file:
        file.write(values)
        if mask is not None:
            file.write_mask(mask)
        if colours is not None:
            file.write_colormap(1, colours)
    return path


def noise(height, width, bands, dtype=np.uint8, seed=0, low=1):
    top = np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 255
    values = np.random.default_rng(seed).integers(low, min(top, 60_000), (height, width, bands))
    return values.astype(dtype)


def whole(path, images=IMAGES, levels=None):
    scene = open_scene(path, "scene")
    return read_area(
        Area(0, scene.height, 0, scene.width), scene=scene, images=images, levels=levels
    )


CASES = {
    "tiled": ({"bands": 3}, {"tiled": True, "blockxsize": 32, "blockysize": 32}, {}),
    "four bands": ({"bands": 4}, {}, {"bands": [4, 2, 1]}),
    "grey": ({"bands": 1}, {"compress": "deflate"}, {}),
    "big": ({"bands": 3}, {"BIGTIFF": "YES", "compress": "lzw"}, {}),
    "16 bits": ({"bands": 3, "dtype": np.uint16}, {}, {}),
    "12 bits": ({"bands": 1, "dtype": np.uint16}, {"NBITS": 12}, {}),
    "range": ({"bands": 3, "dtype": np.float32}, {},
              {"stretch": "range", "low": 20.0, "high": 200.0}),
    "auto": ({"bands": 3, "dtype": np.int16}, {}, {"stretch": "auto", "low": 5.0, "high": 9000.0}),
    "0 is white": ({"bands": 1}, {"photometric": "MINISWHITE"}, {}),
    "0 is white, 12 bits": ({"bands": 1, "dtype": np.uint16},
                            {"photometric": "MINISWHITE", "NBITS": 12}, {}),
    "nodata": ({"bands": 3, "low": 0}, {"nodata": 0}, {}),
    "value": ({"bands": 1, "low": 0}, {}, {"no_data": 7.0}),
    "mask": ({"bands": 3}, {"mask": noise(70, 90, 1, seed=1)[..., 0] > 99}, {}),
    "percentile": ({"bands": 3, "dtype": np.uint16}, {"nodata": 3},
                   {"stretch": "percentile", "low": 2.0, "high": 98.0}),
    "palette": ({"bands": 1}, {"photometric": "palette",
                               "colours": {i: (i, 255 - i, 9, 255) for i in range(256)}}, {}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_an_area_is_what_the_workflow_reads_of_the_whole_file(tmp_path, case):
    values, options, changes = CASES[case]
    images = IMAGES.model_copy(update=changes)
    path = write(tmp_path / "a.tif", noise(70, 90, **values), **options)
    photo = read_photo(path, images)
    wanted = cv2.imdecode(np.frombuffer(photo.content, np.uint8), PHOTO)[..., ::-1]
    scene = open_scene(path, "a")
    levels = choose_levels(scene, images)
    assert (levels is not None) == (case == "percentile")
    given = {"scene": scene, "images": images, "levels": levels}
    image, valid = read_area(Area(0, 70, 0, 90), **given)
    assert np.array_equal(image, wanted)
    assert np.isclose((~valid).mean(), photo.no_data)
    part, of_part = read_area(Area(13, 60, 33, 71), **given)
    assert np.array_equal(part, wanted[13:60, 33:71])
    assert np.array_equal(of_part, valid[13:60, 33:71])


def test_refusals_name_the_file(tmp_path):
    path = write(tmp_path / "a.tif", noise(20, 20, 1))
    with pytest.raises(InputError, match=r"a\.tif: has 1 band, but the model asks for band 3"):
        whole(path, IMAGES.model_copy(update={"bands": [3, 2, 1]}))
    deep = write(tmp_path / "b.tif", noise(20, 20, 1, np.float32))
    with pytest.raises(InputError, match=r"b\.tif: values of type float32 do not say"):
        whole(deep)
    (tmp_path / "c.tif").write_bytes(b"II*\0 nothing")
    with pytest.raises(InputError, match=r"c\.tif: damaged image"):
        open_scene(tmp_path / "c.tif", "c")
    content = path.read_bytes()
    (tmp_path / "d.tif").write_bytes(content[: len(content) - 300])
    with pytest.raises(InputError, match=r"d\.tif: damaged image"):
        whole(tmp_path / "d.tif")


def test_tiles_that_touch_or_overlap_are_one_scene(tmp_path):
    world = noise(64, 96, 3)
    scenes = []
    places = {"a": (0, 0), "b": (0, 60), "far": (500, 500), "c": (40, 30)}
    for name, (row, column) in places.items():
        part = world[row : row + 40, column : column + 60] if name != "far" else world[:9, :9]
        transform = from_origin(400_000 + column * 0.5, 5_000_000 - row * 0.5, 0.5, 0.5)
        path = write(tmp_path / f"{name}.tif", part, transform=transform)
        scenes.append(open_scene(path, name))
    corner = from_origin(400_000 + 48, 5_000_000 - 20, 0.5, 0.5)  # touches b at a corner only
    scenes.append(open_scene(write(tmp_path / "e.tif", world[:5, :5], transform=corner), "e"))
    other = {"crs": "EPSG:32736"}
    scenes.append(open_scene(write(tmp_path / "f.tif", world[:5, :5], **other), "f"))
    joined = join_tiles(scenes)
    assert [scene.name for scene in joined] == ["a", "far", "e", "f"]
    mosaic = joined[0]
    assert (mosaic.height, mosaic.width, len(mosaic.tiles)) == (64, 96, 3)
    assert mosaic.place == scenes[0].place
    whole = Area(0, 64, 0, 96)
    image, valid = read_area(whole, scene=mosaic, images=IMAGES, levels=None)
    assert np.array_equal(image[valid], world[valid])
    assert valid.sum() == 40 * 96 + 24 * 60


def test_a_mosaic_begins_where_its_most_northern_and_western_tiles_do(tmp_path):
    world = noise(30, 40, 3)
    scenes = []
    for name, (row, column) in {"a": (10, 20), "b": (0, 0)}.items():
        transform = from_origin(column * 0.5, 100 - row * 0.5, 0.5, 0.5)
        path = write(
            tmp_path / f"{name}.tif", world[row : row + 20, column : column + 20],
            transform=transform,
        )  # fmt: skip
        scenes.append(open_scene(path, name))
    [mosaic] = join_tiles(scenes)
    assert mosaic.place == (0.0, 0.5, 0.0, 100.0, 0.0, -0.5, "EPSG:32737")
    given = {"scene": mosaic, "images": IMAGES, "levels": None}
    image, valid = read_area(Area(0, 30, 0, 40), **given)
    assert np.array_equal(image[valid], world[valid])
    assert not valid[:10, 20:].any()


def test_resampled_scenes_cover_the_same_ground(tmp_path):
    values = np.repeat(np.repeat(noise(20, 30, 3), 4, axis=0), 4, axis=1)
    scene = open_scene(write(tmp_path / "a.tif", values), "a")
    small = resampled(scene, 0.25)
    assert (small.height, small.width) == (20, 30)
    assert small.place == (400_000, 2.0, 0, 5_000_000, 0, -2.0, "EPSG:32737")
    given = {"scene": small, "images": IMAGES, "levels": None}
    image, valid = read_area(Area(0, 20, 0, 30), **given)
    assert np.array_equal(image, values[::4, ::4])
    assert valid.all()
    part, _ = read_area(Area(3, 17, 5, 29), **given)
    assert np.array_equal(part, image[3:17, 5:29])
