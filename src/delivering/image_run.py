"""Many images, each predicted whole, to files of their objects."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from src.base.files import write_text
from src.delivering.scene_run import Outlines, Show, model_digest
from src.exporting.object_file import batches, object_rows, write_objects
from src.parallel.workers import in_order
from src.scenes.model_calls import Model, objects_of_image
from src.scenes.scene import Scene


class FoundImage(NamedTuple):
    """What is kept of an image."""

    scene: Scene  # with the size that the image has when it is decoded
    objects: Path
    mask: Path  # uint8 of its pixels, row by row: probability * 255


def image_rows(
    path: Path, *, model: Model, outlines: Outlines
) -> tuple[list[pa.RecordBatch], np.ndarray] | str:
    """Find, measure and outline the objects of an image; the reason if it cannot be read."""
    found = objects_of_image(path, model=model)
    if isinstance(found, str):
        return found
    objects, mask = found
    options = {"height": len(mask), **outlines._asdict()}
    return [object_rows(*some, **options) for some in batches([objects])], mask


def objects_of_images(
    scenes: list[Scene],
    model: Model,
    folder: Path,
    outlines: Outlines,
    *,
    scheduler: str,
    show: Show,
) -> tuple[list[FoundImage], list[tuple[str, str]]]:
    """Find the objects of images that are predicted whole.

    Parameters
    ----------
    scenes : list of Scene
        Of one file each.
    model, outlines, scheduler, show
        As for `src.delivering.scene_run.scene_objects`.
    folder : Path
        For what is found; images that an earlier run by the same model and options has done there
        are not done again.

    Returns
    -------
    found : list of FoundImage
    failed : list of (str, str)
        Name and reason of those that cannot be read.
    """
    job = json.dumps([model_digest(model), model.views, model.score, *outlines])
    if not (folder / "job.json").exists() or (folder / "job.json").read_text() != job:
        shutil.rmtree(folder, ignore_errors=True)
        write_text(folder / "job.json", job)
    found: dict[str, FoundImage] = {}
    failed: list[tuple[str, str]] = []
    paths = {scene.name: folder / _file_name(scene) for scene in scenes}
    todo = [scene for scene in scenes if not paths[scene.name].with_suffix(".json").exists()]
    with show(sum(one.height * one.width for one in todo), "px", "images") as done:
        calls = ((scene.tiles[0].path,) for scene in todo)
        fixed = {"at_once": True, "model": model, "outlines": outlines}
        results: Iterator = in_order(image_rows, calls, scheduler=scheduler, **fixed)
        for scene, result in zip(todo, results, strict=True):
            if isinstance(result, str):
                failed.append((scene.name, result))
            else:
                rows, mask = result
                write_objects(paths[scene.name].with_suffix(".parquet"), rows)
                paths[scene.name].with_suffix(".mask").write_bytes(mask.tobytes())
                size = json.dumps(mask.shape)
                write_text(paths[scene.name].with_suffix(".json"), size)
            done(scene.height * scene.width)
    bad = {name for name, _ in failed}
    for scene in scenes:
        if scene.name not in bad:
            path = paths[scene.name]
            height, width = json.loads(path.with_suffix(".json").read_text())
            sized = scene._replace(height=height, width=width)
            found[scene.name] = FoundImage(
                sized, path.with_suffix(".parquet"), path.with_suffix(".mask")
            )
    return list(found.values()), failed


def _file_name(scene: Scene) -> str:
    """Name what is kept of an image by its file, so that a changed one is done again."""
    path = scene.tiles[0].path
    about = path.stat()
    told = f"{path.absolute()} {about.st_size} {about.st_mtime_ns}"
    return hashlib.sha256(told.encode()).hexdigest()[:24]
