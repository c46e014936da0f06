"""Choose what params.yaml leaves to the data, by what the training images and their labels show.

    python -m stages.plan data/prepared data/plan

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
from pathlib import Path

from tqdm import tqdm

from src.base.errors import InputError
from src.base.files import new_folder
from src.base.params import load_keys, load_params
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
from src.training.params import TrainParams


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
    measured = in_order(measured_objects, encoded, scheduler=scheduler)
    measured = list(tqdm(measured, total=len(names), desc="plan", unit="image"))
    choices = choose(
        fingerprint(table, measured),
        steps=params.steps,
        learnt=1 - 1 / folds.k,
        model=load_params(args.params, "model", ModelParams),
        train=load_params(args.params, "train", TrainParams),
        losses=losses,
    )
    with new_folder(args.plan) as folder:
        write_plan(folder, choices)
    print("\n".join(_lines(choices)))


def _lines(choices: list[Choice]) -> list[str]:
    """Return the table of choices, aligned."""
    names = [f"{choice.section}.{choice.key}" for choice in choices]
    wide = max(map(len, names))
    rows = zip(names, choices, strict=True)
    return [f"{name:{wide}}  {_shown(choice):>8}  {choice.reason}" for name, choice in rows]


def _shown(choice: Choice) -> str:
    return choice.value if isinstance(choice.value, str) else f"{choice.value:g}"


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        raise SystemExit(str(error)) from None
