import json

import numpy as np
import pandas as pd
import pytest

from src.base.errors import InputError
from src.formats.archive import write_archive
from src.planning.plan_folder import Choice, write_plan
from stages.data_report import main
from tests.image_tables import write_image_tables as write_images

PARAMS = "data_report:\n  examples: 2\n  clusters: 1\n  thumbnail: 16\n  measured: 9\n"
LABELS = np.zeros((20, 20), np.uint16)
LABELS[4:8, 4:8], LABELS[4:8, 11:15] = 1, 2  # 4 px large, 4 px from pixel to pixel
NAMES = ["test/t", "train/a", "train/b", "train/c", "train/d", "val/v"]


@pytest.fixture
def folder(tmp_path):
    """One cluster of three with val in it, one of two, two warnings, one rejected image."""
    for name in ("groups", "split", "plan"):
        (tmp_path / name).mkdir()
    choices = [Choice("loss", "sigma", 3.5, "gaps of <7 px>"), Choice("train", "epochs", 9, "so")]
    write_plan(tmp_path / "plan", choices)
    (tmp_path / "params.yaml").write_text(PARAMS)
    photos = [(name, np.full((20, 20, 3), 40 * i, np.uint8)) for i, name in enumerate(NAMES)]
    for split in ("train", "val", "test"):
        of_split = [photo for photo in photos if photo[0].startswith(f"{split}/")]
        write_archive(tmp_path / "prepared" / split / "images.zip", of_split)
        if split != "test":
            path = tmp_path / "prepared/labels" / split / "instances.zip"
            write_archive(path, [(name, LABELS) for name, _ in of_split])
    images = pd.DataFrame({"name": NAMES, "split": [name.split("/")[0] for name in NAMES]})
    write_images(tmp_path / "prepared", [{"name": n, "file_name": "<b>.png"} for n in NAMES])
    rejected = pd.DataFrame(
        {"file": ["train/images/x.png"], "reason": ["the <i>file</i> is empty"]}
    )
    rejected.to_csv(tmp_path / "prepared/rejected.csv", index=False)
    warned = [("train/a", "blank", "all 7"), ("train/gone", "blank", "all 9")]
    warned += [("train/b", "repaired", "3 outlines")]
    table = pd.DataFrame(warned, columns=["name", "kind", "detail"])
    table.to_csv(tmp_path / "prepared/warnings.csv", index=False)
    found = [{"key": "dataset.format", "value": "coco", "reason": "there is <one> file"}]
    found += [{"key": "dataset.mask_suffix", "value": "", "reason": "of no end"}]
    (tmp_path / "prepared/recognised.json").write_text(json.dumps(found))
    groups = images[["name", "split"]].assign(cluster=["", 0, 0, 1, 1, 0])
    groups.to_csv(tmp_path / "groups/groups.csv", index=False)
    pairs = [("train/a", "train/b", 1, 0, 0.5), ("train/a", "val/v", 3, 2, 1.25)]
    columns = ["name_a", "name_b", "view", "distance", "difference"]
    pd.DataFrame(pairs, columns=columns).to_csv(tmp_path / "groups/pairs.csv", index=False)
    likeness = {"name": NAMES[1:5], "test_likeness": [0.9, 0.1, 0.3, 0.7], "val_likeness": 0.5}
    pd.DataFrame(likeness).to_csv(tmp_path / "split/likeness.csv", index=False)
    features = [("val", "hue_mean", 0.75), ("val", "entropy", 0.25), ("test", "width", 1.0)]
    table = pd.DataFrame(features, columns=["against", "feature", "gain"])
    table.to_csv(tmp_path / "split/features.csv", index=False)
    pd.DataFrame({"fold": [0, 1], "images": [2, 2], "groups": [1, 1]}).to_csv(
        tmp_path / "fold_summary.csv", index=False
    )
    leakage = {"train.images": 4, "train.duplicated": 4, "clusters": 2, "warning": None}
    leakage |= {"val.images": 1, "val.in_train": 1, "val.in_train_share": 1.0}
    leakage |= {"test.images": 1, "test.in_train": 0, "test.in_train_share": 0.0}
    (tmp_path / "leakage.json").write_text(json.dumps(leakage))
    figures = {"val.auc": 0.81234, "val.auc_low": 0.7, "val.auc_high": 0.9, "test.auc": None}
    figures |= {"val.verdict": "train and val differ"}
    (tmp_path / "split.json").write_text(json.dumps(figures))
    return tmp_path


def run(folder):
    names = ["prepared", "plan", "groups", "split", "fold_summary.csv"]
    names += ["leakage.json", "split.json", "data.html"]
    main([*(str(folder / name) for name in names), "--params", str(folder / "params.yaml")])
    return (folder / "data.html").read_text()


def test_the_page_shows_what_was_rejected_and_warned_of(folder):
    page = run(folder)
    assert "train/images/x.png" in page
    assert "the &lt;i&gt;file&lt;/i&gt; is empty" in page
    assert 'blank <span class="soft">2 images' in page
    assert "<b>train/a</b> all 7" in page
    assert "train/gone" not in page  # it has no picture
    assert 'repaired <span class="soft">1 image<' in page


def test_the_page_shows_what_was_recognised(folder):
    page = run(folder)
    row = '>coco</td><td data-label="because">there is &lt;one&gt; file</td>'
    assert row in page
    assert '<code>dataset.mask_suffix</code></td><td data-label="value">nothing</td>' in page
    (folder / "prepared/recognised.json").write_text("[]")
    assert "Nothing had to be: <code>params.yaml</code> gives all values." in run(folder)


def test_the_page_shows_pairs_across_splits_and_the_largest_cluster(folder):
    page = run(folder)
    assert "<b>val/v</b> 1.25 grey levels apart" in page
    assert "0.5 grey levels apart" not in page  # both in train
    assert "3 alike" in page
    assert "2 alike" not in page  # one cluster is asked for
    assert "100.0 % of 1" in page


def test_the_page_warns_of_a_cluster_that_holds_most_of_train(folder):
    assert "in one cluster" not in run(folder)
    leakage = json.loads((folder / "leakage.json").read_text())
    leakage["warning"] = "3 of 4 train images are in one cluster"
    (folder / "leakage.json").write_text(json.dumps(leakage))
    assert "<p>3 of 4 train images are in one cluster</p>" in run(folder)


def test_the_page_tells_how_the_splits_differ(folder):
    page = run(folder)
    assert "train and val: AUC 0.812" in page
    assert "<p>train and val differ</p>" in page
    assert "[0.700, 0.900]" in page
    assert "train and test" not in page  # its AUC is null
    assert page.index("hue_mean") < page.index("entropy")
    assert page.index("<b>train/a</b> 0.9") < page.index("<b>train/d</b> 0.7")
    assert page.index("least like test") < page.index("<b>train/b</b> 0.1")


def test_the_page_tells_what_was_planned_and_why(folder):
    page = run(folder)
    row = '<code>loss.sigma</code></td><td class="number" data-label="value">3.5</td>'
    assert row in page
    assert "gaps of &lt;7 px&gt;" in page
    assert page.index("loss.sigma") < page.index("train.epochs")


def test_without_findings_the_page_says_so(folder):
    for name in ("prepared/rejected.csv", "prepared/warnings.csv", "groups/pairs.csv"):
        header = (folder / name).read_text().splitlines()[0]
        (folder / name).write_text(header + "\n")
    groups = pd.read_csv(folder / "groups/groups.csv").assign(cluster="")
    groups.to_csv(folder / "groups/groups.csv", index=False)
    page = run(folder)
    assert "No image was rejected." in page
    assert "No image gave cause for a warning." in page
    assert "None was found" in page


def test_where_nobody_looked_for_near_duplicates_the_page_says_so(folder):
    (folder / "groups/pairs.csv").write_text("name_a,name_b,view,distance,difference\n")
    groups = pd.read_csv(folder / "groups/groups.csv").assign(cluster="")
    groups.to_csv(folder / "groups/groups.csv", index=False)
    leakage = json.loads((folder / "leakage.json").read_text())
    kept = {key: value if key.endswith(".images") else None for key, value in leakage.items()}
    (folder / "leakage.json").write_text(json.dumps(kept))
    page = run(folder)
    assert "Nobody looked: find_duplicates.distance is -1." in page
    assert "with a near-duplicate in train" not in page


def test_the_same_input_gives_the_same_bytes_and_needs_no_network(folder):
    page = run(folder)
    assert run(folder) == page
    assert "http" not in page.replace("http-equiv", "")


def test_a_missing_table_is_one_sentence(folder):
    (folder / "groups/pairs.csv").unlink()
    with pytest.raises(InputError, match=r"pairs\.csv: no such file; run find_duplicates"):
        run(folder)


def test_a_table_without_a_column_is_one_sentence(folder):
    (folder / "groups/pairs.csv").write_text("name_a,name_b\n")
    with pytest.raises(InputError, match=r"pairs\.csv: has no column difference"):
        run(folder)


def test_what_is_annotated_and_measured_is_shown_of_clean_data_too(folder):
    for name, header in (("rejected", "file,reason"), ("warnings", "name,kind,detail")):
        (folder / f"prepared/{name}.csv").write_text(header + "\n")
    page = run(folder)
    annotated = page.split('id="annotations"')[1].split("<h2")[0]
    assert annotated.count("<img") == 3  # two of train, one of val
    assert "<b>val/v</b> 1 object<" in annotated
    measures = page.split('id="measures"')[1].split("<h2")[0]
    assert measures.count("<svg") == 2 + 2 + 3  # test has no objects
    assert "Size of the objects" in measures
    assert "median 4.0, of 8" in measures
    assert "style=" not in page
