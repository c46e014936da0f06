"""What cannot work, found before the first epoch: the network on every size that it will see."""

import copy
from collections.abc import Iterable

import torch
from torch import nn

from src.base.errors import InputError
from src.losses.batch_loss import batch_input
from src.networks.heads import head_outputs
from src.networks.model import stride
from src.networks.positions import BYTES
from src.training import processes
from src.training.freezing import set_training_mode, thaw
from src.training.params import Phase, Training
from src.training.whole_batch_norm import whole_batch_norms

LARGEST = 1024  # px; larger images are predicted in windows, and take long
ONE_VALUE = "Expected more than 1 value per channel"  # what torch says of a batch norm


def refuse_unusable(
    model: nn.Module,
    training: Training,
    *,
    images: int,
    sizes: Iterable[tuple[int, int]],
    device: torch.device,
    bf16: bool,
) -> None:
    """Run a network once on batches as they will occur, forward only.

    Of several processes each runs it on the smallest share that any of them will get. Neither the
    network nor the random numbers to come are changed.

    Parameters
    ----------
    model : nn.Module
        On `device`.
    training : Training
        With numbers for `mean` and `std`.
    images : int
        That are learnt from.
    sizes : iterable of (height, width)
        Of these images in pixels, before `model.resize`; the smallest and the largest are tried,
        padded as prediction does.
    device : torch.device
    bf16 : bool

    Raises
    ------
    InputError
        If the network does not take a batch, or answers at another size; the message names the key
        to change; or if there are more processes than images in a batch.
    """
    tried = copy.deepcopy(model)
    with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.no_grad():
        for freeze, count in sorted(_kinds_of_batch(training, images)):
            thaw(tried, freeze=freeze, progress=0.99)
            set_training_mode(tried, freeze_batch_norm=training.train.freeze_batch_norm)
            side, share = training.train.crop_size, _share(count)
            with whole_batch_norms(training.train.sync_batch_norm):
                _try(tried, training, (share, side, side), device, bf16)
        tried.eval()
        for height, width in _padded_sizes(sizes, training.model.resize, stride(model)):
            _try(tried, training, (1, height, width), device, bf16)


def images_of_phase(phase: Phase, images: int) -> int:
    """Return how many of the images a phase learns from."""
    return max(1, round(phase.fraction * images))


def _kinds_of_batch(training: Training, images: int) -> set[tuple[str, int]]:
    """Return what of the encoder is frozen in a phase, with the images of its batches."""
    size = training.train.batch_size
    return {
        (phase.freeze, min(size, images_of_phase(phase, images))) for phase in training.train.phases
    }


def _share(images: int) -> int:
    """Return the images of a batch that a process gets at least."""
    if images < processes.count():
        raise InputError(
            f"params.yaml: launcher.command starts {processes.count()} processes, of which a batch "
            f"of {images} image(s) leaves some without any; start fewer, or raise train.batch_size"
        )
    return images // processes.count()


def _padded_sizes(
    sizes: Iterable[tuple[int, int]], resize: float, multiple: int
) -> list[tuple[int, int]]:
    def padded(side: int) -> int:
        return -(-min(max(1, round(side * resize)), LARGEST) // multiple) * multiple

    ordered = sorted({(padded(h), padded(w)) for h, w in sizes}, key=lambda size: size[0] * size[1])
    return sorted({ordered[0], ordered[-1]})


def _try(
    model: nn.Module,
    training: Training,
    shape: tuple[int, int, int],
    device: torch.device,
    bf16: bool,
) -> None:
    params, (count, height, width) = training.model, shape
    bands = len(params.mean)
    images = torch.zeros(count, bands, height, width, dtype=torch.uint8, device=device)
    where = images.new_zeros(count, BYTES, height, width)
    given = batch_input(images, where, torch.zeros(count, 2, device=device), params)
    try:
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            found = head_outputs(model(given), training.heads, params.embedding_size)["mask"]
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # libraries answer in many ways what they cannot take
        reason = " ".join(str(error).split())[:200]
        if ONE_VALUE in reason:
            raise InputError(
                f"params.yaml: train.batch_size {training.train.batch_size}: a batch of {count} "
                f"image(s) gives a batch norm of {params.architecture} a single value, of which it "
                "can learn nothing; take 2 or more, learn from more images, or set "
                "train.freeze_batch_norm"
            ) from None
        raise InputError(f"{_what(training, shape, model)} cannot work: {reason}") from None
    if found.shape[-2:] != (height, width):
        answered = " x ".join(map(str, found.shape[-2:]))
        raise InputError(f"{_what(training, shape, model)} is answered at {answered} px")


def _what(training: Training, shape: tuple[int, int, int], model: nn.Module) -> str:
    """Name the keys that a network and the size of its input come from."""
    params, (_, height, width) = training.model, shape
    if model.training:
        size, key = f"train.crop_size {height}", "train.crop_size"
    else:
        size, key = f"prediction of images padded to {height} x {width} px", "model.resize"
    return (
        f"params.yaml: change model.encoder, model.architecture, model.encoder_depth or {key}: "
        f"{params.architecture} with {params.encoder} of depth {params.encoder_depth} and {size}"
    )
