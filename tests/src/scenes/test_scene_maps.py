import json

import cv2
import numpy as np
import pytest

from src.mosaics.runs import Area
from src.scenes import scene_maps
from src.scenes.scene_maps import Windows, read_maps, write_maps

HEIGHT, WIDTH = 700, 1130
RADIUS = 24  # px that the network below looks at most


def scene_image(seed=0):
    image = np.random.default_rng(seed).integers(1, 255, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    return cv2.GaussianBlur(image, (0, 0), 2)


def network(image):
    """Look RADIUS px far and, as networks do, at where the pixel lies on a grid of
    32 px; and beyond an image see zeros."""
    seen = cv2.copyMakeBorder(image, *[RADIUS] * 4, cv2.BORDER_CONSTANT)
    grey = cv2.blur(seen, (2 * RADIUS + 1,) * 2)[RADIUS:-RADIUS, RADIUS:-RADIUS].astype(int).sum(2)
    grid = np.add.outer(np.arange(len(image)) % 32, np.arange(image.shape[1]) % 32)
    assert not image.shape[0] % 32
    assert not image.shape[1] % 32
    mask = ((grey * 7 + grid) % 256).astype(np.uint8)
    return {"mask": mask, "embedding": np.stack([mask, 255 - mask, mask], axis=-1), "empty": 0.25}


def reader(image, valid=None):
    valid = np.ones(image.shape[:2], bool) if valid is None else valid

    def read(area):
        place = (slice(area.top, area.bottom), slice(area.left, area.right))
        return image[place], valid[place]

    return read


def written(folder, read, predict=network, side=256, progress=lambda pixels: None, tile=0):
    windows = Windows(side, tile or side, 32, 32)
    write_maps(
        folder, HEIGHT, WIDTH, read, predict, windows, scheduler="none", progress=progress
    )  # fmt: skip
    return read_maps(folder, HEIGHT, WIDTH, Area(0, HEIGHT, 0, WIDTH))


@pytest.mark.parametrize("at_once", [1, 500, 1 << 20])
def test_maps_do_not_depend_on_tiles(tmp_path, monkeypatch, at_once):
    monkeypatch.setattr(scene_maps, "READ_AT_ONCE", at_once)
    image = scene_image()
    first = written(tmp_path / "1024", reader(image), side=1024)
    assert first["mask"].std() > 20
    assert first["embedding"].shape == (HEIGHT, WIDTH, 3)
    assert first["empty"] == 0.25
    padded = np.pad(image, ((0, -HEIGHT % 32), (0, -WIDTH % 32), (0, 0)), mode="edge")
    assert np.array_equal(first["mask"], network(padded)["mask"][:HEIGHT, :WIDTH])
    for side in (96, 256, 384):
        others = written(tmp_path / str(side), reader(image), side=side)
        assert all(np.array_equal(one, others[kind]) for kind, one in first.items())


def test_a_halo_that_is_too_small_shows(tmp_path):
    """The network of these tests could tell."""
    image = scene_image()
    for side, folder in ((256, tmp_path / "a"), (512, tmp_path / "b")):
        windows = Windows(side, side, 0, 32)
        write_maps(
            folder, HEIGHT, WIDTH, reader(image), network, windows,
            scheduler="none", progress=lambda pixels: None,
        )  # fmt: skip
    whole = Area(0, HEIGHT, 0, WIDTH)
    one, other = (read_maps(tmp_path / name, HEIGHT, WIDTH, whole)["mask"] for name in "ab")
    assert not np.array_equal(one, other)


def test_maps_never_depend_on_windows(tmp_path):
    """Even of a network that looks further than the halo, here at all that it is given."""

    def far(image):
        found = network(image)
        return found | {"mask": (found["mask"].astype(int) + image.sum()).astype(np.uint8)}

    image, valid = scene_image(), np.ones((HEIGHT, WIDTH), bool)
    valid[128:300, 256:700] = False
    maps = [
        written(tmp_path / str(side), reader(image, valid), far, side, tile=128)
        for side in (128, 384, 1152)
    ]
    for kind, one in maps[0].items():
        assert all(np.array_equal(one, other[kind]) for other in maps)
    other_tiles = written(tmp_path / "other", reader(image, valid), far, tile=256)
    assert not np.array_equal(maps[0]["mask"], other_tiles["mask"])


def test_where_there_are_no_data_nothing_is_predicted(tmp_path):
    image, valid = scene_image(), np.zeros((HEIGHT, WIDTH), bool)
    valid[40:45, 300:310] = True
    valid[690:, 1000] = True
    masks = []
    for side in (64, 256, 1024):
        called, done = [], []

        def predict(image, called=called):
            called.append(image.shape)
            return network(image)

        folder, read = tmp_path / str(side), reader(image, valid)
        masks.append(written(folder, read, predict, side, progress=done.append)["mask"])
        assert sum(done) == HEIGHT * WIDTH
        assert len(called) == {64: 2, 256: 2, 1024: 1}[side]
    assert all(np.array_equal(masks[0], mask) for mask in masks)
    cells = np.zeros((HEIGHT, WIDTH), bool)
    cells[32:64, 288:320] = cells[672:, 992:1024] = True
    assert not masks[0][~cells].any()
    assert masks[0][cells].any()


def test_a_scene_without_any_data_has_no_maps(tmp_path):
    done = []
    valid = np.zeros((HEIGHT, WIDTH), bool)
    assert written(tmp_path, reader(scene_image(), valid), progress=done.append) == {}
    assert sum(done) == HEIGHT * WIDTH


def test_a_scene_that_was_stopped_goes_on_where_it_was(tmp_path):
    image, calls, done = scene_image(), [], []

    def predict(image):
        calls.append(1)
        if len(calls) == 8:  # the third of the second row of five
            raise RuntimeError("stopped")
        return network(image)

    with pytest.raises(RuntimeError, match="stopped"):
        written(tmp_path / "a", reader(image), predict)
    with (tmp_path / "a/rows.jsonl").open("a") as file:
        file.write('{"top": 256, "num')  # what a sudden end leaves
    maps = written(tmp_path / "a", reader(image), predict, progress=done.append)
    assert len(calls) == 8 + 10  # the second and the third row
    assert done[0] == 256 * WIDTH
    assert sum(done) == HEIGHT * WIDTH
    whole = written(tmp_path / "b", reader(image))
    assert all(np.array_equal(one, whole[kind]) for kind, one in maps.items())
    tops = [
        json.loads(line)["top"] for line in (tmp_path / "a/rows.jsonl").read_text().splitlines()
    ]
    assert tops == [0, 256, 512]
    again = written(tmp_path / "a", reader(image), predict)
    assert len(calls) == 18
    assert np.array_equal(again["mask"], maps["mask"])


def test_windows_that_do_not_fit_the_grid(tmp_path):
    with pytest.raises(ValueError, match="must be multiples of step"):
        write_maps(
            tmp_path, HEIGHT, WIDTH, reader(scene_image()), network, Windows(100, 100, 32, 32),
            scheduler="none", progress=lambda pixels: None,
        )  # fmt: skip
