"""Show what suppression by run lengths costs beside one that compares whole masks.

    python -m benchmarks.suppression

A map of 512x512 with random turned buildings, blurred and with noise, is cut at the 19 thresholds
0.05 .. 0.95; every region of 12 px or more is a candidate, scored by its mean probability times
the square root of its area. Both ways are greedy and see the candidates of one map, on one core.
Ours takes what the workflow stores: run lengths, boxes, scores. The reference takes the masks
decoded, one boolean plane a candidate, and compares each that is kept with all that are left; the
time to decode them is told apart. Both must keep the same candidates. Times are processor time.

Writes benchmarks/results/suppression.json
"""

import json
import platform
import time
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from src.formats.prepared import Rle
from src.objects.rle import decode, encode_instances
from src.scoring.selection import suppress

SIDE = 512  # px
OBJECTS = (25, 100)
THRESHOLDS = np.arange(1, 20) / 20
SIDES = (16, 50)  # px, of the buildings
MIN_AREA = 12  # px
IOUS = (0.3, 0.5)
REPEATS = 5  # of ours; the reference takes long enough to be timed once
RESULT = Path(__file__).parent / "results" / "suppression.json"


def main() -> None:
    cv2.setNumThreads(1)  # nothing else here uses threads
    rng = np.random.default_rng(0)
    scenes = [(count, iou) for count in OBJECTS for iou in IOUS]
    candidates = {count: _find_candidates(_draw_map(rng, count)) for count in OBJECTS}
    rows = [
        {"objects": count, **_compare(*candidates[count], iou)}
        for count, iou in tqdm(scenes, desc="suppression", unit="row")
    ]
    result = {
        "map": [SIDE, SIDE],
        "thresholds": len(THRESHOLDS),
        "cores": 1,
        "timings_per_row": {"ours": REPEATS, "reference": 1},
        "python": platform.python_version(),
        "numpy": np.__version__,
        "pycocotools": version("pycocotools"),
        "rows": rows,
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print("| " + " | ".join(key.replace("_", " ") for key in rows[0]) + " |")
    print("|" + "---:|" * len(rows[0]))
    for row in rows:
        print("| " + " | ".join(f"{value:.4g}" for value in row.values()) + " |")


def _compare(rles: list[Rle], boxes: np.ndarray, scores: np.ndarray, iou: float) -> dict:
    """Time both ways on one map and make sure that they agree."""
    ours_ms = []
    for _ in range(REPEATS):
        started = time.process_time()
        kept = suppress(np.zeros(len(scores)), rles, boxes, scores, iou)
        ours_ms.append((time.process_time() - started) * 1e3)
    started = time.process_time()
    masks = np.array([decode(rle) for rle in rles])
    decode_ms = (time.process_time() - started) * 1e3
    started = time.process_time()
    reference = _suppress_masks(masks, scores, iou)
    reference_ms = (time.process_time() - started) * 1e3
    assert kept.tolist() == reference
    return {
        "candidates": len(scores),
        "iou": iou,
        "kept": len(kept),
        "ours_ms": round(float(np.median(ours_ms)), 2),
        "reference_ms": round(reference_ms, 1),
        "times_faster": round(float(reference_ms / np.median(ours_ms)), 1),
        "decode_ms": round(decode_ms, 1),
    }


def _suppress_masks(masks: np.ndarray, scores: np.ndarray, iou: float) -> list[int]:
    left = np.argsort(-scores, kind="stable").tolist()
    kept = []
    while left:
        best = left.pop(0)
        kept.append(best)
        left = [row for row in left if _mask_iou(masks[best], masks[row]) <= iou]
    return sorted(kept)


def _mask_iou(one: np.ndarray, other: np.ndarray) -> float:
    return np.count_nonzero(one & other) / np.count_nonzero(one | other)


def _find_candidates(probability: np.ndarray) -> tuple[list[Rle], np.ndarray, np.ndarray]:
    rles, boxes, scores = [], [], []
    for threshold in THRESHOLDS:
        count, labels = cv2.connectedComponents((probability > threshold).astype(np.uint8))
        areas = np.bincount(labels.ravel(), minlength=count)
        sums = np.bincount(labels.ravel(), probability.ravel(), minlength=count)
        large = areas >= MIN_AREA
        large[0] = False  # the background
        objects = encode_instances(np.where(large[labels], labels, 0).astype(np.uint16))
        rles += objects.rles
        boxes.append(objects.boxes)
        scores.append((sums / np.sqrt(areas))[large])  # mean probability x sqrt(area)
    return rles, np.concatenate(boxes), np.concatenate(scores)


def _draw_map(rng: np.random.Generator, objects: int) -> np.ndarray:
    """Draw a probability map, float32 (H, W), of buildings surer and less sure."""
    probability = np.zeros((SIDE, SIDE), np.float32)
    for _ in range(objects):
        middle, sides = rng.uniform(0, SIDE, 2).tolist(), rng.uniform(*SIDES, 2).tolist()
        box = (middle, sides, rng.uniform(0, 180))
        shape = np.zeros((SIDE, SIDE), np.uint8)
        cv2.fillPoly(shape, [np.rint(cv2.boxPoints(box)).astype(np.int32)], 1)
        probability = np.maximum(probability, shape * np.float32(rng.uniform(0.5, 1)))
    noise = rng.normal(0, 0.3, probability.shape).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), 3)
    return np.clip(cv2.GaussianBlur(probability, (0, 0), 2) + noise, 0, 1)


if __name__ == "__main__":
    main()
