"""Building, saving and loading of segmentation networks, without pickle."""

import json
from pathlib import Path
from typing import cast

import segmentation_models_pytorch as smp
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from torch import nn

from src.base.changes import expect_file
from src.base.errors import InputError
from src.networks.depthwise import keep_depthwise_in_float32
from src.networks.encoder_weights import load_encoder_weights, load_packaged_weights
from src.networks.encoders import (
    add_attention,
    keep_stem_size,
    leave_out_stages,
    leave_out_stem_pooling,
)
from src.networks.heads import map_channels
from src.networks.hypercolumn import add_hypercolumn
from src.networks.packaged_weights import PACKAGED, refuse_unpackaged
from src.networks.params import LATER, NetworkParams
from src.networks.transposed_decoder import enlarge_by_convolution

DECODERS_OF_DEPTH = ("unet", "unetplusplus", "manet")  # want one width for each level
NORMED = (*DECODERS_OF_DEPTH, "linknet")  # may be without
DOUBLING = ("linknet", "unetplusplus", "manet")  # their last block always doubles the size
REBUILT_FROM = (*NetworkParams.model_fields, "in_channels", "heads")  # keys of model.json


def build_model(
    params: NetworkParams, *, in_channels: int, heads: list[str], encoder_weights: str | None
) -> nn.Module:
    """Build a network that maps (B, in_channels, H, W) to what `heads.head_outputs` takes.

    H and W must be multiples of `stride(model)`.

    Parameters
    ----------
    params : NetworkParams
        `architecture`: a decoder of segmentation-models-pytorch: Unet, Linknet, FPN, ...
        `encoder`: an encoder of that library, or `tu-NAME` for any timm model. `encoder_depth`: how
        often it halves height and width (what lies deeper is left out). `encoder_attention`,
        `decoder_attention`: squeeze and excitation after every stage of the encoder, around every
        decoder block. `stem_stride`: of the encoder's first convolution; 1 makes all its maps twice
        as large. `stem_pooling`: whether max pooling comes after it; without it deeper maps are
        twice as large. `decoder_width`: channels of the last decoder block of Unet, UnetPlusPlus
        and MAnet, each one before it twice as many; other decoders have widths of their own.
        `decoder_upsampling`: how decoder blocks enlarge what they are given; "transposed" by
        `src.networks.transposed_decoder` (Unet). `decoder_norm`: whether their convolutions are
        followed by batch normalisation.
        `hypercolumn`: whether the heads see the maps of all decoder blocks, enlarged (Unet).
        `embedding_size`: channels of the head "embedding".
    in_channels : int
        Channels of the input; positive.
    heads : list of str
        As for `src.networks.heads.map_channels`.
    encoder_weights : str or None
        Name of a pretrained set ("imagenet" is downloaded by the library), "packaged" for those of
        an installed package, a file NAME.safetensors in data/encoder_weights, None for random. For
        a timm encoder the name of a set stands for the set in the encoder's own name
        (`tu-NAME.SET`). With other than 3 channels the first convolution is adapted; see
        `src.networks.encoder_weights.load_encoder_weights`.

    Raises
    ------
    InputError
        If a name is unknown, a combination is impossible or pretrained weights cannot be had.
    """
    _refuse_impossible(params)
    file = encoder_weights if (encoder_weights or "").endswith(".safetensors") else None
    packaged = encoder_weights == PACKAGED
    if packaged:
        refuse_unpackaged(params.encoder)
    channels = sum(map_channels(heads, params.embedding_size).values())
    widths = [params.decoder_width * 2**level for level in reversed(range(params.encoder_depth))]
    model = _create(
        params.architecture,
        params.encoder,
        None if file or packaged else encoder_weights,
        encoder_depth=params.encoder_depth,
        in_channels=in_channels,
        classes=channels,
        **_decoder_options(params, widths),
        **({"aux_params": {"classes": 1, "dropout": 0.0}} if "empty" in heads else {}),
    )
    encoder = model.get_submodule("encoder")
    leave_out_stages(encoder, params.encoder_depth)
    keep_depthwise_in_float32(model)
    if params.encoder_attention == "scse":
        add_attention(encoder, params.encoder)
    if params.stem_stride == 1:
        keep_stem_size(encoder, params.encoder)
    if not params.stem_pooling:
        leave_out_stem_pooling(encoder, params.encoder)
    if file:
        load_encoder_weights(encoder, file, in_channels)
    if packaged:
        load_packaged_weights(encoder, params.encoder, in_channels)
    if params.decoder_upsampling == "transposed":
        _learn_to_enlarge(model, params, widths)
    if params.hypercolumn:
        add_hypercolumn(model, widths, channels)
    return model


def stride(model: nn.Module) -> int:
    """Return what height and width of the input must be multiples of, in pixels."""
    further = 8 if isinstance(model, smp.PAN) else 1  # it halves the deepest map three times more
    return cast("int", model.get_submodule("encoder").output_stride) * further


def save_model(folder: Path, model: nn.Module, description: dict) -> None:
    """Write `model.safetensors` and `model.json`, from which `load_model` rebuilds the network.

    Parameters
    ----------
    folder : Path
        Exists already.
    model : nn.Module
        Its state is written from the CPU.
    description : dict
        The keys of `NetworkParams`, `in_channels` and `heads`, plus whatever prediction needs to
        know.
    """
    state = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    save_file(state, folder / "model.safetensors")
    (folder / "model.json").write_text(json.dumps(description, indent=2, sort_keys=True) + "\n")


def load_model(folder: Path) -> tuple[nn.Module, dict]:
    """Rebuild a saved network, in evaluation mode, with its description.

    Raises
    ------
    InputError
        If the folder holds no model, or weights that do not fit the description.
    """
    folder = Path(folder)
    for part in (folder / "model.json", folder / "model.safetensors"):
        if not part.is_file():
            raise InputError(f"{part}: no such file; run the train stage")
        expect_file(part)
    description = json.loads((folder / "model.json").read_text())
    model = rebuild(description, folder / "model.json")
    try:
        model.load_state_dict(load_file(folder / "model.safetensors"))
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip()[:200]  # the first line names the class
        raise InputError(
            f"{folder}: weights do not fit model.json ({reason}); train again"
        ) from None
    return model.eval(), description


def rebuild(description: dict, source: Path | str = "model.json") -> nn.Module:
    """Build the network that a description tells of, with random weights.

    Parameters
    ----------
    description : dict
        As for `save_model`.
    source : Path or str
        Where it is from, for the message.

    Raises
    ------
    InputError
        If a key is missing or has a value that no network is built from.
    """
    description = LATER | description
    missing = [key for key in REBUILT_FROM if key not in description]
    if missing:
        raise InputError(f"{source}: has no {', '.join(missing)}; train again")
    try:
        params = NetworkParams(**{key: description[key] for key in NetworkParams.model_fields})
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"{source}: {first['loc'][0]}: {first['msg']}; train again") from None
    return build_model(
        params,
        in_channels=description["in_channels"],
        heads=description["heads"],
        encoder_weights=None,
    )


def _refuse_impossible(params: NetworkParams) -> None:
    """Answer options that the decoder does not have with one sentence."""
    architecture, decoder = params.architecture, params.architecture.lower()
    if params.decoder_attention == "scse" and decoder not in ("unet", "unetplusplus"):
        raise InputError(
            f"params.yaml: model.decoder_attention scse: the decoder {architecture} has none, take "
            "Unet or UnetPlusPlus or set it to none"
        )
    if params.decoder_attention == "scse" and params.decoder_width < 16:
        raise InputError(
            f"params.yaml: model.decoder_width {params.decoder_width}: too narrow for "
            "model.decoder_attention scse, which divides widths by 16, take 16 or more"
        )
    if params.hypercolumn and decoder != "unet":
        raise InputError(
            f"params.yaml: model.hypercolumn true: the decoder {architecture} has none, take Unet "
            "or set it to false"
        )
    if params.decoder_upsampling == "transposed" and decoder != "unet":
        raise InputError(
            f"params.yaml: model.decoder_upsampling transposed: the decoder {architecture} has "
            "none, take Unet or set it to nearest"
        )
    if params.decoder_upsampling != "nearest" and decoder not in DECODERS_OF_DEPTH:
        raise InputError(
            f"params.yaml: model.decoder_upsampling {params.decoder_upsampling}: the decoder "
            f"{architecture} enlarges in its own way, take Unet, UnetPlusPlus or MAnet or set it "
            "to nearest"
        )
    if params.decoder_norm == "none" and decoder not in NORMED:
        raise InputError(
            f"params.yaml: model.decoder_norm none: the decoder {architecture} cannot be without, "
            "take Unet, UnetPlusPlus, MAnet or Linknet or set it to batchnorm"
        )
    if not params.stem_pooling and decoder != "unet":
        raise InputError(
            f"params.yaml: model.stem_pooling false: {architecture} would not answer at the size "
            "of the input, take Unet or set it to true"
        )
    doubles = decoder in DOUBLING or (decoder, params.encoder_depth) == ("fpn", 3)
    if params.stem_stride == 1 and doubles:
        raise InputError(
            f"params.yaml: model.stem_stride 1: {architecture} of model.encoder_depth "
            f"{params.encoder_depth} would not answer at the size of the input, take Unet or set "
            "it to 2"
        )


def _decoder_options(params: NetworkParams, widths: list[int]) -> dict:
    """Arguments of the library that only some decoders take."""
    decoder, depth, options = params.architecture.lower(), params.encoder_depth, {}
    if decoder in DECODERS_OF_DEPTH:
        options["decoder_channels"] = widths
    if params.decoder_attention == "scse":
        options["decoder_attention_type"] = "scse"
    if params.decoder_upsampling == "bilinear":
        options["decoder_interpolation"] = "bilinear"
    if params.decoder_norm == "none":
        options["decoder_use_norm"] = False
    # What the last maps are enlarged by: the library's own number is right for one depth only.
    reduced = {
        "fpn": 2 ** (depth - 3),
        "pspnet": 2**depth,
        "deeplabv3": 8,
        "deeplabv3plus": 4,
        "pan": 4,
        "upernet": 4,
    }
    if decoder in reduced:
        options["upsampling"] = reduced[decoder] * params.stem_stride // 2
    return options


def _learn_to_enlarge(model: nn.Module, params: NetworkParams, widths: list[int]) -> None:
    """Enlarge by transposed convolutions wherever a block of the decoder doubles the size."""
    deepest = cast("list[int]", model.get_submodule("encoder").out_channels)[-1]
    enlarges = [True] * (len(widths) - 2) + [params.stem_pooling, params.stem_stride == 2]
    enlarge_by_convolution(model, [deepest, *widths[:-1]], enlarges)


def _create(architecture: str, encoder: str, weights: str | None, **options) -> nn.Module:
    """Build by the library, whose complaints become sentences."""
    own_set = encoder.startswith("tu-") and weights is not None  # named in the encoder
    try:
        return smp.create_model(
            architecture,
            encoder_name=encoder,
            encoder_weights=cast("str | None", True if own_set else weights),  # timm takes True
            **options,
        )
    except OSError as error:
        raise InputError(
            f"params.yaml: model.encoder_weights '{weights}' for '{encoder}' could not be "
            f"downloaded ({type(error).__name__}); check the network or set it to none"
        ) from None
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        # The library answers unknown names and combinations it lacks in four ways of its own.
        reason = str(error.args[0]).splitlines()[0][:300]
        raise InputError(
            f"params.yaml: model.architecture '{architecture}' with model.encoder '{encoder}' and "
            f"model.encoder_weights '{weights}' cannot be built: {reason}"
        ) from None
