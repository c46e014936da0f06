"""Show what a page of 500 images weighs, and how soon it answers a filter.

    python -m benchmarks.report_page [--data data/raw/accra_buildings] [--params ...]

The images are tiles of 256 px, drawn as the sample is, or those of a data set. What is predicted is
made from the truth: 17 in 20 objects, moved by a pixel or two, as many false ones as are left out,
and the blurred masks as probabilities. The stages that check the data, judge and draw are those of
the workflow, with the defaults of params.yaml. In Chromium a person then chooses one kind of error,
and all again, ten times each; the time is that from the event to the frame that shows the answer.

Writes benchmarks/results/report_page.json
"""

import argparse
import json
import platform
import statistics
import tempfile
from pathlib import Path
from typing import Any

import cv2
import joblib
import numpy as np
import pandas as pd
from playwright.sync_api import sync_playwright
from ruamel.yaml import YAML

from src.acceptance.operating_point import OperatingPoint, Point, write_operating_point
from src.formats.archive import write_archive
from src.formats.prepared import SPLITS, read_images
from src.formats.tables import write_table
from src.objects.rle import decode, encode_instances
from stages import ablation_report, analyse_errors, evaluate, make_sample, prepare_masks
from tests.browsers import launch, open_tab

DRAWN = {"tile_size": 256, "train": 348, "val": 104, "test": 48}  # 500 tiles
FOUND = 0.85
POINT = 0.5  # score from which detections are accepted
REPEATS = 10
RESULT = Path(__file__).parent / "results" / "report_page.json"
FILTER = """(kind) => new Promise((done) => {
  const select = document.getElementById("kind"), began = performance.now();
  select.value = kind;
  select.dispatchEvent(new Event("change"));
  requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - began)));
})"""


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--data", type=Path, help="a data set, in place of the drawn one")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder, joblib.parallel_config(backend="sequential"):
        work = Path(folder)
        images, objects = _run(work, args.data, args.params)
        page = work / "reports/index.html"
        size = page.stat().st_size
        milliseconds = _answers(page)
    result = {
        "data": args.data.name if args.data else "drawn",
        "images": images,
        "objects_with_truth": objects,
        "page_mb": round(size / 1e6, 2),
        "filter_ms_median": round(statistics.median(milliseconds)),
        "filter_ms_most": round(max(milliseconds)),
        "processor": platform.processor() or platform.machine(),
    }
    print(json.dumps(result, indent=1))
    known = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    known[result.pop("data")] = result
    RESULT.write_text(json.dumps(known, indent=1) + "\n")


def _run(work: Path, data: Path | None, params: Path) -> tuple[int, int]:
    """Prepare the images, make predictions, judge them and draw the page; count both."""
    read = YAML(typ="safe").load(params.read_text())
    read["sample"] |= DRAWN
    read["split_folds"] |= {"k": 2, "folds": [0, 1]}
    read["evaluate"]["max_detections"] = 1000
    with (work / "params.yaml").open("w") as file:
        YAML(typ="safe").dump(read, file)
    options = ["--params", str(work / "params.yaml")]
    if data is None:
        data = work / "sample"
        make_sample.main([str(data), *options])
    prepare_masks.main([str(data), str(work / "prepared"), *options])
    images = read_images(work / "prepared", *SPLITS)
    objects = _predict(work, images)
    _write_tables(work, images)

    def run(stage: Any, names: str) -> None:
        stage.main([*(str(work / name) for name in names.split()), *options])

    run(evaluate, "prepared groups folds.csv predictions plan metrics.json evaluation")
    run(analyse_errors, "prepared folds.csv predictions evaluation errors")
    inputs = "prepared weight_maps.zip models ensemble predictions evaluation errors search"
    run(ablation_report, f"{inputs} metrics.json ablation.csv reports")
    return len(images), objects


def _predict(work: Path, images: pd.DataFrame) -> int:
    """Write predictions and maps of all splits; of test, whose truth is unknown, none but maps."""
    rng, objects = np.random.default_rng(0), 0
    for split, source in (("oof", "train"), ("val", "val"), ("test", "test")):
        rows = images[images["split"] == source]
        known = work / f"prepared/labels/{source}/truth.json"
        annotations = json.loads(known.read_text())["annotations"] if known.exists() else []
        objects += len(annotations)
        by_image: dict[int, list[np.ndarray]] = {number: [] for number in rows["image_id"]}
        for one in annotations:
            by_image[one["image_id"]].append(decode(one["segmentation"]))
        found, maps = [], []
        keys = ("name", "image_id", "height", "width")
        for name, number, *shape in zip(*(rows[key] for key in keys), strict=True):
            plane = np.zeros(shape, np.float32)
            for mask in by_image[number]:
                score = float(rng.beta(5, 2))
                by = rng.integers(-2, 3, 2)
                if rng.random() > FOUND:  # a false one in its place
                    score, by = float(rng.beta(2, 3)), np.array(shape) // 3
                moved = np.roll(mask, by, (0, 1))
                plane = np.maximum(plane, moved * np.float32(score))
                found.append(_detection(number, moved, score))
            blurred = cv2.GaussianBlur(plane, (0, 0), 2)
            maps.append((name, np.rint(255 * blurred).astype(np.uint8)))
        (work / "predictions").mkdir(exist_ok=True)
        (work / f"predictions/{split}.json").write_text(json.dumps(found))
        write_archive(work / f"ensemble/{split}.zip", maps)
    return objects


def _detection(number: int, mask: np.ndarray, score: float) -> dict[str, Any]:
    encoded = encode_instances(mask.astype(np.uint16))
    rows, columns = np.nonzero(mask)
    box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
    told = {"segmentation": encoded.rles[0], "bbox": [int(side) for side in box]}
    told |= {"image_id": int(number), "category_id": 100, "score": score}
    return told | {"accepted": score >= POINT}


def _write_tables(work: Path, images: pd.DataFrame) -> None:
    """Write what else the stages read: folds, groups of one image each, curves, a weight map."""
    train = images[images["split"] == "train"]
    folds = train[["name", "group"]].assign(fold=np.arange(len(train)) % 2, repeat=0)
    write_table(work / "folds.csv", folds.assign(copies=1, copy=0, test_likeness=""))
    write_table(work / "groups/groups.csv", images[["name", "split", "group"]])
    sizes = zip(train["name"], train["height"], train["width"], strict=True)
    plain = ((name, np.full((height, width, 3), 9, np.uint8)) for name, height, width in sizes)
    write_archive(work / "weight_maps.zip", plain)
    curve = "epoch,phase,lr,train_loss,fold_loss,fold_dice\n1,0,0.001,0.9,,\n"
    texts = {f"models/main/fold{fold}/curve.csv": curve for fold in (0, 1)}
    texts |= {"search/chosen.json": '{"metric": "ap50", "all": {}, "folds": {}}'}
    texts |= {"ablation.csv": "experiment,changes,data,val.ap50\n", "plan/evaluate.json": "{}"}
    reliability = "split,bin,count,mean_score,hit_rate\nval,9,2,0.95,1\n"
    texts |= {"predictions/reliability.csv": reliability}
    for name, text in texts.items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text(text)
    one = Point(POINT, None, None)
    points = OperatingPoint("f1_50", one, {"0": one, "1": one})
    write_operating_point(work / "predictions/operating_point.json", points)


def _answers(page: Path) -> list[float]:
    """Return the milliseconds of every answer to a filter, all sets and the whole gallery shown."""
    with sync_playwright() as playwright:
        browser = launch(playwright)
        tab, said, _ = open_tab(browser, "wide")
        tab.goto(page.as_uri())
        tab.locator("#set").select_option("")
        tab.locator("#gallery").scroll_into_view_if_needed()
        tab.wait_for_timeout(2000)
        found = [tab.evaluate(FILTER, kind) for _ in range(REPEATS) for kind in ("missed", "")]
        browser.close()
    if said:
        raise SystemExit(f"the page complains: {said[0]}")
    return found


if __name__ == "__main__":
    main()
