"""The sections `augment` and `train`, and whether all that training obeys goes together."""

import math
from collections.abc import Iterable
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, ValidationError

from src.base.errors import InputError
from src.base.params import AUTO, Auto, Params
from src.losses.params import LossParams
from src.networks.packaged_weights import PACKAGED, refuse_unpackaged
from src.networks.params import ModelParams
from src.networks.precision import Precision
from src.predicting.allowed_views import Views

# Heads beside the mask, each there if its weight in the section `loss` is not 0.
HEADS = ("border", "contact", "boundary_distance", "embedding", "empty")
OBJECT_SCORES = ("ap50", "detection_accuracy")  # that an epoch can be chosen by, beside pixels'
MAX_TURN = 45.0  # degrees; beyond it a turn is nearer to a quarter turn


class AugmentParams(Params):
    set: Literal["custom", "none", "light", "heavy"]
    views: Views
    shift: float = Field(ge=0, lt=1)
    scale: float = Field(ge=0, lt=1)
    rotate: float = Field(ge=0, le=180)
    brightness: float = Field(ge=0, le=1)
    contrast: float = Field(ge=0, le=1)
    gamma: float = Field(ge=0, lt=1)
    hue: int = Field(ge=0, le=180)
    saturation: int = Field(ge=0, le=255)
    grey: float = Field(ge=0, le=1)
    grey_objects: float = Field(ge=0, le=1)
    blur: float = Field(ge=0, le=1)
    noise: float = Field(ge=0, le=1)
    clahe: float = Field(ge=0, le=1)
    grid: float = Field(ge=0, le=1)
    elastic: float = Field(ge=0, le=1)
    mosaic: float = Field(ge=0, le=1)
    copy_paste: float = Field(ge=0, le=1)
    transforms: list[dict]


class Phase(Params):
    epochs: Annotated[int, Field(gt=0), Auto]
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
    loss: dict  # of keys of LossParams, see `phase_losses`


class TrainParams(Params):
    seed: int = Field(ge=0)
    deterministic: bool
    crop_size: Annotated[int, Field(gt=0), Auto]
    padding: Literal["replicate", "reflect"]
    batch_size: Annotated[int, Field(gt=0), Auto]
    accumulate: int = Field(gt=0)
    workers: int = Field(ge=0)
    cache_mb: int = Field(ge=0)
    dedupe: Literal["keep", "drop", "weight"]
    precision: Precision
    weight_decay: float = Field(ge=0)
    momentum: float = Field(ge=0, lt=1)
    nesterov: bool
    gradient_clip: float = Field(ge=0)
    freeze_batch_norm: bool
    sync_batch_norm: bool
    ema_decay: float = Field(ge=0, lt=1)
    snapshots: int = Field(ge=0)
    snapshot_decay: float = Field(gt=0, le=1)
    sampling: Literal["uniform", "size", "rarity"]
    replay: int = Field(ge=0)
    holdout: float = Field(ge=0, lt=1)
    choose_by: Literal["dice", "loss", "ap50", "detection_accuracy"]
    early_stopping: int = Field(ge=0)
    evaluate_every: int = Field(ge=0)
    repeat: int = Field(gt=0)
    phases: list[Phase] = Field(min_length=1)


class Training(NamedTuple):
    """All that the training of one member obeys; it goes together."""

    model: ModelParams
    losses: list[LossParams]  # of each phase
    heads: list[str]  # "mask", then those that any phase has a loss for
    image_weight: str  # column of weights of whole images, or "none"
    augment: AugmentParams
    train: TrainParams
    allowed: Views
    max_distance: int  # px


def checked_training(
    model: ModelParams,
    loss: LossParams,
    augment: AugmentParams,
    train: TrainParams,
    *,
    allowed: Views,
    max_distance: int,
) -> Training:
    """Put the sections that training obeys together, if they go together.

    Parameters
    ----------
    model, loss, augment, train : Params
        The sections as the member has them.
    allowed : {"none", "hflip", "d2", "d4"}
        Of the section `views`.
    max_distance : int
        Of the section `weight_maps`, in pixels; or "auto", which fits the section `loss`.

    Raises
    ------
    InputError
        If a phase overrides what the section loss does not have, contacts are wider than distances
        are measured, the encoder has no packaged weights, the depth is wanted without a column, a
        turn shows what is not allowed, a phase is to end early by looks that are never taken, or
        there is no momentum for Nesterov's.
    """
    losses = phase_losses(loss, train.phases)
    for of_phase in losses:
        measured = math.inf if max_distance == AUTO else max_distance
        if of_phase.contact_weight and of_phase.contact_width >= measured:
            raise InputError(
                f"params.yaml: loss.contact_width {of_phase.contact_width} must be below "
                f"weight_maps.max_distance {max_distance}, beyond which distances are not measured"
            )
    if model.encoder_weights == PACKAGED:
        refuse_unpackaged(model.encoder)
    if "depth" in model.extra_channels and model.depth_column == "none":
        raise InputError(
            "params.yaml: model.extra_channels has depth but model.depth_column is none; name the "
            "column of dataset.metadata that holds it"
        )
    if model.image_channels == "bands" and (model.clahe or "row_gradient" in model.extra_channels):
        key = "clahe" if model.clahe else "extra_channels row_gradient"
        raise InputError(
            f"params.yaml: model.{key} is of colours, but model.image_channels is bands; take it "
            "out"
        )
    if augment.set == "custom":
        refuse_far_turn("augment.rotate", augment.rotate, allowed)
    if train.early_stopping and not (train.holdout and train.evaluate_every):
        raise InputError(
            f"params.yaml: train.early_stopping {train.early_stopping} has nothing to look at; "
            "set train.holdout and train.evaluate_every above 0"
        )
    if train.nesterov and not train.momentum and any(p.optimiser == "sgd" for p in train.phases):
        raise InputError(
            "params.yaml: train.nesterov true needs a train.momentum above 0; raise it, or set "
            "nesterov to false for plain SGD"
        )
    heads = ["mask", *used_heads(losses)]
    return Training(model, losses, heads, loss.image_weight, augment, train, allowed, max_distance)


def used_heads(losses: Iterable[LossParams]) -> list[str]:
    """Return the heads beside the mask that any phase has a loss for, in the order of `HEADS`."""
    losses = list(losses)
    return [head for head in HEADS if any(getattr(one, f"{head}_weight") for one in losses)]


def phase_losses(loss: LossParams, phases: list[Phase]) -> list[LossParams]:
    """Return the section `loss` as each phase has it, `dice_scale` multiplied in.

    Raises
    ------
    InputError
        If a phase has a key that the section does not have, or a value that it does not take.
    """
    losses = []
    for number, phase in enumerate(phases):
        try:
            of_phase = LossParams.model_validate(dict(loss) | phase.loss)
        except ValidationError as error:
            first = error.errors()[0]
            raise InputError(
                f"params.yaml: train.phases.{number}.loss.{first['loc'][0]}: {first['msg']}, got "
                f"{first['input']!r}; it takes the keys of the section loss"
            ) from None
        dice_weight = of_phase.dice_weight * phase.dice_scale
        losses.append(of_phase.model_copy(update={"dice_weight": dice_weight}))
    return losses


def refuse_far_turn(key: str, angle: float, allowed: Views) -> None:
    """Refuse a turn of more than `MAX_TURN` degrees where quarter turns are not allowed.

    Parameters
    ----------
    key : str
        Of params.yaml, for the message.
    angle : float
        The largest turn in degrees, either way.
    allowed : {"none", "hflip", "d2", "d4"}

    Raises
    ------
    InputError
    """
    if angle > MAX_TURN and allowed != "d4":
        raise InputError(
            f"params.yaml: {key} {angle:g}: a turn of more than {MAX_TURN:g} degrees nears a "
            f"quarter turn, which views.allowed {allowed} forbids, lower it or set views.allowed "
            "to d4"
        )
