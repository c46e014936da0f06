import json

import pytest

from src.base.errors import InputError
from src.networks.model import stride
from src.training.network import described, training_network
from tests.sections import PARAMS, training

SMALL = {"model__architecture": "Linknet", "model__encoder": "tu-test_resnet"}
SMALL |= {"model__encoder_depth": 3}
PHASE = PARAMS["train"]["phases"][0]


def test_the_network_takes_the_channels_and_answers_with_the_heads_of_its_sections():
    obeyed = training(**SMALL, model__extra_channels=["coordinates"], loss__border_weight=1.0)
    network = training_network(obeyed)
    assert next(network.parameters()).shape[1] == 5
    assert network.segmentation_head[0].out_channels == 2


def test_crops_that_are_no_multiple_of_the_stride_are_refused():
    assert stride(training_network(training(**SMALL, train__crop_size=40))) == 8
    message = "train.crop_size 36 must be a multiple of 8, the stride of tu-test_resnet"
    with pytest.raises(InputError, match=message):
        training_network(training(**SMALL, train__crop_size=36))


def test_the_description_is_the_section_model_and_what_training_decides():
    described_so = described(training(model__image_channels="grey"), None)
    section = {key: value for key, value in PARAMS["model"].items() if key != "encoder_weights"}
    section |= {"image_channels": "grey", "in_channels": 1, "heads": ["mask"], "depth_range": None}
    assert described_so == section
    assert json.loads(json.dumps(described_so)) == section


def test_of_several_embedding_losses_the_last_is_described():
    kinds = [{"embedding_weight": 1.0, "embedding_loss": kind} for kind in ("triplet", "centre")]
    phases = [PHASE | {"loss": kind} for kind in kinds] + [PHASE]
    found = described(training(train__phases=phases), [0.0, 3.0])
    assert (found["embedding_loss"], found["depth_range"]) == ("centre", [0.0, 3.0])
