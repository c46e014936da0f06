import subprocess
import sys
from typing import get_args

import pytest

from src.base.errors import InputError
from src.losses.head_losses import BOUNDARY_DISTANCE_LOSSES
from src.losses.lovasz import ERRORS
from src.losses.mask_loss import PER
from src.networks.heads import EMBEDDING_KINDS
from src.networks.network_input import BANDS, EXTRA_CHANNELS, IMAGE_CHANNELS
from src.training.crops import BORDERS
from src.training.freezing import FREEZES
from src.training.image_sampling import SAMPLINGS
from src.training.params import OBJECT_SCORES, Phase
from tests.sections import MODELS, PARAMS, training

PHASE = PARAMS["train"]["phases"][0]


def phases(*changes):
    return {"train__phases": [PHASE | change for change in changes]}


def test_the_sections_as_they_stand_go_together():
    found = training()
    assert found.heads == ["mask"]
    assert [loss.bce_weight for loss in found.losses] == [PARAMS["loss"]["bce_weight"]]
    assert found.max_distance == PARAMS["weight_maps"]["max_distance"]


def test_a_phase_overrides_keys_of_the_loss_and_scales_its_dice():
    found = training(
        **phases({"loss": {"bce_weight": 3.0}, "dice_scale": 0.5}, {}), loss__dice_weight=4.0
    )
    assert [loss.bce_weight for loss in found.losses] == [3.0, 1.0]
    assert [loss.dice_weight for loss in found.losses] == [2.0, 4.0]


def test_heads_are_those_with_a_weight_in_any_phase_in_a_fixed_order():
    changes = phases({"loss": {"empty_weight": 1.0}}, {"loss": {"border_weight": 0.1}})
    assert training(**changes).heads == ["mask", "border", "empty"]


def test_the_weight_of_images_is_the_same_in_all_phases():
    changes = phases({"loss": {"image_weight": "other"}})
    assert training(**changes, loss__image_weight="trust").image_weight == "trust"


DEPTH = {"model__extra_channels": ["depth"]}
NEAR = {"weight_maps__max_distance": 6, "loss__contact_weight": 1.0}
STOPPING = {"train__early_stopping": 2}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (phases({}, {"loss": {"dice": 1.0}}), "phases.1.loss.dice: .* keys of the section loss"),
        (phases({"loss": {"ohem": 0.0}}), "train.phases.0.loss.ohem: .* got 0.0"),
        (phases({"loss": {"boundary_kernel": 4}}), "phases.0.loss.boundary_kernel: .* set 5"),
        (NEAR, "loss.contact_width 6.0 must be below weight_maps.max_distance 6, beyond which"),
        (
            {"weight_maps__max_distance": 6} | phases({"loss": {"contact_weight": 1.0}}),
            "loss.contact_width 6.0 must be below",
        ),
        (DEPTH, "model.extra_channels has depth but model.depth_column is none; name the column"),
        (
            {"augment__rotate": 90.0, "views__allowed": "d2"},
            "augment.rotate 90: .* 45 degrees .*views.allowed d2 .* to d4",
        ),
        (
            {"model__encoder": "resnet18", "model__encoder_weights": "packaged"},
            "encoder_weights packaged: no package has weights of the encoder 'resnet18'; take tu-",
        ),
        (
            phases({"optimiser": "sgd"}) | {"train__momentum": 0.0},
            "train.nesterov true needs a train.momentum above 0; raise it, or set nesterov to",
        ),
        (STOPPING, "train.early_stopping 2 has nothing to look at; set train.holdout and"),
        (STOPPING | {"train__holdout": 0.2, "train__evaluate_every": 0}, "nothing to look at"),
    ],
)
def test_what_does_not_go_together_is_one_sentence(changes, message):
    with pytest.raises(InputError, match=message) as caught:
        training(**changes)
    assert str(caught.value).startswith("params.yaml: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"weight_maps__max_distance": 6},  # no contacts are learnt
        NEAR | {"loss__contact_width": 5.9},
        DEPTH | {"model__depth_column": "z"},
        {"augment__rotate": 90.0},
        {"augment__rotate": 90.0, "views__allowed": "d2", "augment__set": "light"},
        STOPPING | {"train__holdout": 0.2},
        {"train__momentum": 0.0},  # of sgd, which no phase has
    ],
)
def test_what_goes_together_is_taken(changes):
    training(**changes)


def test_what_the_sections_may_be_is_known_without_the_libraries_that_train():
    code = "import sys, src.training.params; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert {"torch", "cv2", "albumentations", "scipy"}.isdisjoint(found.stdout.split())


def test_every_name_that_the_sections_know_is_made_and_no_other():
    known = {
        "model.image_channels": {*IMAGE_CHANNELS, BANDS},
        "loss.embedding_loss": EMBEDDING_KINDS,
        "loss.boundary_distance_loss": BOUNDARY_DISTANCE_LOSSES,
        "loss.lovasz_error": ERRORS,
        "loss.overlap_per": PER,
        "train.sampling": SAMPLINGS,
        "train.padding": BORDERS,
    }
    for key, names in known.items():
        section, field = key.split(".")
        assert set(get_args(MODELS[section].model_fields[field].annotation)) == set(names), key
    assert set(get_args(Phase.model_fields["freeze"].annotation)) == set(FREEZES)
    chosen_by = get_args(MODELS["train"].model_fields["choose_by"].annotation)
    assert set(chosen_by) == {"dice", "loss", *OBJECT_SCORES}
    (channels,) = get_args(MODELS["model"].model_fields["extra_channels"].annotation)
    assert set(get_args(channels)) == set(EXTRA_CHANNELS)
