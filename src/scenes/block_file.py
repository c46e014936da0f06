"""What one block of a scene has found, in a file, so that a scene that was stopped goes on."""

from pathlib import Path

import numpy as np

from src.mosaics.runs import NONE, Area
from src.scenes.scene_objects import Found, SceneObject


def write_block(path: Path, found: list[Found]) -> None:
    """Write what `src.scenes.scene_objects.find_in_block` found; whole or not at all.

    Parameters
    ----------
    path : Path
        Ending in .npz; its folder is there.
    found : list of Found
        Of one block; may be empty.
    """
    objects = [one.object for one in found]
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        np.savez(
            file,
            runs=np.concatenate([NONE, *(one.runs for one in objects)]),
            ends=np.cumsum([len(one.runs) for one in objects], dtype=np.int64),
            scores=np.array([one.score for one in objects], np.float64),
            colours=np.array([one.colour for one in objects], np.float64).reshape(-1, 3),
            areas=np.array([one.area for one in found], np.int64).reshape(-1, 4),
            cut=np.array([one.cut for one in found], bool),
        )
    partial.replace(path)


def read_block(path: Path, block: tuple[int, int]) -> list[Found]:
    """Read what was found in the block of a row and a column, to the bit."""
    with np.load(path, allow_pickle=False) as file:
        runs = np.split(file["runs"], file["ends"][:-1]) if len(file["ends"]) else []
        numbers = [file[key].tolist() for key in ("scores", "colours", "areas", "cut")]
    return [
        Found(SceneObject(of_object, score, tuple(colour)), Area(*area), block, cut)
        for of_object, score, colour, area, cut in zip(runs, *numbers, strict=True)
    ]
