"""Run the pipeline on a folder of your own, as an experiment that has the folder's name.

    python -m experiments.own_data data/raw/mine

Reads  the folder, laid out as docs/data.md says; params.yaml, for all but dataset.root
Writes own/mine/  a clone of this repository, with the report, the objects found, the models
       the DVC experiment `mine` of the last commit

Nothing else of this repository changes, params.yaml neither, whenever it is stopped. The clone
begins with the last commit and the changes to it that are not committed yet. It shares DVC's cache,
so that a second run takes up where the first one stopped, and redoes what has changed.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from experiments.revisions import experiment_reference, git
from src.base.errors import InputError

CLONES = Path("own")
ROOT_LINE = re.compile(
    r"""^(dataset:.*\n(?:(?:[ #].*)?\n)*? +root: +)(?:"[^"]*"|'[^']*'|\S+)""", re.MULTILINE
)
MADE = ("dvc.lock", "data/dvc.lock", "reports/*.json", "reports/*.md")  # by runs, and in git
IDENTITY = {"user.name": "Maskline", "user.email": "maskline@localhost"}  # where git has none


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("data", type=Path, help="a folder that holds train/, wherever it is")
    data = parser.parse_args(argv).data
    name, clone = name_of(data), CLONES / name_of(data)
    _refuse_another(clone, name, data)
    _update(clone)
    _link(clone / "data/raw" / name, data)
    for weights in Path("data/encoder_weights").glob("*.safetensors"):
        _link(clone / weights, weights)
    params = clone / "params.yaml"
    params.write_text(with_root(params.read_text(encoding="utf-8"), f"data/raw/{name}"))
    if not _dvc(clone, "repro"):
        raise InputError(
            f"{name} stopped, see above; mend that and start it again, it goes on from there"
        )
    _keep(clone, name)
    folder = clone.absolute()
    print(f"\n{(clone / 'reports/results.md').read_text(encoding='utf-8')}")
    print(f"Report: {folder}/reports/index.html (the data: {folder}/reports/data.html)")
    print(f"Objects found: {folder}/data/exports; experiment: {name}, in `dvc exp show`")
    print(f"The model, for other images (docs/deploy.md): {folder}/data/bundle")


def name_of(data: Path) -> str:
    """Return the name of the experiment: that of the folder, in letters, digits, "_" and "-".

    Raises
    ------
    InputError
        If there is no such folder, or nothing is left of its name.
    """
    if not data.is_dir():
        raise InputError(f"{data}: no such folder; give the one that holds train/")
    folder = data.absolute().name or data.resolve().name
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", folder).strip("_-")
    if not name:
        raise InputError(f"{data}: give the folder a name with a letter or digit, for what is made")
    return name


def with_root(params: str, root: str) -> str:
    """Return the text of params.yaml with another `dataset.root`, and all else as it was.

    Raises
    ------
    InputError
        If the section dataset has no line of that key.
    """
    changed, count = ROOT_LINE.subn(rf"\g<1>{root}", params)
    if count != 1:
        raise InputError("params.yaml: no line 'root:' in dataset; restore it from git")
    return changed


def _refuse_another(clone: Path, name: str, data: Path) -> None:
    """Make sure that a clone of this name is of this folder."""
    link = clone / "data/raw" / name
    if link.exists() and link.resolve() != data.resolve():
        raise InputError(
            f"{clone}: is of {link.resolve()}; rename {data}, or remove {clone} if you no longer "
            "need what it holds"
        )


def _update(clone: Path) -> None:
    """Bring the clone to the last commit and what is changed since, its outputs left alone."""
    if not (clone / ".git").exists():
        shutil.rmtree(clone, ignore_errors=True)  # of one that was interrupted
        partial = clone.with_name(clone.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        git("clone", "--quiet", "--no-checkout", ".", str(partial))
        partial.rename(clone)
    made = {path: path.read_bytes() for pattern in MADE for path in clone.glob(pattern)}
    git("-C", str(clone), "fetch", "--quiet", str(Path.cwd()), "HEAD")
    git("-C", str(clone), "checkout", "--quiet", "--force", "--detach", "FETCH_HEAD")
    for path, content in made.items():  # else their stages would run again
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    others = [f":(exclude){pattern}" for pattern in MADE]
    command = ["git", "diff", "--binary", "HEAD", "--", ".", *others]
    difference = subprocess.run(command, capture_output=True).stdout
    if difference:
        apply = ["git", "-C", str(clone), "apply", "--whitespace=nowarn", "-"]
        subprocess.run(apply, input=difference, check=True)
    for key, value in IDENTITY.items():
        found = subprocess.run(["git", "-C", str(clone), "config", key], capture_output=True)
        if found.returncode:
            git("-C", str(clone), "config", key, value)
    if Path(".dvc/config.local").is_file():
        shutil.copy(".dvc/config.local", clone / ".dvc/config.local")
    cache = subprocess.run(_command("cache", "dir"), capture_output=True, text=True, check=True)
    if not _dvc(clone, "cache", "dir", "--local", "--quiet", cache.stdout.strip()):
        raise InputError(f"{clone}: DVC cannot use the cache {cache.stdout.strip()}, see above")


def _link(link: Path, target: Path) -> None:
    """Let a path of the clone show a file or folder."""
    if not link.exists():
        link.unlink(missing_ok=True)  # of a folder that has moved
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target.resolve(), target_is_directory=target.is_dir())


def _keep(clone: Path, name: str) -> None:
    """Make what the clone holds an experiment of the last commit here."""
    in_clone = "-C", str(clone)
    reference = experiment_reference(name, git(*in_clone, "rev-parse", "HEAD").strip())
    git(*in_clone, "add", "--all")  # not by `dvc exp save`, which misses the sample there
    git(*in_clone, "commit", "--quiet", "--no-verify", "--allow-empty", "-m", f"Run on {name}")
    git("fetch", "--quiet", str(clone), f"+HEAD:{reference}")


def _dvc(clone: Path, *arguments: str) -> bool:
    """Run DVC in the clone with the Python that runs this; tell whether it succeeded."""
    environment = os.environ | {
        "PATH": str(Path(sys.executable).parent) + os.pathsep + os.environ["PATH"],
        "NO_ALBUMENTATIONS_UPDATE": "1",
    }
    return subprocess.run(_command(*arguments), cwd=clone, env=environment).returncode == 0


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "dvc", *arguments]


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        raise SystemExit(str(error)) from None
    except KeyboardInterrupt:
        raise SystemExit("interrupted; start it again, it goes on from there") from None
