"""Find objects in images and scenes with a bundle, and write them for GIS, COCO or a table.

    python -m deploy.apply model.maskline.zip photos/ scene.tif 'tiles/*.tif' --out found

Reads  a bundle, and images of every format that training reads: files, folders (with all below) and
       patterns. It needs no other file: neither params.yaml nor data of the workflow.
Writes, by --formats
       gpkg           objects.gpkg: polygons in the coordinate system of the images
       geojson        objects.geojson: RFC 7946, that is, in WGS 84; <name>_px.geojson, in px, of an
                      image that lies on no known map
       coco           coco_results.json, and coco_images.json with the images that it counts
       labels         labels/<name>.tif: uint32, 0 or the id of an object
       csv            objects.csv: a row for each object, its measurements
       probabilities  probabilities/<name>.tif: uint8, probability of the mask * 255
       rejected.csv   image,reason: files that could not be read, where there are any
       about.json     the model, the options and the images
An object has one id in all of them. Images that touch or overlap on the ground are put together to
one scene, which bears the name of the first.

Images of up to 2048 x 2048 px are predicted whole, as in training, larger ones by windows; what is
found does not depend on their size. What is done is kept in OUT.work until all is done: the same
command goes on where it was stopped.

With --runtime onnx networks run by onnxruntime (requirements-onnx.txt), on a processor about as
fast as torch in float32; maps may differ from those of torch by a step of 1/255 here and there.
"""

import argparse
import errno
import json
import math
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from joblib import parallel_config
from tqdm import tqdm

from src.base.errors import InputError
from src.base.files import new_folder
from src.base.params import nearest_name
from src.bundles.pixel_size import pixel_size
from src.delivering.image_run import FoundImage, objects_of_images
from src.delivering.outputs import FORMATS, ON_MAP, Finished, write_outputs
from src.delivering.rasters import store_image
from src.delivering.scene_run import Outlines, Show, file_digest, scene_objects
from src.exchange.export import export_networks, file_name, refuse_without_packages
from src.formats.tables import write_table
from src.mosaics.runs import Area
from src.parallel.workers import SCHEMES
from src.predicting.allowed_views import NESTED
from src.scenes.inputs import find_files, is_tiff, open_image, printable
from src.scenes.model_calls import Model, open_model, read_image, read_model, scene_windows
from src.scenes.scene import Scene, Tile, join_tiles, open_scene, resampled
from src.scenes.scene_maps import read_maps

USUAL = "gpkg,geojson,coco,labels,csv"
ABOUT = "about.json"
WHOLE = 2048 * 2048  # px of an image that is predicted whole
MOST_WINDOW = 8192  # px
NEAR = 1.1  # times the pixel size learnt at, up to which another is nothing to speak of
NO_ROOM = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
SHOWN = 3  # reasons for images left out that are told


def main(argv: list[str] | None = None) -> None:
    args = _arguments(argv)
    out = Path(args.out).absolute()
    formats = _checked(args, out)
    model = open_model(args.model, args.views, args.score)
    manifest = read_model(model).manifest

    files = find_files(args.images)
    names = {path: name for name, path in files.items()}
    scenes, rejected = _open(files)
    if args.tiles == "join":
        scenes = join_tiles(scenes)
    if set(formats) <= {*ON_MAP} and not any(one.place and one.place[-1] for one in scenes):
        raise InputError(
            f"--formats {args.formats}: none of the images says where on which map it lies; ask "
            "for geojson (then in px), coco, labels or csv"
        )
    scenes, changed = _at_learnt_size(scenes, manifest.expected.pixel_size, args.match_resolution)
    work = out.with_name(out.name + ".work")
    work.mkdir(parents=True, exist_ok=True)
    if args.runtime == "onnx":
        model = _by_files(model, work)
    # Processes would share one GPU and each hold a copy of the networks there.
    alone = parallel_config(backend="sequential") if torch.cuda.is_available() else nullcontext()
    with alone:
        how = {"window": args.window, "scheduler": args.scheduler, "show": _show}
        outlines = Outlines(args.simplify, args.right_angles)
        finished, failed = find_objects(scenes, changed, names, model, work, outlines, **how)
    rejected += failed
    if not finished:
        shutil.rmtree(work)
        raise InputError(f"no image is left; {rejected[0][1]}")
    categories = [one.model_dump() for one in manifest.categories]
    with new_folder(out) as folder:
        count = write_outputs(folder, finished, formats, categories, work)
        if rejected:
            table = pd.DataFrame(rejected, columns=["image", "reason"])
            write_table(folder / "rejected.csv", table)
        about = _about(args, model, manifest.name, finished)
        (folder / ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(work)
    for _, reason in rejected[:SHOWN]:
        print(f"left out: {reason}")
    left_out = f", {len(rejected)} left out (rejected.csv)" * bool(rejected)
    what = "image" if len(finished) == 1 else "images"
    print(f"{args.out}: {count} objects in {len(finished)} {what}{left_out}")
    nowhere = [one.name for one in finished if not (one.place and one.place[-1])]
    if nowhere and {"gpkg", "geojson"} & {*formats}:
        print(
            f"{len(nowhere)} of them, such as {nowhere[0]}, lie on no known map: their outlines "
            "are in px from the upper left corner (<name>_px.geojson), and not in objects.gpkg"
        )


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("model", type=Path, help="a bundle, NAME.maskline.zip")
    parser.add_argument("images", nargs="+", help="files, folders or patterns")
    parser.add_argument("--out", required=True, help="folder to write")
    parser.add_argument("--formats", default=USUAL, help=f"of {','.join(FORMATS)}; usually {USUAL}")
    parser.add_argument("--views", choices=NESTED, help="fewer than the model predicts with")
    parser.add_argument("--score", type=float, help="least of objects, not the one chosen for all")
    parser.add_argument(
        "--window", type=int, default=512, help="px handed over at a time; changes no result"
    )
    parser.add_argument("--match-resolution", action="store_true",
                        help="resample to the pixel size that the model learnt at")  # fmt: skip
    parser.add_argument("--tiles", choices=("join", "apart"), default="join",
                        help="images that touch or overlap on the ground")  # fmt: skip
    parser.add_argument("--simplify", type=float, default=0.5, help="px, of outlines; 0 is exact")
    parser.add_argument("--right-angles", action="store_true", help="of outlines, for buildings")
    parser.add_argument("--runtime", choices=("torch", "onnx"), default="torch",
                        help="what networks run by")  # fmt: skip
    parser.add_argument("--scheduler", default="none", help="of Dask: tcp://host:port")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace what an earlier run wrote"
    )
    return parser.parse_args(argv)


def _checked(args: argparse.Namespace, out: Path) -> list[str]:
    """Refuse options that make no sense; return the formats."""
    formats = [name.strip() for name in args.formats.split(",") if name.strip()]
    for name in formats:
        if name not in FORMATS:
            raise InputError(f"--formats {name}: unknown; {nearest_name(name, FORMATS)}")
    if not formats:
        raise InputError(f"--formats: name one of {', '.join(FORMATS)} or more")
    if not 1 <= args.window <= MOST_WINDOW:
        raise InputError(f"--window {args.window}: must be from 1 to {MOST_WINDOW} px")
    if args.score is not None and not math.isfinite(args.score):
        raise InputError(f"--score {args.score}: must be a number")
    if not 0 <= args.simplify < math.inf:
        raise InputError(f"--simplify {args.simplify}: must be 0 px or more")
    if args.runtime == "onnx":
        refuse_without_packages()
    if args.scheduler != "none" and not args.scheduler.startswith(SCHEMES):
        raise InputError(f"--scheduler {args.scheduler}: must be tcp://host:port, of Dask")
    if printable(str(out)) != str(out):
        raise InputError(f"--out {printable(args.out)}: is not UTF-8; give another name")
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file, not a folder to write to; give another name")
    if out.exists() and any(out.iterdir()):
        if not args.overwrite:
            raise InputError(f"{out}: exists; give another folder, or --overwrite to replace it")
        if not (out / ABOUT).is_file():
            raise InputError(
                f"{out}: was not written by this command (it has no {ABOUT}), so --overwrite does "
                "not replace it; give another folder"
            )
    return formats


def _by_files(model: Model, work: Path) -> Model:
    """Have networks run from ONNX files, which are made here if they are not there."""
    folder = work / f"onnx_{file_digest(model.path)[:24]}"
    networks = read_model(model).networks
    if not folder.exists():
        try:
            with new_folder(folder) as made:
                export_networks(read_model(model), made)
        except InputError:
            with suppress(OSError):  # of an earlier run it holds what is done
                work.rmdir()
            raise
    names = [file_name(one.member, number) for number, one in enumerate(networks)]
    return model._replace(files=tuple(folder / name for name in names))


def _open(files: dict[str, Path]) -> tuple[list[Scene], list[tuple[str, str]]]:
    """Read how large images are and where they lie; those that cannot be read with the reason."""
    scenes, rejected = [], []
    for name, path in files.items():
        try:
            scenes.append(open_image(path, name))
        except InputError as error:
            rejected.append((printable(name), printable(str(error))))
    return scenes, rejected


def _at_learnt_size(
    scenes: list[Scene], learnt: float | None, match: bool
) -> tuple[list[Scene], set[str]]:
    """Resample scenes of other pixels than those learnt at, or tell; return the names of those."""
    if match and learnt is None:
        raise InputError(
            "--match-resolution: the model does not know how large its pixels were on the ground; "
            "leave it out"
        )
    sized, changed, told = [], set(), []
    for scene in scenes:
        other = other_pixels(scene, learnt)
        if other is not None:
            factor, words = other
            told.append(words)
            if match:
                scene = resampled(scene, factor)
                changed.add(scene.name)
        sized.append(scene)
    if told:
        what = "resampled" if match else "fewer objects may be found; --match-resolution resamples"
        print(f"{told[0]}{f' (and {len(told) - 1} more)' * (len(told) > 1)}: {what}")
    return sized, changed


def other_pixels(scene: Scene, learnt: float | None) -> tuple[float, str] | None:
    """Tell how many times as large as those learnt at (m) pixels are, and say it; None if near."""
    side = pixel_size(scene.place) if scene.place and learnt else None
    if not side or not learnt or max(side / learnt, learnt / side) <= NEAR:
        return None
    words = f"{scene.name} has pixels of {side:.3g} m, the model learnt at {learnt:.3g}"
    return side / learnt, words


def find_objects(
    scenes: list[Scene],
    changed: set[str],
    names: dict[Path, str],
    model: Model,
    work: Path,
    outlines: Outlines,
    *,
    window: int,
    scheduler: str,
    show: Show,
) -> tuple[list[Finished], list[tuple[str, str]]]:
    """Find the objects of all images and scenes, in their order.

    Parameters
    ----------
    scenes : list of Scene
        Of different names.
    changed : set of str
        Names of those that are not of the size of their files.
    names : dict of Path to str
        The name of each file, to tell those that cannot be read by.
    model : Model
    work : Path
        A folder to keep what is done in.
    outlines : Outlines
    window : int
        px of a scene handed over at a time.
    scheduler, show
        As for `src.delivering.scene_run.scene_objects`.

    Returns
    -------
    finished : list of Finished
    failed : list of (str, str)
        Name and reason of those that cannot be read.
    """
    how = {"scheduler": scheduler, "show": show}
    whole = [one for one in scenes if is_whole(one) and one.name not in changed]
    finished: dict[str, Finished] = {}
    failed: list[tuple[str, str]] = []
    if whole:
        images, failed = objects_of_images(whole, model, work / "images", outlines, **how)
        finished = {one.scene.name: _image(one) for one in images}
    done = {one.name for one in whole}
    for number, scene in enumerate(one for one in scenes if one.name not in done):
        folder = work / f"scene{number}"
        while scene.tiles:
            try:
                ready = _readable(scene, model, work / "read")
                windows = scene_windows(model, window)
                objects = scene_objects(ready, model, folder, windows, outlines, **how)
            except InputError as error:
                bad = [one for one in scene.tiles if str(error).startswith(f"{one.path}: ")]
                if not bad:
                    raise
                failed.append((names[bad[0].path], str(error)))
                rest = tuple(one for one in scene.tiles if one not in bad)
                scene = scene._replace(tiles=rest)  # what only they show has no data
                shutil.rmtree(folder, ignore_errors=True)
            else:
                read = partial(_mask, folder, ready.height, ready.width)
                finished[scene.name] = Finished(*ready[:3], ready.place, objects, read)
                break
    return [finished[one.name] for one in scenes if one.name in finished], failed


def is_whole(scene: Scene) -> bool:
    """Tell whether an image is predicted whole; others go by windows."""
    return len(scene.tiles) == 1 and scene.height * scene.width <= WHOLE


def _readable(scene: Scene, model: Model, folder: Path) -> Scene:
    """Store files that cannot be read by windows as ones that can."""
    tiles = []
    for tile in scene.tiles:
        if not is_tiff(tile.path):
            path = folder / f"{file_digest(tile.path)[:24]}.tif"
            if not path.exists():
                store_image(path, read_image(tile.path, model))
            stored = open_scene(path, scene.name)
            if (stored.height, stored.width) == (scene.width, scene.height) != scene[1:3]:
                return stored._replace(tiles=(stored.tiles[0]._replace(ready=True),))  # was turned
            tile = Tile(path, tile.area, ready=True)
        tiles.append(tile)
    return scene._replace(tiles=tuple(tiles))


def _image(found: FoundImage) -> Finished:
    scene = found.scene

    def mask(area: Area) -> np.ndarray:
        shape = (scene.height, scene.width)
        values = np.frombuffer(found.mask.read_bytes(), np.uint8).reshape(shape)
        return values[area.top : area.bottom, area.left : area.right]

    return Finished(*scene[:3], scene.place, found.objects, mask)


def _mask(folder: Path, height: int, width: int, area: Area) -> np.ndarray:
    maps = read_maps(folder, height, width, area)
    nothing = np.zeros((area.bottom - area.top, area.right - area.left), np.uint8)
    return maps.get("mask", nothing)


@contextmanager
def _show(total: int, unit: str, what: str) -> Generator[Callable[[int], object]]:
    with tqdm(total=total, desc=what, unit=unit, unit_scale=unit == "px") as bar:
        yield bar.update


def _about(
    args: argparse.Namespace, model: Model, name: str, finished: list[Finished]
) -> dict[str, object]:
    given = (
        "formats",
        "views",
        "score",
        "window",
        "match_resolution",
        "tiles",
        "runtime",
        "simplify",
    )
    return {
        "model": {"name": name, "file": model.path.name, "sha256": file_digest(model.path)},
        "options": {key: getattr(args, key) for key in (*given, "right_angles")},
        "images": [[one.name, one.height, one.width] for one in finished],
    }


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        raise SystemExit(str(error)) from None
    except KeyboardInterrupt:
        raise SystemExit("stopped; the same command goes on where it was") from None
    except OSError as error:
        if error.errno is None:
            raise
        named = error.filename or "a file"
        if error.errno not in NO_ROOM:
            words = f"{named}: {error.strerror}; see that it can be read, or written to"
            raise SystemExit(words) from None
        raise SystemExit(
            f"{named}: no room is left; make some and start this again, which goes on where it was"
        ) from None
