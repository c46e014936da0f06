"""Show what it costs to judge a large validation set: 10,000 tiles with nearly 90,000 objects.

    python -m benchmarks.evaluation [--tiles 10000] [--rounds 5]

Tiles of 300x300 with nine random buildings each (turned rectangles and ellipses), and nine
detections a tile: nine in ten are a building moved, turned and resized a little, the others lie
anywhere. Truth and predictions are read from JSON as the evaluate stage does, in a process of its
own that uses one core; its peak memory holds everything, the Python libraries and the input too.
The intervals are those of all metrics, from 1000 sets of groups of four tiles. Seconds of the
processor are what it would take on a core that nothing else uses.

Then COCO's figures alone are judged in turns by us and by pycocotools, from records in memory:
ours with all that is said of every detection and our two size bins besides, pycocotools' `COCOeval`
with its index, `loadRes`, `evaluate` and `accumulate`. Both must give the same figures, to 1e-15.
Ratios are of processor time within a round; told are their median, the least and the most.

Writes benchmarks/results/evaluation.json
"""

import argparse
import contextlib
import io
import json
import multiprocessing
import platform
import resource
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import pandas as pd
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from tqdm import tqdm

from benchmarks.processor import processor_name
from src.judging.bootstrap import METRICS, PERCENTS, resample
from src.judging.coco_evaluation import accepted_alone, check_predictions, evaluate_detections
from src.judging.group_draws import interval
from src.judging.object_metrics import score_images, score_together
from src.objects.rle import encode_instances

SIDE = 300  # px
OBJECTS = 9  # per tile
SIDES = (14, 60)  # px, of an object
FOUND = 0.9  # part of the detections that is a moved object
JITTER = 2.0  # px, standard deviation of a moved object's place and size
MAX_DETECTIONS = 100
RESAMPLES = 1000
GROUP = 4  # tiles
CATEGORY = {"id": 100, "name": "building"}
SHOWN = ("ap50", "ap", "f1_50", "pq")
RESULT = Path(__file__).parent / "results" / "evaluation.json"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--tiles", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args(argv)
    tiles = args.tiles
    with tempfile.TemporaryDirectory() as folder:
        truth, predictions = _draw_tiles(tiles)
        (Path(folder) / "truth.json").write_text(json.dumps(truth))
        (Path(folder) / "predictions.json").write_text(json.dumps(predictions))
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            measured = pool.apply(_judge, (Path(folder),))
        with multiprocessing.get_context("spawn").Pool(1) as pool:  # of memory of its own
            compared = pool.apply(_compare, (Path(folder), args.rounds))
    result = {
        "tile": [SIDE, SIDE],
        "tiles": tiles,
        "objects": len(truth["annotations"]),
        "detections": len(predictions),
        "resamples": RESAMPLES,
        "groups": len({image["id"] // GROUP for image in truth["images"]}),
        "processor": processor_name(),
        "cores": 1,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "pycocotools": version("pycocotools"),
        **measured,
        "pycocotools_beside_ours": compared,
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print("| part | seconds | of the processor |\n|---|---:|---:|")
    for part, seconds in result["seconds"].items():
        print(f"| {part} | {seconds:.1f} | {result['cpu_seconds'][part]:.1f} |")
    print(f"\npeak memory {result['peak_mib']} MiB")
    for key, (low, high) in result["intervals"].items():
        print(f"{key} {result['metrics'][key]} ({low} to {high})")
    print(
        "\nCOCO's figures: ours {ours_cpu_seconds} s of the processor, pycocotools "
        "{pycocotools_cpu_seconds} s, {times_faster} times ({from} to {to})".format(**compared)
    )


def _judge(folder: Path) -> dict:
    """Do what the evaluate stage does of one split; time its parts."""
    cv2.setNumThreads(1)
    laps, before = {}, np.array([time.perf_counter(), time.process_time()])

    def lap(part: str) -> None:
        now = np.array([time.perf_counter(), time.process_time()])
        laps[part] = now - before - sum(laps.values())

    truth = json.loads((folder / "truth.json").read_text())
    predictions = json.loads((folder / "predictions.json").read_text())
    images, annotations, categories = (truth[k] for k in ("images", "annotations", "categories"))
    check_predictions(predictions, images, categories, "predictions.json")
    lap("read and check")
    result = evaluate_detections(images, annotations, categories, predictions, MAX_DETECTIONS)
    lap("COCO evaluation")
    rows = score_images(images, annotations, predictions, accepted_alone(result.matches))
    scores = result.metrics | score_together(rows)
    lap("object metrics")
    at = np.hstack([result.matches.tp_at, result.matches.ignored_at])
    names = [f"{kind}_{percent}" for kind in ("tp", "ignored") for percent in PERCENTS]
    found = pd.DataFrame(at, columns=names)
    found["image_id"], found["score"] = result.matches.image_id, result.matches.score
    found["ranked"] = result.matches.ranked
    table = pd.DataFrame(rows)
    table["group"] = table["image_id"] // GROUP
    sampled = resample(table, found, metrics=METRICS, resamples=RESAMPLES, seed=0)
    lap("intervals")
    laps["total"] = sum(laps.values())
    seconds, cpu_seconds = (
        {part: round(float(times[kind]), 2) for part, times in laps.items()} for kind in (0, 1)
    )
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "metrics": {key: _shown(scores[key]) for key in SHOWN},
        "intervals": {
            key: [_shown(bound) for bound in interval(sampled[key], within=(0.0, 1.0))]
            for key in SHOWN
        },
    }


def _compare(folder: Path, rounds: int) -> dict:
    """Time COCO's figures by us and by pycocotools in turns."""
    truth = json.loads((folder / "truth.json").read_text())
    predictions = json.loads((folder / "predictions.json").read_text())
    images, annotations, categories = (truth[k] for k in ("images", "annotations", "categories"))
    seconds: dict[str, list[float]] = {"ours": [], "pycocotools": []}
    difference = 0.0
    for _ in tqdm(range(rounds), desc="COCO evaluation", unit="round"):
        started = time.process_time()
        result = evaluate_detections(images, annotations, categories, predictions, MAX_DETECTIONS)
        seconds["ours"].append(time.process_time() - started)
        theirs = _coco(truth, predictions, seconds["pycocotools"])
        ours = {key: cast("float", result.metrics[key]) for key in theirs}  # all are defined
        difference = max(abs(ours[key] - value) for key, value in theirs.items())
        assert difference <= 1e-15, f"figures differ by {difference}"
    ratios = np.divide(seconds["pycocotools"], seconds["ours"])
    medians = {f"{way}_cpu_seconds": round(float(np.median(of)), 2) for way, of in seconds.items()}
    numbers = {"times_faster": np.median(ratios), "from": ratios.min(), "to": ratios.max()}
    rounded = {key: round(float(number), 1) for key, number in numbers.items()}
    return {"rounds": rounds, **medians, **rounded, "largest_difference": difference}


def _coco(truth: dict, predictions: list[dict], seconds: list[float]) -> dict[str, float]:
    """Return COCOeval's figures; copies, since it writes into records, are made beforehand."""
    dataset: Any = truth | {"annotations": [dict(one) for one in truth["annotations"]]}
    results: Any = [dict(one) for one in predictions]
    with contextlib.redirect_stdout(io.StringIO()):
        started = time.process_time()
        coco = COCO()
        coco.dataset = dataset
        coco.createIndex()
        evaluator = COCOeval(coco, coco.loadRes(results), "segm")
        evaluator.evaluate()
        evaluator.accumulate()
        seconds.append(time.process_time() - started)
    precision, recall = (evaluator.eval[key][..., 2] for key in ("precision", "recall"))
    figures = {"ap": precision[..., 0], "ar": recall[..., 0], "ap50": precision[0, ..., 0]}
    figures |= {"ap75": precision[5, ..., 0], "ar50": recall[0, ..., 0]}
    for place, size in enumerate(("small", "medium"), start=1):  # no object is large
        figures[f"ap_coco_{size}"] = precision[..., place]
        figures[f"ar_coco_{size}"] = recall[..., place]
    return {key: float(values.mean()) for key, values in figures.items()}


def _shown(value: float | None) -> float:
    return round(cast("float", value), 4)  # of so many tiles all are defined


def _draw_tiles(tiles: int) -> tuple[dict, list[dict]]:
    rng = np.random.default_rng(0)
    images, annotations, predictions = [], [], []
    for image in tqdm(range(tiles), desc="draw", unit="tile"):
        name = f"val/{image:06d}"
        images.append({"id": image, "name": name, "height": SIDE, "width": SIDE})
        shapes = np.concatenate(
            [rng.uniform(0, SIDE, (OBJECTS, 2)), rng.uniform(*SIDES, (OBJECTS, 2))], axis=1
        )
        angles, ellipses = rng.uniform(0, 180, OBJECTS), rng.random(OBJECTS) < 0.2
        for encoded, area in zip(*_encode(shapes, angles, ellipses), strict=True):
            annotations.append(
                {"id": len(annotations) + 1, "image_id": image, "category_id": CATEGORY["id"]}
                | {"iscrowd": 0, "segmentation": encoded, "area": area}
            )
        moved = shapes + rng.normal(0, JITTER, shapes.shape)
        elsewhere = rng.random(OBJECTS) > FOUND
        moved[elsewhere, :2] = rng.uniform(0, SIDE, (elsewhere.sum(), 2))
        angles = angles + rng.normal(0, 4, OBJECTS)
        for encoded in _encode(np.maximum(moved, [0, 0, 4, 4]), angles, ellipses)[0]:
            predictions.append(
                {"image_id": image, "category_id": CATEGORY["id"], "segmentation": encoded}
                | {"score": round(rng.random(), 6)}
            )
    return {"images": images, "annotations": annotations, "categories": [CATEGORY]}, predictions


def _encode(
    shapes: np.ndarray, angles: np.ndarray, ellipses: np.ndarray
) -> tuple[list[dict], list[int]]:
    """Draw shapes of (x, y, width, height), the later over the earlier; return RLEs and areas."""
    drawn = np.zeros((SIDE, SIDE), np.uint8)
    for label, (shape, angle, ellipse) in enumerate(zip(shapes, angles, ellipses, strict=True), 1):
        box = (tuple(shape[:2].tolist()), tuple(shape[2:].tolist()), float(angle))
        if ellipse:
            cv2.ellipse(drawn, box, label, cv2.FILLED)
        else:
            cv2.fillPoly(drawn, [np.rint(cv2.boxPoints(box)).astype(np.int32)], label)
    encoded = encode_instances(drawn)
    return encoded.rles, encoded.areas.tolist()


if __name__ == "__main__":
    main()
