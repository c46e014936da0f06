"""Train one network on every fold but one.

    python -m stages.train data/prepared data/plan data/folds.csv data/weight_maps.zip \
        data/models/main/fold0 --member main --fold 0

A student learns from images with pseudo labels besides: with `--pseudo data/pseudo/fold0`. With
`--consistency` it is held to the moving average of its own weights, on all that it sees.

Reads  plan/model.json, loss.json, train.json, weight_maps.json  what is auto in these sections
       prepared/train/images.csv, folds.csv    the images, their folds and near-duplicates
       prepared/train/images.zip               uint8 RGB (H, W, 3), or bands
       prepared/labels/train/instances.zip            uint16 (H, W)
       weight_maps.zip                         uint8 (H, W, 3)
       prepared/test/images.csv, images.zip    with --pseudo alone, as is what follows
       pseudo/images.csv, instances.zip,       the images taken; their labels as above, and
       pseudo/weight_maps.zip, soft.zip        where there is one, uint8 (H, W) probability
Writes model.safetensors, model.json   the network and what prediction needs to know of it
       curve.csv                       one line per epoch: phase, lr, losses, Dice
Keeps  checkpoints/                    until it is done, what a run that dies goes on from: written
                                       every 2 minutes, or CHECKPOINT_MINUTES of the environment;
                                       see docs/scaling.md
       .dvclive/, .mlflow/, .wandb/    what params.yaml asks for in trackers; see docs/trackers.md
"""

import argparse
import math
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from src.base.errors import InputError
from src.base.files import new_folder
from src.base.params import load_params
from src.base.running import run_stage
from src.folds.fold_images import fed_depths, fold_images
from src.formats.tables import write_table
from src.label_maps.distances import WeightMapParams
from src.losses.batch_loss import batch_loss
from src.losses.params import LossParams
from src.networks.device import choose_device
from src.networks.model import save_model
from src.networks.network_input import BANDS
from src.networks.params import ModelParams
from src.predicting.allowed_views import ViewsParams
from src.training import processes
from src.training.augmentation import left_out_of_bands
from src.training.bands import with_bands
from src.training.checkpoint import Checkpoints, fingerprint
from src.training.crops import crops_by_use
from src.training.curve import curve_table, event_writer, scalars_of
from src.training.dry_pass import refuse_unusable
from src.training.free_space import bytes_of_training, refuse_full_disk
from src.training.image_sampling import sampling_weights
from src.training.images import depth_range, image_weights, pseudo_images, training_images
from src.training.labelled_images import Sources, open_sources
from src.training.launching import LauncherParams, run_processes
from src.training.loop import fit
from src.training.mean_teacher import Consistency, teacher_probability
from src.training.network import described, training_network, with_statistics
from src.training.params import (
    OBJECT_SCORES,
    AugmentParams,
    Training,
    TrainParams,
    checked_training,
)
from src.training.statistics import refresh_statistics
from src.training.targets import plane_names
from src.training.trackers import Tracked, TrackersParams, tracking


def main(argv: list[str] | None = None) -> None:
    args = _arguments(argv)
    training = _training(args.params, args.plan, args.member)
    command = load_params(args.params, "launcher", LauncherParams).command
    if command != "none" and not processes.is_launched():
        given = sys.argv[1:] if argv is None else argv
        run_processes(command, ["-m", "stages.train", *given], args.checkpoints)
        return
    with processes.joined():
        _train(args, training)


def _train(args: argparse.Namespace, training: Training) -> None:
    """Do the work of one process; the first writes what becomes of all."""
    train = training.train
    device, bf16 = choose_device(train.precision)
    _make_repeatable(train.deterministic, train.seed + args.fold)
    sources = open_sources(args.prepared, args.weight_maps, args.pseudo)
    table = _images(args, sources, train)
    training = _fed_with(training, table, sources)
    model = training_network(training)
    params = with_statistics(training.model)
    training = training._replace(model=params)
    model = model.to(device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  torch's stub lacks memory_format

    description = described(training, depth_range(table, params))
    table = table.assign(
        relative_depth=fed_depths(table, description),
        image_weight=image_weights(
            table,
            column=training.image_weight,
            dedupe=train.dedupe,
            pseudo_weight=args.pseudo_weight,
        ),
    )
    planes = plane_names(training.heads, soft=sources.soft, ids=train.choose_by in OBJECT_SCORES)
    learnt, watched = crops_by_use(table, sources, training, planes)
    sizes = zip(table["height"], table["width"], strict=True)
    refuse_unusable(model, training, images=len(learnt), sizes=sizes, device=device, bf16=bf16)
    consistency = _consistency(args, training, bf16)
    first = not processes.rank()
    if first:
        print(f"trains {_arithmetic(device, bf16)}", flush=True)
        _refuse_full_disk(args, model, train)
    checkpoints = _checkpoints(args, training, model, (device.type, bf16, processes.count()))
    with _told(args, training, checkpoints) as tell:
        trained = fit(
            model,
            partial(batch_loss, params=params, heads=training.heads, plane_names=planes, bf16=bf16),
            learnt,
            watched,
            train=train,
            losses=training.losses,
            sampling=_sampling(table, train.sampling),
            device=device,
            title=f"{args.member} {args.fold}",
            on_epoch=tell,
            checkpoints=checkpoints,
            consistency=consistency,
        )
    processes.part()
    if not first:
        return
    model.load_state_dict(trained.state)
    refresh_statistics(model, trained.stale, learnt, params=params, train=train, device=device)
    with new_folder(args.model) as folder:
        save_model(folder, model.eval(), description)
        write_table(folder / "curve.csv", curve_table(trained.curve))
    checkpoints.remove()
    added = f"{(~table['in_train']).sum()} of them with pseudo labels, " if args.pseudo else ""
    print(f"trained on {len(learnt)} images, {added}{len(trained.curve)} epochs -> {args.model}")


@contextmanager
def _told(
    args: argparse.Namespace, training: Training, checkpoints: Checkpoints
) -> Generator[Callable[[dict], None]]:
    """Give what writes a row of the curve for TensorBoard and tells it the trackers.

    Of several processes the first does.
    """
    if processes.rank():
        yield lambda row: None
        return
    params = load_params(args.params, "trackers", TrackersParams)
    name = f"{'student_' if args.pseudo else ''}{args.member}/fold{args.fold}"
    sections = {"model": training.model, "augment": training.augment, "train": training.train}
    settings = {key: section.model_dump(mode="json") for key, section in sections.items()}
    settings["loss"] = training.losses[0].model_dump(mode="json")
    kept = checkpoints.path and checkpoints.path.with_name("trackers.json")
    write = event_writer(args.tensorboard)
    with tracking(params, Tracked(name, settings), kept) as log:

        def tell(row: dict) -> None:
            step, scalars = row["epoch"], scalars_of(row)
            write(step, scalars)
            log(step, scalars)

        yield tell


def _arithmetic(device: torch.device, bf16: bool) -> str:
    """Say where and how is computed, by how many processes."""
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else "the CPU"
    count, threads = processes.count(), torch.get_num_threads()
    by = "1 process" if count == 1 else f"{count} processes"
    return f"on {where}, in {'bf16' if bf16 else 'float32'}, by {by} of {threads} thread(s)"


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("prepared", type=Path)
    parser.add_argument("plan", type=Path)
    parser.add_argument("folds", type=Path)
    parser.add_argument("weight_maps", type=Path)
    parser.add_argument("model", type=Path, help="folder to write")
    parser.add_argument("--member", required=True)
    parser.add_argument("--fold", type=int, required=True, help="the fold that is left out")
    parser.add_argument("--pseudo", type=Path, help="folder of pseudo labels to learn from too")
    parser.add_argument("--pseudo-weight", type=float, default=1.0, help="of an image with them")
    parser.add_argument(
        "--consistency", type=float, default=0.0, help="with the moving average of the weights"
    )
    parser.add_argument("--tensorboard", type=Path, help="folder for TensorBoard events")
    parser.add_argument("--checkpoints", type=Path, help="folder to go on from after a crash")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    for option in ("pseudo_weight", "consistency"):
        value, words = getattr(args, option), option.replace("_", "-")
        if not 0 <= value < math.inf:
            raise InputError(f"--{words} {value}: must be a number from 0 up")
    return args


def _training(path: Path, plan: Path, member: str) -> Training:
    return checked_training(
        load_params(path, "model", ModelParams, member=member, plan=plan),
        load_params(path, "loss", LossParams, member=member, plan=plan),
        load_params(path, "augment", AugmentParams, member=member),
        load_params(path, "train", TrainParams, member=member, plan=plan),
        allowed=load_params(path, "views", ViewsParams).allowed,
        max_distance=load_params(path, "weight_maps", WeightMapParams, plan=plan).max_distance,
    )


def _refuse_full_disk(args: argparse.Namespace, model: torch.nn.Module, train) -> None:
    of_checkpoints, of_weights = bytes_of_training(model, train)
    kept = {} if args.checkpoints is None else {args.checkpoints: of_checkpoints}
    refuse_full_disk({args.model: of_weights} | kept)


def _fed_with(training: Training, table: pd.DataFrame, sources: Sources) -> Training:
    """Tell how many bands there are and what is common in them, where images are bands."""
    learnt = table["name"][(table["use"] == "learn") & table["in_train"]].tolist()
    model = with_bands(training.model, sources.photos, learnt)
    if model.image_channels == BANDS and (skipped := left_out_of_bands(training.augment)):
        print(f"augment.{', augment.'.join(skipped)}: of colours, left out for images of bands")
    return training._replace(model=model)


def _checkpoints(args, training: Training, model: torch.nn.Module, arithmetic) -> Checkpoints:
    """Find what an earlier run of the same training left; hashing the inputs takes a while."""
    if args.checkpoints is None:
        return Checkpoints(None)
    train = args.prepared / "train"
    files = [train / "images.csv", train / "images.zip", args.folds, args.weight_maps]
    files.append(args.prepared / "labels/train/instances.zip")
    if args.pseudo:
        files += sorted(args.pseudo.iterdir())
        files += [args.prepared / "test/images.csv", args.prepared / "test/images.zip"]
    settings = (training, args.fold, args.pseudo_weight, args.consistency, arithmetic)
    return Checkpoints(args.checkpoints, fingerprint(settings, model, files))


def _consistency(args, training: Training, bf16: bool) -> Consistency | None:
    if not args.consistency:
        return None
    if not training.train.ema_decay:
        raise InputError(
            f"{args.params}: student.consistency {args.consistency} holds a network to the moving "
            "average of its weights; set train.ema_decay above 0"
        )
    answer = partial(
        teacher_probability,
        allowed=training.allowed,
        params=training.model,
        heads=training.heads,
        bf16=bf16,
    )
    return Consistency(args.consistency, answer)


def _make_repeatable(deterministic: bool, seed: int) -> None:
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # CUDA asks for it
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = not deterministic  # crops have one size
    torch.manual_seed(seed)


def _images(args: argparse.Namespace, sources: Sources, train: TrainParams) -> pd.DataFrame:
    """Return the images with their use, those of test with pseudo labels at the end."""
    splits = ("train", "test") if args.pseudo else ("train",)
    images = fold_images(args.prepared, args.folds, args.fold, splits)
    labelled = training_images(images, train)
    if sources.pseudo is None:
        return labelled
    taken = pseudo_images(images, args.pseudo / "images.csv", sources.pseudo.instances)
    return pd.concat([labelled, taken])


def _sampling(table: pd.DataFrame, sampling: str) -> np.ndarray | None:
    rows = table[table["use"] == "learn"]
    return sampling_weights(
        sampling,
        objects=rows["objects"].to_numpy(float),
        coverage=rows["coverage"].to_numpy(float),
        pixels=(rows["height"] * rows["width"]).to_numpy(float),
    )


if __name__ == "__main__":
    run_stage(main)
