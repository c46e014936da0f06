import pytest
import segmentation_models_pytorch as smp
import torch
from torch import nn

from src.training.freezing import parameter_groups, set_training_mode, thaw
from src.training.schedules import phase_optimiser
from tests.sections import phase, section

BLOCKS = ["conv1", "bn1", "layer1", "layer2"]  # of the small encoder, the deepest last


@pytest.fixture
def model():
    torch.manual_seed(0)
    return smp.Linknet("tu-test_resnet", encoder_depth=3, encoder_weights=None)


def optimiser_of(model, optimiser="adam", weight_decay=0.1, encoder_lr=1.0):
    groups = parameter_groups(model, lr=0.01, encoder_lr=encoder_lr)
    one = phase(optimiser=optimiser, schedule="constant")
    train = section("train", weight_decay=weight_decay)
    return phase_optimiser(groups, one, train, epoch_steps=1)[0]


def changed(model, optimiser, steps=2):
    """Take real steps; return the names of weights and statistics that are no longer the same."""
    before = {key: value.clone() for key, value in model.state_dict().items()}
    for seed in range(steps):
        image = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(seed))
        optimiser.zero_grad(set_to_none=True)
        (model(image) - 1).square().mean().backward()
        optimiser.step()
    return {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}


def names_of(model, part=""):
    return {key for key in model.state_dict() if key.startswith(part)}


def batch_norm_names(model):
    found = {name for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)}
    return {key for key in model.state_dict() if key.rpartition(".")[0] in found}


def test_the_groups_hold_every_weight_once_and_the_encoder_has_its_own_rate(model):
    rest, encoder = parameter_groups(model, lr=0.01, encoder_lr=0.1)
    assert (rest["lr"], encoder["lr"]) == (0.01, pytest.approx(0.001))
    assert [id(w) for w in encoder["params"]] == [id(w) for w in model.encoder.parameters()]
    ids = [id(w) for w in [*rest["params"], *encoder["params"]]]
    assert sorted(ids) == sorted(id(w) for w in model.parameters())


def test_the_groups_are_the_same_when_frozen(model):
    thaw(model, freeze="encoder", progress=0.0)
    groups = parameter_groups(model, lr=0.01, encoder_lr=1.0)
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))


def test_an_encoder_of_rate_zero_keeps_its_weights(model):
    thaw(model, freeze="none", progress=0.0)
    moved = changed(model, optimiser_of(model, "adamw", encoder_lr=0.0))
    weights = {name for name, _ in model.named_parameters()}
    assert moved & weights == {name for name in weights if not name.startswith("encoder.")}


@pytest.mark.parametrize("optimiser", ["adam", "adamw", "sgd", "rmsprop"])
def test_a_frozen_encoder_keeps_weights_and_statistics_under_every_optimiser(model, optimiser):
    thaw(model, freeze="encoder", progress=0.9)
    set_training_mode(model, freeze_batch_norm=False)
    moved = changed(model, optimiser_of(model, optimiser))
    assert moved == names_of(model) - names_of(model, "encoder.")


def test_nothing_frozen_lets_everything_learn_also_what_was_frozen_before(model):
    thaw(model, freeze="encoder", progress=0.0)
    set_training_mode(model, freeze_batch_norm=False)
    optimiser = optimiser_of(model)
    changed(model, optimiser)
    thaw(model, freeze="none", progress=0.0)
    set_training_mode(model, freeze_batch_norm=False)
    assert changed(model, optimiser) == names_of(model)


@pytest.mark.parametrize("learning", range(len(BLOCKS) + 1))
def test_gradual_thawing_frees_block_by_block_from_the_deepest(model, learning):
    thaw(model, freeze="gradual", progress=learning / (len(BLOCKS) + 1))
    set_training_mode(model, freeze_batch_norm=False)
    moved = changed(model, optimiser_of(model))
    frozen = BLOCKS[: len(BLOCKS) - learning]
    kept = set().union(*(names_of(model, f"encoder.model.{block}.") for block in frozen))
    assert moved == names_of(model) - kept


def test_a_block_thaws_not_before_its_time(model):
    thaw(model, freeze="gradual", progress=0.399)  # 1.995 of 5 fifths
    free = {n.split(".")[1] for n, w in model.encoder.named_parameters() if w.requires_grad}
    assert free == {"layer2"}


def without_values(architecture, encoder):
    """Build a network whose weights take no memory."""
    with torch.device("meta"):
        return smp.create_model(architecture, encoder, encoder_weights=None)


def thawing_order(model, children):
    """Return the names of the children in the order in which they come free."""
    order = []
    for count in range(1, len(children) + 1):
        thaw(model, freeze="gradual", progress=count / (len(children) + 1))
        free = [n for n, c in children.items() if all(w.requires_grad for w in c.parameters())]
        order += [name for name in free if name not in order]
        assert len(order) == count
    return order


def test_the_blocks_of_a_resnet_are_its_layers():
    model = without_values("Linknet", "resnet18")
    blocks = {n: c for n, c in model.encoder.named_children() if list(c.parameters())}
    assert thawing_order(model, blocks) == ["layer4", "layer3", "layer2", "layer1", "bn1", "conv1"]


def test_the_blocks_of_a_vgg_are_its_convolutions():
    model = without_values("Unet", "vgg11")
    blocks = {n: c for n, c in model.encoder.features.named_children() if list(c.parameters())}
    assert thawing_order(model, blocks) == ["18", "16", "13", "11", "8", "6", "3", "0"]


def test_a_list_of_modules_is_no_block():
    model = without_values("Unet", "efficientnet-b0")
    encoder = model.encoder
    thaw(model, freeze="gradual", progress=3 / 21)  # of 16 in the list, two before and two after
    free = {n for n, w in encoder.named_parameters() if w.requires_grad}
    assert {name.split(".")[0] for name in free} == {"_blocks", "_conv_head", "_bn1"}
    assert {name.split(".")[1] for name in free if name.startswith("_blocks")} == {"15"}


def test_rounding_holds_no_block_back():
    model = nn.Module()
    model.encoder = nn.Sequential(*(nn.Linear(1, 1, bias=False) for _ in range(48)))
    for learning in range(49):
        thaw(model, freeze="gradual", progress=learning / 49)
        assert sum(w.requires_grad for w in model.parameters()) == learning


def test_weights_of_the_encoder_outside_its_blocks_come_last():
    model = nn.Module()
    model.encoder = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    model.encoder.token = nn.Parameter(torch.zeros(1))
    thaw(model, freeze="gradual", progress=0.6)
    assert not model.encoder.token.requires_grad
    thaw(model, freeze="gradual", progress=0.7)
    assert model.encoder.token.requires_grad


def test_old_gradients_do_not_move_what_is_frozen(model):
    thaw(model, freeze="none", progress=0.0)
    model(torch.randn(2, 3, 64, 64)).sum().backward()
    before = [w.clone() for w in model.encoder.parameters()]
    thaw(model, freeze="encoder", progress=0.0)
    optimiser = optimiser_of(model)
    optimiser.step()
    assert all(map(torch.equal, before, model.encoder.parameters()))


def test_frozen_batch_norms_keep_statistics_and_scales_while_all_else_learns(model):
    optimiser = optimiser_of(model)
    for epoch in range(2):
        thaw(model, freeze="none", progress=epoch / 2)
        set_training_mode(model, freeze_batch_norm=True)
        moved = changed(model, optimiser)
        assert moved == names_of(model) - batch_norm_names(model)


def test_batch_norms_learn_unless_frozen(model):
    thaw(model, freeze="none", progress=0.0)
    set_training_mode(model, freeze_batch_norm=False)
    assert changed(model, optimiser_of(model)) >= batch_norm_names(model)


def test_dropout_is_off_in_what_is_frozen_and_on_elsewhere():
    model = nn.Module()
    model.encoder = nn.Sequential(nn.Linear(1, 1), nn.Dropout())
    model.decoder = nn.Sequential(nn.Linear(1, 1), nn.Dropout())
    thaw(model, freeze="encoder", progress=0.0)
    set_training_mode(model.eval(), freeze_batch_norm=False)
    assert not model.encoder[1].training
    assert model.decoder[1].training
    assert model.training


def test_batch_norms_without_scales_are_frozen_too():
    model = nn.Module()
    model.encoder = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1, affine=False))
    thaw(model, freeze="none", progress=0.0)
    set_training_mode(model, freeze_batch_norm=True)
    assert not model.encoder[1].training
    assert model.encoder[0].training


def test_an_unknown_freeze_is_answered_with_the_known_ones(model):
    with pytest.raises(ValueError, match="'decoder' is unknown; known: none, encoder, gradual"):
        thaw(model, freeze="decoder", progress=0.0)
