"""Nothing that is said of an image depends on its own truth, whatever is learnt and chosen.

The truth of one part of the out-of-fold images is destroyed, the maps stay. What is made of these
images by search_postprocess, postprocess and rescore must stay too, to the last digit; what is made
of the others does not, or the test would see nothing.
"""

import json
import os
from itertools import product

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from pycocotools import mask as coco_mask
from ruamel.yaml import YAML

from src.folds.fold_table import read_folds
from src.formats.archive import write_archive
from src.parts.image_parts import image_parts
from stages import postprocess, rescore, search_postprocess
from tests import plain_postprocess, plain_rescore
from tests.plain_postprocess import write_plan
from tests.plain_prepared import write_prepared

IMAGES = {"train": 9, "val": 2}
SIDE = 28
SEARCH = {"metric": "f1_50", "threshold": [0.4, 0.6, 0.8], "min_area": [0, 9, 20], "max_images": 0}
SEARCH |= {"max_hole": [0], "dilate": [0, 1], "seed": 0}
SPLIT_FOLDS = {"method": "stratified", "balance": "none", "column": "fold", "repeats": 1}
SPLIT_FOLDS |= {"likeness": False, "seed": 0}
POSTPROCESS = {"layers": [0.3, 0.5, 0.7, 0.9], "seed_threshold": 0.8, "threshold": 0.5}
AUTO = dict.fromkeys(["threshold", "connectivity", "min_area", "max_hole", "dilate"], "auto")
RESCORE = {"trees": 4, "leaves": 6, "learning_rate": 0.5, "target": "hit"}
METHODS = ("threshold", "layers", "watershed")
SCORES = ("constant", "mean", "mean_sqrt_area", "lightgbm", "random_forest")
RESCORES = [
    dict(zip(("score", "selection", "calibration", "operating_point"), values, strict=True))
    for values in product(SCORES, ("none", "nms", "tree"), ("none", "isotonic"), ("auto", 0.4))
    if values[:2] != ("mean_sqrt_area", "tree")
]


def scenes(split, seed):
    """Maps of blurred squares of any sureness, of which some are objects."""
    rng = np.random.default_rng(seed)
    maps, truth = {}, []
    for number in range(IMAGES[split]):
        name = f"{split}/{number:02}"
        mask = rng.integers(0, 40, (SIDE, SIDE)).astype(np.float64)
        for place in range(4):
            y, x = 14 * (place // 2) + rng.integers(0, 3), 14 * (place % 2) + rng.integers(0, 3)
            side = rng.integers(4, 11)
            sure = rng.uniform(90, 255)
            mask[y : y + side, x : x + side] += sure * rng.uniform(0.6, 1, (side, side))
            drawn = np.zeros((SIDE, SIDE), np.uint8)
            drawn[y : y + side, x : x + side] = 1
            if rng.random() < sure / 300 + (side > 7) * 0.3:
                truth.append((name, drawn))
        maps[name] = np.minimum(mask, 255).astype(np.uint8)
    return maps, truth


def destroyed(truth, names):
    """Leave the first object of the images, and shift it."""
    own = [one for one in truth if one[0] in names]
    others = [one for one in truth if one[0] not in names]
    return others + [(name, np.roll(drawn, 9, axis=1)) for name, drawn in own[:1]]


class Workplace:
    """Folders of one data set in a few folds, of which all or only the first is trained."""

    def __init__(self, root, k):
        self.root, self.folds = root, list(range(max(k, 2)))[: k if k > 1 else 1]
        self.split_folds = SPLIT_FOLDS | {"k": max(k, 2), "folds": self.folds}
        train, self.truth = scenes("train", 1)
        val, _ = scenes("val", 2)
        self.images = [
            {"name": name, "image_id": number, "height": SIDE, "width": SIDE}
            for number, name in enumerate([*train, *val], start=1)
        ]
        table = pd.DataFrame({"name": list(train), "fold": np.arange(len(train)) % k, "repeat": 0})
        table = table.assign(group=table["name"].str[-2:-1] + table["name"].str[-1:], copies=1)
        table.assign(copy=0, test_likeness="").to_csv(root / "folds.csv", index=False)
        for split, maps in {"oof": train, "val": val, "test": {}}.items():
            write_archive(root / f"ensemble/{split}.zip", list(maps.items()))
        (root / "ensemble/maps.json").write_text(json.dumps({"heads": ["mask"], "spreads": []}))
        write_plan(root / "plan", connectivity=4)
        parts = image_parts(read_folds(root / "folds.csv"), self.folds)["part"]
        self.names = {part: set(parts.index[parts == part]) for part in sorted(set(parts))}
        self.sections = {}

    def candidates(self, method, auto, part):
        """Search and post-process under the truth, or that without a part, once."""
        folder = self.root / f"{method}-{auto}-{part}"
        truth = destroyed(self.truth, self.names[part]) if part else self.truth
        section = plain_postprocess.PLAIN | POSTPROCESS | {"method": method}
        self.sections = {"postprocess": section | (AUTO if auto else {}), "search": SEARCH}
        self.sections |= {"split_folds": self.split_folds, "workers": {"scheduler": "none"}}
        if not folder.exists():
            annotations = []
            for number, (name, drawn) in enumerate(truth, start=1):
                rle = coco_mask.encode(np.asfortranarray(drawn))
                rle |= {"counts": rle["counts"].decode()}
                keys = {"id": number, "image_id": int(name[-2:]) + 1, "category_id": 1}
                keys |= {"iscrowd": 0, "split": "train", "segmentation": rle}
                annotations.append(keys)
            write_prepared(folder / "prepared", self.images, annotations)
            params = self.write_params()
            shared = [str(self.root / name) for name in ("folds.csv", "ensemble", "plan")]
            own = [str(folder / name) for name in ("prepared", "search", "candidates")]
            with parallel_config(backend="sequential"):
                search_postprocess.main([own[0], *shared, own[1], *params])
                postprocess.main([*shared, *own[1:], *params])
        return folder

    def write_params(self, **sections):
        YAML().dump(self.sections | sections, self.root / "params.yaml")
        return ["--params", str(self.root / "params.yaml")]

    def predictions(self, method, auto, rescore_params, part=None):
        """Return all that is said of the candidates of every image, by its name."""
        folder = self.candidates(method, auto, part)
        params = self.write_params(rescore=plain_rescore.PLAIN | RESCORE | rescore_params)
        places = [folder / "prepared", self.root / "folds.csv", folder / "candidates"]
        rescore.main([*map(str, [*places, folder / "predictions"]), *params])
        said = {image["name"]: [] for image in self.images}
        names = {image["image_id"]: image["name"] for image in self.images}
        for split in ("oof", "val"):
            for row in json.loads((folder / f"predictions/{split}.json").read_text()):
                said[names[row["image_id"]]].append(row)
        return said

    def moved(self, method, auto, rescore_params, part):
        """Destroy the truth of a part; return the images of which other things are said then."""
        before = self.predictions(method, auto, rescore_params)
        after = self.predictions(method, auto, rescore_params, part)
        return {name for name in before if before[name] != after[name]}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """Function (k) that returns the workplace of so many trained folds."""
    made = {}

    def of(k):
        if k not in made:
            made[k] = Workplace(tmp_path_factory.mktemp(f"folds{k}"), k)
        return made[k]

    return of


SHARE = (
    6  # of the combinations each setting takes one in so many, all settings together all of them
)
FAST = [  # every value of each, and those by which an earlier scheme told a part its own truth
    (2, "layers", True, ("lightgbm", "nms", "isotonic", "auto")),
    (2, "threshold", True, ("lightgbm", "none", "none", 0.4)),
    (3, "threshold", True, ("lightgbm", "nms", "isotonic", "auto")),
    (1, "layers", True, ("lightgbm", "nms", "none", "auto")),
    (1, "watershed", True, ("random_forest", "tree", "isotonic", "auto")),
    (3, "layers", False, ("constant", "tree", "isotonic", "auto")),
    (2, "threshold", True, ("mean", "nms", "none", "auto")),
    (2, "threshold", True, ("mean_sqrt_area", "nms", "isotonic", 0.4)),
]


@pytest.mark.parametrize(("k", "method", "auto", "values"), FAST)
def test_nothing_said_of_a_part_depends_on_its_truth(workplace, k, method, auto, values):
    place = workplace(k)
    keys = dict(zip(RESCORES[0], values, strict=True))
    part = list(place.names)[0]
    moved = place.moved(method, auto, keys, part)
    assert moved.isdisjoint(place.names[part])
    assert moved  # of the others


@pytest.mark.slow
@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("auto", [False, True])
def test_nothing_said_of_any_part_depends_on_its_truth(workplace, k, method, auto):
    place = workplace(k)
    parts, learnt = list(place.names), 0
    every = 1 if "ALL_LEAKS" in os.environ else SHARE
    first = (3 * METHODS.index(method) + k - 1 + 9 * auto) % every
    for number, keys in enumerate(RESCORES[first::every]):
        part = parts[number % len(parts)]
        moved = place.moved(method, auto, keys, part)
        assert moved.isdisjoint(place.names[part]), keys
        learnt += bool(moved)
    assert learnt  # of the others
