"""Show that no colour threshold finds the buildings of the sample: the best AP50 of some hundred.

    python -m benchmarks.colour_threshold data/sample

Every threshold on one channel (R, G, B, H, S, V; above and below) and every band of hues is tried
on the val tiles, smoothed first; connected components are the objects, scored alike or by their
contrast to the threshold, small ones left out. The best is chosen on the very tiles it is scored
on, so the figure flatters the threshold.

Writes benchmarks/results/colour_threshold.json
"""

import argparse
import contextlib
import io
import json
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from tqdm import tqdm

from src.formats.archive import PHOTO, decode_image
from src.objects.rle import encode_instances

LIMIT = 0.3  # AP50 that a threshold must stay below
MIN_AREAS = (16, 80)  # px
SCORES = ("alike", "contrast")
RESULT = Path(__file__).parent / "results" / "colour_threshold.json"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("sample", type=Path)
    args = parser.parse_args(argv)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(args.sample / "val" / "annotation.json")
    channels = {
        i: _channels(args.sample / "val" / "images" / record["file_name"])
        for i, record in truth.imgs.items()
    }
    trials = []
    for name, low, high in tqdm(_bands(), desc="thresholds", unit="band"):
        found = {
            i: _components(planes[name], low, high, name == "H") for i, planes in channels.items()
        }
        for min_area in MIN_AREAS:
            for score in SCORES:
                band = {"channel": name, "from": low, "to": high}
                way = band | {"min_area": min_area, "score": score}
                trials.append(way | {"ap50": _ap50(truth, found, min_area, score)})
    best = max(trials, key=lambda trial: trial["ap50"])
    ways = {name: [t for t in trials if t["channel"] == name] for name in "RGBHSV"}
    result = {
        "sample": {"images": len(truth.imgs), "buildings": len(truth.anns)},
        "ways_tried": len(trials),
        "limit": LIMIT,
        "best": best,
        "best_ap50_by_channel": {
            name: max(trial["ap50"] for trial in tried) for name, tried in ways.items()
        },
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))
    if best["ap50"] >= LIMIT:
        raise SystemExit(f"a colour threshold reaches AP50 {best['ap50']}: the sample is too easy")


def _bands() -> list[tuple[str, int, int]]:
    """List (channel, lowest, highest value): all above, all below, and bands of hues."""
    steps = range(16, 256, 12)
    bands = [(name, step, 255) for name in "RGBSV" for step in steps]
    bands += [(name, 0, step) for name in "RGBSV" for step in steps]
    bands += [("H", low, low + width) for width in (15, 30, 60, 90) for low in range(0, 180, 12)]
    return bands


def _channels(path: Path) -> dict[str, np.ndarray]:
    image = decode_image(path.read_bytes(), PHOTO, str(path))
    image = cv2.GaussianBlur(image, (0, 0), 1)
    planes = np.dstack([image, cv2.cvtColor(image, cv2.COLOR_RGB2HSV)])
    return dict(zip("RGBHSV", np.moveaxis(planes, 2, 0), strict=True))


def _components(plane: np.ndarray, low: int, high: int, is_hue: bool) -> list[dict]:
    """Return the components within a band, unscored; hues go round from 179 to 0."""
    values = plane.astype(np.int16)
    if is_hue:
        values = np.where(values < low, values + 180, values)
    inside = (values >= low) & (values <= high)
    labels = cv2.connectedComponents(inside.astype(np.uint8), connectivity=4)[1]
    objects = encode_instances(labels.astype(np.uint16))
    edge = np.where(low > 0, values - low, high - values) + 1
    sums = np.bincount(labels.ravel(), np.abs(edge).ravel(), minlength=objects.labels.size + 1)[1:]
    return [
        {"segmentation": rle, "area": int(area), "contrast": float(total / area)}
        for rle, area, total in zip(objects.rles, objects.areas, sums, strict=True)
    ]


def _ap50(truth: COCO, found: dict[int, list[dict]], min_area: int, score: str) -> float:
    results = [
        {
            "image_id": image_id,
            "category_id": 100,
            "segmentation": component["segmentation"],
            "score": 1.0 if score == "alike" else component["contrast"],
        }
        for image_id, components in found.items()
        for component in components
        if component["area"] >= min_area
    ]
    if not results:
        return 0.0
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(truth, truth.loadRes(cast("Any", results)), "segm")
        evaluation.params.iouThrs = np.array([0.5])
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.params.maxDets = [100]
        evaluation.evaluate()
        evaluation.accumulate()
    return round(float(evaluation.eval["precision"].mean()), 4)


if __name__ == "__main__":
    main()
