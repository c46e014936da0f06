import json

import pytest

from src.base.errors import InputError
from src.networks.model import stride
from src.training.network import described, training_network, with_statistics
from tests.sections import PARAMS, training

SMALL = {
    "model__architecture": "Linknet",
    "model__encoder": "tu-test_resnet",
    "model__encoder_weights": "none",
}
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


def resolved(training):
    return training._replace(model=with_statistics(training.model))


def test_the_description_is_the_section_model_and_what_training_decides():
    described_so = described(
        resolved(training(model__image_channels="grey", model__encoder_weights="none")), None
    )
    section = {key: value for key, value in PARAMS["model"].items() if key != "encoder_weights"}
    section |= {"image_channels": "grey", "in_channels": 1, "heads": ["mask"], "depth_range": None}
    section |= {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    assert described_so == section
    assert json.loads(json.dumps(described_so)) == section


def test_of_several_embedding_losses_the_last_is_described():
    kinds = [{"embedding_weight": 1.0, "embedding_loss": kind} for kind in ("triplet", "centre")]
    phases = [PHASE | {"loss": kind} for kind in kinds] + [PHASE]
    found = described(resolved(training(train__phases=phases)), [0.0, 3.0])
    assert (found["embedding_loss"], found["depth_range"]) == ("centre", [0.0, 3.0])


def test_numbers_stay_and_auto_is_what_the_weights_learnt_with():
    lite = {"model__encoder": "tu-tf_efficientnet_lite1", "model__encoder_weights": "packaged"}
    given = training(**lite, model__mean=[0.1, 0.2, 0.3], model__std="auto").model
    found = with_statistics(given)
    assert (found.mean, found.std) == ([0.1, 0.2, 0.3], [0.5, 0.5, 0.5])
    assert found.encoder == given.encoder
    assert with_statistics(found) == found


def test_a_set_whose_statistics_cannot_be_had_is_refused(monkeypatch):
    def offline(*args, **kwargs):
        raise ConnectionError("no way out")

    monkeypatch.setattr("segmentation_models_pytorch.encoders.hf_hub_download", offline)
    changes = {"model__encoder": "resnet18", "model__encoder_weights": "imagenet"}
    message = "model.std auto: what 'imagenet' of 'resnet18' .* downloaded .ConnectionError.; check"
    with pytest.raises(InputError, match=message):
        with_statistics(training(**changes, model__mean=[0.5] * 3, model__std="auto").model)
