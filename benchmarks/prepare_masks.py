"""Show how fast a large dataset is prepared, what it takes in memory and what on disk.

    python -m benchmarks.prepare_masks [--tiles 20000]

Tiles of 300x300 with nine buildings each are written in the format coco: a few drawn JPEGs under
many names, every tile with outlines of its own. `prepare_masks` and `compute_weight_maps` go
through all of them as one would start them, on two cores; through a tenth of them before, to tell
whether memory grows. Time counts from start to end of the command, memory is the largest sum of
resident pages that was seen, pages that processes share counted in each.

The reference goes through the first tiles, in two processes that have started already. It writes
three files a tile and no images: the mask as PNG, d1 + d2 as float16 from one full-image distance
transform per object, and object sizes as int64.

Writes benchmarks/results/prepare_masks.json
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import psutil
import scipy
from joblib import Parallel, delayed
from pycocotools import mask as coco_mask
from ruamel.yaml import YAML
from tqdm import tqdm

from src.formats.archive import encode_png

SIDE = 300  # px
GRID = 3  # buildings along a side of a tile
LENGTHS = (24, 62)  # px, of the sides of a building
CORES = 2
IMAGES = 8
RESULT = Path(__file__).parent / "results" / "prepare_masks.json"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--tiles", type=int, default=20_000)
    parser.add_argument("--reference-tiles", type=int, default=300)
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as scratch:
        rows, bytes_per_tile = [], {}
        for tiles in (args.tiles // 10, args.tiles):
            folder = Path(scratch) / str(tiles)
            annotations = _write_dataset(folder / "raw", tiles)
            rows += _ours(folder, tiles)
        for path in (
            "prepared/train/images.zip",
            "prepared/labels/train/instances.zip",
            "weight_maps.zip",
        ):
            bytes_per_tile[Path(path).stem] = round((folder / path).stat().st_size / tiles)
        first = [annotations[i : i + 9] for i in range(0, 9 * args.reference_tiles, 9)]
        rows.append(_reference(Path(scratch) / "reference", first))
        bytes_per_tile["reference"] = rows[-1].pop("bytes_per_tile")
    result = {
        "tile": [SIDE, SIDE],
        "objects_per_tile": GRID**2,
        "cores": CORES,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "scipy": scipy.__version__,
        "rows": rows,
        "bytes_per_tile": bytes_per_tile,
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    _print(rows, bytes_per_tile)


def _write_dataset(root: Path, tiles: int) -> list[list[float]]:
    """Write a dataset of train alone; return its outlines."""
    rng = np.random.default_rng(0)
    folder = root / "train" / "images"
    folder.mkdir(parents=True)
    for number in range(IMAGES):
        (root / f"{number}.jpg").write_bytes(_draw_tile(rng))
    images, annotations, outlines = [], [], []
    for tile in tqdm(range(tiles), desc="tiles drawn", unit="tile"):
        name = f"{tile:06d}.jpg"
        os.link(root / f"{tile % IMAGES}.jpg", folder / name)
        images.append({"id": tile, "file_name": name, "height": SIDE, "width": SIDE})
        for outline in _outlines(rng):
            entry = {"id": len(annotations) + 1, "image_id": tile, "category_id": 100}
            annotations.append(entry | {"segmentation": [outline]})
            outlines.append(outline)
    document = {"images": images, "annotations": annotations}
    (root / "train" / "annotation.json").write_text(json.dumps(document))
    return outlines


def _outlines(rng: np.random.Generator) -> list[list[float]]:
    """Draw a turned building, a rectangle without one corner, for each cell of a grid."""
    outlines = []
    cell = SIDE / GRID
    for row, column in np.ndindex(GRID, GRID):
        length, width = rng.uniform(*LENGTHS, 2)
        shape = np.array([[0, 0], [1, 0], [1, 0.6], [0.5, 0.6], [0.5, 1], [0, 1]]) - 0.5
        angle = rng.uniform(0, 2 * np.pi)
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        centre = (np.array([column, row]) + 0.5 + rng.uniform(-0.1, 0.1, 2)) * cell
        outline = shape * (length, width) @ turn + centre
        outlines.append(outline.round(2).ravel().tolist())
    return outlines


def _draw_tile(rng: np.random.Generator) -> bytes:
    """Draw roofs on rough ground as JPEG."""
    image = np.full((SIDE, SIDE, 3), (90, 110, 100), np.uint8)
    for outline in _outlines(rng):
        corners = np.rint(np.reshape(outline, (-1, 1, 2))).astype(np.int32)
        cv2.fillPoly(image, [corners], rng.integers(120, 220, 3).tolist())
    rough = cv2.GaussianBlur(rng.normal(0, 60, image.shape), (0, 0), 1.2)
    image = np.clip(image + rough, 0, 255).astype(np.uint8)
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()


def _ours(folder: Path, tiles: int) -> list[dict]:
    """Run both stages; return a row for each."""
    params = YAML(typ="safe").load(Path("params.yaml"))
    params["dataset"] |= {"format": "coco", "category_id": 100, "metadata": []}
    (folder / "params.yaml").write_text(json.dumps(params))  # JSON is YAML
    prepared = folder / "prepared"
    commands = {
        "prepare_masks": [folder / "raw", prepared],
        "compute_weight_maps": [
            prepared / "labels/train/instances.zip",
            folder / "weight_maps.zip",
        ],
    }
    rows = []
    for stage, arguments in commands.items():
        words = [sys.executable, "-m", f"stages.{stage}", *map(str, arguments)]
        seconds, main, workers = _watch([*words, "--params", str(folder / "params.yaml")])
        rows.append(_row(stage, tiles, seconds) | {"main_mb": main, "workers_mb": workers})
    return rows


def _row(way: str, tiles: int, seconds: float) -> dict:
    speed = round(tiles / seconds, 1)
    return {"way": way, "tiles": tiles, "seconds": round(seconds, 1), "tiles_per_second": speed}


def _watch(command: list[str]) -> tuple[float, int, int]:
    """Run a command; return its seconds, and the most memory of it and of its children in MB."""
    environment = os.environ | {"LOKY_MAX_CPU_COUNT": str(CORES), "OMP_NUM_THREADS": "1"}
    most, started = np.zeros(2), time.perf_counter()
    with subprocess.Popen(command, env=environment) as process:
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                children = [child.memory_info().rss for child in watched.children(recursive=True)]
                most = np.maximum(most, [watched.memory_info().rss, sum(children)])
            except psutil.Error:  # it ended between two looks
                continue
            time.sleep(0.05)
        seconds = time.perf_counter() - started
    if process.returncode:
        raise SystemExit(process.returncode)
    own, of_children = (round(size / 1e6) for size in most)
    return seconds, own, of_children


def _reference(folder: Path, tiles: list[list[list[float]]]) -> dict:
    folder.mkdir()
    with Parallel(n_jobs=CORES) as parallel:
        parallel(delayed(_reference_tile)(folder, "warm", tiles[0]) for _ in range(CORES))
        started = time.perf_counter()
        sizes = parallel(
            delayed(_reference_tile)(folder, f"{number:06d}", outlines)
            for number, outlines in enumerate(tqdm(tiles, desc="reference", unit="tile"))
        )
        seconds = time.perf_counter() - started
    row = _row("reference", len(tiles), seconds)
    return row | {"bytes_per_tile": round(sum(cast("list[int]", sizes)) / len(tiles))}


def _reference_tile(folder: Path, name: str, outlines: list[list[float]]) -> int:
    """Write the three files of a tile; return their bytes."""
    parts = [coco_mask.frPyObjects(cast("Any", [one]), SIDE, SIDE)[0] for one in outlines]
    masks = [coco_mask.decode(part).astype(bool) for part in parts]
    distances = [scipy.ndimage.distance_transform_edt(~mask) for mask in masks]
    nearest = np.sort(np.stack(distances), axis=0)[:2].sum(axis=0)
    sizes = np.zeros((SIDE, SIDE), np.int64)
    for mask in masks:
        sizes[mask] = mask.sum()
    paths = [folder / f"{name}{suffix}" for suffix in (".png", "_distances.npy", "_sizes.npy")]
    paths[0].write_bytes(encode_png((sizes > 0).astype(np.uint8)))
    np.save(paths[1], nearest.astype(np.float16))
    np.save(paths[2], sizes)
    return sum(path.stat().st_size for path in paths)


def _print(rows: list[dict], bytes_per_tile: dict[str, int]) -> None:
    keys = ("way", "tiles", "seconds", "tiles_per_second", "main_mb", "workers_mb")
    print("| way | tiles | seconds | tiles a second | main process, MB | workers, MB |")
    print("|---|" + "---:|" * 5)
    for row in rows:
        print("| " + " | ".join(str(row.get(key, "")) for key in keys) + " |")
    print("bytes a tile: " + ", ".join(f"{what} {size}" for what, size in bytes_per_tile.items()))


if __name__ == "__main__":
    main()
