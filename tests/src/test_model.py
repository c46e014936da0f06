import json

import pytest
import torch

from src.errors import InputError
from src.model import build_model, load_model, normalise, save_model, stride

SMALL = {"architecture": "Linknet", "encoder": "tu-test_resnet", "encoder_depth": 5, "channels": 1}


def test_a_saved_network_answers_as_before(tmp_path):
    torch.manual_seed(0)
    model = build_model(**SMALL, encoder_weights=None).eval()
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        before = model(image)
        save_model(tmp_path, model, SMALL | {"mean": [0.5] * 3})
        again, description = load_model(tmp_path)
        assert torch.equal(again(image), before)
    assert before.shape == (1, 1, 64, 64)
    assert description["mean"] == [0.5] * 3
    assert not again.training


def test_the_stride_is_what_sizes_must_be_multiples_of():
    model = build_model(**SMALL, encoder_weights=None)
    assert stride(model) == 32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "Vnet"}, "model.architecture 'Vnet'.*Available options.*unet"),
        ({"encoder": "resnet19"}, "model.encoder 'resnet19'.*supported encoders.*resnet18"),
        ({"encoder": "tu-nothing"}, "model.encoder 'tu-nothing'.*Unknown model"),
        (
            {"encoder": "resnet18", "encoder_weights": "mine"},
            "model.encoder_weights 'mine'.*Available options.*imagenet",
        ),
    ],
)
def test_unknown_names_are_one_sentence(change, message):
    with pytest.raises(InputError, match=message):
        build_model(**{"encoder_weights": None} | SMALL | change)


def test_a_missing_model_says_what_to_run(tmp_path):
    with pytest.raises(InputError, match="model.json: no such file; run the train stage"):
        load_model(tmp_path)


def test_weights_of_another_network_are_refused(tmp_path):
    save_model(tmp_path, build_model(**SMALL, encoder_weights=None), SMALL)
    (tmp_path / "model.json").write_text(json.dumps(SMALL | {"encoder": "resnet34"}))
    with pytest.raises(InputError, match="weights do not fit model.json"):
        load_model(tmp_path)


def test_normalisation_by_hand():
    images = torch.tensor([0, 255, 51], dtype=torch.uint8).view(1, 3, 1, 1)
    seen = normalise(images, [0.5, 0.5, 0.1], [0.5, 0.25, 0.1])
    torch.testing.assert_close(seen.flatten(), torch.tensor([-1.0, 2.0, 1.0]))
