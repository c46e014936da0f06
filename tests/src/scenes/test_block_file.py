import numpy as np

from src.mosaics.runs import Area
from src.scenes.block_file import read_block, write_block
from src.scenes.scene_objects import Found, SceneObject


def test_what_a_block_has_found_comes_back_to_the_bit(tmp_path):
    one = SceneObject(np.array([[3, 5], [13, 16]]), 1 / 3, (0.1, 254.9, 7.0))
    other = SceneObject(np.array([[2**40, 2**40 + 1]]), 1.0, (0.0, 0.0, 0.0))
    found = [
        Found(one, Area(3, 6, 0, 2), (4, 7), False),
        Found(other, Area(0, 1, 9, 10), (4, 7), True),
    ]
    write_block(tmp_path / "a.npz", found)
    read = read_block(tmp_path / "a.npz", (4, 7))
    for was, now in zip(found, read, strict=True):
        assert now.object.runs.dtype == np.int64
        assert np.array_equal(now.object.runs, was.object.runs)
        assert now.object[1:] == was.object[1:]
        assert now[1:] == was[1:]
    assert isinstance(read[0].area, Area)
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_a_block_in_which_nothing_was_found(tmp_path):
    write_block(tmp_path / "a.npz", [])
    assert read_block(tmp_path / "a.npz", (0, 0)) == []
