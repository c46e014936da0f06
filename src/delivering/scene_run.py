"""One scene from its files to the file of its objects, going on where it was stopped."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from src.base.files import write_text
from src.exporting.object_file import batches, object_rows, write_objects
from src.parallel.workers import in_order
from src.scenes.block_file import read_block, write_block
from src.scenes.model_calls import Model, find_in_maps, predict_tile, read_model
from src.scenes.scene import Scene, choose_levels, read_area
from src.scenes.scene_maps import Windows, read_maps, write_maps
from src.scenes.scene_objects import Blocks, Found, find_in_block, merge_blocks

BLOCKS = Blocks(1024, 256)  # px; fixed, since objects found depend on it a little
JOB = "job.json"

Show = Callable[[int, str, str], AbstractContextManager[Callable[[int], object]]]


class Outlines(NamedTuple):
    """How objects become polygons; see `src.outlines.object_outline.object_outline`."""

    simplify: float  # px
    right_angles: bool


def scene_objects(
    scene: Scene,
    model: Model,
    folder: Path,
    windows: Windows,
    outlines: Outlines,
    *,
    scheduler: str,
    show: Show,
) -> Path:
    """Find the objects of a scene.

    Parameters
    ----------
    scene : Scene
    model : Model
    folder : Path
        For maps and objects. What an earlier run of the same scene by the same model and windows
        left there, rows of windows and blocks, is taken up, that of any other removed.
    windows, outlines
    scheduler : str
        As for `src.parallel.workers.in_order`.
    show : callable
        Of a number of steps, their unit and what is done: a context that gives the function to tell
        how many further ones are done.

    Returns
    -------
    objects : Path
        A file of `src.exporting.object_file`, in the folder.
    """
    height, width = scene.height, scene.width
    _take_up(folder, _job(scene, model, windows))
    path = folder / f"objects_{_digest([*outlines, model.score])}.parquet"
    if path.exists():
        return path
    bundle = read_model(model)
    images = bundle.manifest.expected.read
    read = partial(read_area, scene=scene, images=images, levels=choose_levels(scene, images))
    with show(height * width, "px", f"predict {scene.name}") as done:
        predict = partial(predict_tile, model=model)
        write_maps(
            folder, height, width, read, predict, windows, scheduler=scheduler, progress=done
        )  # fmt: skip
    places = [
        (row, column)
        for row in range(-(-height // BLOCKS.core))
        for column in range(-(-width // BLOCKS.core))
    ]
    kept = folder / f"blocks_{_digest([model.score])}"
    kept.mkdir(exist_ok=True)
    fresh = in_order(
        find_in_block,
        ((place,) for place in places if not _block_file(kept, place).exists()),
        scheduler=scheduler,
        height=height,
        width=width,
        blocks=BLOCKS,
        read_maps=partial(read_maps, folder, height, width),
        read_image=read,
        find=partial(find_in_maps, model=model),
    )
    with show(len(places), "block", f"objects {scene.name}") as done:
        rows = _rows(_found(places, kept, fresh), -(-width // BLOCKS.core), done)
        nms_iou = bundle.manifest.rescore.nms_iou
        merged = merge_blocks(rows, height, width, BLOCKS, nms_iou)
        options = {"height": height, **outlines._asdict()}
        write_objects(path, in_order(object_rows, batches(merged), scheduler=scheduler, **options))
    return path


def file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def model_digest(model: Model) -> str:
    """Tell a model from any other, and by what its networks run: maps depend on both."""
    return file_digest(model.path) + " onnx" * bool(model.files)


def _job(scene: Scene, model: Model, windows: Windows) -> str:
    """Say what maps depend on; files of scenes by size and time, since they may be large."""
    files = [(str(tile.path.absolute()), tile.path.stat()) for tile in scene.tiles]
    told = {
        "model": model_digest(model),
        "views": model.views,
        "size": [scene.height, scene.width],
        "tiles": [list(tile.area) for tile in scene.tiles],
        "files": [[name, about.st_size, about.st_mtime_ns] for name, about in files],
        "windows": list(windows[1:]),
        "rows": windows.side,
    }
    return json.dumps(told, indent=1) + "\n"


def _take_up(folder: Path, job: str) -> None:
    """Remove what is of another job."""
    path = folder / JOB
    if not path.exists() or path.read_text(encoding="utf-8") != job:
        shutil.rmtree(folder, ignore_errors=True)
        write_text(path, job)


def _digest(given: list) -> str:
    return hashlib.sha256(json.dumps(given).encode()).hexdigest()[:16]


def _block_file(kept: Path, place: tuple[int, int]) -> Path:
    return kept / f"{place[0]}_{place[1]}.npz"


def _found(
    places: list[tuple[int, int]], kept: Path, fresh: Iterator[list[Found]]
) -> Iterator[list[Found]]:
    """Give what each block has found: of those done before from their files, else to files."""
    for place in places:
        path = _block_file(kept, place)
        if path.exists():
            yield read_block(path, place)
        else:
            of_block = next(fresh)
            write_block(path, of_block)
            yield of_block


def _rows(
    found: Iterator[list[Found]], columns: int, done: Callable[[int], object]
) -> Iterator[list[Found]]:
    """Put the blocks of each row together."""
    row: list[Found] = []
    for number, of_block in enumerate(found, start=1):
        row += of_block
        done(1)
        if number % columns == 0:
            yield row
            row = []
