"""On how many batches the networks of an experiment are trained."""

import json
import subprocess
import sys
from io import StringIO
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from experiments.revisions import commit_of
from src.base.params import AUTO

READ = {"plan": "data/plan/train.json", "folds": "data/folds.csv"}


def steps_of(name: str, params: dict) -> int | None:
    """Tell the batches of an experiment by its plan and its folds, which the cache has.

    Parameters
    ----------
    name : str
        An experiment that starts from the last commit, or a revision.
    params : dict
        All of its params.yaml.

    Returns
    -------
    steps : int or None
        See `planned_steps`; None where the files cannot be had.
    """
    texts: dict[str, str] = {}
    with TemporaryDirectory() as folder:
        for key, path in READ.items():
            copy = Path(folder) / key
            command = [sys.executable, "-m", "dvc", "get", ".", path]
            command += ["--rev", commit_of(name), "--out", str(copy)]
            if subprocess.run(command, capture_output=True).returncode or not copy.is_file():
                return None
            texts[key] = copy.read_text(encoding="utf-8")
    return planned_steps(params, json.loads(texts["plan"]), pd.read_csv(StringIO(texts["folds"])))


def planned_steps(params: dict, plan: dict[str, Any], folds: pd.DataFrame) -> int:
    """Count the batches that a network is trained on, the mean over members and trained folds.

    Parameters
    ----------
    params : dict
        All of params.yaml: train, members, split_folds.
    plan : dict
        What stands for `auto` in train: epochs, batch_size.
    folds : DataFrame
        fold, repeat and copy of the training images, a row for each image and repeat.

    Returns
    -------
    steps : int
        At most so many: `early_stopping` may end sooner. Batches of `replay` and of students'
        pseudo-labelled images are not counted; the images of `holdout` are taken off.
    """
    k, counts = params["split_folds"]["k"], []
    for member in params["members"].values():
        train = params["train"] | ((member or {}).get("train") or {})
        train |= {key: plan[key] for key in ("batch_size",) if train[key] == AUTO}
        kept = folds[folds["copy"] == 0] if train["dedupe"] == "drop" else folds
        for fold in params["split_folds"]["folds"]:
            of_repeat = kept[kept["repeat"] == fold // k]
            images = int((of_repeat["fold"] != fold).sum())
            images -= round(train["holdout"] * images)
            batches = 0
            for phase in train["phases"]:
                shown = max(1, round(phase["fraction"] * images))
                epochs = plan["epochs"] if phase["epochs"] == AUTO else phase["epochs"]
                batches += epochs * max(1, shown // train["batch_size"])
            counts.append(train["repeat"] * batches)
    return round(mean(counts))
