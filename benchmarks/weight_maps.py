"""Show what exact weight maps cost beside one full-image distance transform per object.

    python -m benchmarks.weight_maps

Tiles of 300x300 with random buildings (turned rectangles and ellipses) go through both ways in
turn, on one core. Ours: the two nearest distances, clipped, encoded in quarter pixels, and the
size plane. The reference: SciPy's transform of the whole image for every object, stacked and
sorted; no encoding, no sizes. A clip of 63 px is the workflow's; 42 px is all that the weights
compared here, 50 exp(-(d1 + d2)^2 / 10^2), can feel. The errors are the largest difference of such
a weight to the reference: from the distances as computed, and as stored in quarter pixels.

Writes benchmarks/results/weight_maps.json
"""

import json
import platform
import time
from pathlib import Path

import cv2
import numpy as np
import scipy
from tqdm import tqdm

from benchmarks.drawn_objects import draw_objects
from src.label_maps.distances import QUARTERS, encode_distances, sqrt_area, two_nearest_distances

SIDE = 300  # px
SCENES = {10: (12, 40), 20: (12, 40), 50: (10, 30), 200: (5, 14)}  # objects: px of their sides
CLIPS = (63, 42)  # px
TILES = 4  # per number of objects
REPEATS = 5  # per tile
W0, SIGMA = 50, 10
RESULT = Path(__file__).parent / "results" / "weight_maps.json"


def main() -> None:
    cv2.setNumThreads(1)  # nothing else here uses threads
    rng = np.random.default_rng(0)
    rows = []
    for objects, sides in tqdm(SCENES.items(), desc="weight maps", unit="scene"):
        tiles = [draw_objects(rng, SIDE, objects, sides) for _ in range(TILES)]
        rows += _compare(tiles, objects)
    result = {
        "tile": [SIDE, SIDE],
        "cores": 1,
        "timings_per_row": TILES * REPEATS,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "scipy": scipy.__version__,
        "rows": rows,
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print("| objects | clip, px | ours, ms | reference, ms | times faster | error | stored |")
    print("|" + "---:|" * 7)
    for row in rows:
        print("| " + " | ".join(f"{value:.3g}" for value in row.values()) + " |")


def _compare(tiles: list[np.ndarray], objects: int) -> list[dict]:
    """Time both ways on every tile in turn; return one row per clip."""
    reference_ms, ours_ms = [], {clip: [] for clip in CLIPS}
    errors = {clip: (0.0, 0.0) for clip in CLIPS}
    for _ in range(REPEATS):
        for instances in tiles:
            started = time.perf_counter()
            reference = _reference_distances(instances)
            reference_ms.append((time.perf_counter() - started) * 1e3)
            for clip in CLIPS:
                started = time.perf_counter()
                distances = two_nearest_distances(instances, clip)
                stored = encode_distances(distances)
                sqrt_area(instances)
                ours_ms[clip].append((time.perf_counter() - started) * 1e3)
                found = [_weight_error(d, reference) for d in (distances, stored / QUARTERS)]
                errors[clip] = tuple(np.maximum(errors[clip], found))
    return [
        {
            "objects": objects,
            "clip_px": clip,
            "ours_ms": round(float(np.median(ours_ms[clip])), 2),
            "reference_ms": round(float(np.median(reference_ms)), 2),
            "times_faster": round(float(np.median(reference_ms) / np.median(ours_ms[clip])), 1),
            "weight_error": float(f"{errors[clip][0]:.2g}"),
            "weight_error_stored": float(f"{errors[clip][1]:.2g}"),
        }
        for clip in CLIPS
    ]


def _reference_distances(instances: np.ndarray) -> np.ndarray:
    labels = range(1, instances.max() + 1)
    each = [scipy.ndimage.distance_transform_edt(instances != label) for label in labels]
    return np.sort(np.stack(each), axis=0)[:2]


def _weight_error(distances: np.ndarray, reference: np.ndarray) -> float:
    ours, theirs = (W0 * np.exp(-(d.sum(axis=0) ** 2) / SIGMA**2) for d in (distances, reference))
    return float(np.abs(ours - theirs).max())


if __name__ == "__main__":
    main()
