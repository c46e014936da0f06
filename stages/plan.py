"""Choose what params.yaml leaves to the data, by what the training images and their labels show.

    python -m stages.plan data/prepared data/plan

With plan.minutes a few steps of every network are timed, on random images, and the epochs fill that
time: another run of this stage may find a few more or less.

Where params.yaml says `auto` the value written here is taken; a number there overrides it, and
what depends on it is chosen by the number. Only train is looked at, so that an image of val or
test changes nothing.

Reads  prepared/train/images.csv    sizes, objects and coverage of all images
       prepared/labels/train/instances.zip  uint16 (H, W), 0 background, 1..N objects, 65535 ignore;
                            of as many images as plan.max_images
Writes plan/plan.json       "<section>.<key>": the value and the reason for it, a sentence
       plan/<section>.json  key: value, of evaluate, loss, model, postprocess, train, weight_maps;
                            what a stage reads, so that one with the same values is not run again
"""

import argparse
from functools import partial
from pathlib import Path

from tqdm import tqdm

from src.base.errors import InputError
from src.base.files import new_folder
from src.base.params import load_keys, load_params
from src.base.running import run_stage
from src.folds.fold_table import SplitFoldsParams
from src.formats.archive import ImageArchive
from src.formats.prepared import read_images
from src.losses.params import LossParams
from src.networks.params import ModelParams
from src.parallel.workers import WorkersParams, in_order
from src.planning.choices import choose
from src.planning.fingerprint import drawn_images, fingerprint, measured_objects
from src.planning.params import PlanParams
from src.planning.plan_folder import Choice, write_plan
from src.training.params import TrainParams, phase_losses, used_heads

BYTES = 29  # of memory that a pixel takes at most


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("prepared", type=Path)
    parser.add_argument("plan", type=Path, help="folder to write")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    params = load_params(args.params, "plan", PlanParams)
    folds = load_params(args.params, "split_folds", SplitFoldsParams)
    losses = [
        load_params(args.params, "loss", LossParams, member=name)
        for name in load_keys(args.params, "members")
    ]
    scheduler = load_params(args.params, "workers", WorkersParams).scheduler

    table = read_images(args.prepared, "train")
    if table.empty:
        raise InputError(f"{args.prepared}: no image of split train; there is nothing to plan by")
    archive = ImageArchive(args.prepared / "labels/train/instances.zip")
    pixels = float((table["height"] * table["width"]).mean())
    drawn = drawn_images(len(table), pixels, most=params.max_images, seed=params.seed)
    names = table["name"].iloc[drawn].tolist()
    encoded = ((archive.read_bytes(name), f"{archive.path}: {name}") for name in names)
    memory = BYTES * int((table["height"] * table["width"]).iloc[drawn].max())
    measured = in_order(measured_objects, encoded, scheduler=scheduler, memory=memory)
    measured = list(tqdm(measured, total=len(names), desc="plan", unit="image"))
    chosen = partial(
        choose,
        fingerprint(table, measured),
        learnt=1 - 1 / folds.k,
        model=load_params(args.params, "model", ModelParams),
        train=load_params(args.params, "train", TrainParams),
        losses=losses,
    )
    choices = chosen(steps=params.steps)
    with new_folder(args.plan) as folder:
        write_plan(folder, choices)
        if params.minutes:
            choices = chosen(**_timed_steps(args.params, folder, params.minutes, folds))
            write_plan(folder, choices)
    print("\n".join(_lines(choices)))


def _timed_steps(path: Path, plan: Path, minutes: float, folds: SplitFoldsParams) -> dict:
    """Return the steps of each network that so many minutes have room for, and words that tell."""
    from src.planning.speed import seconds_per_step  # torch takes longer to import than a plan

    seconds = 0.0  # of a step of every network
    for member in load_keys(path, "members"):
        model = load_params(path, "model", ModelParams, member=member, plan=plan)
        loss = load_params(path, "loss", LossParams, member=member, plan=plan)
        train = load_params(path, "train", TrainParams, member=member, plan=plan)
        one = seconds_per_step(
            model,
            ["mask", *used_heads(phase_losses(loss, train.phases))],
            crop_size=train.crop_size,
            batch_size=train.batch_size,
            precision=train.precision,
        )
        seconds += len(folds.folds) * one
    steps = max(1, round(60 * minutes / seconds))
    told = (
        f"plan.minutes {minutes:g} have room for {steps} steps of every network, which take "
        f"{seconds:.2g} s each here"
    )
    return {"steps": steps, "timed": told}


def _lines(choices: list[Choice]) -> list[str]:
    """Return the table of choices, aligned."""
    names = [f"{choice.section}.{choice.key}" for choice in choices]
    wide = max(map(len, names))
    rows = zip(names, choices, strict=True)
    return [f"{name:{wide}}  {_shown(choice):>8}  {choice.reason}" for name, choice in rows]


def _shown(choice: Choice) -> str:
    return choice.value if isinstance(choice.value, str) else f"{choice.value:g}"


if __name__ == "__main__":
    run_stage(main)
