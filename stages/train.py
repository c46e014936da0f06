"""Train one network on every fold but one.

    python -m stages.train data/prepared data/folds.csv data/weight_maps.zip \
        data/models/main/fold0 --member main --fold 0

A student learns from images with pseudo labels besides: with `--pseudo data/pseudo/fold0`.

Reads  prepared/images.csv, folds.csv                the images, their folds and near-duplicates
       prepared/images.zip, prepared/instances.zip   uint8 RGB (H, W, 3), uint16 (H, W)
       weight_maps.zip                               uint8 (H, W, 3)
       pseudo/images.csv, instances.zip,             the images taken; their labels as above, and
       pseudo/weight_maps.zip, soft.zip              where there is one, uint8 (H, W) probability
Writes model.safetensors, model.json   the network and what prediction needs to know of it
       curve.csv                       one line per epoch: phase, lr, losses, Dice
"""

import argparse
import math
import os
import shutil
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from pydantic import Field, ValidationError
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from src.base.errors import InputError
from src.base.files import new_folder
from src.base.params import Params, load_params
from src.folds.fold_images import fed_depths, fold_images
from src.folds.image_numbers import image_numbers
from src.formats.archive import ImageArchive
from src.losses.batch_loss import batch_loss
from src.networks.device import Precision, choose_device
from src.networks.model import build_model, save_model, stride
from src.networks.network_input import input_channels, network_input
from src.training.augmentation import centre_crop, training_transform
from src.training.crops import PseudoLabels, TrainingCrops, plane_names
from src.training.image_sampling import sampling_weights
from src.training.images import image_weights, pseudo_images, training_images, with_counts
from src.training.loop import fit, loader_of
from src.training.weight_average import refresh_batch_norm

# Heads beside the mask, each there if its weight in the section `loss` is not 0.
HEADS = ("border", "contact", "boundary_distance", "embedding", "empty")


class ModelParams(Params):
    architecture: str
    encoder: str
    encoder_depth: int = Field(ge=3, le=5)
    encoder_weights: str
    encoder_attention: Literal["none", "scse"]
    stem_stride: Literal[1, 2]
    decoder_width: int = Field(gt=0)
    decoder_attention: Literal["none", "scse"]
    hypercolumn: bool
    embedding_size: int = Field(gt=0)
    image_channels: Literal["rgb", "grey"]
    extra_channels: list[Literal["depth", "coordinates", "row_gradient"]]
    depth_column: str
    clahe: float = Field(ge=0)
    resize: float = Field(gt=0, le=8)
    mean: list[float] = Field(min_length=3, max_length=3)
    std: list[float] = Field(min_length=3, max_length=3)


class LossParams(Params):
    bce_weight: float = Field(ge=0)
    focal_weight: float = Field(ge=0)
    focal_gamma: float = Field(ge=0)
    focal_threshold: float = Field(ge=0, lt=1)
    ohem: float = Field(gt=0, le=1)
    label_smoothing: float = Field(ge=0, lt=0.5)
    dice_weight: float = Field(ge=0)
    jaccard_weight: float = Field(ge=0)
    tversky_weight: float = Field(ge=0)
    tversky_alpha: float = Field(ge=0)
    tversky_beta: float = Field(ge=0)
    overlap_log: bool
    overlap_per: Literal["batch", "image"]
    overlap_weighted: bool
    lovasz_weight: float = Field(ge=0)
    lovasz_error: Literal["relu", "elu"]
    lovasz_symmetric: bool
    lovasz_per: Literal["image", "batch"]
    distance: Literal["none", "d1", "d1_d2"]
    w0: float = Field(ge=0)
    sigma: float = Field(gt=0)
    size_weight: float = Field(ge=0)
    boundary_weight: float = Field(ge=0)
    boundary_kernel: int = Field(ge=3)
    max_weight: float = Field(ge=0)
    normalise_weights: bool
    image_weight: str
    border_weight: float = Field(ge=0)
    border_width: float = Field(gt=0)
    contact_weight: float = Field(ge=0)
    contact_width: float = Field(gt=0)
    boundary_distance_weight: float = Field(ge=0)
    boundary_distance_loss: Literal["smooth_l1", "wing", "mse"]
    empty_weight: float = Field(ge=0)
    embedding_weight: float = Field(ge=0)
    embedding_loss: Literal[
        "discriminative", "contrastive", "triplet", "centre", "arcface", "cosface"
    ]


class AugmentParams(Params):
    set: Literal["custom", "none", "light", "heavy"]
    views: Literal["none", "hflip", "d2", "d4"]
    shift: float = Field(ge=0, lt=1)
    scale: float = Field(ge=0, lt=1)
    rotate: float = Field(ge=0, le=180)
    brightness: float = Field(ge=0, le=1)
    contrast: float = Field(ge=0, le=1)
    gamma: float = Field(ge=0, lt=1)
    hue: int = Field(ge=0, le=180)
    saturation: int = Field(ge=0, le=255)
    grey: float = Field(ge=0, le=1)
    blur: float = Field(ge=0, le=1)
    noise: float = Field(ge=0, le=1)
    clahe: float = Field(ge=0, le=1)
    grid: float = Field(ge=0, le=1)
    elastic: float = Field(ge=0, le=1)
    mosaic: float = Field(ge=0, le=1)
    copy_paste: float = Field(ge=0, le=1)
    transforms: list[dict]


class Phase(Params):
    epochs: int = Field(gt=0)
    lr: float = Field(gt=0)
    encoder_lr: float = Field(ge=0)
    min_lr: float = Field(ge=0, lt=1)
    fraction: float = Field(gt=0, le=1)
    freeze: Literal["none", "encoder", "gradual"]
    optimiser: Literal["adam", "adamw", "sgd", "rmsprop"]
    schedule: Literal["constant", "step", "cosine", "one_cycle", "triangular2", "warm_restarts"]
    cycle_epochs: int = Field(gt=0)
    step_factor: float = Field(gt=0, le=1)
    dice_scale: float = Field(ge=0)
    loss: dict


class TrainParams(Params):
    seed: int = Field(ge=0)
    deterministic: bool
    crop_size: int = Field(gt=0)
    padding: Literal["replicate", "reflect"]
    batch_size: int = Field(gt=0)
    accumulate: int = Field(gt=0)
    workers: int = Field(ge=0)
    cache_mb: int = Field(ge=0)
    dedupe: Literal["keep", "drop", "weight"]
    precision: Precision
    weight_decay: float = Field(ge=0)
    gradient_clip: float = Field(ge=0)
    freeze_batch_norm: bool
    ema_decay: float = Field(ge=0, lt=1)
    snapshots: int = Field(ge=0)
    snapshot_decay: float = Field(gt=0, le=1)
    sampling: Literal["uniform", "size", "rarity"]
    replay: int = Field(ge=0)
    holdout: float = Field(ge=0, lt=1)
    early_stopping: int = Field(ge=0)
    evaluate_every: int = Field(ge=0)
    repeat: int = Field(gt=0)
    phases: list[Phase] = Field(min_length=1)


class WeightMapParams(Params):
    max_distance: int = Field(ge=1, le=63)


class ViewsParams(Params):
    allowed: Literal["none", "hflip", "d2", "d4"]


def main(argv: list[str] | None = None) -> None:
    args = _arguments(argv)
    model_params = load_params(args.params, "model", ModelParams, member=args.member)
    loss_params = load_params(args.params, "loss", LossParams, member=args.member)
    augment = load_params(args.params, "augment", AugmentParams, member=args.member)
    train = load_params(args.params, "train", TrainParams, member=args.member)
    allowed = load_params(args.params, "views", ViewsParams).allowed
    max_distance = load_params(args.params, "weight_maps", WeightMapParams).max_distance

    losses = [_phase_loss(loss_params, phase, i) for i, phase in enumerate(train.phases)]
    heads = _heads(losses, max_distance)
    device, bf16 = choose_device(train.precision)
    _make_repeatable(train.deterministic, train.seed + args.fold)
    model, description = _network(model_params, heads, losses, train.crop_size)
    model = model.to(device, memory_format=torch.channels_last)
    table, pseudo = _images(args, train)
    soft = pseudo is not None and pseudo.soft is not None
    description["depth_range"] = _depth_range(table, description)
    weighing = {"column": loss_params.image_weight, "dedupe": train.dedupe}
    table = _with_numbers(table, description, args.pseudo_weight, weighing)
    options = model_params.model_dump(include={"resize", "clahe"})
    options |= train.model_dump(include={"crop_size", "padding"}) | {"max_distance": max_distance}
    options |= {"heads": heads, "pseudo": pseudo, "soft": soft}
    cache_mb = train.cache_mb / max(1, train.workers)
    learnt, watched = _datasets(args, table, augment, allowed, options, cache_mb)
    inputs = {key: description[key] for key in ("image_channels", "extra_channels", "mean", "std")}
    trained = fit(
        model,
        partial(
            batch_loss,
            heads=heads,
            plane_names=plane_names(heads, soft=soft),
            embedding_size=model_params.embedding_size,
            inputs=inputs,
            bf16=bf16,
        ),
        learnt,
        watched,
        regime=train.model_dump(),
        losses=losses,
        sampling=_sampling(table, train.sampling),
        device=device,
        title=f"{args.member} {args.fold}",
        on_epoch=_event_writer(args.tensorboard),
    )
    model.load_state_dict(trained.state)
    if trained.averaged > 1 and not train.freeze_batch_norm:
        batches = loader_of(learnt, [(i, 0) for i in range(len(learnt))], train.model_dump())
        given = (network_input(b[0].to(device), b[2][:, 0].to(device), **inputs) for b in batches)
        refresh_batch_norm(model, given)
    with new_folder(args.model) as folder:
        save_model(folder, model.eval(), description)
        pd.DataFrame(trained.curve).to_csv(folder / "curve.csv", index=False, float_format="%.6g")
    added = f"{(~table['in_train']).sum()} of them with pseudo labels, " if pseudo else ""
    print(f"trained on {len(learnt)} images, {added}{len(trained.curve)} epochs -> {args.model}")


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prepared", type=Path)
    parser.add_argument("folds", type=Path)
    parser.add_argument("weight_maps", type=Path)
    parser.add_argument("model", type=Path, help="folder to write")
    parser.add_argument("--member", required=True)
    parser.add_argument("--fold", type=int, required=True, help="the fold that is left out")
    parser.add_argument("--pseudo", type=Path, help="folder of pseudo labels to learn from too")
    parser.add_argument("--pseudo-weight", type=float, default=1.0, help="of an image with them")
    parser.add_argument("--tensorboard", type=Path, help="folder for TensorBoard events")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    if not 0 <= args.pseudo_weight < math.inf:
        raise InputError(f"--pseudo-weight {args.pseudo_weight}: must be a number from 0 up")
    return args


def _phase_loss(loss: LossParams, phase: Phase, number: int) -> dict:
    """Return the section `loss` as the phase has it."""
    try:
        of_phase = LossParams.model_validate(loss.model_dump() | phase.loss)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(
            f"params.yaml: train.phases.{number}.loss.{first['loc'][0]}: {first['msg']}, got "
            f"{first['input']!r}; it takes the keys of the section loss"
        ) from None
    scaled = of_phase.model_dump()
    scaled["dice_weight"] *= phase.dice_scale
    return scaled


def _heads(losses: list[dict], max_distance: int) -> list[str]:
    """Return the mask and the heads that any phase has a loss for."""
    for loss in losses:
        if loss["contact_weight"] and loss["contact_width"] >= max_distance:
            raise InputError(
                f"params.yaml: loss.contact_width {loss['contact_width']} must be below "
                f"weight_maps.max_distance {max_distance}, beyond which distances are not measured"
            )
    return ["mask", *(head for head in HEADS if any(loss[f"{head}_weight"] for loss in losses))]


def _make_repeatable(deterministic: bool, seed: int) -> None:
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # CUDA asks for it
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = not deterministic  # crops have one size
    torch.manual_seed(seed)


def _network(
    params: ModelParams, heads: list[str], losses: list[dict], crop_size: int
) -> tuple[nn.Module, dict]:
    """Build the network; return it with what rebuilds it and what prediction must know."""
    if "depth" in params.extra_channels and params.depth_column == "none":
        raise InputError(
            "params.yaml: model.extra_channels has depth but model.depth_column is none; name the "
            "column of dataset.metadata that holds it"
        )
    known = params.model_dump(exclude={"encoder_weights"})
    fed = ("depth_column", "image_channels", "extra_channels", "clahe", "resize", "mean", "std")
    network = {key: value for key, value in known.items() if key not in fed}
    network |= {"in_channels": input_channels(params.image_channels, params.extra_channels)}
    network |= {"heads": heads}
    weights = None if params.encoder_weights == "none" else params.encoder_weights
    model = build_model(**network, encoder_weights=weights)
    if crop_size % stride(model):
        raise InputError(
            f"params.yaml: train.crop_size {crop_size} must be a multiple of {stride(model)}, the "
            f"stride of {params.encoder}"
        )
    description = network | {key: known[key] for key in fed}
    if "embedding" in heads:  # phases follow each other, so the last decides
        kinds = [loss["embedding_loss"] for loss in losses if loss["embedding_weight"]]
        description["embedding_loss"] = kinds[-1]
    return model, description


def _images(args, train: TrainParams) -> tuple[pd.DataFrame, PseudoLabels | None]:
    """Return the images with their use, and the labels of those that have pseudo labels."""
    table = fold_images(args.prepared / "images.csv", args.folds, args.fold)
    regime = train.model_dump(include={"holdout", "seed", "dedupe"})
    labelled = training_images(table, **regime)
    if args.pseudo is None:
        return labelled, None
    taken = pseudo_images(table, args.pseudo / "images.csv").assign(use="learn")
    soft = args.pseudo / "soft.zip"
    archives = [ImageArchive(args.pseudo / f"{kind}.zip") for kind in ("instances", "weight_maps")]
    pseudo = PseudoLabels(*archives, ImageArchive(soft) if soft.exists() else None)
    return pd.concat([labelled, with_counts(taken, pseudo.instances)]), pseudo


def _depth_range(table: pd.DataFrame, description: dict) -> list[float] | None:
    """Return the range of depths learnt from, that depths are relative to; None without depths."""
    if "depth" not in description["extra_channels"]:
        return None
    depths = image_numbers(table, description["depth_column"], "model.depth_column")
    learnt = depths[table["use"] == "learn"]
    return [float(learnt.min()), float(learnt.max())]


def _with_numbers(
    table: pd.DataFrame, description: dict, pseudo_weight: float, weighing: dict
) -> pd.DataFrame:
    """Add the relative depth and the weight of each image."""
    weights, labelled = np.full(len(table), pseudo_weight), table["in_train"].to_numpy()
    weights[labelled] = image_weights(table[labelled], **weighing)
    return table.assign(relative_depth=fed_depths(table, description), image_weight=weights)


def _datasets(
    args, table: pd.DataFrame, augment: AugmentParams, allowed: str, options: dict, cache_mb: float
) -> tuple[TrainingCrops, dict[str, TrainingCrops]]:
    """Return the crops to learn from, augmented, and those to look at, as they are, by use."""
    archives = [args.prepared / "images.zip", args.prepared / "instances.zip", args.weight_maps]
    archives = [ImageArchive(path) for path in archives]

    def crops(use, transform, mosaic=0.0, copy_paste=0.0, cache_mb=0.0):
        rows = table[table["use"] == use]
        numbers = rows[["relative_depth", "image_weight"]].to_numpy(np.float32)
        return TrainingCrops(
            *archives,
            rows["name"].tolist(),
            numbers=numbers,
            transform=transform,
            mosaic=mosaic,
            copy_paste=copy_paste,
            cache_mb=cache_mb,
            **options,
        )

    size = options["crop_size"]
    changes = augment.model_dump(exclude={"mosaic", "copy_paste"})
    transform = training_transform(**changes, allowed=allowed, crop_size=size)
    learnt = crops("learn", transform, augment.mosaic, augment.copy_paste, cache_mb)
    return learnt, {use: crops(use, centre_crop(size)) for use in ("fold", "holdout")}


def _sampling(table: pd.DataFrame, sampling: str) -> np.ndarray | None:
    rows = table[table["use"] == "learn"]
    return sampling_weights(
        sampling,
        objects=rows["objects"].to_numpy(float),
        coverage=rows["coverage"].to_numpy(float),
        pixels=(rows["height"] * rows["width"]).to_numpy(float),
    )


def _event_writer(folder: Path | None):
    """Return what writes a row of the curve as TensorBoard events, or does nothing."""
    if folder is None:
        return lambda row: None
    shutil.rmtree(folder, ignore_errors=True)  # else two runs are drawn over each other
    writer = SummaryWriter(folder)

    def write(row: dict) -> None:
        for key in row.keys() - {"epoch"}:
            if not math.isnan(row[key]):
                writer.add_scalar(key, row[key], row["epoch"])
        writer.flush()

    return write


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        raise SystemExit(str(error)) from None
