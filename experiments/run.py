"""Run recipes and ablations as experiments, and table what came of them.

    python -m experiments.run carvana_linknet tta --on accra_buildings --budget 0.1
    python -m experiments.run augmentation --seeds 3
    python -m experiments.run encoder_depth --seeds 3 --equal minutes --minutes 20

Reads  params.yaml; experiments/recipes, ablations and datasets
Writes one DVC experiment per recipe and per variant of an ablation; with --table their scores

Every experiment starts from the last commit, in a temporary folder: the working tree stays as it
is. One that exists at this commit is not run again. With --seeds all are run under as many seeds,
and what they are compared with too; the table then has differences with intervals over images and
seeds, which one seed cannot have. With --equal all are trained for as many steps, those of
params.yaml, or minutes; the table tells both: the batches each network is trained on, and the
minutes by the clock that the experiment took, with what DVC had in its cache for none.
"""

import argparse
import math
import os
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

from ruamel.yaml import YAML

from experiments.compare import differences, judge_revision
from experiments.compare import table as comparison
from experiments.plans import Equal, Experiment, plan
from experiments.revisions import experiment_reference, git, read_metrics
from experiments.training_steps import steps_of
from src.base.errors import InputError
from src.base.files import write_text

COLUMNS = {
    "val AP50": "val.ap50",
    "F1": "val.f1_50",
    "Dice": "val.dice_mean",
    "oof AP50": "oof.ap50",
}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("names", nargs="+", metavar="NAME", help="a recipe or an ablation")
    parser.add_argument("--on", default="sample", metavar="DATASET", help="default: sample")
    parser.add_argument(
        "--budget",
        type=Fraction,
        default=Fraction(1),
        metavar="FRACTION",
        help="of epochs, folds and pixels of a crop, above 0 and at most 1 (default)",
    )
    parser.add_argument(
        "--seeds", type=int, default=0, help="of the training, for each; 3 or more tell chance"
    )
    parser.add_argument(
        "--equal", choices=("steps", "minutes"), help="what all are trained for alike"
    )
    parser.add_argument("--minutes", type=float, help="of --equal minutes, for all of its networks")
    parser.add_argument("--no-download", action="store_true", help="no pretrained encoders")
    parser.add_argument("--print", action="store_true", help="print the commands, run nothing")
    parser.add_argument("--table", type=Path, metavar="FILE", help="Markdown file to write too")
    args = parser.parse_args(argv)
    equal = _equal(args.equal, args.minutes)
    experiments = plan(args.names, args.on, args.budget, args.no_download, args.seeds, equal)
    if args.print:
        print("\n".join(experiment.command for experiment in experiments))
        return
    _refuse_changes()
    _refuse_missing_data(experiments[0].params["dataset"]["root"])
    rows, failed = [], None
    for experiment in experiments:
        minutes = ""
        if _exists(experiment):
            print(f"{experiment.name} exists; `dvc exp remove {experiment.name}` to run it again")
        else:
            print(experiment.command, flush=True)
            start = time.monotonic()
            if not _run(experiment):
                failed = experiment
                break
            minutes = f"{(time.monotonic() - start) / 60:.1f}"
            print(f"{experiment.name}: done in {minutes} minutes", flush=True)
        metrics = read_metrics(experiment_reference(experiment.name))
        steps = steps_of(experiment.name, experiment.params)
        told = {"steps": "" if steps is None else str(steps), "minutes": minutes}
        rows.append({"experiment": experiment.name, **told, **metrics})
    told = table(rows)
    if args.seeds and not failed:
        told += "\n" + "\n".join(compared(experiments))
    print("\n" + told, end="")
    if args.table:
        write_text(args.table, told)
    if failed:
        raise InputError(f"{failed.name} failed, see above; to repeat it: {failed.command}")


def table(rows: list[dict]) -> str:
    """Format experiments as a Markdown table: `experiment`, metrics, `steps` and `minutes`."""
    lines = [["experiment", *COLUMNS, "steps", "minutes"], ["---"] + ["---:"] * (len(COLUMNS) + 2)]
    for row in rows:
        scores = [f"{row[key]:.4f}" if key in row else "" for key in COLUMNS.values()]
        lines.append([row["experiment"], *scores, row["steps"], row["minutes"]])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def compared(experiments: list[Experiment]) -> list[str]:
    """Compare experiments with their bases, which were run under the same seeds; one table each."""
    runs: dict[tuple[str, str], list[Experiment]] = {}  # base and experiment, without their seeds
    for one in experiments:
        stem = tuple(name.rpartition("-s")[0] for name in (one.base, one.name))
        runs.setdefault(stem, []).append(one)  # pyright: ignore[reportArgumentType]  two names
    judged = {stem: [judge_revision(one.name) for one in of] for (_, stem), of in runs.items()}
    tables = []
    for base in dict.fromkeys(base for base, _ in runs if base):
        others = [judged[stem] for against, stem in runs if against == base]
        tables.append(
            comparison(judged[base], [(one, differences(judged[base], one)) for one in others])
        )
    return tables


def _equal(what: str | None, minutes: float | None) -> Equal | None:
    """Return what all are trained for alike, as the options say."""
    if (what == "minutes") != (minutes is not None):
        raise InputError("--minutes goes with --equal minutes, and that with --minutes; give both")
    if minutes is not None and not 0 < minutes < math.inf:
        raise InputError(f"--minutes {minutes:g}: must be above 0")
    return Equal(minutes or 0.0) if what else None


def _refuse_changes() -> None:
    changes = git("status", "--porcelain").splitlines()
    if changes:
        raise InputError(
            f"{changes[0][3:]}: not committed; commit or stash your changes, since every "
            "experiment starts from the last commit"
        )


def _refuse_missing_data(root: str) -> None:
    if root.startswith("data/raw/") and not Path(root).is_dir():
        raise InputError(
            f"{root}: no such folder; put the data set there, laid out as docs/data.md says"
        )


def _exists(experiment: Experiment) -> bool:
    """Tell whether the last commit has this experiment."""
    reference = experiment_reference(experiment.name)
    if not git("for-each-ref", reference):
        return False
    if YAML(typ="safe").load(git("show", f"{reference}:params.yaml")) != experiment.params:
        raise InputError(
            f"{experiment.name}: an experiment of that name with other params exists at this "
            f"commit; remove it by `dvc exp remove {experiment.name}`"
        )
    return True


def _run(experiment: Experiment) -> bool:
    """Run it with the Python that runs this; tell whether it succeeded."""
    environment = os.environ | {
        "PATH": str(Path(sys.executable).parent) + os.pathsep + os.environ["PATH"],
        "NO_ALBUMENTATIONS_UPDATE": "1",
    }
    command = [sys.executable, "-m", "dvc", *experiment.arguments]
    return subprocess.run(command, env=environment).returncode == 0


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        raise SystemExit(str(error)) from None
