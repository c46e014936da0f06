"""Show how fast a bundle predicts images, beside the stage predict.

    python -m benchmarks.apply data/bundle/model.maskline.zip [--images 12] [--squares 4]

Needs data/prepared: run `make repro` first, and requirements-onnx.txt. Every image of val, and
squares put together of such images, is predicted by all networks of the bundle in all its views,
in every way in turn, as machines change speed from one second to the next; on one thread:

    all at once     all views of an image through a network at once, in float32
    torch, float32  as many at a time as is fast, by networks with less to compute
    torch           likewise, in the arithmetic of this processor: what predict and deploy.apply do
    onnxruntime     by onnxruntime: deploy.apply --runtime onnx

All end with maps in bytes. Times are those of the processor, ratios of their sums. Objects of the
maps take the same time in all ways, which is told apart. AP50 is that of the images of val.

Writes benchmarks/results/apply.json
"""

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import torch
from tqdm import tqdm

from src.applying.maps import Maps, merged_maps, network_maps, predictors
from src.applying.objects import found_objects
from src.bundles.reading import Bundle, Network, read_bundle
from src.exchange.export import export_networks
from src.exchange.session import onnx_predictors
from src.formats.prepared import open_photos, read_images, read_photo, read_truth
from src.judging.coco_evaluation import Prediction as Detection
from src.judging.coco_evaluation import evaluate_detections
from src.networks.heads import head_outputs
from src.networks.model import stride
from src.networks.network_input import network_input
from src.predicting.network_maps import Predict, Prediction
from src.predicting.params import PredictParams
from src.predicting.prediction import predict_image
from src.scoring.candidate_tables import candidate_rles

PREPARED = Path("data/prepared")
RESULT = Path(__file__).parent / "results" / "apply.json"
SIDES = [256, 512]  # px, of squares of images
BASE = "all at once"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--images", type=int, default=60, help="of val, at most")
    parser.add_argument("--sides", type=int, nargs="*", default=SIDES, help="px, of squares")
    parser.add_argument("--squares", type=int, default=4, help="of each side")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    bundle = read_bundle(args.model)
    table = read_images(PREPARED, "val").head(args.images)
    photos = open_photos(PREPARED, "val")
    images = [read_photo(photos, name) for name in table["name"]]
    squares = {f"{side} px": _squares(images, side, args.squares) for side in args.sides}
    sets = {"as they are": images, **squares}
    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        files = export_networks(bundle, Path(folder))
        export = time.process_time() - started
        predict = bundle.predict.model_copy(update={"precision": "float32"})
        exact = bundle._replace(predict=predict)
        ways = {
            BASE: [_all_at_once(one, exact.predict) for one in exact.networks],
            "torch, float32": predictors(exact),
            "torch": predictors(bundle),
            "onnxruntime": onnx_predictors(bundle, files),
        }
        calls = {
            way: partial(_maps, bundle=bundle, predict=predict) for way, predict in ways.items()
        }
        rows, found = [], {}
        for name, of_set in sets.items():
            seconds, maps = _timed(calls, of_set, name)
            found = found or maps
            rows += _rows(name, of_set, seconds, maps)
    started = time.process_time()
    ids = table["image_id"].tolist()
    judged = {way: _ap50(bundle, found[way], ids) for way in ways}
    objects = (time.process_time() - started) / len(judged)
    result = {
        "networks": len(bundle.networks),
        "encoder": bundle.networks[0].description["encoder"],
        "views": bundle.predict.views,
        "images": len(images),
        "seconds_of_export": round(export, 1),
        "seconds_of_objects_per_megapixel": round(objects / _megapixels(images), 2),
        "ap50": judged,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "onnxruntime": version("onnxruntime"),
        "rows": rows,
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print("| " + " | ".join(rows[0]) + " |")
    print("|---|---|" + "---:|" * (len(rows[0]) - 2))
    for row in rows:
        print("| " + " | ".join(str(value) for value in row.values()) + " |")
    print(f"AP50: {judged}")


def _all_at_once(one: Network, params: PredictParams) -> Predict:
    """Return a predictor as `network_maps` makes them, but for the views that go together."""
    inputs = {
        key: one.description[key] for key in ("image_channels", "extra_channels", "mean", "std")
    }
    network = one.model.to("cpu", memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  torch's stub lacks memory_format

    def forward(images: torch.Tensor) -> dict[str, torch.Tensor]:
        given = network_input(images, images.new_zeros(len(images)), **inputs)
        return head_outputs(
            network(given), one.description["heads"], one.description["embedding_size"]
        )

    @torch.inference_mode()
    def predict(image: np.ndarray, _depth: float) -> Prediction:
        pixels = torch.from_numpy(image.transpose(2, 0, 1).copy())
        resize = one.description["resize"]
        return predict_image(forward, pixels, params, stride=stride(one.model), resize=resize)

    return predict


def _squares(images: list[np.ndarray], side: int, count: int) -> list[np.ndarray]:
    """Put images together to squares of a side."""
    tiles = -(-side // min(images[0].shape[:2]))
    rng = np.random.default_rng(0)
    squares = []
    for _ in range(count):
        drawn = rng.integers(0, len(images), (tiles, tiles))
        rows = [np.concatenate([images[number] for number in row], axis=1) for row in drawn]
        squares.append(np.ascontiguousarray(np.concatenate(rows)[:side, :side]))
    return squares


def _maps(image: np.ndarray, *, bundle: Bundle, predict: list) -> Maps:
    return merged_maps(bundle, network_maps(bundle, predict, image))


def _timed(
    calls: dict[str, Callable[[np.ndarray], Maps]], images: list[np.ndarray], name: str
) -> tuple[dict[str, float], dict[str, list[Maps]]]:
    """Predict images in all ways in turn; return the seconds and the maps of each way."""
    seconds, maps = dict.fromkeys(calls, 0.0), {way: [] for way in calls}
    for call in calls.values():
        call(images[0])
    for image in tqdm(images, name, unit="image"):
        for way, call in calls.items():
            started = time.process_time()
            maps[way].append(call(image))
            seconds[way] += time.process_time() - started
    return seconds, maps


def _rows(
    name: str,
    images: list[np.ndarray],
    seconds: dict[str, float],
    maps: dict[str, list[Maps]],
) -> list[dict[str, Any]]:
    rows = []
    for way in seconds:
        pairs = zip(maps[way], maps[BASE], strict=True)
        off = np.concatenate(
            [np.abs(a["mask"].astype(int) - b["mask"].astype(int)).ravel() for a, b in pairs]
        )
        row: dict[str, Any] = {"images": name, "way": way}
        row["megapixels_per_second"] = round(_megapixels(images) / seconds[way], 4)
        row["times_faster"] = round(seconds[BASE] / seconds[way], 2)
        row["bytes_that_differ"] = round(float((off > 0).mean()), 5)
        row["by_at_most"] = int(off.max())
        rows.append(row)
    return rows


def _megapixels(images: list[np.ndarray]) -> float:
    return sum(image.shape[0] * image.shape[1] for image in images) / 1e6


def _ap50(bundle: Bundle, maps: list[Maps], ids: list[int]) -> float:
    predictions: list[Detection] = []
    truth = read_truth(PREPARED, "val")
    [category] = truth["categories"]
    for number, of_image in zip(ids, maps, strict=True):
        detections = found_objects(bundle, of_image)
        for rle, score in zip(candidate_rles(detections), detections["score"], strict=True):
            one = {"image_id": number, "category_id": category["id"], "score": float(score)}
            predictions.append(cast("Detection", {**one, "segmentation": rle}))
    images = [one for one in truth["images"] if one["id"] in set(ids)]
    regions = [one for one in truth["annotations"] if one["image_id"] in set(ids)]
    result = evaluate_detections(images, regions, truth["categories"], predictions, 100)
    return round(cast("float", result.metrics["ap50"]), 4)


if __name__ == "__main__":
    main()
