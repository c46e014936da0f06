import copy

import pytest
import torch

from src.base.errors import InputError
from src.training.dry_pass import refuse_unusable
from src.training.network import training_network
from tests.sections import training

CPU = torch.device("cpu")


def network(architecture, encoder, depth=4, **train):
    model = {"architecture": architecture, "encoder": encoder, "encoder_depth": depth}
    model |= {"encoder_weights": "none", "mean": [0.5] * 3, "std": [0.2] * 3, "resize": 1.0}
    changes = {f"model__{key}": value for key, value in model.items()}
    train = {"crop_size": 64, "batch_size": 4} | train
    asked = training(**changes, **{f"train__{key}": value for key, value in train.items()})
    return training_network(asked), asked


def try_out(model, asked, images=8, sizes=((64, 64),)):
    refuse_unusable(model, asked, images=images, sizes=sizes, device=CPU, bf16=False)


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")  # what FPN is left with
@pytest.mark.parametrize(
    ("architecture", "encoder", "words"),
    [
        ("FPN", "tu-convnext_atto", "FPN with tu-convnext_atto of depth 4 .* cannot work"),
        ("Unet", "tu-swin_s3_tiny_224", "train.crop_size 64 cannot work: .*height"),
    ],
)
def test_a_network_that_does_not_take_the_crops_is_one_sentence(architecture, encoder, words):
    with pytest.raises(InputError, match=words) as caught:
        try_out(*network(architecture, encoder))
    assert str(caught.value).startswith("params.yaml: change model.encoder, ")
    assert "\n" not in str(caught.value)


def test_a_lone_image_in_a_batch_norm_of_one_pixel_is_refused():
    knobs = ("DeepLabV3Plus", "resnet18")
    try_out(*network(*knobs, batch_size=2))
    with pytest.raises(InputError, match="train.batch_size 1: a batch of 1 .* take 2 or more"):
        try_out(*network(*knobs, batch_size=1))
    with pytest.raises(InputError, match="train.batch_size 4: a batch of 1 .* from more images"):
        try_out(*network(*knobs, batch_size=4), images=1)
    try_out(*network(*knobs, batch_size=1, freeze_batch_norm=True))


def test_a_size_that_prediction_cannot_take_is_refused():
    model, asked = network("Unet", "tu-maxvit_nano_rw_256", crop_size=128)
    try_out(model, asked, sizes=[(128, 128)])
    with pytest.raises(InputError, match="images padded to 112 x 128 px cannot work: .*height"):
        try_out(model, asked, sizes=[(100, 128), (128, 128)])


def test_it_changes_neither_the_network_nor_what_is_drawn_next():
    model, asked = network("FPN", "resnet18")  # with batch norm and dropout
    model.train()
    before, drawn = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    learning = [weight.requires_grad for weight in model.parameters()]
    try_out(model, asked)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert [weight.requires_grad for weight in model.parameters()] == learning
    assert all(module.training for module in model.modules())
