import itertools
import time

import pytest

from src.base.errors import InputError
from src.planning.speed import FURTHER, seconds_per_step
from tests.sections import section

TINY = {"encoder": "tu-test_resnet", "encoder_depth": 4, "encoder_weights": "none"}


def seconds(heads=("mask",), **model):
    return seconds_per_step(
        section("model", **TINY | model),
        list(heads),
        crop_size=32,
        batch_size=2,
        precision="float32",
    )


def test_the_median_step_counts_without_those_that_warm_up(monkeypatch):
    lasting = [9.0, 9.0, 2.0, 7.0, 2.0, 1.0, 3.0]  # s, of each step
    clock = itertools.chain.from_iterable((100.0 * n, 100.0 * n + s) for n, s in enumerate(lasting))
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    assert seconds() == FURTHER * 2.0
    assert next(clock, None) is None  # as many steps were made


@pytest.mark.parametrize("heads", [["mask"], ["mask", "boundary_distance", "embedding", "empty"]])
def test_every_head_learns_and_every_channel_is_fed(heads):
    assert seconds(heads, image_channels="grey", extra_channels=["coordinates"]) > 0


def test_a_network_that_cannot_be_built_is_named():
    with pytest.raises(InputError, match="model.encoder 'tu-nothing'"):
        seconds(encoder="tu-nothing")
