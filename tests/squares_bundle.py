"""A bundle that finds bright squares on dark ground, for tests of what applies it."""

import functools

import numpy as np
import torch
from safetensors.torch import save

from src.bundles.writing import write_bundle
from src.networks.model import rebuild
from src.networks.network_input import network_input
from tests.plain_postprocess import PLAIN
from tests.plain_rescore import params
from tests.tiny_bundle import DESCRIPTION, NETWORK, TOLD

SIDE = 12  # px of a square
INPUTS = {key: DESCRIPTION[key] for key in ("image_channels", "extra_channels", "mean", "std")}


def scene(height, width, places, seed=0):
    """Return an image, uint8 (H, W, 3), with squares whose upper left pixels are given."""
    image = np.full((height, width, 3), 60)
    for row, column in places:
        image[row : row + SIDE, column : column + SIDE] = 200
    noise = np.random.default_rng(seed).integers(-20, 20, image.shape)
    return (image + noise).clip(1, 255).astype(np.uint8)


def grid(height, width, step=40):
    """Return places all over a scene, also over the edges of any window."""
    return [
        (row, column)
        for row in range(9, height - 15, step)
        for column in range(9, width - 15, step)
    ]


@functools.cache
def weights():
    """Train a small network for seconds."""
    torch.manual_seed(0)
    network = rebuild(DESCRIPTION).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.01)
    rng = np.random.default_rng(0)
    for step in range(30):
        batch, targets = [], []
        for number in range(4):
            places = rng.integers(0, 52, (4, 2))
            batch.append(scene(64, 64, places, seed=4 * step + number).transpose(2, 0, 1))
            target = np.zeros((64, 64), np.float32)
            for row, column in places:
                target[row : row + SIDE, column : column + SIDE] = 1
            targets.append(target)
        images = torch.from_numpy(np.stack(batch))
        given = network_input(images, torch.zeros(len(images)), **INPUTS)
        logits = network(given)[:, 0]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            logits, torch.from_numpy(np.stack(targets))
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    state = network.eval().state_dict()
    return save({key: value.contiguous() for key, value in state.items()})


def write(path, **told):
    """Write the bundle; what is told may be other."""
    usual = {
        "name": "squares",
        "predict": TOLD["predict"] | {"max_size": 1024, "overlap": 128},
        "postprocess": PLAIN | {"threshold": 0.5, "min_area": 30},
        "rescore": dict(params(score="mean", selection="nms", operating_point=0.5)),
        "acceptance": {"metric": None, "score": 0.5, "low": None, "high": None},
        "second_level": None,
    }
    write_bundle(path, TOLD | usual | told, {NETWORK: weights()})
    return path
