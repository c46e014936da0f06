import base64
import hashlib
import json
import re
import shutil
import time
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from pycocotools import mask as coco_mask
from ruamel.yaml import YAML
from torch.utils.tensorboard import SummaryWriter

from src.acceptance.operating_point import OperatingPoint, Point, write_operating_point
from src.base.errors import InputError
from src.formats.archive import write_archive
from src.formats.tables import write_table
from src.reporting.overlays import COLOURS
from src.reporting.provenance import Provenance
from stages import ablation_report
from stages.ablation_report import main

pytestmark = pytest.mark.slow  # drawing takes seconds

PARAMS = """\
split_folds:
  method: stratified
  balance: coverage
  column: fold
  k: 2
  repeats: 1
  likeness: false
  folds:
  - 0
  - 1
  seed: 1
dataset:
  root: data/raw/cells & co
  format: coco
  category_id: 100
  masks: instances
  mask_folder: masks
  mask_suffix: ''
  image_pattern: ""
  mask_pattern: ""
  missing_mask: refuse
  ignore_value: none
  id_column: id
  rle_column: rle_mask
  crowd: ignore
  polygons: edges
  class_column: ""
  rle_order: column
  rle_first: 1
  rle_starts: absolute
  rle_empty: []
  boxes: refuse
  vector_file: auto
  layer: auto
  aoi: auto
  where: {}
  tile_size: 512
  tile_overlap: 0
  tile_block: auto
  group_pattern: ''
  metadata_file: metadata.csv
  metadata: []
  leave_out: []
members:
  main: {}
report:
  close_ups: 2
  scale: 2
  images: inside
  side: 512
"""
EVIL = "<script>alert('&')</script>.png"
NAMES = ("a", "b", "c")
FILES = {"a": "a.png", "b": EVIL, "c": "c.png", "t": "t.png"}
ROOT = Path(__file__).parents[2]
MADE = Provenance("2025-11-21", "1a2b3c4 with uncommitted changes", "Some CPU, 2 cores, no GPU")
HERE, THERE = "0123456789ab", "ba9876543210"
SETS = {"train": "oof", "val": "val", "test": "test"}
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
    (data / f"prepared/labels/{prefix}/truth.json").write_text(json.dumps(coco))
    masks = enumerate((LEFT, RIGHT, LEFT), start=1)
    predictions = [{"segmentation": m, "score": 0.5, "image_id": n} for n, m in masks]
    (data / f"predictions/{split}.json").write_text(json.dumps(predictions))
    counts = {"tp": [1, 0, 1], "fp": [0, 1, 0], "fn": [0, 1, 1]}
    f1, dice = zip(*(SCORES[name] for name in NAMES), strict=True)
    images = pd.DataFrame({"name": names, "image_id": [1, 2, 3], **counts})
    images = images.assign(f1_50=f1, dice=dice, iou=0.5, boundary_iou=0.25, group=names)
    images.assign(detection_accuracy=[0.5, 0, None]).to_csv(
        data / f"evaluation/images_{split}.csv", index=False
    )
    pd.DataFrame(
        {
            "image_id": [1, 2, 3],
            "detection": [0, 1, 2],
            "score": [0.5, 0.5, 0.5],
            "tp": [True, False, True],
            "ignored": [False] * 3,
            "truth_id": [1, -1, 3],
            "iou": [1.0, 0.0, 1.0],
            "accepted": [True] * 3,
        }
    ).to_parquet(data / f"evaluation/detections_{split}.parquet")
    curve = "recall,precision\n0.0,1.0\n1.0,0.25\n"
    (data / f"evaluation/precision_recall_{split}.csv").write_text(curve)


KINDS = ("missed", "merged", "split", "poor_outline", "duplicate", "spurious", "score_order")
SIZES = "size,7 to 14 px,0,0,\nsize,14 to 20 px,30,15,0.5\n"
PLACES = "at_edge,no,30,15,0.5\nneighbour_distance,none,30,15,0.5\nsmall_object,none such,0,0,\n"


def write_errors(data, split, prefix):
    """Write what `write_split` makes of them: b and c miss an object, b has a wrong detection."""
    b, c = f"{prefix}/b", f"{prefix}/c"
    fixes = "".join(f"{kind},2,0.8,0.25\n" for kind in KINDS)
    tables = {
        "objects": "name,truth_id,outcome,detection\n"
        f"{prefix}/a,1,found,0\n{b},2,missed,-1\n{c},3,found,2\n{c},4,missed,-1\n",
        "detections": f"name,detection,kind,truth_id\n{b},1,spurious,-1\n",
        "recall": f"question,bin,objects,found,recall\n{SIZES}{PLACES}"
        "neighbour_size,none,30,15,0.5\ngroup,g,30,15,0.5\n",
        "precision": f"question,bin,detections,right,precision\n{SIZES}",
        "fixes": f"kind,count,ap50_if_fixed,regained\nnone,0,0.7,0\n{fixes}",
        "worst": f"kind,place,name,errors,share\nall,1,{b},2,0.5\nmissed,1,{b},1,0.5\n"
        f"missed,2,{c},1,0.5\nspurious,1,{b},1,1\n",
    }
    for name, text in tables.items():
        (data / f"errors/{name}_{split}.csv").write_text(text)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    data = tmp_path_factory.mktemp("report")
    folders = "prepared/train prepared/val prepared/test prepared/labels/train"
    folders += " prepared/labels/val predictions evaluation errors label_errors search"
    for name in [*folders.split(), "models/main/fold0", "models/main/fold1"]:
        (data / name).mkdir(parents=True)
    for split, prefix in (("oof", "train"), ("val", "val")):
        write_split(data, split, prefix)
        write_errors(data, split, prefix)
    (data / "evaluation/metrics.csv").write_text(
        "split,images,metric,value,low,high\n"
        "oof,all,ap50,0.625,0.5123,0.7123\nval,all,ap50,0.4321,,\n"
        "val,all,sq,0.8765,0.8001,0.9002\nval,clean,ap50,0.4444,0.3001,0.5002\n"
    )
    (data / "predictions/reliability.csv").write_text(
        "split,bin,count,mean_score,hit_rate\noof,0,4,0.05,0.25\noof,1,0,,\nval,9,2,0.95,1\n"
    )
    (data / "label_errors/objects.csv").write_text(
        "image,object_id,kind,disagreement,detection,left,top,width,height\n"
        "train/a,1,not_found,0.95,-1,0,0,1,1\ntrain/b,-1,not_annotated,0.9,0,0,0,1,1\n"
        "train/c,-1,not_annotated,0.8,0,0,0,1,1\n"
    )
    (data / "search/chosen.json").write_text('{"metric": "ap50", "all": {}, "folds": {}}')
    folds = {"0": Point(0.25, 0.125, 0.5), "1": Point(0.375, 0.25, 0.5)}
    point = OperatingPoint("pq", Point(0.3125, 0.1875, 0.4375), folds)
    write_operating_point(data / "predictions/operating_point.json", point)
    (data / "evaluation/detection_limit.csv").write_text(
        "split,max_detections,warning\noof,2,\nval,2,val: 2 < 3; set it to 3 or more\n"
    )
    photo = np.full((24, 24, 3), 90, np.uint8)
    for split, names in (("train", NAMES), ("val", NAMES), ("test", ("t",))):
        write_archive(
            data / f"prepared/{split}/images.zip", [(f"{split}/{n}", photo) for n in names]
        )
        table = pd.DataFrame({"name": [f"{split}/{name}" for name in names], "split": split})
        table = table.assign(image_id=range(1, len(names) + 1), height=24, width=24, group="")
        table["file_name"] = [FILES[name] for name in names]
        labelled = split != "test"
        table["objects"] = [1, 1, 2] if labelled else [None]
        maps = [(f"{split}/{n}", photo[..., 0]) for n in names]
        write_archive(data / f"ensemble/{SETS[split]}.zip", maps)
        table = table.assign(ignored=0 if labelled else None, coverage=0.5 if labelled else None)
        write_table(data / f"prepared/{split}/images.csv", table)
    found = [{"segmentation": LEFT, "score": 0.75, "image_id": 1, "accepted": True}]
    (data / "predictions/test.json").write_text(json.dumps(found))
    crowded = np.zeros((24, 24, 3), np.uint8)
    crowded[..., 0] = 100
    crowded[5:10] = (0, 8, 50)
    calm = np.full((24, 24, 3), (100, 250, 0), np.uint8)
    maps = [(f"train/{name}", crowded if name == "c" else calm) for name in NAMES]
    write_archive(data / "weight_maps.zip", maps)
    (data / "prepared/rejected.csv").write_text("file,reason\nbroken.png,not an image\n")
    curve = (
        "epoch,phase,lr,train_loss,fold_loss,fold_dice\n1,0,0.001,0.9,,\n2,1,0.0001,0.7,0.8,0.5\n"
    )
    for fold in (0, 1):
        (data / f"models/main/fold{fold}/curve.csv").write_text(curve)
    metrics = {"oof.ap50": 0.625, "oof.images": 3, "val.ap50": 0.4321, "val.ap50_small": None}
    metrics |= {"val.images": 3, "val.ap50_clean": 0.4444, "data": HERE}
    (data / "metrics.json").write_text(json.dumps(metrics))
    (data / "ablation.csv").write_text(
        f"experiment,changes,data,val.ap50\nbaseline,,{HERE},0.4321\n"
        f"wide <gap>,loss.w0=50,{HERE},0.5432\nforeign,a=1,{THERE},0.9876\n"
    )
    (data / "params.yaml").write_text(PARAMS)
    return data


def run(data, reports="reports", *options):
    inputs = "prepared weight_maps.zip models ensemble predictions evaluation errors label_errors"
    inputs += " search"
    paths = [str(data / name) for name in [*inputs.split(), "metrics.json", "ablation.csv"]]
    main([*paths, str(data / reports), "--params", str(data / "params.yaml"), *options])


@pytest.fixture(scope="module")
def report(prepared):
    """The report, drawn on the day of the first snowfall at some commit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ablation_report, "provenance", lambda: MADE)
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
        if tag not in ("meta", "img", "br", "input"):
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
    beside = ("data.html", "made.txt")  # linked to, not shown
    sources = [source for source in page.sources if source not in beside]
    assert all(s.startswith(("data:image/png;base64,iVBOR", "#")) for s in sources)
    assert "url(" not in "".join(page.texts)


def test_the_page_is_titled_by_its_data_set(report):
    html = (report / "index.html").read_text()
    assert "<title>cells &amp; co: AP50 0.4321 on val</title>" in html
    assert "<h1>cells &amp; co</h1>" in html


def test_when_and_from_what_it_was_made_is_told_beside_the_page_alone(report):
    digest = hashlib.sha256((report / "index.html").read_bytes()).hexdigest()
    assert (report / "made.txt").read_text() == (
        f"index.html (SHA-256 {digest}) was made on 2025-11-21 from commit 1a2b3c4 with "
        "uncommitted changes, on Some CPU, 2 cores, no GPU; the networks may have been trained "
        "elsewhere.\n"
    )
    for name in ("index.html", "results.md", "ablation.md"):
        text = (report / name).read_text()
        assert not [word for word in ("2025", "1a2b3c4", "Some CPU") if word in text]


def test_the_page_is_the_same_whenever_and_wherever_it_is_made(report, data, monkeypatch):
    monkeypatch.setattr(ablation_report, "provenance", lambda: Provenance("2026-01-01", "", "B"))
    for fold, seconds in ((0, 90), (1, 180)):
        with SummaryWriter(data / f"events/main/fold{fold}") as writer:
            start = time.time()
            for epoch, loss in ((1, 0.9), (2, 0.7)):
                writer.add_scalar("train_loss", loss, epoch, walltime=start + seconds)
    run(data, "other", "--events", str(data / "events"))
    told, times = (data / "other/made.txt").read_text().splitlines()
    assert " was made on 2026-01-01, on B; " in told
    assert times == "Training of main took 1.5, 3.0 minutes, fold by fold."
    assert (data / "other/index.html").read_bytes() == (report / "index.html").read_bytes()


def test_experiments_on_other_data_are_counted_not_shown(report):
    told = "1 row is left out, not or not for certain judged on the data at hand (0123456789ab): "
    for name in ("index.html", "ablation.md"):
        text = (report / name).read_text()
        assert told + "1 on data ba9876543210." in text
        assert "foreign" not in text
        assert "0.9876" not in text
    assert "ba9876543210" not in (report / "results.md").read_text()


def test_a_baseline_on_other_data_is_not_compared_with(data):
    table = (data / "ablation.csv").read_text()
    (data / "ablation.csv").write_text(table.replace(f"baseline,,{HERE}", "baseline,,"))
    run(data, "other")
    html = (data / "other/index.html").read_text()
    assert "Their baseline was not judged on the same data" in html
    assert "0.5432" in html
    assert "+0.1111" not in html
    assert "1 on data ba9876543210, 1 on unknown data" in html


def test_metrics_that_do_not_name_their_data_leave_all_experiments_out(data):
    metrics = json.loads((data / "metrics.json").read_text())
    (data / "metrics.json").write_text(
        json.dumps({k: v for k, v in metrics.items() if k != "data"})
    )
    run(data, "other")
    html = (data / "other/index.html").read_text()
    assert "3 rows are left out" in html
    assert "No experiments collected yet" not in html
    assert "Fingerprint" not in html


def test_what_the_pipeline_declares_of_the_images_is_enough(data):
    stage = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]["ablation_report"]
    (data / "prepared/labels/test").mkdir()
    (data / "prepared/labels/test/truth.json").write_text("")  # of nobody's concern
    prepared = {data / dep.removeprefix("data/") for dep in stage["deps"] if "/prepared/" in dep}
    for path in (data / "prepared").rglob("*.*"):
        if prepared.isdisjoint((path, *path.parents)):
            path.unlink()
    assert not (data / "prepared/labels/test/truth.json").exists()
    run(data, "other")
    text = " ".join(Page((data / "other/index.html").read_text()).texts)
    assert "3 train, 3 val, 1 test images." in " ".join(text.split())


def test_the_page_shows_the_scores(page):
    text = " ".join(page.texts)
    for number in ("0.6250", "0.4321", "0.5432", "+0.1111"):
        assert number in text
    assert "1 image was rejected" in text


def test_a_score_is_shown_with_its_interval_where_there_is_one(report):
    html = (report / "index.html").read_text()
    for number, interval in (("0.6250", "[0.5123, 0.7123]"), ("0.4444", "[0.3001, 0.5002]")):
        assert f'{number}<span class="interval">{interval}</span>' in html
    assert html.count('class="interval">[') == 4  # ap50 on its card and in the table; clean; sq
    assert "0.8765" in html.split("1 further metrics")[1].split("</details>")[0]
    row = "| ap50 | ranking | 0.6250 [0.5123, 0.7123] | 0.4321 |"
    assert row in (report / "results.md").read_text()


def test_the_page_tells_the_operating_point_and_warns_of_the_limit(report, page, data):
    text = " ".join(" ".join(page.texts).split())
    assert "accepted from a score of 0.3125 [0.1875, 0.4375], the operating point." in text
    assert "About there pq (Panoptic quality: SQ times RQ) is highest" in text
    assert "(0.2500 to 0.3750)" in text
    assert text.count("Warning.") == 1
    assert "Warning. val: 2 < 3; set it to 3 or more." in text
    scores = (report / "index.html").read_text().split('<section id="scores">')[1]
    for name, judges in (("ap50", "ranking"), ("sq", "operating point")):
        assert f"<code>{name}</code> judges the {judges}</span>" in scores
    assert "<code>images</code></span>" in scores
    (data / "predictions/operating_point.json").unlink()  # of predictions made elsewhere
    (data / "evaluation/detection_limit.csv").write_text("split,warning\nval,\n")
    run(data, "other")
    html = (data / "other/index.html").read_text()
    assert "accepted from a score" not in html
    assert "Warning" not in html


def embedded(html, name):
    return json.loads(html.split(f'id="{name}">')[1].split("</script>")[0])


def test_every_image_can_be_explored(report):
    html = (report / "index.html").read_text()
    data, pictures = embedded(html, "run-data"), embedded(html, "run-pictures")
    assert [(one["name"], one["judged"]) for one in data["sets"]] == [
        ("val", True),
        ("oof", True),
        ("test", False),
    ]
    assert [one["name"] for one in data["images"]] == [
        *(f"val/{name}" for name in NAMES),
        *(f"train/{name}" for name in NAMES),
        "test/t",
    ]
    assert data["images"][1]["file"] == EVIL
    assert data["images"][2]["scores"] == [0.5, 0.75, 0.5, 0.25, None]
    assert data["images"][6]["found"]["score"] == [0.75]
    assert data["metrics"]["val.ap50"] == 0.4321
    assert pictures["folder"] is None
    assert len(pictures["copies"]) == 7
    for pair, value in ((pictures["copies"][6], 90), (pictures["copies"][0], 90)):
        for copy in pair:
            webp = np.frombuffer(base64.b64decode(copy), np.uint8)
            shown = cv2.imdecode(webp, cv2.IMREAD_COLOR)
            assert shown.shape == (24, 24, 3)
            assert abs(shown.mean() - value) < 3


def test_images_may_lie_beside_the_page(report, data):
    params = (data / "params.yaml").read_text()
    (data / "params.yaml").write_text(params.replace("images: inside", "images: beside"))
    run(data, "other")
    html = (data / "other/index.html").read_text()
    pictures = embedded(html, "run-pictures")
    assert pictures["folder"] == "figures/images"
    assert pictures["copies"][6] == ["00007.webp", "00007_map.webp"]
    inside = embedded((report / "index.html").read_text(), "run-pictures")["copies"]
    for names, texts in zip(pictures["copies"], inside, strict=True):
        for name, text in zip(names, texts, strict=True):
            content = (data / "other/figures/images" / name).read_bytes()
            assert content == base64.b64decode(text)
    assert not (report / "figures/images").exists()


def test_the_page_permits_itself_its_own_script_alone(report):
    html = (report / "index.html").read_text()
    policy = html.split('http-equiv="Content-Security-Policy" content="')[1].split('"')[0]
    told = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert told["default-src"] == "'none'"
    assert told["img-src"] == "data:"
    for name, kind in (("script", "script"), ("style", "style")):
        text = html.rsplit(f"<{name}>", 1)[1].split(f"</{name}>")[0]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert told[f"{kind}-src"] == f"'sha256-{digest}'"
    assert " style=" not in html
    assert not re.search(r"<[^>]* on\w+=", html.split("<script")[0])


def test_every_kind_of_error_is_shown_close_up(report):
    html = (report / "index.html").read_text()
    errors = html.split('<section id="error-kinds">')[1].split("</section>")[0]
    assert "<b>val</b>" in errors
    missed, spurious = errors.split("<h3>Missed objects</h3>")[1].split("<h3>Spurious")
    assert missed.count("<figure>") == 2
    assert spurious.count("<figure>") == 1
    assert "1 here, 50.0 % of all" in missed
    assert "Merged objects</h3>" not in errors
    picture = read(report / "figures/error_val_missed_2.png")
    assert (picture[20, 26] == COLOURS["fn"]).all()  # the right object of image c
    assert (picture[20, 2:22] == 90).all()  # the left one is found
    picture = read(report / "figures/error_val_spurious_1.png")
    assert (picture[20, 26] == COLOURS["fp"]).all()


def test_labels_that_predictions_deny_are_shown(report):
    html = (report / "index.html").read_text()
    labels = html.split('<section id="labels">')[1].split("</section>")[0]
    missed, alone = labels.split("<h3>Objects that no detection")[1].split("<h3>Detections where")
    assert (missed.count("<figure>"), alone.count("<figure>")) == (1, 2)
    assert "a.png, object 1<br>disagreement 0.95" in missed
    assert "c.png<br>disagreement 0.80" in alone
    assert "another outline</h3>" not in labels
    assert '<a href="#labels">' in html
    assert (read(report / "figures/label_not_found_1.png")[20, 2] == COLOURS["fn"]).all()
    assert (read(report / "figures/label_not_annotated_1.png")[20, 2] == COLOURS["fp"]).all()


def test_charts_of_errors_and_scores_are_drawn(report):
    for name in ("fixes", "rates", "reliability"):
        assert cv2.imread(str(report / f"figures/{name}.png")) is not None
    assert not (report / "figures/feature_importance.png").exists()
    assert "What the search chose" not in (report / "index.html").read_text()


@pytest.fixture(scope="module")
def other(prepared, tmp_path_factory):
    """A search, a second level whose scores are no probabilities, nothing lost, intervals."""
    data = tmp_path_factory.mktemp("other") / "data"
    shutil.copytree(prepared, data)
    chosen = {"metric": "f1_50", "all": {"threshold": 0.35}, "folds": {"0": {"threshold": 0.45}}}
    (data / "search/chosen.json").write_text(json.dumps(chosen))
    (data / "predictions/second_level").mkdir()
    (data / "predictions/second_level/importance.csv").write_text("feature,gain\narea,1.0\n")
    (data / "predictions/reliability.csv").write_text("split,bin,count,mean_score,hit_rate\n")
    for split in ("oof", "val"):
        rows = "".join(f"{kind},0,1.0,\n" for kind in ("none", *KINDS))
        path = data / f"errors/fixes_{split}.csv"
        path.write_text(f"kind,count,ap50_if_fixed,regained\n{rows}")
    (data / "ablation.csv").write_text(
        "experiment,changes,data,val.ap50,val.ap50_difference_low,val.ap50_difference_high\n"
        f"baseline,,{HERE},0.4,,\nsure,a=1,{HERE},0.5,0.05,0.15\n"
        f"unsure,a=2,{HERE},0.41,-0.02,0.04\nold,a=3,{HERE},0.3,,\n"
    )
    run(data)
    return data / "reports"


def test_what_was_chosen_and_learnt_is_shown_where_it_was(other):
    html = (other / "index.html").read_text()
    section = html.split("What the search chose")[1].split("</section>")[0]
    for text in ("f1_50", "threshold", "0.35", "fold 0", "0.45"):
        assert text in section
    assert (other / "figures/feature_importance.png").is_file()


def test_charts_that_would_be_empty_are_left_out(other):
    assert not (other / "figures/reliability.png").exists()
    assert not (other / "figures/fixes.png").exists()
    assert (other / "figures/rates.png").exists()


def test_intervals_of_differences_are_shown(other):
    text = " ".join(" ".join(Page((other / "index.html").read_text()).texts).split())
    assert "val.ap50_difference_low" not in text
    assert "+0.1000 [+0.0500, +0.1500]" in text
    assert "+0.0100 not sure [-0.0200, +0.0400]" in text


def test_a_file_name_is_text_never_html(page):
    assert page.tags.count("script") == 3  # its own
    assert EVIL in "".join(page.texts)
    assert "wide <gap>" in page.texts


def read(path):
    return cv2.imread(str(path))[..., ::-1]


def test_the_most_crowded_train_image_shows_the_weights(report):
    assert "c.png" in (report / "index.html").read_text().split('id="weights"')[1].split("</p>")[0]
    distance = read(report / "figures/weight_map_distance.png").astype(int).sum(axis=2)
    assert distance[14, 20] < distance[30, 20]  # 2 px between two objects, 25 px elsewhere
    size = read(report / "figures/weight_map_size.png").astype(int).sum(axis=2)
    assert size[14, 20] > size[30, 20]


def test_tables_are_written_as_markdown(report):
    results = (report / "results.md").read_text()
    assert "| Average precision at IoU 0.50 | ap50 | ranking | 0.6250 [" in results
    ablation = (report / "ablation.md").read_text()
    assert "| wide &lt;gap> | loss.w0=50 | one seed | 0.5432 (+0.1111) |" in ablation


def test_same_input_same_bytes_and_no_leftovers(report, data, monkeypatch):
    monkeypatch.setattr(ablation_report, "provenance", lambda: MADE)
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
    (data / "ablation.csv").write_text("experiment,changes,data,val.ap50\n")
    run(data, reports="oof")
    text = (data / "oof/index.html").read_text()
    assert "No experiments collected yet" in text
    assert [one["name"] for one in embedded(text, "run-data")["sets"]] == ["oof", "test"]
    assert '<th class="number">val</th>' not in text


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("models/main/fold1/curve.csv", None, "fold1/curve.csv: no such file"),
        ("models/main/fold0/curve.csv", "epoch\n1\n", "has no column phase; run train again"),
        ("metrics.json", "{", "metrics.json: not valid JSON"),
        (
            "ablation.csv",
            f"experiment,changes,data,ap50\na,,{HERE},x\n",
            "ablation.csv: could not con",
        ),
        ("ablation.csv", "ap50\n0.5\n", "ablation.csv: has no column experiment"),
        ("evaluation/detections_oof.parquet", None, "detections_oof.parquet: no such file"),
        ("ensemble/val.zip", None, "ensemble/val.zip: no such archive"),
        ("predictions/test.json", None, "predictions/test.json: no such file"),
        ("evaluation/metrics.csv", "split\n", "metrics.csv: has no column images"),
        ("search/chosen.json", None, "chosen.json: no such file"),
        ("errors/fixes_oof.csv", "kind,count,regained\n", "fixes_oof.csv: has no row missed"),
        (
            "label_errors/objects.csv",
            "image,object_id,kind,disagreement,detection\ntrain/a,9,not_found,1,-1\n",
            "object 9 or detection -1 of train/a is not there any more",
        ),
        (
            "label_errors/objects.csv",
            "image,object_id,kind,disagreement,detection\ntrain/a,1,odd,1,-1\n",
            "objects.csv: 'odd' is no kind of not_found",
        ),
        ("prepared/labels/val/truth.json", "{}", "labels/val/truth.json: not a ground truth"),
        ("prepared/test/images.csv", None, "test/images.csv: no such file; run prepare_masks"),
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
