"""The images that are handed to the page: one is worked on at a time, few are kept, none for long.

A job is an image from its upload until it is forgotten. All that belongs to it lies in a folder of
its own, whose name is drawn at random; nothing that a visitor says becomes part of a path but the
letters and digits of the image's name.
"""

import json
import math
import queue
import re
import secrets
import shutil
import threading
import time
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from zipfile import ZIP_DEFLATED, ZipFile

import cv2
import numpy as np
import pyarrow as pa
import shapely
from joblib import parallel_config

from deploy.apply import find_objects, is_whole, other_pixels
from src.base.errors import InputError
from src.delivering.outputs import ON_MAP, Finished, write_outputs
from src.delivering.scene_run import Outlines
from src.exporting.delivery import Delivery, measured_batches
from src.exporting.object_file import SCHEMA, read_objects, write_objects
from src.formats.archive import encode_png
from src.mosaics.runs import Area
from src.scenes.inputs import is_tiff, open_image
from src.scenes.model_calls import Model, open_model, read_image, read_model
from src.scenes.scene import Scene, choose_levels, read_area

FORMATS = ("geojson", "gpkg", "coco", "labels", "csv")  # to download
LOWEST = 0.1  # times the model's own score, from which objects of an image are kept
OUTLINES = Outlines(simplify=0.5, right_angles=False)
WINDOW = 512  # px
MOST_SHOWN = 4096  # px a side of the picture
LOSSLESS = 1 << 20  # px, up to which the picture is PNG
MOST_KEPT = 8  # images whose objects are kept, the oldest goes first
MOST_WAITING = 4
UPLOAD, OBJECTS, SHOWN, PICTURE, WORK = "image", "objects.parquet", "page.json", "picture", "work"
LONGEST_NAME = 60  # letters
PATIENCE = 5  # s, for a computation to stop when all ends


class Stopped(Exception):
    """Nobody waits for the image any more."""


class State(NamedTuple):
    """How far a job is."""

    name: str  # of waiting, working, done, failed
    told: dict[str, Any]  # what the page shows of it


@dataclass(eq=False)
class Job:
    """An image handed over."""

    id: str
    name: str
    folder: Path
    state: State = State("waiting", {})
    finished: Finished | None = None
    stopped: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)  # of its folder


@dataclass(eq=False)
class Desk:
    """The model, the limits and all jobs, the oldest first."""

    model: Model  # as it is
    lower: Model  # that accepts objects from LOWEST on
    megapixels: float
    folder: Path
    jobs: dict[str, Job] = field(default_factory=dict)
    waiting: queue.SimpleQueue[Job | None] = field(default_factory=queue.SimpleQueue)
    rate: float | None = None  # s a pixel that the last image took which was predicted whole


@contextmanager
def open_desk(path: Path, views: str | None, megapixels: float) -> Generator[Desk]:
    """Read a bundle and work on the images handed over until the block ends.

    Parameters
    ----------
    path : Path
        Of the bundle.
    views : str or None
        As for `src.scenes.model_calls.open_model`.
    megapixels : float
        Of the largest image that is taken.

    Yields
    ------
    desk : Desk
        Its folder, a temporary one, is removed afterwards.

    Raises
    ------
    InputError
        As `src.scenes.model_calls.open_model`.
    """
    model = open_model(path, views, None)
    lower = model._replace(score=LOWEST * read_model(model).learnt.point.score)
    with TemporaryDirectory(prefix="maskline-", ignore_cleanup_errors=True) as folder:
        desk = Desk(model, lower, megapixels, Path(folder))
        worker = threading.Thread(target=_work, args=(desk,), daemon=True)
        worker.start()
        try:
            yield desk
        finally:
            for job in list(desk.jobs.values()):
                job.stopped = True
            desk.waiting.put(None)
            worker.join(PATIENCE)


def new_job(desk: Desk, file_name: str) -> Job:
    """Make the folder of an image that is about to be handed over; its file is `UPLOAD` in there.

    Parameters
    ----------
    desk : Desk
    file_name : str
        As a visitor says; of it letters, digits and "-" are kept.

    Raises
    ------
    InputError
        If MOST_WAITING others wait.
    """
    waiting = sum(one.state.name == "waiting" for one in list(desk.jobs.values()))
    if waiting >= MOST_WAITING:
        raise InputError(f"{waiting} images wait already; try again when they are done")
    words = re.sub(r"[^\w-]+", "_", PurePath(file_name.replace("\\", "/")).stem)
    job = Job(secrets.token_urlsafe(12), words.strip("_-")[:LONGEST_NAME] or "image", Path())
    job.folder = desk.folder / job.id
    job.folder.mkdir()
    return job


def hand_over(desk: Desk, job: Job) -> None:
    """Let an image be worked on after those that came before it, and forget the oldest ones.

    Raises
    ------
    InputError
        If it is no image, or one too large for a page. The folder is to be removed then.
    """
    _opened(desk, job)
    desk.jobs[job.id] = job
    desk.waiting.put(job)
    over = [one for one in list(desk.jobs.values()) if one.state.name in ("done", "failed")]
    for one in over[: max(len(over) - MOST_KEPT + 1, 0)]:
        forget(desk, one.id)


def told(desk: Desk, job: Job) -> dict[str, Any]:
    """Say how far a job is, as JSON can hold it."""
    others = list(desk.jobs.values())
    open_still = [one for one in others if one.state.name in ("waiting", "working")]
    before = open_still.index(job) if job in open_still else 0
    state, about = job.state.name, dict(job.state.told)
    if "began" in about:
        about["seconds"] = time.monotonic() - about.pop("began")
    return {"state": state, "name": job.name, "before": before} | about


def forget(desk: Desk, job_id: str) -> None:
    """Remove all of an image; a computation stops as soon as it says how far it is."""
    job = desk.jobs.pop(job_id, None)
    if job is not None:
        job.stopped = True
        if job.state.name != "working":  # else the folder goes when the work has stopped
            remove(job)


def remove(job: Job) -> None:
    with job.lock:
        shutil.rmtree(job.folder, ignore_errors=True)


def download(desk: Desk, job: Job, form: str, score: float) -> tuple[str, bytes]:
    """Write objects as `deploy.apply` writes them.

    Parameters
    ----------
    desk : Desk
    job : Job
        That is done.
    form : str
        Of FORMATS.
    score : float
        From which an object counts.

    Returns
    -------
    name : str
        Of the file, a ZIP where the format has several.
    content : bytes

    Raises
    ------
    InputError
        If the image lies on no known map and the format needs one, or it was forgotten meanwhile.
    """
    with job.lock:
        finished = job.finished
        if finished is None or not job.folder.is_dir():
            raise InputError(f"{job.name}: is no longer kept here; hand it over again")
        if form in ON_MAP and not (finished.place and finished.place[-1]):
            raise InputError(
                f"{job.name}: lies on no known map, which {form} needs; take geojson, then in px"
            )
        with TemporaryDirectory(dir=job.folder) as scratch:
            rows = pa.Table.from_batches(read_objects(finished.objects), SCHEMA)
            count = int(np.count_nonzero(rows["score"].to_numpy() >= score))
            chosen = Path(scratch) / OBJECTS
            write_objects(chosen, rows.slice(0, count).to_batches())
            out = Path(scratch) / "out"
            out.mkdir()
            one = finished._replace(objects=chosen)
            write_outputs(out, [one], [form], _categories(desk), Path(scratch))
            return _one_file(out, job.name, form)


def _one_file(folder: Path, name: str, form: str) -> tuple[str, bytes]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    if len(paths) == 1:
        ending = paths[0].suffix
        return (name if ending == f".{form}" else f"{name}_{form}") + ending, paths[0].read_bytes()
    whole = folder.with_suffix(".zip")
    with ZipFile(whole, "w", ZIP_DEFLATED) as archive:
        for path in paths:
            archive.write(path, path.name)
    return f"{name}_{form}.zip", whole.read_bytes()


def _work(desk: Desk) -> None:
    """Work on one image after the other."""
    # This process holds the model already, and others would have to read it first.
    with parallel_config(backend="sequential"):
        while (job := desk.waiting.get()) is not None:
            if not job.stopped:
                job.state = State("working", {"what": "reading", "began": time.monotonic()})
                job.state = _worked(desk, job)
            if job.stopped or job.state.name == "failed":
                remove(job)


def _worked(desk: Desk, job: Job) -> State:
    """Find the objects of an image, and return how that ended."""
    try:
        return State("done", _find(desk, job))
    except Stopped:
        return State("failed", {"reason": f"{job.name}: was stopped"})
    except InputError as error:
        return State("failed", {"reason": _without_path(error, job)})
    except MemoryError:
        words = f"{job.name}: there is not enough memory for it; cut it into tiles"
        return State("failed", {"reason": words})
    except Exception:
        if job.stopped:  # its folder went while it was worked on
            return State("failed", {"reason": f"{job.name}: was stopped"})
        traceback.print_exc()  # of a defect of ours; the page goes on with the next image
        words = f"{job.name}: failed; the terminal in which the page was started says more"
        return State("failed", {"reason": words})


def _find(desk: Desk, job: Job) -> dict[str, Any]:
    """Find the objects of an image, keep them and its picture, and return what the page shows."""
    began, scene = time.monotonic(), _opened(desk, job)
    whole, model = is_whole(scene), desk.lower
    if not whole:  # where blocks meet, worse objects would have a say in better ones
        model = desk.model
    pixels = scene.height * scene.width
    about = pixels * desk.rate if whole and desk.rate else None
    work = job.folder / WORK
    work.mkdir()

    @contextmanager
    def show(total: int, unit: str, what: str) -> Generator[Callable[[int], object]]:
        done = 0

        def tell(more: int) -> None:
            nonlocal done
            done += more
            if job.stopped:
                raise Stopped
            share = None if whole else done / max(total, 1)
            said = {"what": "finding" if unit == "block" else "predicting", "share": share}
            job.state = State("working", said | {"began": began, "about": about})

        tell(0)
        yield tell

    how = {"window": WINDOW, "scheduler": "none", "show": show}
    names = {tile.path: scene.name for tile in scene.tiles}
    finished, failed = find_objects([scene], set(), names, model, work, OUTLINES, **how)
    if failed:
        raise InputError(failed[0][1])
    one = finished[0]._replace(objects=job.folder / OBJECTS)
    _sort(finished[0].objects, one.objects)
    _write_picture(scene, desk.model, job.folder)
    (job.folder / SHOWN).write_text(json.dumps(_shown(one)), encoding="utf-8")
    shutil.rmtree(work)
    (job.folder / UPLOAD).unlink()
    job.finished = one
    if whole:
        desk.rate = (time.monotonic() - began) / pixels
    manifest = read_model(desk.model).manifest
    other = other_pixels(scene, manifest.expected.pixel_size)
    note = f"{other[1]} m: fewer objects may be found" if other else None
    return {
        "height": one.height,
        "width": one.width,
        "lowest": read_model(model).learnt.point.score,
        "whole": whole,
        "on_map": bool(one.place and one.place[-1]),
        "note": note,
    }


def _opened(desk: Desk, job: Job) -> Scene:
    """Read the size of the image, and refuse one that is too large."""
    try:
        scene = open_image(job.folder / UPLOAD, job.name)
    except InputError as error:
        raise InputError(_without_path(error, job)) from None
    if scene.height * scene.width > desk.megapixels * 1e6:
        raise InputError(
            f"{job.name}: its {scene.width} x {scene.height} px are more than the "
            f"{desk.megapixels:g} megapixels that this page takes; python -m deploy.apply "
            f"{desk.model.path.name} IMAGE --out found takes images of any size"
        )
    return scene


def _without_path(error: InputError, job: Job) -> str:
    """Name the image as the visitor does, not by the file it lies in here."""
    return str(error).replace(str(job.folder / UPLOAD), job.name)


def _sort(source: Path, path: Path) -> None:
    """Write objects by falling score, so that those from a score on are the first ones.

    So the id of an object is the same in each download and on the page, whatever the score.
    """
    rows = pa.Table.from_batches(read_objects(source), SCHEMA)
    order = np.argsort(-rows["score"].to_numpy(), kind="stable")
    write_objects(path, rows.take(order).to_batches())


def _write_picture(scene: Scene, model: Model, folder: Path) -> None:
    """Write the image as the model sees it, smaller where it is large."""
    path = scene.tiles[0].path
    if is_tiff(path) and not is_whole(scene):
        images = read_model(model).manifest.expected.read
        levels = choose_levels(scene, images)
        whole = Area(0, scene.height, 0, scene.width)
        image = read_area(whole, scene=scene, images=images, levels=levels)[0]
    else:
        image = read_image(path, model)
    factor = min(MOST_SHOWN / max(image.shape[:2]), 1)
    if factor < 1:
        size = [max(round(side * factor), 1) for side in image.shape[1::-1]]
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    if image.shape[0] * image.shape[1] <= LOSSLESS:
        content = encode_png(image)
    else:
        quality = [cv2.IMWRITE_JPEG_QUALITY, 90]
        content = cv2.imencode(".jpg", image[..., ::-1], quality)[1].tobytes()
    (folder / PICTURE).write_bytes(content)


def _shown(finished: Finished) -> dict[str, Any]:
    """Return what the page shows of all objects, by falling score, as JSON can hold it.

    Of each: its score in full, a row of `columns` (as in objects.csv, without those that say
    nothing of this image), and its outline: of each ring x and y of its points in turn, px.
    """
    delivery = Delivery(*finished[:5], 1)
    scores, tables, outlines = [], [], []
    both = measured_batches(delivery), measured_batches(delivery._replace(place=None))
    for batch, (table, _), (_, in_px) in zip(read_objects(finished.objects), *both, strict=True):
        scores += batch.column("score").to_pylist()
        tables += table.drop(columns=["image", "crs"]).to_dict("records")
        outlines += [_rings(outline) for outline in in_px]
    names = [key for key, value in tables[0].items() if not math.isnan(value)] if tables else []
    rows = [[row[name] for name in names] for row in tables]
    return {"scores": scores, "columns": names, "rows": rows, "outlines": outlines}


def _rings(outline: shapely.MultiPolygon) -> list[list[float]]:
    rings = [ring for one in outline.geoms for ring in (one.exterior, *one.interiors)]
    return [shapely.get_coordinates(ring)[:-1].round(2).ravel().tolist() for ring in rings]


def _categories(desk: Desk) -> list[dict[str, Any]]:
    return [one.model_dump() for one in read_model(desk.model).manifest.categories]
