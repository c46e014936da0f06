"""Tests of how views go through a network; what becomes of them is tested beside the stages."""

import numpy as np
import pytest
import torch

from src.predicting.network_maps import predictor_by
from src.predicting.params import PredictParams

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
        max_size=1024,
        overlap=128,
        precision="float32",
    )
    predict = predictor_by(answers, DESCRIPTION, params, stride=32, device=torch.device("cpu"))
    predict(np.zeros((*size, 3), np.uint8), 0.0)
    assert seen == together
