"""Which weights of a network learn: its encoder frozen, thawed block by block, batch norms fixed.

In every epoch `thaw` comes first, then `set_training_mode`, which stops what `thaw` set free but
must not learn. The optimiser holds all weights from the start: it passes over those that get no
gradient, weight decay included.
"""

import math

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

FREEZES = ("none", "encoder", "gradual")


def parameter_groups(model: nn.Module, *, lr: float, encoder_lr: float) -> list[dict]:
    """Give the encoder a learning rate of its own.

    Parameters
    ----------
    model : nn.Module
        With an `encoder`.
    lr : float
        Learning rate of all else, the decoder and the heads.
    encoder_lr : float
        That of the encoder, as a factor on `lr`.

    Returns
    -------
    groups : list of dict
        Two parameter groups of torch, the encoder's last: every weight once, frozen or not.
    """
    encoder = list(model.get_submodule("encoder").parameters())
    inside = set(encoder)
    rest = [weight for weight in model.parameters() if weight not in inside]
    return [{"params": rest, "lr": lr}, {"params": encoder, "lr": lr * encoder_lr}]


def thaw(model: nn.Module, *, freeze: str, progress: float) -> None:
    """Set which weights learn; call `set_training_mode` afterwards.

    Parameters
    ----------
    model : nn.Module
        With an `encoder`. All outside of it learns.
    freeze : {"none", "encoder", "gradual"}
        What of the encoder is frozen: nothing, all of it, or ever less. "gradual" (after Howard
        and Ruder 2018, section 3.3) lets the deepest floor(progress (n + 1)) of its n blocks learn.
        The blocks are its children with weights, in their order; a lone child is a wrapper (VGG,
        timm) and a list of modules is no block: theirs count.
    progress : float
        In [0, 1): the part of the phase that is over.

    Raises
    ------
    ValueError
        If `freeze` is unknown.
    """
    if freeze not in FREEZES:
        raise ValueError(f"freeze '{freeze}' is unknown; known: {', '.join(FREEZES)}")
    model.requires_grad_(True)
    if freeze == "none":
        return
    encoder = model.get_submodule("encoder")
    blocks = _blocks(encoder) if freeze == "gradual" else []
    learning = math.floor(progress * (len(blocks) + 1) + 1e-9)  # 1 / 49 * 49 is below 1
    if blocks and learning >= len(blocks):
        return
    encoder.requires_grad_(False)
    for block in blocks[len(blocks) - learning :]:
        block.requires_grad_(True)
    for weight in encoder.parameters():
        if not weight.requires_grad:
            weight.grad = None  # an old gradient would move it once more


def set_training_mode(model: nn.Module, *, freeze_batch_norm: bool) -> None:
    """Put a network into training mode, but for what is frozen.

    Modules whose weights are all frozen go to evaluation mode with all that is in them: their
    batch norms keep their statistics, their dropout is off.

    Parameters
    ----------
    model : nn.Module
        After `thaw`.
    freeze_batch_norm : bool
        Keep the statistics, scales and shifts of all batch norms. `thaw` sets their scales and
        shifts free again; this function must follow it.
    """
    if freeze_batch_norm:
        for module in _batch_norms(model):
            module.requires_grad_(False)
    model.train()
    for module in model.modules():
        weights = list(module.parameters())
        if weights and not any(weight.requires_grad for weight in weights):
            module.eval()
    if freeze_batch_norm:
        for module in _batch_norms(model):
            module.eval()  # also those without scales


def _batch_norms(model: nn.Module) -> list[nn.Module]:
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]


def _blocks(encoder: nn.Module) -> list[nn.Module]:
    """Return the blocks that thaw one by one, the deepest last."""
    blocks = [encoder]
    while len(blocks) == 1 and (inner := _children(blocks[0])):
        blocks = inner
    return blocks


def _children(module: nn.Module) -> list[nn.Module]:
    """Return the children with weights, those of lists in place of the lists."""
    found = []
    for child in module.children():
        if any(True for _ in child.parameters()):
            found += _children(child) if isinstance(child, nn.ModuleList) else [child]
    return found
