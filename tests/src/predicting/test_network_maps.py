"""Tests of how views go through a network; what becomes of them is tested beside the stages."""

import numpy as np
import pytest
import torch

from src.base.errors import InputError
from src.networks.model import rebuild
from src.predicting.network_maps import image_predictor, predictor_by
from src.predicting.params import PredictParams
from tests import tiny_network

DESCRIPTION = {"clahe": 0.0, "resize": 1.0, "extra_channels": []}


@pytest.mark.parametrize(
    ("size", "together"),
    [
        ((128, 128), [8]),
        ((128, 192), [4, 4]),  # turned views have the sides swapped: two batches of 4
        ((256, 256), [2, 2, 2, 2]),
        ((512, 512), [1] * 8),
    ],
)
def test_views_go_together_as_long_as_they_are_few_pixels(size, together):
    seen = []

    def answers(images, depth):
        seen.append(len(images))
        return {"mask": images[:, 0].float()}

    params = PredictParams(
        views="d4",
        scales=[1.0],
        merge="mean",
        padding="replicate",
        margin=0,
        gammas=[1.0],
        max_size=1024,
        overlap=128,
        precision="float32",
    )
    predict = predictor_by(answers, DESCRIPTION, params, stride=32, device=torch.device("cpu"))
    predict(np.zeros((*size, 3), np.uint8), 0.0)
    assert seen == together


@pytest.mark.parametrize("image_channels", ["rgb", "bands"])
def test_images_of_other_bands_than_were_learnt_from_are_refused(image_channels):
    fed = tiny_network.FED | {"image_channels": image_channels}
    if image_channels == "bands":
        fed |= {"mean": [0.5] * 5, "std": [0.2] * 5}
    count = len(fed["mean"])
    description = tiny_network.NETWORK | fed | {"in_channels": count}
    params = PredictParams(
        views="none",
        scales=[1.5],
        merge="mean",
        padding="replicate",
        margin=0,
        gammas=[1.0],
        max_size=64,
        overlap=8,
        precision="float32",
    )
    predict = image_predictor(rebuild(description).eval(), description, params)
    with pytest.raises(InputError, match=f"of 2 bands, but the network learnt from {count} "):
        predict(np.zeros((16, 16, 2), np.uint8), 0.0)
    deep = np.random.default_rng(0).integers(0, 9000, (16, 20, count), np.uint16)
    if image_channels == "rgb":
        with pytest.raises(InputError, match="of 3 bands of 16 bits, but .* from 3"):
            predict(deep, 0.0)
    else:
        found = predict(deep, 0.0)["mask"]
        assert found.shape == (16, 20)
        assert not torch.equal(found, predict(deep & 255, 0.0)["mask"])
