"""A small run made by hand, judged by the stages and drawn as a page, for tests of the report.

val at its operating point of 0.65, boxes A to D:
    a  A, B and C found
    b  A found, B missed, D spurious
    c  A and B merged into one detection
    d  nothing there; a wrong detection below the point, 0.3
    e  C found below the point alone, 0.55
    f  C found; a detection in a crowd
"""

import json
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from ruamel.yaml import YAML

from src.acceptance.operating_point import OperatingPoint, Point, write_operating_point
from src.formats.archive import write_archive
from src.formats.tables import write_table
from src.maps.map_folder import write_list
from src.objects.rle import encode_instances
from stages import ablation_report, analyse_errors, evaluate, find_label_errors
from tests.image_tables import write_image_tables
from tests.sections import PARAMS

SIDE = 48
A, B, C, D = (4, 4, 12, 12), (24, 4, 12, 12), (4, 24, 16, 16), (28, 28, 12, 12)  # x, y, w, h
BOTH = (4, 4, 32, 12)
EVIL = "</script><b>b\u2028.png"
TRUTH = {  # objects, crowd
    "train/p": ([A, C], []),
    "train/q": ([B], []),
    "val/a": ([A, B, C], []),
    "val/b": ([A, B], []),
    "val/c": ([A, B], []),
    "val/d": ([], []),
    "val/e": ([C], []),
    "val/f": ([C], [D]),
}
FOUND = {  # box, score
    "train/p": [(A, 0.9), (C, 0.55), (D, 0.52)],
    "train/q": [(B, 0.9), (D, 0.7)],
    "val/a": [(A, 0.9), (B, 0.8), (C, 0.7)],
    "val/b": [(A, 0.9), (D, 0.68)],
    "val/c": [(BOTH, 0.75)],
    "val/d": [(A, 0.3)],
    "val/e": [(C, 0.55)],
    "val/f": [(C, 0.95), (D, 0.85)],
    "test/t": [(A, 0.9), (B, 0.2)],
}
OTHER = FOUND | {"val/e": [(C, 0.72)], "val/b": [(A, 0.4), (D, 0.68)]}  # e better, b worse
POINTS = OperatingPoint("f1_50", Point(0.65, 0.5, 0.7), {})
FOLDS = {"train/p": 0.5, "train/q": 0.8}  # where detections of each are accepted from
NAMES = [*TRUTH, "test/t"]


def rle(box):
    x, y, width, height = box
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[y : y + height, x : x + width] = 1
    return encode_instances(mask).rles[0]


def photo_of(name):
    """The image: dark ground with bright boxes."""
    photo = np.full((SIDE, SIDE, 3), 60, np.uint8)
    for x, y, width, height in TRUTH.get(name, ([A], []))[0]:
        photo[y : y + height, x : x + width] = (170, 120, 100)
    return photo


def map_of(found):
    """The map of probabilities: a box of each detection as bright as its score."""
    plane = np.zeros((SIDE, SIDE), np.uint8)
    for (x, y, width, height), score in found:
        plane[y : y + height, x : x + width] = round(255 * score)
    return plane


def write_run(data: Path, found=FOUND, **report) -> Path:
    """Write a run, judge it and draw its page with changes of `report`; return the page."""
    numbers = _write_prepared(data)
    _write_predictions(data, found, numbers)
    write_archive(data / "weight_maps.zip", [(n, photo_of(n)) for n in TRUTH if n[:5] == "train"])
    curve = (
        "epoch,phase,lr,train_loss,fold_loss,fold_dice\n1,0,0.001,0.9,,\n2,0,0.0001,0.7,0.8,0.5\n"
    )
    for fold in (0, 1):
        folder = data / f"models/main/fold{fold}"
        folder.mkdir(parents=True)
        (folder / "curve.csv").write_text(curve)
    (data / "search").mkdir()
    (data / "search/chosen.json").write_text('{"metric": "ap50", "all": {}, "folds": {}}')
    (data / "ablation.csv").write_text("experiment,changes,data,val.ap50\n")
    params = PARAMS | {"report": PARAMS["report"] | report}
    params["split_folds"] = PARAMS["split_folds"] | {"k": 2, "folds": [0, 1]}
    params["evaluate"] = PARAMS["evaluate"] | {"max_detections": 100, "resamples": 100}
    params["workers"] = {"scheduler": "none"}
    with (data / "params.yaml").open("w") as file:
        YAML(typ="safe").dump(params, file)
    return judge_and_draw(data)


def judge_and_draw(data: Path) -> Path:
    """Run the stages that judge and draw on what a run has written."""

    def run(stage, names):
        paths = [str(data / name) for name in names.split()]
        stage.main([*paths, "--params", str(data / "params.yaml")])

    with joblib.parallel_config(backend="sequential"):
        run(evaluate, "prepared groups folds.csv predictions plan metrics.json evaluation")
        run(analyse_errors, "prepared folds.csv predictions evaluation errors")
        run(find_label_errors, "prepared folds.csv ensemble predictions label_errors")
    inputs = "prepared weight_maps.zip models ensemble predictions evaluation errors label_errors"
    inputs += " search"
    run(ablation_report, f"{inputs} metrics.json ablation.csv reports")
    return data / "reports/index.html"


def _write_prepared(data: Path) -> dict[str, int]:
    rows = [
        {"name": n, "height": SIDE, "width": SIDE, "group": "g1" if n[4:] in ("a", "b") else n}
        | {"file_name": EVIL if n == "val/b" else f"{n.split('/')[1]}.png"}
        | {"place": "north & south" if n == "val/c" else ""}
        for n in sorted(NAMES)
    ]
    write_image_tables(data / "prepared", rows)
    numbers = {}
    for split in ("train", "val", "test"):
        names = sorted(n for n in NAMES if n.startswith(split))
        numbers |= {name: number for number, name in enumerate(names, start=1)}
        items = [(name, photo_of(name)) for name in names]
        write_archive(data / f"prepared/{split}/images.zip", items)
        if split != "test":
            path = data / f"prepared/labels/{split}/truth.json"
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps(_truth(names, numbers)))
    (data / "prepared/rejected.csv").write_text("file,reason\n")
    groups = [(n, n.split("/")[0], "g1" if n in ("val/a", "val/b") else n) for n in NAMES]
    write_table(
        data / "groups/groups.csv", pd.DataFrame(groups, columns=["name", "split", "group"])
    )
    folds = "name,fold,repeat,group,copies,copy,test_likeness\n"
    rows = [f"{n},{place},0,{n},1,0,\n" for place, n in enumerate(FOLDS)]
    (data / "folds.csv").write_text(folds + "".join(rows))
    (data / "plan").mkdir()
    (data / "plan/evaluate.json").write_text("{}")
    return numbers


def _truth(names, numbers) -> dict:
    images = [
        {"id": numbers[n], "name": n, "file_name": n, "height": SIDE, "width": SIDE} for n in names
    ]
    annotations = []
    for name in names:
        objects, crowd = TRUTH[name]
        for box in [*objects, *crowd]:
            one = {"id": len(annotations) + 1, "image_id": numbers[name], "category_id": 1}
            one |= {"iscrowd": int(box in crowd), "area": box[2] * box[3], "bbox": list(box)}
            annotations.append(one | {"segmentation": rle(box)})
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "box"}]}


def _write_predictions(data: Path, found, numbers) -> None:
    (data / "predictions").mkdir()
    write_list(data / "ensemble", ["mask"], [])
    for split, source in (("oof", "train"), ("val", "val"), ("test", "test")):
        names = sorted(n for n in NAMES if n.startswith(source))
        items = [(n, map_of(found[n])) for n in names]
        write_archive(data / f"ensemble/{split}.zip", items)
        rows = [
            {"image_id": numbers[name], "category_id": 1, "segmentation": rle(box)}
            | {"bbox": list(box), "score": score, "accepted": score >= FOLDS.get(name, 0.65)}
            for name in names
            for box, score in found[name]
        ]
        (data / f"predictions/{split}.json").write_text(json.dumps(rows))
    points = {str(fold): Point(score, None, None) for fold, score in enumerate(FOLDS.values())}
    write_operating_point(data / "predictions/operating_point.json", POINTS._replace(folds=points))
    table = "split,bin,count,mean_score,hit_rate\nval,9,2,0.95,1\n"
    (data / "predictions/reliability.csv").write_text(table)
