"""Train one network on every fold but one.

    python -m stages.train data/prepared data/folds.csv data/weight_maps.zip \
        data/models/main/fold0 --member main --fold 0

Reads  prepared/images.zip, prepared/instances.zip   uint8 RGB (H, W, 3), uint16 (H, W)
       folds.csv, weight_maps.zip                    name,fold; uint8 (H, W, 3)
Writes model.safetensors, model.json   the network and what prediction needs to know of it
       curve.csv                       one line per epoch: phase, lr, losses, Dice
"""

import argparse
import copy
import math
import shutil
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from src.archive import ImageArchive
from src.augmentation import centre_crop, training_transform
from src.device import Precision, choose_device
from src.epoch_draws import epoch_draws
from src.errors import InputError
from src.holdout import hold_out_groups
from src.labels import IGNORED
from src.losses import segmentation_loss
from src.model import build_model, normalise, save_model, stride
from src.new_folder import new_folder
from src.params import Params, load_params
from src.pixel_weights import pixel_weights
from src.schedules import phase_optimiser
from src.training_data import TrainingCrops
from src.weight_average import update_average


class ModelParams(Params):
    architecture: str
    encoder: str
    encoder_depth: int = Field(ge=3, le=5)
    encoder_weights: str
    resize: float = Field(gt=0, le=8)
    mean: list[float] = Field(min_length=3, max_length=3)
    std: list[float] = Field(min_length=3, max_length=3)


class LossParams(Params):
    bce_weight: float = Field(ge=0)
    dice_weight: float = Field(ge=0)
    jaccard_weight: float = Field(ge=0)
    distance: Literal["none", "d1", "d1_d2"]
    w0: float = Field(ge=0)
    sigma: float = Field(gt=0)
    size_weight: float = Field(ge=0)


class AugmentParams(Params):
    views: Literal["none", "hflip", "d2", "d4"]
    shift: float = Field(ge=0, lt=1)
    scale: float = Field(ge=0, lt=1)
    rotate: float = Field(ge=0, le=180)
    brightness: float = Field(ge=0, le=1)
    contrast: float = Field(ge=0, le=1)
    hue: int = Field(ge=0, le=180)
    saturation: int = Field(ge=0, le=255)


class Phase(Params):
    epochs: int = Field(gt=0)
    lr: float = Field(gt=0)
    fraction: float = Field(gt=0, le=1)
    freeze_encoder: bool
    optimiser: Literal["adam", "adamw", "sgd"]
    schedule: Literal["constant", "cosine", "one_cycle"]
    dice_scale: float = Field(ge=0)


class TrainParams(Params):
    seed: int = Field(ge=0)
    crop_size: int = Field(gt=0)
    batch_size: int = Field(gt=0)
    workers: int = Field(ge=0)
    precision: Precision
    weight_decay: float = Field(ge=0)
    gradient_clip: float = Field(ge=0)
    ema_decay: float = Field(ge=0, lt=1)
    holdout: float = Field(ge=0, lt=1)
    evaluate_every: int = Field(ge=0)
    phases: list[Phase] = Field(min_length=1)


class Setting(NamedTuple):
    """What the steps of the loop share."""

    model: ModelParams
    loss: LossParams
    train: TrainParams
    device: torch.device
    bf16: bool


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prepared", type=Path)
    parser.add_argument("folds", type=Path)
    parser.add_argument("weight_maps", type=Path)
    parser.add_argument("model", type=Path, help="folder to write")
    parser.add_argument("--member", required=True)
    parser.add_argument("--fold", type=int, required=True, help="the fold that is left out")
    parser.add_argument("--tensorboard", type=Path, help="folder for TensorBoard events")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    model_params = load_params(args.params, "model", ModelParams, member=args.member)
    loss_params = load_params(args.params, "loss", LossParams, member=args.member)
    augment = load_params(args.params, "augment", AugmentParams, member=args.member)
    train = load_params(args.params, "train", TrainParams, member=args.member)

    setting = Setting(model_params, loss_params, train, *choose_device(train.precision))
    torch.manual_seed(train.seed + args.fold)
    archives = [
        ImageArchive(path)
        for path in (
            args.prepared / "images.zip",
            args.prepared / "instances.zip",
            args.weight_maps,
        )
    ]

    def crops(names, transform):
        return TrainingCrops(
            *archives,
            names,
            resize=model_params.resize,
            crop_size=train.crop_size,
            transform=transform,
        )

    learn, hold, fold = _split(args, train)
    learnt = crops(learn, training_transform(**augment.model_dump(), crop_size=train.crop_size))
    watched = {
        "fold": crops(fold, centre_crop(train.crop_size)),
        "holdout": crops(hold, centre_crop(train.crop_size)),
    }
    writer = _event_writer(args.tensorboard)
    best, curve, description = fit(setting, learnt, watched, writer, f"{args.member} {args.fold}")
    _write(args.model, best, curve, description)
    print(f"trained on {len(learn)} images, {len(curve)} epochs -> {args.model}")


def fit(setting: Setting, learnt: TrainingCrops, watched: dict, writer, title: str):
    """Run all phases; return the network to keep, the curve, and how to rebuild the network."""
    train = setting.train
    model, description = _network(setting)
    average = copy.deepcopy(model).eval() if train.ema_decay else model
    best, best_dice, curve, steps = average, -1.0, [], 0
    epochs = sum(phase.epochs for phase in train.phases)
    images = sum(phase.epochs * len(_draws(learnt, phase, train, 0)) for phase in train.phases)
    with tqdm(total=images, desc=f"train {title}", unit="image", smoothing=0.05) as bar:
        for number, phase in enumerate(train.phases):
            model.encoder.requires_grad_(not phase.freeze_encoder)
            learning = [p for p in model.parameters() if p.requires_grad]
            used = len(_draws(learnt, phase, train, 0))
            optimiser, schedule = phase_optimiser(
                learning,
                optimiser=phase.optimiser,
                schedule=phase.schedule,
                lr=phase.lr,
                weight_decay=train.weight_decay,
                steps=phase.epochs * math.ceil(used / train.batch_size),
            )
            for _ in range(phase.epochs):
                epoch = len(curve) + 1
                row = {"epoch": epoch, "phase": number, "lr": optimiser.param_groups[0]["lr"]}
                loader = _loader(learnt, _draws(learnt, phase, train, epoch), train)
                model.train()
                if phase.freeze_encoder:
                    model.encoder.eval()  # else its batch-norm statistics would move
                total = 0.0
                for batch in loader:
                    loss = _step(model, batch, setting, phase.dice_scale, optimiser, learning)
                    if not math.isfinite(loss):
                        raise InputError(
                            f"params.yaml: train.phases.{number}: the loss became {loss} in epoch "
                            f"{epoch}; lower lr {phase.lr}, set train.gradient_clip, or compute in "
                            "train.precision float32"
                        )
                    schedule.step()
                    if train.ema_decay:
                        update_average(average, model, decay=train.ema_decay, step=steps)
                    steps += 1
                    total += loss * len(batch[0])
                    bar.set_postfix(epoch=f"{epoch}/{epochs}", loss=f"{loss:.3f}", refresh=False)
                    bar.update(len(batch[0]))
                row["train_loss"] = total / used
                for kind in ("fold", "holdout"):
                    row |= _watch(average, watched[kind], setting, kind, epoch, epochs)
                curve.append(row)
                _write_events(writer, row)
                if row["holdout_dice"] > best_dice:  # never true without a hold-out
                    best_dice, best = row["holdout_dice"], copy.deepcopy(average)
    description |= setting.model.model_dump(include={"resize", "mean", "std"})
    return best.eval(), curve, description


def _network(setting: Setting) -> tuple[torch.nn.Module, dict]:
    """Build the network on its device; return it with the arguments that build it again."""
    params = setting.model
    description = {
        "architecture": params.architecture,
        "encoder": params.encoder,
        "encoder_depth": params.encoder_depth,
        "channels": 1,
    }
    weights = None if params.encoder_weights == "none" else params.encoder_weights
    model = build_model(**description, encoder_weights=weights)
    if setting.train.crop_size % stride(model):
        raise InputError(
            f"params.yaml: train.crop_size {setting.train.crop_size} must be a multiple of "
            f"{stride(model)}, the stride of {params.encoder}"
        )
    return model.to(setting.device, memory_format=torch.channels_last), description


def _step(model, batch, setting: Setting, dice_scale: float, optimiser, learning) -> float:
    """Learn from one batch; return its loss."""
    loss = _batch_loss(model, batch, setting, dice_scale)[0]
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    if setting.train.gradient_clip:
        torch.nn.utils.clip_grad_norm_(learning, setting.train.gradient_clip)
    optimiser.step()
    return loss.item()


def _batch_loss(model, batch, setting: Setting, dice_scale: float):
    """Return the loss, the logits (B, H, W) and the target (B, H, W) of one batch."""
    images, planes = (part.to(setting.device, non_blocking=True) for part in batch)
    params = setting.loss
    weights = pixel_weights(
        planes[:, 1:],
        distance=params.distance,
        w0=params.w0,
        sigma=params.sigma,
        size_weight=params.size_weight,
    )
    with torch.autocast(setting.device.type, torch.bfloat16, enabled=setting.bf16):
        logits = model(normalise(images, setting.model.mean, setting.model.std))[:, 0]
    loss = segmentation_loss(
        logits,
        planes[:, 0],
        weights,
        bce_weight=params.bce_weight,
        dice_weight=params.dice_weight * dice_scale,
        jaccard_weight=params.jaccard_weight,
    )
    return loss, logits, planes[:, 0]


@torch.inference_mode()
def _watch(model, crops: TrainingCrops, setting: Setting, kind: str, epoch: int, epochs: int):
    """Return loss and mean Dice on images that are not trained on, NaN where not due."""
    every = setting.train.evaluate_every
    due = crops.names and every and (epoch % every == 0 or epoch == epochs)
    if not due:
        return {f"{kind}_loss": math.nan, f"{kind}_dice": math.nan}
    model.eval()
    total, dices = 0.0, []
    for batch in _loader(crops, [(i, 0) for i in range(len(crops))], setting.train):
        loss, logits, target = _batch_loss(model, batch, setting, 1.0)
        total += loss.item() * len(logits)
        found, truth = (logits > 0) & (target != IGNORED), target == 1
        both, either = (found & truth).sum((1, 2)), found.sum((1, 2)) + truth.sum((1, 2))
        dices += torch.where(either > 0, 2 * both / either.clamp(min=1), 1.0).tolist()
    return {f"{kind}_loss": total / len(crops), f"{kind}_dice": float(np.mean(dices))}


def _split(args, train: TrainParams) -> tuple[list[str], list[str], list[str]]:
    """Return the names to learn from, to choose the epoch by, and of the fold left out."""
    images = args.prepared / "images.csv"
    for path, stage in ((args.folds, "split_folds"), (images, "prepare_masks")):
        if not path.is_file():
            raise InputError(f"{path}: no such file; run the {stage} stage")
    groups = pd.read_csv(images, dtype={"group": str}, keep_default_na=False)[["name", "group"]]
    table = pd.read_csv(args.folds).merge(groups, on="name")
    left_out = table["fold"] == args.fold
    if not left_out.any() or left_out.all():
        known = sorted(table["fold"].unique().tolist())
        raise InputError(f"{args.folds}: fold {args.fold} is not one of several; it has {known}")
    rest = table[~left_out].reset_index(drop=True)
    held = hold_out_groups(rest["group"].tolist(), fraction=train.holdout, seed=train.seed)
    if held.all():
        raise InputError(f"params.yaml: train.holdout {train.holdout} leaves nothing to learn from")
    names = rest["name"]
    return names[~held].tolist(), names[held].tolist(), table.loc[left_out, "name"].tolist()


def _draws(crops: TrainingCrops, phase: Phase, train: TrainParams, epoch: int):
    return epoch_draws(
        len(crops),
        fraction=phase.fraction,
        batch_size=train.batch_size,
        seed=train.seed,
        epoch=epoch,
    )


def _loader(crops: TrainingCrops, draws: list, train: TrainParams) -> DataLoader:
    return DataLoader(
        crops,
        train.batch_size,
        sampler=draws,
        num_workers=train.workers,
        pin_memory=torch.cuda.is_available(),
    )


def _event_writer(folder: Path | None) -> SummaryWriter | None:
    if folder is None:
        return None
    shutil.rmtree(folder, ignore_errors=True)  # else two runs are drawn over each other
    return SummaryWriter(folder)


def _write_events(writer: SummaryWriter | None, row: dict) -> None:
    for key in row.keys() - {"epoch"} if writer is not None else ():
        if not math.isnan(row[key]):
            writer.add_scalar(key, row[key], row["epoch"])


def _write(folder: Path, model, curve: list[dict], description: dict) -> None:
    with new_folder(folder) as partial:
        save_model(partial, model, description)
        pd.DataFrame(curve).to_csv(partial / "curve.csv", index=False, float_format="%.6g")


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        raise SystemExit(str(error)) from None
