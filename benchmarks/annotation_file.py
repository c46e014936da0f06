"""Show what it costs to find 900,000 annotations in one file, beside reading it whole.

    python -m benchmarks.annotation_file [--images 100000]

A COCO annotation file of images with nine buildings each, polygons of 5 to 10 points with two
decimals, is written into a temporary folder; its image files are not. Ours, `find_records` of
src/reading/coco_dataset.py, reads and checks it and keeps where each annotation stands. The
reference is `json.load` of the same file and checks nothing. Each has a process of its own, which
uses one core; what the imported libraries take is told apart, and so is what it costs to read all
objects again from their places (`read_objects`: with their outlines rasterised).

Writes benchmarks/results/annotation_file.json
"""

import argparse
import json
import multiprocessing
import platform
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from src.reading.coco_dataset import find_records, read_objects

SIDE = 300  # px
OBJECTS = 9  # per image
POINTS = (5, 10)  # of a polygon
RADIUS = (6, 25)  # px, of a building
REREAD = 5000  # images whose objects are read again
RESULT = Path(__file__).parent / "results" / "annotation_file.json"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--images", type=int, default=100_000)
    images = parser.parse_args(argv).images
    with tempfile.TemporaryDirectory() as folder:
        path = _write_dataset(Path(folder), images)
        mib = path.stat().st_size / 2**20
        ours, reference = (_apart(job, folder) for job in (_find_records, _load_whole))
    assert ours.pop("annotations") == reference.pop("annotations"), "annotations were lost"
    result = {
        "images": images,
        "annotations": images * OBJECTS,
        "file_mib": round(mib, 1),
        "cores": 1,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "ours": ours,
        "json_load": reference,
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(f"{images * OBJECTS} annotations of {images} images in a file of {mib:.0f} MiB")
    print("| | seconds | of the processor | peak MiB | of it before |\n|---|---:|---:|---:|---:|")
    for name in ("ours", "json_load"):
        row = result[name]
        shown = row["seconds"], row["cpu_seconds"], row["peak_mib"], row["before_mib"]
        print(f"| {name} | " + " | ".join(map(str, shown)) + " |")
    print(f"\nreading the objects of an image again: {ours['reread_ms']} ms")


def _apart(job, folder: str) -> dict:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(job, (Path(folder),))


def _find_records(root: Path) -> dict:
    measured, dataset = _measured(lambda: find_records(root, category_id=100))
    started = time.process_time()
    reread = dataset.records[:REREAD]
    objects = [len(read_objects(record, SIDE, SIDE)) for record in reread]
    assert set(objects) == {OBJECTS}, "objects were lost"
    milliseconds = (time.process_time() - started) / len(reread) * 1e3
    spans = sum(len(record.objects[2]) for record in dataset.records)
    return measured | {"reread_ms": round(milliseconds, 3), "annotations": spans // 24}


def _load_whole(root: Path) -> dict:
    def load() -> dict:
        with open(root / "train/annotation.json", "rb") as file:
            return json.load(file)

    measured, document = _measured(load)
    return measured | {"annotations": len(document["annotations"])}


def _measured(job) -> tuple[dict, Any]:
    before = _peak_mib()
    started, cpu_started = time.perf_counter(), time.process_time()
    result = job()
    return {
        "seconds": round(time.perf_counter() - started, 1),
        "cpu_seconds": round(time.process_time() - cpu_started, 1),
        "peak_mib": _peak_mib(),
        "before_mib": before,
    }, result


def _peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _write_dataset(root: Path, images: int) -> Path:
    """Write train/annotation.json and one empty image file; return the former's path."""
    (root / "train/images").mkdir(parents=True)
    (root / "train/images/000000.jpg").touch()
    path = root / "train/annotation.json"
    listed = [
        {"id": number, "file_name": f"{number:06}.jpg", "height": SIDE, "width": SIDE}
        for number in range(images)
    ]
    rng = np.random.default_rng(0)
    with open(path, "w", encoding="utf-8") as file:
        categories = json.dumps([{"id": 100, "name": "building"}])
        file.write(f'{{"categories": {categories}, "images": {json.dumps(listed)}, ')
        file.write('"annotations": [')
        for number in tqdm(range(images), desc="draw buildings", unit="image"):
            first = number * OBJECTS + 1
            written = (json.dumps(_building(rng, first + i, number)) for i in range(OBJECTS))
            file.write((", " if number else "") + ", ".join(written))
        file.write("]}")
    return path


def _building(rng: np.random.Generator, annotation_id: int, image_id: int) -> dict:
    turns = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(POINTS[0], POINTS[1] + 1)))
    radii = rng.uniform(*RADIUS, turns.size)
    centre = rng.uniform(30, SIDE - 30, 2)
    outline = centre + radii[:, None] * np.stack([np.cos(turns), np.sin(turns)], axis=1)
    return {
        "id": annotation_id,
        "image_id": image_id,
        "category_id": 100,
        "iscrowd": 0,
        "area": round(float(radii.mean() ** 2), 1),
        "segmentation": [outline.round(2).ravel().tolist()],
    }


if __name__ == "__main__":
    main()
