from contextlib import contextmanager

import numpy as np
import pytest
import rasterio
from rasterio import Affine

from src.delivering import scene_run
from src.delivering.scene_run import Outlines, scene_objects
from src.exporting.object_file import batch_runs, read_objects
from src.scenes.model_calls import open_model, scene_windows
from src.scenes.scene import open_scene
from src.scenes.scene_objects import Blocks
from tests import squares_bundle

OUTLINES = Outlines(0.5, False)


@contextmanager
def show(total, unit, what):
    done = []
    yield done.append
    assert sum(done) == total


@pytest.fixture
def found(tmp_path):
    """Return a function that finds the objects of a small scene, and the places of squares."""
    places = squares_bundle.grid(260, 300)
    image = squares_bundle.scene(260, 300, places)
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 3, "height": 260, "width": 300}
    profile |= {"crs": "EPSG:32630", "transform": Affine(0.5, 0, 4e5, 0, -0.5, 6e5)}
    with rasterio.open(tmp_path / "scene.tif", "w", **profile) as file:
        file.write(np.moveaxis(image, -1, 0))
    scene = open_scene(tmp_path / "scene.tif", "scene")
    model = open_model(squares_bundle.write(tmp_path / "m.maskline.zip"), None, None)

    def find(outlines=OUTLINES, score=None):
        changed = model._replace(score=score)
        windows = scene_windows(model, 512)
        folder = tmp_path / "work"
        options = {"scheduler": "none", "show": show}
        path = scene_objects(scene, changed, folder, windows, outlines, **options)
        return [runs for batch in read_objects(path) for runs in batch_runs(batch)]

    return find, places


@pytest.mark.parametrize("core", [1024, 100])
def test_objects_of_a_scene_in_one_block_or_many(found, monkeypatch, core):
    find, places = found
    monkeypatch.setattr(scene_run, "BLOCKS", Blocks(core, 50))
    middles = [runs.mean() for runs in find()]  # of pixels by number: close to that of the square
    columns = sorted(round(middle // 260 / 40 - 0.375) for middle in middles)
    assert columns == sorted(column // 40 for _, column in places)


def test_what_is_there_is_not_done_again(found, monkeypatch):
    find, places = found
    first = find()

    def refuse(*args, **options):
        raise AssertionError

    with monkeypatch.context() as patched:
        patched.setattr(scene_run, "find_in_block", refuse)
        patched.setattr(scene_run, "predict_tile", refuse)
        assert len(find()) == len(first)
    with monkeypatch.context() as patched:  # another score: the same maps, other objects
        patched.setattr(scene_run, "predict_tile", refuse)
        assert find(score=1.0) == []
        assert len(find(Outlines(0.0, True))) == len(first)


def test_blocks_that_were_done_before_a_stop_are_not_looked_at_again(found, monkeypatch):
    find, places = found
    monkeypatch.setattr(scene_run, "BLOCKS", Blocks(100, 50))
    calls, whole = [], scene_run.find_in_block

    def stopping(block, **options):
        calls.append(block)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return whole(block, **options)

    with monkeypatch.context() as patched:
        patched.setattr(scene_run, "find_in_block", stopping)
        with pytest.raises(KeyboardInterrupt):
            find()
        stopped = find()
    assert calls == [(row, column) for row in range(2) for column in range(3)] + [
        (row, column) for row in range(1, 3) for column in range(3) if (row, column) > (1, 1)
    ]
    monkeypatch.setattr(scene_run, "BLOCKS", Blocks(100, 50))
    again = find(Outlines(0.25, False))
    assert len(stopped) == len(places)
    assert all(np.array_equal(*pair) for pair in zip(stopped, again, strict=True))


def test_blocks_of_another_score_are_others(found):
    find, places = found
    assert len(find()) == len(places)
    assert find(score=1.0) == []
