"""Show what it costs to encode and score all objects of an image, beside one object at a time.

    python -m benchmarks.encode_objects

A label map of 1024x1024 with 150 buildings (turned rectangles and ellipses) and a noisy probability
map go through both ways in turn, on one core; times are medians of processor time. Ours:
`encode_instances` (RLE, areas, boxes) and `mean_probabilities`, each one pass over the map. The
reference: for every object its mask, made once, pycocotools' encode, area and toBbox of it, and the
mean of the probabilities under it; the maps lie in column order, as pycocotools wants its masks,
before the clock starts. Both must give the same bytes and numbers, or there is no result. What all
features of the second level cost (`object_features`, the mean probabilities among them) is told as
well.

Writes benchmarks/results/encode_objects.json
"""

import json
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
from pycocotools import mask as coco_mask
from tqdm import tqdm

from benchmarks.drawn_objects import draw_objects
from src.candidates.candidate_features import mean_probabilities, object_features
from src.objects.label_runs import layer_objects, row_runs
from src.objects.rle import encode_instances

SIDE = 1024  # px
OBJECTS = 150
SIDES = (20, 110)  # px, of the objects
REPEATS = 15
RESULT = Path(__file__).parent / "results" / "encode_objects.json"


def main() -> None:
    cv2.setNumThreads(1)  # nothing else here uses threads
    rng = np.random.default_rng(0)
    instances = draw_objects(rng, SIDE, OBJECTS, SIDES)
    noise = rng.integers(0, 80, instances.shape, np.uint8)
    probability = np.where(instances > 0, 255 - noise, noise)
    in_columns = np.asfortranarray(instances), np.asfortranarray(probability)
    seconds = {"encode": [], "means": [], "reference": [], "features": []}
    for _ in tqdm(range(REPEATS), desc="encode objects", unit="run"):
        objects = _timed(seconds["encode"], encode_instances, instances)
        means = _timed(seconds["means"], _means, instances, probability)
        rles, areas, boxes, reference_means = _timed(seconds["reference"], _reference, *in_columns)
        assert objects.rles == rles, "the RLEs differ"
        np.testing.assert_array_equal(objects.areas, areas)
        np.testing.assert_array_equal(objects.boxes, boxes)
        np.testing.assert_allclose(means, reference_means, rtol=1e-12)
        _timed(seconds["features"], _features, instances, probability)
    medians = {step: float(np.median(times)) * 1e3 for step, times in seconds.items()}
    ours = medians["encode"] + medians["means"]
    result = {
        "image": [SIDE, SIDE],
        "objects": OBJECTS,
        "covered": round(float((instances > 0).mean()), 3),
        "cores": 1,
        "runs": REPEATS,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "pycocotools": version("pycocotools"),
        "encode_ms": round(medians["encode"], 2),
        "means_ms": round(medians["means"], 2),
        "ours_ms": round(ours, 2),
        "reference_ms": round(medians["reference"], 2),
        "times_faster": round(medians["reference"] / ours, 1),
        "all_features_ms": round(medians["features"], 2),
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    shown = [key for key in result if key.endswith("_ms") or key == "times_faster"]
    print("| " + " | ".join(shown).replace("_ms", ", ms").replace("_", " ") + " |")
    print("|" + "---:|" * len(shown))
    print("| " + " | ".join(f"{result[key]:.3g}" for key in shown) + " |")


def _means(instances: np.ndarray, probability: np.ndarray) -> np.ndarray:
    counts = np.array([instances.max()], np.int64)
    return mean_probabilities(row_runs(instances[None], counts), probability)


def _features(instances: np.ndarray, probability: np.ndarray) -> dict[str, np.ndarray]:
    return object_features(layer_objects(instances), probability)


def _timed(seconds: list[float], function: Callable, *inputs: np.ndarray):
    started = time.process_time()
    result = function(*inputs)
    seconds.append(time.process_time() - started)
    return result


def _reference(instances: np.ndarray, probability: np.ndarray) -> tuple[list, list, list, list]:
    rles, areas, boxes, means = [], [], [], []
    for label in range(1, instances.max() + 1):
        mask = instances == label
        rle = cast("Any", coco_mask.encode(mask.view(np.uint8)))
        rles.append(rle | {"counts": rle["counts"].decode()})
        areas.append(coco_mask.area(rle))
        boxes.append(coco_mask.toBbox(rle))
        means.append(probability[mask].mean() / 255)
    return rles, areas, boxes, means


if __name__ == "__main__":
    main()
