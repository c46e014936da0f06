"""The network that is trained, and what is told of it beside its weights."""

from torch import nn

from src.base.errors import InputError
from src.base.params import AUTO
from src.networks.encoder_weights import input_statistics
from src.networks.model import build_model, stride
from src.networks.network_input import input_channels
from src.networks.params import ModelParams
from src.training.params import Training


def training_network(training: Training) -> nn.Module:
    """Build the network as training begins, on the CPU.

    Raises
    ------
    InputError
        If it cannot be built, or the crops are no multiple of its stride.
    """
    params, crop_size = training.model, training.train.crop_size
    weights = None if params.encoder_weights == "none" else params.encoder_weights
    channels = input_channels(params.image_channels, params.extra_channels, params.mean)
    model = build_model(params, in_channels=channels, heads=training.heads, encoder_weights=weights)
    if crop_size % stride(model):
        raise InputError(
            f"params.yaml: train.crop_size {crop_size} must be a multiple of {stride(model)}, the "
            f"stride of {params.encoder}"
        )
    return model


def with_statistics(params: ModelParams) -> ModelParams:
    """Return the section `model` with numbers where `mean` or `std` say `auto`.

    A pretrained set that the library downloads is to be here already, as it is once a network is
    built; what goes with it then is too.

    Raises
    ------
    InputError
        If the library has to download what it says of the set and cannot.
    """
    asked = [key for key in ("mean", "std") if getattr(params, key) == AUTO]
    if not asked:
        return params
    try:
        mean, std = input_statistics(params.encoder, params.encoder_weights)
    except OSError as error:
        raise InputError(
            f"params.yaml: model.{asked[0]} auto: what '{params.encoder_weights}' of "
            f"'{params.encoder}' learnt with could not be downloaded ({type(error).__name__}); "
            "check the network or give three numbers"
        ) from None
    known = {"mean": mean, "std": std}
    return params.model_copy(update={key: known[key] for key in asked})


def described(training: Training, depth_range: list[float] | None) -> dict:
    """Return what rebuilds the network and what prediction must know of it.

    Parameters
    ----------
    training : Training
        With numbers for `mean` and `std`, by `with_statistics`.
    depth_range : [least, most], optional
        Of the images learnt from, in the unit of the column; None without depths.

    Returns
    -------
    description : dict
        For model.json: the section `model` but for the weights that its encoder began with,
        `in_channels`, `heads`, `depth_range`, and where there is an embedding `embedding_loss`.
    """
    params = training.model
    description = params.model_dump(exclude={"encoder_weights"})
    description |= {
        "in_channels": input_channels(params.image_channels, params.extra_channels, params.mean),
        "heads": training.heads,
        "depth_range": depth_range,
    }
    kinds = [loss.embedding_loss for loss in training.losses if loss.embedding_weight]
    if kinds:  # phases follow each other, so the last decides
        description["embedding_loss"] = kinds[-1]
    return description
