"""Show what cutting and measuring candidates at 19 thresholds costs, all layers of a tile at once.

    python -m benchmarks.cut_layers

Probability maps with random turned buildings, blurred and with noise, are cut at the thresholds
0.05 .. 0.95, linked, measured and encoded, on one core, every tile in every way in turn:

- at once: ours, all layers of a tile as one stack.
- by layer: the same code, one layer at a time.
- scikit-image: label and regionprops of each layer, of the features those that it knows, and
  pycocotools' encode of each object; no links, rings or neighbours.

The first two must give the same table, and the third as many objects. Times are processor time;
ratios are of their sums, with 95 % intervals from 1000 sets of tiles drawn with replacement.

Writes benchmarks/results/cut_layers.json
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
from skimage.measure import label, regionprops
from tqdm import tqdm

from benchmarks.processor import processor_name
from src.candidates import candidates
from src.candidates.candidates import image_candidates
from src.objects.params import PostprocessParams

# scikit-image has no types.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

THRESHOLDS = [step / 20 for step in range(1, 20)]
TILES = {128: 20, 300: 6}  # side in px: how many
BUILDINGS = 1600  # px of a tile for each
SIDES = (14, 40)  # px, of the buildings
MIN_AREA = 18  # px
MAX_HOLE = 85  # px
RESAMPLES = 1000
TOGETHER = candidates.STACK
PARAMS = {
    "method": "layers", "threshold": 0.5, "layers": THRESHOLDS, "seeds": "mask",
    "seed_threshold": 0.5, "seed_area": 4, "link_threshold": 0.5, "connectivity": 4,
    "white_speckle": 0, "black_speckle": 0, "max_hole": MAX_HOLE, "erode": 0,
    "min_area": MIN_AREA, "max_area": 0, "dilate": 0, "empty_threshold": 0.0, "hull_low": 0.0,
    "hull_high": 0.0, "hull_rows": 1.0, "hull_min_area": 0.0,
}  # fmt: skip
RESULT = Path(__file__).parent / "results" / "cut_layers.json"

Columns = dict[str, np.ndarray]


def main() -> None:
    cv2.setNumThreads(1)  # nothing else here uses threads
    rng = np.random.default_rng(0)
    rows = [_compare(rng, side, tiles) for side, tiles in TILES.items()]
    result = {
        "thresholds": len(THRESHOLDS),
        "cores": 1,
        "processor": processor_name(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "scikit-image": version("scikit-image"),
        "pycocotools": version("pycocotools"),
        "rows": rows,
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print("| " + " | ".join(key.replace("_", " ") for key in rows[0]) + " |")
    print("|" + "---:|" * len(rows[0]))
    for row in rows:
        print("| " + " | ".join(str(value) for value in row.values()) + " |")


def _compare(rng: np.random.Generator, side: int, tiles: int) -> dict[str, Any]:
    """Cut tiles in all ways in turn and make sure that they agree."""
    params = PostprocessParams.model_validate(PARAMS)
    ways: dict[str, Callable[[np.ndarray], Any]] = {
        "at once": lambda tile: _ours(tile, params, TOGETHER),
        "by layer": lambda tile: _ours(tile, params, 1),
        "scikit-image": _scikit_image,
    }
    maps = [_draw_map(rng, side) for _ in range(tiles + 1)]
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    found = 0
    for number, tile in enumerate(tqdm(maps, f"{side} px", unit="tile")):
        tables: list[Any] = []
        for way, cut in ways.items():
            started = time.process_time()
            tables.append(cut(tile))
            if number:  # the first of all is for warming up
                seconds[way].append(time.process_time() - started)
        ours, by_layer, expected = tables
        stacks = candidates.image_stacks({"mask": tile}, 0.0, params)
        count = sum(len(stack.kept) for stack in stacks)
        for column, values in ours.items():
            np.testing.assert_array_equal(values, by_layer[column], err_msg=column)
        assert count == expected, f"{count} objects, {expected} by scikit-image"
        found += len(ours["area"]) * (number > 0)
    row: dict[str, Any] = {
        "side_px": side,
        "tiles": tiles,
        "candidates_per_tile": round(found / tiles),
    }
    ours = np.array(seconds["at once"])
    row |= {f"{way} ms": round(np.mean(of_way) * 1e3, 2) for way, of_way in seconds.items()}
    drawn = rng.integers(0, tiles, (RESAMPLES, tiles))
    for way in list(ways)[1:]:
        theirs = np.array(seconds[way])
        low, high = np.percentile(theirs[drawn].sum(axis=1) / ours[drawn].sum(axis=1), [2.5, 97.5])
        row[f"{way} / at once"] = round(float(theirs.sum() / ours.sum()), 2)
        row[f"{way} / at once, interval"] = [round(float(low), 2), round(float(high), 2)]
    return row


def _ours(tile: np.ndarray, params: PostprocessParams, together: int) -> Columns:
    candidates.STACK = together
    return image_candidates({"mask": tile}, 0.0, {}, params)


def _scikit_image(tile: np.ndarray) -> int:
    objects = 0
    for threshold in THRESHOLDS:
        foreground = tile >= threshold * 255
        foreground |= _holes(foreground)
        for region in regionprops(label(foreground, connectivity=1), tile):
            if region.area < MIN_AREA:
                continue
            objects += 1
            mask = np.zeros(tile.shape, np.uint8, order="F")
            mask[region.slice] = region.image
            coco_mask.encode(mask)
            _ = region.bbox, region.perimeter, region.solidity, region.eccentricity
            _ = region.intensity_mean, region.intensity_max, region.intensity_min
            _ = region.intensity_std, region.extent
    return objects


def _holes(foreground: np.ndarray) -> np.ndarray:
    """Return the background up to MAX_HOLE px that does not touch the image edge."""
    regions = np.asarray(cast("Any", label(~foreground, connectivity=2)))
    small = np.bincount(regions.ravel()) <= MAX_HOLE
    small[0] = False
    for edge in (regions[0], regions[-1], regions[:, 0], regions[:, -1]):
        small[edge] = False
    return small[regions]


def _draw_map(rng: np.random.Generator, side: int) -> np.ndarray:
    """Draw a probability map, uint8 (H, W), of buildings surer and less sure."""
    probability = np.zeros((side, side), np.float32)
    for _ in range(side * side // BUILDINGS):
        middle, sides = rng.uniform(0, side, 2).tolist(), rng.uniform(*SIDES, 2).tolist()
        shape = np.zeros((side, side), np.uint8)
        corners = cv2.boxPoints((middle, sides, rng.uniform(0, 180)))
        cv2.fillPoly(shape, [np.rint(corners).astype(np.int32)], 1)
        probability = np.maximum(probability, shape * np.float32(rng.uniform(0.4, 1)))
    noise = rng.normal(0, 0.3, probability.shape).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), 2.5)
    drawn = np.clip(cv2.GaussianBlur(probability, (0, 0), 1.5) + noise, 0, 1)
    return np.rint(255 * drawn).astype(np.uint8)


if __name__ == "__main__":
    main()
