"""A copy of the repository with a sample that is trained on in a minute or two."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
SMALL = {
    "sample": {"train": 40, "val": 12, "test": 4},
    "model": {"encoder": "tu-test_resnet", "encoder_weights": "none"},
    "train": {"precision": "float32", "evaluate_every": 10},
    "predict": {"views": "hflip", "precision": "float32"},
    "report": {"close_ups": 1},
}
PHASE = {"epochs": 80, "lr": 0.01}
TINY = SMALL | {  # every stage, with TINY_EPOCHS in seconds
    "sample": {"train": 12, "val": 4, "test": 4},
    "split_folds": {"folds": [0]},
    "members": {"main": {}, "other": {}},
    "soups": {"both": ["main", "other"]},
    "student": {"folds": [0]},
    "pseudo_label": {"min_certain": 0.0},
}
TINY_EPOCHS = 3


def small_repository(root: Path, changes: dict[str, dict] = SMALL) -> Path:
    """Copy what git knows to a folder, with params for a small sample; nothing is run."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file() and name != "dvc.lock" and not name.endswith("/dvc.lock"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, root / name)
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    params = read_params(root)
    for section, values in changes.items():
        params[section].update(values)
    epochs = {"epochs": TINY_EPOCHS} if changes is TINY else {}
    params["train"]["phases"][0].update(PHASE | epochs)
    write_params(root, params)
    return root


def dvc(root, *arguments):
    run = dvc_run(root, *arguments)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def dvc_run(root, *arguments):
    command, environment = dvc_command(root, *arguments)
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)


def dvc_command(root, *arguments):
    """Return a command and its environment, in which DVC keeps nothing outside the copy."""
    bin_folder = str(Path(sys.executable).parent)
    environment = os.environ | {
        "PATH": bin_folder + os.pathsep + os.environ["PATH"],
        "DVC_SITE_CACHE_DIR": str(root.parent / "dvc-site"),
    }
    return [sys.executable, "-m", "dvc", *arguments], environment


def read_params(root):
    return YAML(typ="safe").load((root / "params.yaml").read_text())


def write_params(root, params):
    with (root / "params.yaml").open("w") as file:
        YAML().dump(params, file)
