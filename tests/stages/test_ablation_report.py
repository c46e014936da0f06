import json
import shutil
from html.parser import HTMLParser

import cv2
import numpy as np
import pandas as pd
import pytest
from pycocotools import mask as coco_mask

from src.archive import write_archive
from src.errors import InputError
from src.overlays import COLOURS
from stages.ablation_report import main

PARAMS = """\
split_folds:
  k: 2
  folds:
  - 0
  - 1
  seed: 1
members:
  main: {}
report:
  overlays: 1
  scale: 2
"""
EVIL = "<script>alert('&')</script>.png"
NAMES = ("a", "b", "c")
FILES = {"a": "a.png", "b": EVIL, "c": "c.png"}
SCORES = {"a": (1.0, 0.9), "b": (0.0, 0.25), "c": (0.5, 0.75)}


def rle(rows, columns):
    mask = np.zeros((24, 24), np.uint8, order="F")
    mask[rows, columns] = 1
    encoded = coco_mask.encode(mask)
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


LEFT, RIGHT = rle(slice(2, 22), slice(1, 11)), rle(slice(2, 22), slice(13, 23))


def write_split(data, split, prefix):
    """Image a: its object found. b: one missed, one wrong. c: one found, one missed."""
    names = [f"{prefix}/{name}" for name in NAMES]
    truth = [(1, 1, LEFT), (2, 2, LEFT), (3, 3, LEFT), (4, 3, RIGHT)]
    annotations = [
        {"id": n, "image_id": i, "iscrowd": 0, "segmentation": mask} for n, i, mask in truth
    ]
    coco = {"images": [], "annotations": annotations, "categories": []}
    (data / f"prepared/truth_{prefix}.json").write_text(json.dumps(coco))
    predictions = [{"segmentation": mask, "score": 0.5} for mask in (LEFT, RIGHT, LEFT)]
    (data / f"predictions/{split}.json").write_text(json.dumps(predictions))
    counts = {"tp": [1, 0, 1], "fp": [0, 1, 0], "fn": [0, 1, 1]}
    f1, dice = zip(*(SCORES[name] for name in NAMES), strict=True)
    images = pd.DataFrame({"name": names, "image_id": [1, 2, 3], **counts})
    images.assign(f1_50=f1, dice=dice).to_csv(data / f"evaluation/images_{split}.csv", index=False)
    pd.DataFrame(
        {
            "image_id": [1, 2, 3],
            "detection": [0, 1, 2],
            "score": [0.5, 0.5, 0.5],
            "tp": [True, False, True],
            "ignored": [False] * 3,
            "truth_id": [1, -1, 3],
        }
    ).to_parquet(data / f"evaluation/detections_{split}.parquet")
    curve = "recall,precision\n0.0,1.0\n1.0,0.25\n"
    (data / f"evaluation/precision_recall_{split}.csv").write_text(curve)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    data = tmp_path_factory.mktemp("report")
    for name in ("prepared", "predictions", "evaluation", "models/main/fold0", "models/main/fold1"):
        (data / name).mkdir(parents=True)
    write_split(data, "oof", "train")
    write_split(data, "val", "val")
    names = [f"{prefix}/{name}" for prefix in ("train", "val") for name in NAMES]
    photos = [(name, np.full((24, 24, 3), 90, np.uint8)) for name in names]
    write_archive(data / "prepared/images.zip", photos)
    crowded = np.zeros((24, 24, 3), np.uint8)
    crowded[..., 0] = 100
    crowded[5:10] = (0, 8, 50)
    calm = np.full((24, 24, 3), (100, 250, 0), np.uint8)
    maps = [(name, crowded if name == "train/c" else calm) for name in names]
    write_archive(data / "weight_maps.zip", maps)
    pd.DataFrame(
        {
            "name": names,
            "split": ["train"] * 3 + ["val"] * 3,
            "file_name": [FILES[name] for name in NAMES] * 2,
            "height": 24,
            "width": 24,
            "objects": [1, 1, 2] * 2,
            "coverage": 0.5,
        }
    ).to_csv(data / "prepared/images.csv", index=False)
    (data / "prepared/rejected.csv").write_text("file,reason\nbroken.png,not an image\n")
    curve = (
        "epoch,phase,lr,train_loss,fold_loss,fold_dice\n1,0,0.001,0.9,,\n2,1,0.0001,0.7,0.8,0.5\n"
    )
    for fold in (0, 1):
        (data / f"models/main/fold{fold}/curve.csv").write_text(curve)
    metrics = {"oof.ap50": 0.625, "oof.images": 3, "val.ap50": 0.4321, "val.ap50_small": None}
    (data / "metrics.json").write_text(json.dumps(metrics | {"val.images": 3}))
    (data / "ablation.csv").write_text(
        "experiment,changes,val.ap50\nbaseline,,0.4321\nwide <gap>,loss.w0=50,0.5432\n"
    )
    (data / "params.yaml").write_text(PARAMS)
    return data


def run(data, reports="reports"):
    inputs = ("prepared", "weight_maps.zip", "models", "predictions", "evaluation")
    paths = [str(data / name) for name in (*inputs, "metrics.json", "ablation.csv")]
    main([*paths, str(data / reports), "--params", str(data / "params.yaml")])


@pytest.fixture(scope="module")
def report(prepared):
    run(prepared)
    return prepared / "reports"


@pytest.fixture
def data(prepared, tmp_path):
    shutil.copytree(prepared, tmp_path / "data")
    return tmp_path / "data"


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.sources, self.texts = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for key, value in attrs if key in ("src", "href", "srcset")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture(scope="module")
def page(report):
    return Page((report / "index.html").read_text())


def test_the_page_is_whole_html_that_needs_nothing_else(page):
    assert page.open == []
    assert all(s.startswith(("data:image/png;base64,iVBOR", "#")) for s in page.sources)
    assert "url(" not in "".join(page.texts)


def test_the_page_shows_the_scores(page):
    text = " ".join(page.texts)
    for number in ("0.6250", "0.4321", "0.5432", "+0.1111"):
        assert number in text
    assert "1 file was rejected" in text


def test_a_file_name_is_text_never_html(page):
    assert "script" not in page.tags
    assert EVIL in "".join(page.texts)
    assert "wide <gap>" in page.texts


def test_the_worst_image_is_the_worst(report):
    text = (report / "index.html").read_text()
    for kind, name in (("best", "a.png"), ("median", "c.png"), ("worst", "script")):
        for split in ("val", "oof"):
            section = text.split(f"<h3>{split}: {kind}</h3>")[1].split("</figcaption>")[0]
            assert name in section.rpartition("<figcaption>")[2]
    worst = text.split("<h3>val: worst</h3>")[1]
    assert "F1 0.000</b>, Dice 0.250:\n0 right, 1 wrong, 1 missed" in worst


def read(path):
    return cv2.imread(str(path))[..., ::-1]


def test_overlays_show_outcomes_in_their_colours(report):
    best, worst = (read(report / f"figures/overlay_val_{kind}_1.png") for kind in ("best", "worst"))
    assert best.shape == (48, 48, 3)  # scale 2
    assert (best[20, 2] == COLOURS["tp"]).all()  # rim of the left object
    assert (best[20, 26:46] == 90).all()
    assert (worst[20, 2] == COLOURS["fn"]).all()
    assert (worst[20, 26] == COLOURS["fp"]).all()


def test_the_most_crowded_train_image_shows_the_weights(report):
    assert "c.png" in (report / "index.html").read_text().split('id="weights"')[1].split("</p>")[0]
    distance = read(report / "figures/weight_map_distance.png").astype(int).sum(axis=2)
    assert distance[14, 20] < distance[30, 20]  # 2 px between two objects, 25 px elsewhere
    size = read(report / "figures/weight_map_size.png").astype(int).sum(axis=2)
    assert size[14, 20] > size[30, 20]


def test_tables_are_written_as_markdown(report):
    results = (report / "results.md").read_text()
    assert "| Average precision at IoU 0.50 | ap50 | 0.6250 | 0.4321 |" in results
    ablation = (report / "ablation.md").read_text()
    assert "| wide &lt;gap> | loss.w0=50 | 0.5432 (+0.1111) |" in ablation


def test_same_input_same_bytes_and_no_leftovers(report, data):
    (data / "again/figures").mkdir(parents=True)
    (data / "again/figures/stale.png").write_bytes(b"")
    run(data, reports="again")
    first, again = (
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        for root in (report, data / "again")
    )
    assert first == again


def test_a_set_without_val_and_without_experiments(data):
    metrics = json.loads((data / "metrics.json").read_text())
    oof = {key: value for key, value in metrics.items() if key.startswith("oof")}
    (data / "metrics.json").write_text(json.dumps(oof))
    (data / "ablation.csv").write_text("experiment,changes,val.ap50\n")
    run(data, reports="oof")
    text = (data / "oof/index.html").read_text()
    assert "No experiments collected yet" in text
    assert "val: worst" not in text
    assert "oof: worst" in text
    assert '<th class="number">val</th>' not in text


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("models/main/fold1/curve.csv", None, "fold1/curve.csv: no such file"),
        ("models/main/fold0/curve.csv", "epoch\n1\n", "has no column fold_dice, fold_loss, lr"),
        ("metrics.json", "{", "metrics.json: not valid JSON"),
        ("ablation.csv", "experiment,changes,ap50\na,,x\n", "ablation.csv: could not convert"),
        ("ablation.csv", "ap50\n0.5\n", "ablation.csv: has no column changes, experiment"),
        ("evaluation/detections_oof.parquet", None, "detections_oof.parquet: no such file"),
        ("params.yaml", PARAMS.replace("scale: 2", "scale: 0"), "report.scale: .* got 0"),
        ("params.yaml", PARAMS.replace("  main:", "  gone:"), "models/gone/fold0/curve.csv"),
    ],
)
def test_what_is_missing_or_wrong_is_named(data, name, content, words):
    (data / name).unlink()
    if content is not None:
        (data / name).write_text(content)
    with pytest.raises(InputError, match=words):
        run(data, reports="new")
    assert not (data / "new").exists()
